"""The deployed network as a torch module: exact forwards, surrogate gradients backwards."""

from ranvier.runtimes.trainable.network import KINDS, SLOPE, TrainableNetwork

__all__ = ["KINDS", "SLOPE", "TrainableNetwork"]
