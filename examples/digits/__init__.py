"""A convolutional spiking network for the 8x8 digits of scikit-learn, trained with snnTorch."""
