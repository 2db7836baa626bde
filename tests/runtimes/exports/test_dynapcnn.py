"""DynapCNN layer tables: sinabs finds its rules kept, would write the same configuration, and fires the same spikes."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.program import Program
from ranvier.runtimes import oracle
from ranvier.runtimes.exports.dynapcnn import export_dynapcnn
from support.byte_networks import device_program, speck_network, spikes, xylo_network
from support.sinabs_layers import Checked, checked, quantized

SHAPE = (2, 12, 12)


def per_channel(net: Network) -> Network:
    """``net`` with a bias of its own for each channel of its convolutions."""
    rng = np.random.default_rng(9)
    nodes = [
        replace(n, model=replace(n.model, drive=np.repeat(rng.normal(0, 0.02, n.shape[0]), n.shape[1] * n.shape[2])))
        if isinstance(n, Neurons) and len(n.shape) == 3 else n for n in net.nodes
    ]  # fmt: skip
    return replace(net, nodes=tuple(nodes))


CASES: dict[str, tuple[int, dict[str, Any], bool]] = {
    "plain": (0, {}, False),
    "strided": (3, {}, False),
    "zero": (1, {"reset": "value"}, False),
    "floor": (2, {"floor": -1.0}, False),
    "bias": (4, {}, True),
}


@dataclass(frozen=True, eq=False)
class Compared:
    """One case: the program, its table, its input, and what sinabs made of the table."""

    program: Program
    table: dict[str, Any]
    x: NDArray[np.float64]
    seen: Checked


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compared]:
    folder, programs, inputs = tmp_path_factory.mktemp("tables"), {}, {}
    for case, (seed, changes, biased) in CASES.items():
        net, inputs[case] = speck_network(seed, **changes), spikes(SHAPE, seed)
        programs[case] = device_program(per_channel(net) if biased else net, "speck2f", inputs[case])
        assert export_dynapcnn(programs[case], folder / f"{case}.json") == ()
    seen = checked([(folder / f"{case}.json", inputs[case][0]) for case in CASES])
    tables = [json.loads((folder / f"{case}.json").read_text()) for case in CASES]
    return {
        case: Compared(programs[case], table, inputs[case], found)
        for case, table, found in zip(CASES, tables, seen, strict=True)
    }


@pytest.mark.parametrize("case", sorted(CASES))
def test_sinabs_finds_its_rules_kept_and_writes_the_same_configuration(
    case: str, compared: dict[str, Compared]
) -> None:
    table, seen = compared[case].table, compared[case].seen
    assert seen.fits == [True] * 3
    assert sorted(seen.mapping) == ["0", "1", "2"]
    for entry, memory, config in zip(table["layers"], seen.memory, seen.config, strict=True):
        assert {k: entry["memory"][k] for k in ("kernel", "neuron")} == {k: memory[k] for k in ("kernel", "neuron")}
        assert {**entry["config"], "monitor_enable": False} == config
        assert entry["config"]["leak_enable"] == (case == "bias" and entry["name"] != "out")
    assert [entry["config"]["monitor_enable"] for entry in table["layers"]] == [False, False, True]
    assert table["input"]["cores"] == [table["layers"][0]["core"]]
    assert [d["layer"] for e in table["layers"][:2] for d in e["config"]["destinations"]] == [
        entry["core"] for entry in table["layers"][1:]
    ]


@pytest.mark.parametrize("case", sorted(CASES))
def test_sinabs_fires_the_same_spikes(case: str, compared: dict[str, Compared]) -> None:
    program, x, seen = compared[case].program, compared[case].x, compared[case].seen
    ours = oracle.run(program.chip, x, ("spikes", "membrane"))
    assert max(np.abs(h).max() for h in ours.membrane.values()) < 2**15 - 1
    for name, fired in ours.spikes.items():
        np.testing.assert_array_equal(fired[0], seen.spikes[name].reshape(fired[0].shape))
        assert fired.any()


def test_quantization_is_near_that_of_sinabs(tmp_path: Path) -> None:
    """Both scale by the largest weight and round; sinabs rounds thresholds too, here they go up to the next integer."""
    same, nets = 0, [(speck_network(seed, floor=-1.0), spikes(SHAPE, seed)) for seed in range(6)]
    answers = quantized([(net, x[0]) for net, x in nets], tmp_path)
    for (net, x), theirs in zip(nets, answers, strict=True):
        program, agree = device_program(net, "speck2f", x), True
        ours = oracle.run(program.chip, x, ("spikes",))
        for n, (p, c) in enumerate(zip(program.chip.populations, program.chip.connections, strict=True)):
            weight, wanted = c.synapse.weight // 2, theirs[f"weight{n}"]
            threshold, rounded = int(p.params["threshold"]), int(theirs[f"threshold{n}"])
            assert np.abs(weight - wanted).max() <= 1
            assert abs(threshold - rounded) <= max(1, 0.01 * rounded)
            agree &= bool(np.array_equal(weight, wanted)) and threshold == rounded
            fired, expected = ours.spikes[p.name][0].ravel(), theirs[f"spikes{n}"].ravel()
            if agree:
                np.testing.assert_array_equal(fired, expected)
                same += 1
            assert abs(fired.sum() - expected.sum()) <= 0.02 * expected.sum()
    assert same == 3


def test_a_limit_of_spikes_is_noted(tmp_path: Path) -> None:
    program = device_program(speck_network(0, max_spikes=1), "speck2f", spikes(SHAPE, 0))
    notes = export_dynapcnn(program, tmp_path / "table.json")
    assert [(n.code, n.place) for n in notes] == [("RV463", name) for name in ("n0", "n1", "out")]
    assert "at most 1 spikes" in notes[0].text


def test_thresholds_that_differ_within_a_layer_are_refused_when_compiling() -> None:
    net = speck_network(0)
    nodes = [
        replace(n, model=replace(n.model, threshold=np.linspace(1, 2, 10), reset_amount=np.linspace(1, 2, 10)))
        if n.name == "out" else n for n in net.nodes
    ]  # fmt: skip
    with pytest.raises(RanvierError) as refused:
        device_program(replace(net, nodes=tuple(nodes)), "speck2f", spikes(SHAPE, 0))
    assert [(d.code, d.place) for d in refused.value.diagnostics] == [("RV642", "out")]
    assert "one threshold" in refused.value.diagnostics[0].message


def test_a_program_of_another_chip_is_refused(tmp_path: Path) -> None:
    other = device_program(xylo_network(0), "xylo_a2", spikes((8,), 0))
    with pytest.raises(RanvierError) as refused:
        export_dynapcnn(other, tmp_path / "table.json")
    assert [(d.code, d.place) for d in refused.value.diagnostics] == [("RV461", "first")]
    assert not list(tmp_path.iterdir())
