"""The step programs of the neurons beyond the leaky integrate-and-fire family, float and integer from one text each."""
