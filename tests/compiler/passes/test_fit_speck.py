"""Speck: networks compiled for it keep every published rule, and what it cannot hold is refused with figures."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.devices import build_device
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import ConvSynapse
from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.matrix import linear_matrix
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neuron_steps.bytes import dynapcnn_iaf
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.program import Program
from ranvier.compiler.passes.fit_speck import written_out
from ranvier.compiler.pipeline import prepare
from ranvier.runtimes import oracle, reference, simulator
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_any
from ranvier.targets.schema import LayerTarget

KERNEL = (16, 16, 16, 32, 32, 64, 64, 16, 16)
NEURON = (64, 64, 64, 32, 32, 16, 16, 16, 16)


def speck() -> LayerTarget:
    target = load_any("speck2f")
    assert isinstance(target, LayerTarget)
    return target


def iaf(**changes: Any) -> Lif:
    given: dict[str, Any] = {"compare": ">=", "max_spikes": 0, "reset": "subtract"}
    given["reset_amount"] = changes.get("threshold", 1.0)
    return Lif(**given | changes)


def conv(name: str, shape: tuple[int, int, int], outputs: int, kernel: int, **changes: Any) -> Conv:
    rng = np.random.default_rng(len(name))
    weight = rng.normal(0.05, 0.3, (outputs, shape[0] // changes.get("groups", 1), kernel, kernel))
    stride, pad, wide = changes.get("stride", 1), changes.get("pad", 0), changes.get("dilation", 1)
    return Conv(name, weight, shape, changes.get("bias"), (stride, stride), ((pad, pad), (pad, pad)), (wide, wide),
                changes.get("groups", 1))  # fmt: skip


def chain(*layers: Conv | Dense, model: Lif | None = None, coding: Any = "spikes") -> Network:
    """The layers one after the other, with neurons behind each."""
    shape = layers[0].in_shape if isinstance(layers[0], Conv) else (layers[0].weight.shape[1],)
    nodes: list[Node] = [Input("input", shape, coding)]
    for layer in layers:
        nodes += [layer, Neurons(f"n_{layer.name}", layer.out_shape, model or iaf())]
    edges = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    return Network("chain", tuple(nodes), edges, Readout(nodes[-1].name))


def built(net: Network, x: Any = None) -> Program:
    prepared = prepare(net)
    return build_device(prepared, speck(), None if x is None else observe(prepared, x))


def refusals(net: Network) -> list[Diagnostic]:
    with pytest.raises(RanvierError) as caught:
        built(net)
    return list(caught.value.diagnostics)


def clog2(n: int) -> int:
    return int(np.ceil(np.log2(n)))


def broken_rules(program: Program) -> list[str]:
    """The rules that sinabs publishes, written from its documentation and not from the target file."""
    found, cores = [], [p.core for p in program.placement.pieces]
    if len(set(cores)) != len(cores) or not set(cores) <= set(range(9)):
        found.append("two layers on a core, or a core that does not exist")
    for piece in program.placement.pieces:
        (connection,) = program.chip.into[piece.population]
        s = connection.synapse
        assert isinstance(s, ConvSynapse)
        outputs, inputs, height, width = s.weight.shape
        kernel = inputs * 2 ** (clog2(height * width) + clog2(outputs))
        neurons = outputs * 2 ** (clog2(s.out_shape[1]) + clog2(s.out_shape[2]))
        rules = {
            "kernel memory": kernel <= KERNEL[piece.core] * 1024,
            "neuron memory": neurons <= NEURON[piece.core] * 1024,
            "kernel": height == width <= 16,
            "stride": all(n in (1, 2, 4, 8) for n in s.stride),
            "pad": all(0 <= n <= 7 for pair in s.padding for n in pair),
            "map": max(s.out_shape[1:]) <= 64 and outputs <= 1024,
            "dilation": s.dilation == (1, 1) and s.groups == 1,
            "weights": s.weight.min() >= -256 and s.weight.max() <= 254 and not np.any(s.weight % 2),
        }
        found += [f"{piece.population}: {name}" for name, kept in rules.items() if not kept]
    return found


def small(model: Lif | None = None) -> Network:
    return chain(
        conv("c1", (2, 16, 16), 8, 3, stride=2, pad=1), conv("c2", (8, 8, 8), 8, 3, pad=1),
        Dense("d", np.random.default_rng(1).normal(0, 0.1, (10, 512))), model=model,
    )  # fmt: skip


@pytest.mark.parametrize("changes", [{}, {"reset": "value"}, {"max_spikes": 1}, {"floor": -1.0}, {"compare": ">"}])
def test_a_network_keeps_the_rules_and_answers_as_its_source(changes: dict[str, Any]) -> None:
    net, rng = small(iaf(**changes)), np.random.default_rng(0)
    x = (rng.random((4, 20, 2, 16, 16)) < 0.2).astype(np.float64)
    program = built(net, x)
    assert broken_rules(program) == []
    ran = simulator.run(program.chip, x)
    np.testing.assert_array_equal(ran.outputs, oracle.run(program.chip, x).outputs)
    wanted, got = reference.run(prepare(net), x).outputs.sum(axis=1), ran.outputs.sum(axis=1)
    assert wanted.sum() > 20
    assert np.corrcoef(got.reshape(-1), wanted.reshape(-1))[0, 1] > 0.93


def test_groups_and_dilation_are_written_out() -> None:
    net = chain(conv("c1", (4, 12, 12), 8, 3, groups=4, dilation=2), conv("c2", (8, 8, 8), 4, 3))
    x = (np.random.default_rng(0).random((2, 12, 4, 12, 12)) < 0.3).astype(np.float64)
    program = built(net, x)
    assert broken_rules(program) == []
    wanted = reference.run(prepare(net), x).outputs.sum()
    assert abs(simulator.run(program.chip, x).outputs.sum() - wanted) < 0.1 * wanted


@pytest.mark.parametrize("layer", [
    conv("grouped", (4, 9, 9), 8, 3, groups=2, dilation=2, pad=2, stride=2), conv("wide", (2, 9, 9), 4, 2, dilation=3),
    Dense("dense", np.random.default_rng(0).normal(size=(5, 18))),
])  # fmt: skip
def test_what_is_written_out_is_the_same_matrix(layer: Conv | Dense) -> None:
    sender = layer.in_shape if isinstance(layer, Conv) else (2, 3, 3)
    window = written_out(layer, sender)
    assert window is not None
    plain = Conv("plain", window.weight, window.in_shape, None, window.stride, window.padding, (1, 1), 1)
    np.testing.assert_array_equal(linear_matrix(plain).toarray(), linear_matrix(layer).toarray())


def one(layer: Conv | Dense, **changes: Any) -> Network:
    return chain(layer, model=iaf(**changes))


REFUSED = [
    (one(conv("c", (1, 40, 40), 1, 17)), "RV647", "exceeds 16 x 16"),
    (one(conv("c", (1, 40, 40), 1, 3, stride=3)), "RV647", "not among (1, 2, 4, 8)"),
    (one(conv("c", (1, 40, 40), 1, 3, pad=8)), "RV647", "outside 0..7"),
    (one(conv("c", (1, 70, 70), 1, 3)), "RV647", "exceeds (64, 64)"),
    (one(conv("c", (1, 130, 16), 1, 3, stride=4)), "RV646", "exceeds (128, 128)"),
    (one(conv("c", (1, 2, 2), 1025, 1)), "RV647", "1025 channels exceed 1024"),
    (one(conv("c", (64, 5, 5), 512, 5)), "RV641", "no core is left for n_c"),
    (one(conv("c", (2, 16, 16), 8, 3), keep_membrane=0.9), "RV642", "a leak in proportion"),
    (one(conv("c", (2, 16, 16), 8, 3), keep_current=0.5), "RV642", "a synaptic current"),
    (one(conv("c", (2, 16, 16), 8, 3), drive=np.arange(1568) * 0.1), "RV647", "differs within a channel"),
    (one(conv("c", (2, 16, 16), 8, 3), threshold=1e6), "RV645", "exceeds 32767"),
]


@pytest.mark.parametrize(("net", "code", "says"), REFUSED)
def test_what_speck_lacks_is_refused(net: Network, code: str, says: str) -> None:
    found = refusals(net)
    assert any(d.code == code and says in d.message for d in found), found
    assert all(d.fix for d in found)


def test_graphs_that_speck_has_not() -> None:
    net = small()
    rng = np.random.default_rng(0)
    extra = tuple(Dense(f"e{n}", rng.normal(size=(512, 512))) for n in range(2))
    ways = [way for n in range(2) for way in (Edge("n_c2", f"e{n}", 1), Edge(f"e{n}", "n_c2"))]
    found = refusals(Network("loops", (*net.nodes, *extra), (*net.edges, *ways), net.readout))
    said = " ".join(d.message for d in found)
    for part in ("3 layers end here", "it feeds 3 layers", "no safe recurrence"):
        assert part in said
    assert {d.code for d in refusals(chain(conv("c", (2, 8, 8), 2, 3), coding="current"))} == {"RV646"}


def test_ten_layers_are_one_too_many() -> None:
    layers = [conv(f"layer{n}", (2, 8, 8), 2, 3, pad=1) for n in range(10)]
    assert broken_rules(built(chain(*layers[:9]))) == []
    (found,) = refusals(chain(*layers))
    assert (found.code, found.figures["used"], found.figures["limit"]) == ("RV641", 10, 9)


def test_matching_moves_layers_aside() -> None:
    """Small layers first would take the large cores that the others need."""
    layers: Sequence[Conv] = [
        *(conv("small" + "s" * n, (2, 6, 6), 2, 3, pad=1) for n in range(5)),
        conv("wide", (2, 6, 6), 16, 1), conv("open", (16, 6, 6), 1, 1, pad=7), conv("large", (1, 20, 20), 60, 1),
        conv("pool", (60, 20, 20), 2, 3, stride=4),
    ]  # fmt: skip
    assert broken_rules(built(chain(*layers))) == []


@settings(max_examples=25)
@given(st.data())
def test_random_networks_fit_every_rule_or_are_refused(data: st.DataObject) -> None:
    side, channels = data.draw(st.sampled_from([4, 8, 40])), data.draw(st.sampled_from([1, 2, 8]))
    layers: list[Conv] = []
    shape = (channels, side, side)
    for number in range(data.draw(st.integers(1, 5))):
        kernel = min(data.draw(st.sampled_from([1, 3, 5])), shape[1])
        layer = conv(
            f"layer{number}", shape, data.draw(st.sampled_from([1, 4, 16, 32])), kernel,
            stride=data.draw(st.sampled_from([1, 1, 2])), pad=kernel // 2,
        )  # fmt: skip
        layers.append(layer)
        shape = (layer.out_shape[0], layer.out_shape[1], layer.out_shape[2])
    try:
        program = built(chain(*layers))
    except RanvierError as problem:
        found = problem.diagnostics
    else:
        found = ()
        assert broken_rules(program) == []
    assert {d.code for d in found} <= {"RV641", "RV647"}
    assert all(d.fix for d in found)


@given(st.integers(-(2**20), 2**20), st.integers(-32768, 32767), st.integers(1, 32767), st.integers(-500, 500))
def test_the_neuron_is_its_equation(x: int, v: int, threshold: int, bias: int) -> None:
    for reset in ("subtract", "zero"):
        for most in (0, 1, 3):
            program = dynapcnn_iaf(reset, most, False)
            given_ = {"threshold": np.array(threshold), "bias": np.array(bias)}
            got = step(program, {"v": np.array(v)}, given_, np.array(2 * x))
            h = max(-32768, min(32767, v + x + bias))
            n = min(h // threshold, most or h // threshold) if h >= threshold else 0
            left = h - n * threshold if reset == "subtract" else (0 if n else h)
            assert (int(got.spikes), int(got.states["v"]), int(got.membrane)) == (n, left, h)
