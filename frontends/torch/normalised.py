"""Neurons with a batch norm inside: its numbers in the neuron's own parameters."""

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray, Shape, floats
from ranvier.compiler.ir.neurons import GradedLif
from ranvier.frontends.torch.layers import normalising


def behind_batch_norm(neuron: GradedLif, norm: nn.Module, shape: Shape, compared_only: bool = False) -> GradedLif:
    """``neuron`` of ``shape`` with ``norm``, in evaluation ``a v + c`` per channel, between its sum and its threshold.

    The membrane itself is normalised: ``h = a (keep v + gain x + drive) + c``, so keep, gain and drive take the
    factor and the drive the constant. ``compared_only``: what is sent and kept is not normalised, only what is
    compared, ``a h + c >= threshold``, which is ``h >= (threshold - c) / a``. Exact in real numbers.

    Raises ``RanvierError`` RV249 where a factor is not positive and would turn the comparison round.
    Source: the folding rules of EM-PF networks.
    """
    found = normalising(norm, "batch norm")
    factor, shift = (_spread(values, shape) for values in found)
    if compared_only:
        if bool(np.any(factor <= 0)):
            text = f"{int(np.sum(factor <= 0))} channels of the batch norm have a factor that is not positive"
            fix = "train with positive factors (weight = softplus(...)), or normalise the membrane itself"
            raise error("RV249", "batch norm", f"{text}: the comparison would turn round.", fix)
        return replace(neuron, threshold=floats((neuron.threshold - shift) / factor))
    return replace(
        neuron,
        keep_membrane=floats(factor * neuron.keep_membrane),
        gain=floats(factor * neuron.gain),
        drive=floats(factor * neuron.drive + shift),
    )


def _spread(values: FloatArray, shape: Shape) -> Any:
    """One value per channel, as one per neuron of ``shape`` (channels, ...)."""
    return np.repeat(values, int(np.prod(shape[1:], dtype=np.int64)))
