"""Each pass on small networks, its whole output written down: ``tests/golden/<pass>/<network>.txt``.

Set ``RANVIER_UPDATE_GOLDEN=1`` to write the files anew after a change that is meant; read the difference.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from golden.networks import NETWORKS
from ranvier.compiler.ir.network import Network, Observed
from ranvier.compiler.ir.text import dump
from ranvier.compiler.passes.calibrate import Calibrate
from ranvier.compiler.passes.canonicalize import Canonicalize
from ranvier.compiler.passes.fit import Fit
from ranvier.compiler.passes.fold import Fold
from ranvier.compiler.passes.partition import Partition
from ranvier.compiler.passes.place import Place
from ranvier.compiler.passes.quantize import Quantize
from ranvier.compiler.passes.retime import Retime
from ranvier.compiler.pipeline import NetworkPass
from ranvier.targets.load import load_target

HERE = Path(__file__).parent
PASSES = ("canonicalize", "fold", "retime", "calibrate", "quantize", "fit", "place")


def after(name: str, network: Network) -> object:
    """What pass ``name`` makes of ``network`` after the passes before it."""
    target = load_target("loihi2")
    seen = Observed(1.0, 4.0, 0.25, 16)
    observed = {n.name: seen for n in network.inputs} | {n.name: seen for n in network.populations}
    steps: tuple[NetworkPass, ...] = (Canonicalize(), Fold(), Retime(), Calibrate(observed), Quantize(target))
    for step in steps:
        network = step(network)
        if type(step).__name__.lower() == name:
            return network
    chip = Fit(target)(network)
    return chip if name == "fit" else Place(target)(Partition(target)(chip).pieces)


def written(value: object) -> str:
    """The text form with its tensors listed below it."""
    text, tensors = dump(value)
    with np.printoptions(precision=8, suppress=True, threshold=10_000, linewidth=100):
        listed = "".join(f"\n{key} =\n{array}\n" for key, array in tensors.items())
    return text + listed


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", PASSES)
def test_the_pass_writes_what_it_wrote(name: str, network: str) -> None:
    path = HERE / name / f"{network}.txt"
    got = written(after(name, NETWORKS[network]))
    if os.environ.get("RANVIER_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(got)
    assert got == path.read_text()
