"""How many of the numbers that layers send are not zero: measured on the user's data, said by the user, or assumed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import frozen_mapping
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.runtimes.recording import Recording, encode

Array = NDArray[Any]


@dataclass(frozen=True)
class Density:
    """``sent``: the share of non-zero numbers by input and layer, ``d = nonzero / (samples * steps * neurons)``.

    ``basis``: "measured" on ``samples`` samples; "given", one share for all; "assumed", all dense (1).
    """

    basis: Literal["measured", "given", "assumed"]
    samples: int
    sent: Mapping[str, float]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"basis": self.basis, "samples": self.samples, "sent": dict(self.sent)}


def constant(network: Network | ChipNetwork, share: float | None) -> Density:
    """The same ``share`` for everything that is sent; None: it is not known, so nothing is taken to be zero.

    Raises ``RanvierError`` RV760 for a share outside 0 to 1.
    """
    if share is not None and not 0.0 <= share <= 1.0:
        fix = "give the share of numbers that are not zero, from 0 to 1"
        raise error("RV760", network.name, f"a density of {share} is no share", fix)
    entries = network.ports if isinstance(network, ChipNetwork) else network.inputs
    names = [node.name for node in (*entries, *network.populations)]
    value = 1.0 if share is None else float(share)
    return Density("assumed" if share is None else "given", 0, frozen_mapping(dict.fromkeys(names, value)))


def measured(network: Network | ChipNetwork, inputs: Array, recording: Recording) -> Density:
    """What ``network`` sent on ``inputs`` (samples, steps, *shape); ``recording`` holds the spikes of that run.

    Numbers that enter a chip network count as the integers that they become.
    """
    if isinstance(network, ChipNetwork):
        entering = {network.ports[0].name: np.asarray(encode(network.ports[0], inputs))}
    else:
        entering = {network.inputs[0].name: inputs}
    sent = {name: np.count_nonzero(values) / values.size for name, values in {**entering, **recording.spikes}.items()}
    return Density("measured", len(inputs), frozen_mapping(sent))
