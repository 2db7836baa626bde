"""TrueNorth: networks are checked against its limits, and nothing is compiled for it."""

import numpy as np
import pytest

from ranvier.compiler.devices import build_device
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.pipeline import prepare
from ranvier.targets.load import load_any
from ranvier.targets.schema import CrossbarTarget


def refusals(weight: np.ndarray) -> tuple[Diagnostic, ...]:
    outputs, inputs = weight.shape
    nodes = (Input("input", (inputs,), "spikes"), Dense("w", weight), Neurons("n", (outputs,), Lif()))
    net = Network("net", nodes, (Edge("input", "w"), Edge("w", "n")), Readout("n"))
    target = load_any("truenorth")
    assert isinstance(target, CrossbarTarget)
    with pytest.raises(RanvierError) as caught:
        build_device(prepare(net), target)
    return caught.value.diagnostics


def test_limits_come_with_figures_and_nothing_is_compiled() -> None:
    few = np.resize([-1.0, 1.0, 2.0, 3.0], (3, 256))
    (found,) = refusals(few)
    assert (found.code, "no bit-exact arithmetic" in found.message) == ("RV650", True)
    wide, levels, _ = refusals(np.random.default_rng(0).normal(size=(3, 257)))
    assert "257 inputs; a core of truenorth has 256 axons" in wide.message
    assert levels.figures["used"] == 3 * 257
