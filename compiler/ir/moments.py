"""What calibration data look like from the membrane: statistics of the activity that arrives through each synapse."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, floats, frozen_mapping
from ranvier.compiler.ir.network import Observed


@dataclass(frozen=True, eq=False)
class Moments:
    """Statistics of what reaches a membrane through one synapse, in units of the sender.

    Let x(t) be what the sender's wires carry and z(t) = b z(t-1) + c(t), c(t) = a c(t-1) + x(t) the same after the
    receiving neurons' current and membrane filters, b less the share of steps in which a reset forgets. Then a weight
    error d of one neuron moves its membrane by d z(t), with the mean square d H d.

    All of this is what the chip's membranes see: decays are rounded, and x is what the quantized senders send, once
    that is known. The source's own are z*, x*.

    Means go over samples and steps, those near the threshold count more (``runtimes.moments``). ``filtered``: (groups,
    inputs), mean of z; ``mean``: the constant x that has the same effect on the membrane; ``second``: H = mean of z z',
    (groups, inputs, inputs), or its diagonal (groups, inputs) where inputs are many. A group is all rows that share
    statistics, or a single row. For a convolution the inputs are the kernel's, (channels of the group, height, width)
    in C order, and means go over positions as well. ``wanted_mean``: ``mean`` of x*. ``aligned``: A (groups, inputs,
    inputs), such that the weights w A make of z what w makes of z*, as well as they can (least squares); or a factor ()
    for all.
    """

    mean: FloatArray
    filtered: FloatArray
    second: FloatArray
    wanted_mean: FloatArray
    aligned: FloatArray = field(default_factory=lambda: floats(1.0))

    def __post_init__(self) -> None:
        for name in ("mean", "filtered", "second", "wanted_mean", "aligned"):
            object.__setattr__(self, name, floats(getattr(self, name)))
        assert self.second.ndim in (2, 3)

    @property
    def full(self) -> bool:
        """Whether correlations between inputs are known, not their squares alone."""
        return self.second.ndim == 3

    def about_mean(self) -> "Moments":
        """The same with H taken about the mean: what is left of an error once its mean is taken back elsewhere."""
        outer = self.filtered[:, :, None] * self.filtered[:, None, :] if self.full else self.filtered**2
        return replace(self, second=self.second - outer, filtered=np.zeros_like(self.filtered))

    def align(self, weights: FloatArray) -> FloatArray:
        """(rows, inputs) the weights that do on the chip what ``weights`` do in the source."""
        if self.aligned.ndim == 0:
            return np.asarray(weights * self.aligned)
        parts = zip(np.split(weights, len(self.aligned)), self.aligned, strict=True)
        return np.concatenate([part @ matrix for part, matrix in parts])

    def scaled(self, factor: float | FloatArray) -> "Moments":
        """The same for senders whose units are ``factor`` times finer: all of them, or (inputs,) each by its own."""
        once = {n: getattr(self, n) * factor for n in ("mean", "filtered", "wanted_mean")}
        each = np.asarray(factor)
        twice = each[:, None] * each if self.full and each.ndim else each**2
        return replace(self, second=self.second * twice, **once)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Everything that calibration data say: ``observed`` by population and input, ``moments`` by synapse.

    ``joint``: by population with several synapses, H (rows, inputs, inputs) of all their inputs one after another.
    """

    observed: Mapping[str, Observed] = field(default_factory=dict)
    moments: Mapping[str, Moments] = field(default_factory=dict)
    joint: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "observed", frozen_mapping(self.observed))
        object.__setattr__(self, "moments", frozen_mapping(self.moments))
        object.__setattr__(self, "joint", frozen_mapping(self.joint))


def identity(inputs: int, groups: int, square: float) -> Moments:
    """Independent inputs whose mean square is ``square``: what is assumed without calibration data."""
    zero = np.zeros((groups, inputs))
    return Moments(zero, zero, np.full((groups, inputs), square), zero)
