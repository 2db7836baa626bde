"""Xylo: networks compiled for it count as XyloSim does, bit for bit, and what it cannot hold is refused."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.devices import build_device
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import integers
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neuron_steps.bytes import WORD_MAX, xylo_lif
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.verify import check_chip
from ranvier.compiler.pipeline import prepare
from ranvier.runtimes import oracle, reference, simulator
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_any
from ranvier.targets.schema import SingleTarget
from support.xylo_environment import case_of, simulate, slices

STEPS = 80


def xylo() -> SingleTarget:
    target = load_any("xylo_a2")
    assert isinstance(target, SingleTarget)
    return target


def lif(most: int, **changes: Any) -> Lif:
    given: dict[str, Any] = {
        "keep_current": 0.75,
        "keep_membrane": 0.875,
        "gain": 0.75,
        "compare": ">=",
        "max_spikes": most,
        "reset": "subtract",
    }
    given["reset_amount"] = changes.get("threshold", 1.0)
    return Lif(**given | changes)


def network(hidden: Lif, outputs: Lif, sizes: tuple[int, int, int] = (8, 30, 5), seed: int = 0) -> Network:
    """Input, a recurrent hidden layer, outputs."""
    rng = np.random.default_rng(seed)
    inputs, middle, last = sizes
    nodes: tuple[Node, ...] = (
        Input("input", (inputs,), "spikes"),
        Dense("w_in", rng.normal(0, 0.5, (middle, inputs))),
        Neurons("hidden", (middle,), hidden),
        Dense("w_rec", rng.normal(0, 0.3 / np.sqrt(middle), (middle, middle))),
        Dense("w_out", rng.normal(0, 0.3, (last, middle))),
        Neurons("outputs", (last,), outputs),
    )
    edges = (
        Edge("input", "w_in"),
        Edge("w_in", "hidden"),
        Edge("hidden", "w_rec", 1),
        Edge("w_rec", "hidden"),
        Edge("hidden", "w_out"),
        Edge("w_out", "outputs"),
    )
    return Network("net", nodes, edges, Readout("outputs"))


def frames(inputs: int, seed: int, samples: int = 1) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return (rng.random((samples, STEPS, inputs)) < rng.uniform(0.05, 0.6)).astype(np.float64)


def refusals(net: Network) -> list[Diagnostic]:
    with pytest.raises(RanvierError) as caught:
        build_device(prepare(net), xylo())
    return list(caught.value.diagnostics)


def saturates(chip: ChipNetwork, ran: Any, x: NDArray[Any]) -> bool:
    """Whether any order of summing what arrives could clip a current within a step: there XyloSim may differ."""
    for p in chip.populations:
        arriving = np.zeros((STEPS, p.size))
        for c in chip.into[p.name]:
            assert isinstance(c.synapse, DenseSynapse)
            sent = x if c.source == "input" else ran.spikes[c.source][0].reshape(STEPS, -1)
            late = chip.network_delay(c)
            sent = np.concatenate([np.zeros((late, sent.shape[1])), sent[: STEPS - late]])
            arriving += sent @ np.abs(c.synapse.weight).T // 2 * 2**c.exponent
        u = ran.states[p.name]["u"][0].reshape(STEPS, -1)
        before = np.concatenate([np.zeros((1, p.size)), u[:-1]])
        if np.any(np.abs(before) + arriving > WORD_MAX):
            return True
    return False


def assert_equal(chips: list[ChipNetwork], inputs: list[NDArray[Any]], folder: Path) -> None:
    """Currents, membranes and spikes of all neurons equal XyloSim's, in the oracle and in the simulator."""
    recorded = simulate([case_of(c, x) for c, x in zip(chips, inputs, strict=True)], folder)
    for chip, x, theirs in zip(chips, inputs, recorded, strict=True):
        for run in (oracle.run, simulator.run):
            ours = run(chip, x[None], ("spikes", "states"))
            places = slices([p for p in chip.populations if p.name != chip.readout.node])
            for p in chip.populations:
                kind, at = ("hidden", places[p.name]) if p.name in places else ("outputs", slice(None))
                window = slice(p.latency - 1, p.latency - 1 + len(x))
                got = {"n": ours.spikes[p.name], **{s: ours.states[p.name][s] for s in ("u", "v")}}
                for name, values in got.items():
                    wanted = theirs[f"{kind}_{name}"][window, at]
                    np.testing.assert_array_equal(values[0].reshape(len(x), -1), wanted, f"{p.name} {name}")


def random_chip(seed: int, weight: int, dense: bool) -> ChipNetwork:
    """Random registers of every size; without ``dense`` every neuron hears one source, so that it may saturate."""
    rng = np.random.default_rng(seed)
    inputs, middle, last = (6, 12, 4) if dense else (6, 6, 6)

    def weights(targets: int, sources: int, shrink: int = 1) -> DenseSynapse:
        bound = max(weight // shrink, 1)
        values = 2 * rng.integers(-bound, bound, (targets, sources))
        kept = values if dense else values * np.eye(targets, sources, dtype=np.int64)
        return DenseSynapse(kept.astype(np.int32))

    def population(name: str, count: int, latency: int, most: int, biased: bool) -> Population:
        params = {
            "divisor_syn": 2 ** rng.integers(0, 16, count),
            "divisor_mem": 2 ** rng.integers(0, 16, count),
            "bias": rng.integers(-200, 200, count) * biased,
            "threshold": rng.integers(1, 3000, count),
        }
        params = {name: integers(value) for name, value in params.items()}
        initial = {"u": integers(0), "v": integers(0)}
        return Population(name, (count,), xylo_lif(most), params, initial, latency, 6 if most > 1 else 0)

    populations = (population("hidden", middle, 1, 31, True), population("outputs", last, 2, 1, False))
    shift = int(rng.integers(0, 4))
    connections = [
        Connection("w_in", "input", "hidden", weights(middle, inputs), shift, "mixed", 0),
        Connection("w_out", "hidden", "outputs", weights(last, middle, 4), 0, "mixed", 0),
    ]
    if dense:
        connections.append(Connection("w_rec", "hidden", "hidden", weights(middle, middle, 16), 0, "mixed", 0))
    readout = Readout("outputs")
    return check_chip(
        ChipNetwork("random", "xylo_a2", (Port("input", (inputs,)),), populations, tuple(connections), readout)
    )


def test_random_registers_count_as_xylosim_does(tmp_path: Path) -> None:
    chips = [random_chip(seed, 100, dense=True) for seed in range(60)]
    inputs = [frames(6, seed)[0] for seed in range(60)]
    runs = [oracle.run(c, x[None], ("spikes", "states")) for c, x in zip(chips, inputs, strict=True)]
    calm = [n for n, (c, r, x) in enumerate(zip(chips, runs, inputs, strict=True)) if not saturates(c, r, x)]
    assert len(calm) > 30
    assert sum(float(runs[n].spikes["hidden"].max()) > 1 for n in calm) > 10
    assert sum(bool(runs[n].outputs.any()) for n in calm) > 10
    assert_equal([chips[n] for n in calm], [inputs[n] for n in calm], tmp_path)


def test_saturating_states_clip_as_xylosim_does(tmp_path: Path) -> None:
    chips = [random_chip(seed, 127, dense=False) for seed in range(40)]
    inputs = [frames(6, seed)[0] for seed in range(40)]
    runs = [oracle.run(c, x[None], ("spikes", "states")) for c, x in zip(chips, inputs, strict=True)]
    lowest = [min(float(states["v"].min()) for states in r.states.values()) for r in runs]
    assert sum(low == -WORD_MAX - 1 for low in lowest) > 5
    assert_equal(chips, inputs, tmp_path)


def test_compiled_networks_count_as_xylosim_does(tmp_path: Path) -> None:
    chips, inputs = [], []
    for seed in range(12):
        net = prepare(network(lif(31, drive=0.01 * seed), lif(1, drive=0.002 * seed), seed=seed))
        x = frames(8, seed)
        chip = build_device(net, xylo(), observe(net, x) if seed % 2 else None).chip
        if not saturates(chip, oracle.run(chip, x, ("spikes", "states")), x[0]):
            chips.append(chip)
            inputs.append(x[0])
    assert len(chips) > 8
    assert_equal(chips, inputs, tmp_path)


def test_a_compiled_network_answers_as_its_source() -> None:
    net, x = network(lif(31), lif(1)), frames(8, 1, samples=16)
    prepared = prepare(net)
    program = build_device(prepared, xylo(), observe(prepared, x))
    ran = simulator.run(program.chip, x)
    wanted = reference.run(prepared, x).outputs.sum(axis=1)
    got = ran.outputs.sum(axis=1)
    assert wanted.sum() > 100
    assert np.abs(got - wanted).sum() < 0.12 * wanted.sum()
    assert np.array_equal(got.argmax(axis=1), wanted.argmax(axis=1))
    assert program.placement.cores == program.placement.chips == 1


def test_a_comparison_without_equality_is_one_more() -> None:
    chips = []
    for compare in (">", ">="):
        net = prepare(network(lif(31, compare=compare, threshold=127 / 64), lif(1)))
        chips.append(build_device(net, xylo()).chip)
    strict, loose = (int(c.populations[0].params["threshold"]) for c in chips)
    level = 127 / 64 * chips[0].populations[0].scale
    assert strict == int(np.floor(level)) + 1
    assert loose == int(np.ceil(level))


REFUSED = [
    (network(lif(31), lif(1), (17, 30, 5)), "RV641", "inputs uses 17 of 16"),
    (network(lif(31), lif(1), (8, 1001, 5)), "RV641", "hidden uses 1001 of 1000"),
    (network(lif(31), lif(1), (8, 30, 9)), "RV641", "outputs uses 9 of 8"),
    (network(lif(31, reset="value"), lif(1)), "RV642", "a reset to zero"),
    (network(lif(31, reset_amount=0.5), lif(1)), "RV642", "neither subtracts the threshold"),
    (network(lif(31, keep_current=0.0), lif(1)), "RV642", "its current keeps nothing"),
    (network(lif(31, refractory=2), lif(1)), "RV642", "a refractory time"),
    (network(lif(31, floor=-1.0), lif(1)), "RV642", "a lower bound"),
    (network(lif(31, initial=0.5), lif(1)), "RV642", "starts elsewhere than at 0"),
    (network(lif(31, keep_membrane=1.5), lif(1)), "RV393", "more than all of it"),
    (network(lif(1), lif(1)), "RV644", "up to 31"),
    (network(lif(31), lif(31)), "RV644", "up to 1"),
    (network(lif(31, threshold=1e6), lif(1)), "RV645", "exceeds 32767"),
    (network(lif(31, drive=1e6), lif(1)), "RV395", "exceeds 32767"),
    (network(lif(31, threshold=-1.0, reset_amount=-1.0), lif(1)), "RV396", "not positive"),
]


@pytest.mark.parametrize(("net", "code", "says"), REFUSED)
def test_what_xylo_lacks_is_refused(net: Network, code: str, says: str) -> None:
    found = refusals(net)
    assert any(d.code == code and says in d.message for d in found), found
    assert all(d.fix for d in found)


def test_several_violations_come_at_once() -> None:
    net = network(lif(1, reset="value"), lif(31), (17, 1001, 9))
    assert {d.code for d in refusals(net)} == {"RV641", "RV642", "RV644"}
    assert [d.figures["used"] for d in refusals(net) if d.code == "RV641"] == [17, 1001, 9]


def test_graphs_that_xylo_has_not() -> None:
    rng = np.random.default_rng(0)
    real = Input("input", (4,), "current")
    out = Neurons("outputs", (3,), lif(1))
    single = Network(
        "one", (real, Dense("w", rng.normal(size=(3, 4))), out),
        (Edge("input", "w"), Edge("w", "outputs")), Readout("outputs"),
    )  # fmt: skip
    assert {d.code for d in refusals(single)} == {"RV643", "RV646"}
    base = network(lif(31), lif(1))
    looped = (Dense("back", rng.normal(size=(30, 5))), Dense("skip", rng.normal(size=(5, 8))))
    ways = (Edge("outputs", "back", 2), Edge("back", "hidden"), Edge("input", "skip"), Edge("skip", "outputs"))
    net = Network("loops", (*base.nodes, *looped), (*base.edges, *ways), base.readout)
    said = " ".join(d.message for d in refusals(net))
    assert "feeds the outputs outputs directly" in said
    assert "the outputs outputs feed hidden" in said
    assert "a delay of 1 steps" in said


def test_a_convolution_is_written_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes: tuple[Node, ...] = (
        Input("input", (1, 4, 4), "spikes"),
        Conv("conv", rng.normal(0, 0.5, (3, 1, 3, 3)), (1, 4, 4), None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
        Neurons("hidden", (3, 4, 4), lif(31)),
        Dense("dense", rng.normal(0, 0.3, (5, 48))),
        Neurons("outputs", (5,), lif(1)),
    )
    edges = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    net = prepare(Network("conv", nodes, edges, Readout("outputs")))
    x = frames(16, 3).reshape(1, STEPS, 1, 4, 4)
    assert_equal([build_device(net, xylo(), observe(net, x)).chip], [x[0]], tmp_path)
