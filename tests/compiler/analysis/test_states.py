"""State memory: published figures from shapes, widths of ranges, and proved widths on random networks."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.analysis.overflow import overflows
from ranvier.compiler.analysis.states import chip_states, network_states, width
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.passes.narrow import Narrow
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes import oracle
from ranvier.targets.load import load_target
from support.networks import Limits, chip_networks, inputs_for
from support.sew import sew

MEMBRANE_BITS = 12


def test_the_shapes_of_sew_7plif_are_the_published_ones():
    network = check_network(sew(7), "imported")
    convs = [node for node in network.nodes if isinstance(node, Conv)]
    assert len(convs) == 16
    assert sum(conv.weight.size * 4 for conv in convs) / 8 / 1024 == 580.0625


def test_state_memory_of_sew_7plif_and_5plif():
    full, reduced = (network_states(sew(stateful), MEMBRANE_BITS) for stateful in (7, 5))
    assert full.kib("register") == full.kib("proved") == reduced.kib("register") == 5659.5
    assert reduced.kib("proved") == 283.5
    assert [layer.name for layer in reduced.layers if layer.elided] == ["lif00", "lif01", "lif02", "lif10", "lif11"]
    assert not any(layer.elided for layer in full.layers)


@pytest.mark.parametrize(
    ("stateful", "kib"), list(enumerate([0, 1.5, 7.5, 43.5, 91.5, 283.5, 1051.5, 5659.5])), ids=str
)  # fmt: skip
def test_state_memory_by_the_number_of_stateful_blocks(stateful: int, kib: float):
    assert network_states(sew(stateful), MEMBRANE_BITS).kib("proved") == kib


def lowered(*models: Lif) -> ChipNetwork:
    """A chain of populations of these neurons on Loihi 2."""
    rng = np.random.default_rng(0)
    nodes: list[Node] = [Input("input", (6,), "spikes")]
    for index, model in enumerate(models):
        nodes += [Dense(f"fc{index}", rng.normal(0.3, 0.5, (6, 6))), Neurons(f"n{index}", (6,), model)]
    edges = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    net = Network("net", tuple(nodes), edges, Readout(nodes[-1].name))
    return lower(prepare(net), load_target("loihi2"), None, Options())


def test_full_leak_is_found_in_registers():
    half, none = np.array(0.5), np.array(0.0)
    chip = lowered(
        Lif(keep_membrane=none),
        Lif(keep_membrane=half),
        Lif(keep_membrane=none, keep_current=half),
        Lif(keep_membrane=none, keep_current=half, late_current=True),
        Lif(keep_membrane=none, refractory=2),
    )
    layers = chip_states(chip).layers
    kept = {layer.name: {s.name for s in layer.states if s.proved} for layer in layers}
    assert kept == {"n0": set(), "n1": {"v"}, "n2": {"u"}, "n3": {"u"}, "n4": {"v", "rest"}}
    assert [layer.elided for layer in layers] == [True, False, False, False, False]
    assert [layer.keep for layer in layers] == [0.0, 0.5, 0.0, 0.0, 0.0]
    assert layers[0].bits("register") == 6 * 48
    assert layers[0].bits("proved") == 0
    assert layers[0].bits("measured") is None


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 0, 0), (0, 1, 2), (-1, 0, 1), (-1, 1, 2), (-2, 1, 2), (-2, 2, 3), (0, 127, 8), (0, 128, 9), (-128, 0, 8),
     (-129, 0, 9), (5, 5, 4), (-5, -5, 4)],
)  # fmt: skip
def test_widths(low: int, high: int, bits: int):
    assert width(low, high) == bits


@given(st.integers(-(2**30), 2**30), st.integers(-(2**30), 2**30))
def test_a_width_holds_its_range_and_no_smaller_one_does(a: int, b: int):
    low, high = min(a, b), max(a, b)
    bits = width(low, high)

    def holds(bits: int) -> bool:
        return -(2 ** (bits - 1)) <= low and high <= 2 ** (bits - 1) - 1 if bits else low == high == 0

    assert holds(bits)
    assert bits == 0 or not holds(bits - 1)


@settings(max_examples=10)
@given(st.data())
def test_proved_widths_change_nothing(data: st.DataObject):
    chip = data.draw(chip_networks(Limits(max_neurons=5)))
    memory = chip_states(chip)
    x = data.draw(inputs_for(chip))
    full, narrow = oracle.run(chip, x, ("spikes",)), oracle.run(Narrow(memory.widths("proved"))(chip), x, ("spikes",))
    np.testing.assert_array_equal(narrow.outputs, full.outputs)
    for name, spikes in full.spikes.items():
        np.testing.assert_array_equal(narrow.spikes[name], spikes)


def test_proved_widths_are_those_of_the_proof():
    chip = lowered(Lif(keep_membrane=np.array(0.5), keep_current=np.array(0.25)), Lif(keep_membrane=np.array(0.75)))
    boxes = overflows(chip).states
    for layer in chip_states(chip).layers:
        for state in layer.states:
            if state.proved:
                box = boxes[layer.name][state.name]
                assert state.proved == width(int(box.low.min()), int(box.high.max())) < state.register
