"""Calibrate: attach what the user's data do in the float network, so that later passes need not guess."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ranvier.compiler.ir.network import Network, Note, Observed


@dataclass(frozen=True)
class Calibrate:
    """``observed`` by population and input, from a float run on calibration data; None if there were none."""

    observed: Mapping[str, Observed] | None = None

    def __call__(self, network: Network) -> Network:
        """``network`` with what was observed, or with a note that nothing was."""
        if self.observed is not None:
            return replace(network, observed=self.observed)
        text = "no calibration data: state ranges are unknown, so overflow is possible and is reported when it happens"
        return replace(network, notes=(*network.notes, Note("RV380", network.name, text)))
