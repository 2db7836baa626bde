"""Thresholds and units of every layer, so that membranes of both sides can be set against each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, size
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.programs import INPUT_SHIFT


@dataclass(frozen=True, eq=False)
class Level:
    """The nominal threshold of each neuron, and how many membrane units make one unit of display.

    ``threshold`` (neurons,), ``unit`` () or (neurons,).

    A late guard, which doubles the threshold of some steps, is not in it.
    """

    threshold: FloatArray
    unit: FloatArray = field(default_factory=lambda: np.ones(()))

    def unit_of(self, neuron: int) -> float:
        """The unit of one neuron."""
        return float(np.broadcast_to(self.unit, self.threshold.shape)[neuron])


Levels = Mapping[str, Level]


def chip_levels(chip: ChipNetwork, source_units: bool) -> Levels:
    """The levels of ``chip``, in units of the source network or of the chip's membrane.

    A neuron without a threshold, as a plain integrator is, has an infinite one.
    """
    found = {}
    for p in chip.populations:
        if "vth" in p.params:
            level = np.asarray(p.params["vth"] << INPUT_SHIFT, np.float64)
        else:
            level = np.asarray(p.params.get("threshold", np.inf), np.float64)
        unit = np.asarray(p.scale * p.gain) if source_units else np.ones(())
        found[p.name] = Level(np.broadcast_to(level, (p.size,)), unit)
    return found


def network_levels(network: Network) -> Levels:
    """The levels of a float network, in its own units."""
    found = {}
    for p in network.populations:
        found[p.name] = Level(np.broadcast_to(p.model.threshold, (size(p.shape),)))
    return found
