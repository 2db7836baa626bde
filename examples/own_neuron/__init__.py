"""A neuron class that Ranvier does not know, registered by its user."""
