"""Fixes that the compiler tries: kept where they leave fewer errors, told in any case, and never endless."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier.api import check, compile  # noqa: A004
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.fixes import fixed


def network(model: Lif, size: int = 8) -> Network:
    weight = np.random.default_rng(0).normal(0, 0.5, (size, size))
    nodes = (Input("input", (size,), "spikes"), Dense("w", weight), Neurons("n", (size,), model))
    return Network("net", nodes, (Edge("input", "w"), Edge("w", "n")), Readout("n"))


@pytest.mark.parametrize("changes", [{"reset": "subtract"}, {"floor": -1.0}, {"initial": 0.5}, {"max_spikes": 0}])
def test_neurons_that_loihi1_lacks_become_ones_that_it_has(changes: dict[str, Any]) -> None:
    net = network(Lif(**changes))
    found = check(net, "loihi1")
    assert any(d.severity == "error" for d in found)
    after = fixed(net, "loihi1", found)
    assert after.tried[-1].helps
    assert not any(d.severity == "error" for d in after.found)
    compile(after.network, "loihi1")
    assert fixed(after.network, "loihi1", after.found).tried == ()


def test_narrower_weights_where_memory_binds(tmp_path: Path) -> None:
    rule = 'core.resources.synapses = { cap = { v = 448, src = "own" }, use = "rule:loihi.synapse_bits" }\n'
    path = tmp_path / "tiny.toml"
    path.write_text(f'extends = "generic"\n{rule}')
    net = network(Lif(), size=8)
    found = check(net, path)
    assert {d.code for d in found if d.severity == "error"} == {"RV521"}
    after = fixed(net, path, found)
    assert all("weights of" in one.what for one in after.tried)
    assert after.weight_bits < 8 if after.tried[-1].helps else len(after.tried) == 3
    compiled = check(after.network, path, weight_bits=after.weight_bits)
    assert [d.code for d in compiled] == [d.code for d in after.found]


def test_time_is_bounded_and_what_does_not_help_is_told() -> None:
    net = network(Lif(reset="subtract"))
    found = check(net, "loihi1")
    assert fixed(net, "loihi1", found, seconds=-1.0).tried == ()
    real = replace(net, nodes=(Input("input", (8,), "current"), *net.nodes[1:]))
    left = fixed(real, "xylo_a2", check(real, "xylo_a2"))
    assert {d.code for d in left.found if d.severity == "error"} >= {"RV646"}
