"""The digits network with narrow weights, fine-tuned as it is deployed."""
