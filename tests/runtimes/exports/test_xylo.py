"""Xylo configurations: Rockpool's XyloSim takes the file, and counts as the program does."""

import json
from pathlib import Path

import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.program import Program
from ranvier.runtimes import oracle
from ranvier.runtimes.exports.xylo import export_xylo
from support.byte_networks import STEPS, device_program, speck_network, spikes, xylo_network
from support.xylo_files import simulate_file

SATURATES = 2**15 * 0.75
"""Above it, what arrives within one step may clip, which XyloSim does source by source."""
RECORDED = {
    "hidden": {"u": "Isyn", "v": "Vmem", "n": "Spikes"},
    "outputs": {"u": "Isyn_out", "v": "Vmem_out", "n": "Spikes_out"},
}


def compiled(seed: int) -> Program:
    return device_program(xylo_network(seed), "xylo_a2", spikes((8,), seed, samples=2))


@pytest.mark.parametrize("seed", [0, 1, 4, 7])
def test_rockpool_runs_the_file_with_the_same_spikes_and_states(seed: int, tmp_path: Path) -> None:
    program, x = compiled(seed), spikes((8,), 100 + seed)
    export_xylo(program, tmp_path / "net.json")
    late = np.zeros((program.chip.latency, 8))
    theirs = simulate_file(tmp_path / "net.json", np.concatenate([x[0], late]))
    ours = oracle.run(program.chip, x, ("spikes", "states"))
    assert all(ours.spikes[p.name].any() for p in program.chip.populations)
    assert max(np.abs(states["u"]).max() for states in ours.states.values()) < SATURATES
    for layer in json.loads((tmp_path / "net.json").read_text())["layers"]:
        window = slice(layer["latency"] - 1, layer["latency"] - 1 + STEPS)
        at = slice(layer["start"], layer["stop"])
        got = {"n": ours.spikes[layer["name"]], **ours.states[layer["name"]]}
        for name, record in RECORDED[layer["pool"]].items():
            np.testing.assert_array_equal(theirs[record][window, at], got[name][0], f"{layer['name']} {name}")


def test_the_file_holds_bytes_in_the_chips_ranges(tmp_path: Path) -> None:
    export_xylo(compiled(1), tmp_path / "net.json")
    held = json.loads((tmp_path / "net.json").read_text())
    given = {name: np.array(value) for name, value in held["specification"].items()}
    assert given["weights_in"].shape == (8, 32)
    assert given["weights_rec"].shape == (32, 32)
    assert given["weights_out"].shape == (32, 5)
    assert not given["weights_in"][:, 20:].any()
    assert given["weights_rec"][:20, 20:].any()
    for name, values in given.items():
        low, high = (-128, 127) if name.startswith("weights") else (-32768, 32767)
        assert low <= values.min() <= values.max() <= high, name
    assert np.abs(given["weights_in"]).max() > 100
    assert min(given[name].min() for name in given if name.startswith("dash")) >= 0
    assert (held["chip"], [layer["pool"] for layer in held["layers"]]) == ("xylo_a2", ["hidden", "hidden", "outputs"])


def test_the_same_program_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        export_xylo(compiled(2), tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json"]


@pytest.mark.parametrize("name", ["net.xylo", "none/net.json"])
def test_paths_that_cannot_be_written_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RanvierError) as refused:
        export_xylo(compiled(0), tmp_path / name)
    assert [d.code for d in refused.value.diagnostics] == ["RV460"]
    assert not list(tmp_path.iterdir())


def test_a_program_of_another_chip_is_refused(tmp_path: Path) -> None:
    other = device_program(speck_network(0), "speck2f", spikes((2, 12, 12), 0))
    with pytest.raises(RanvierError) as refused:
        export_xylo(other, tmp_path / "net.json")
    assert [(d.code, d.place) for d in refused.value.diagnostics] == [("RV461", "n0")]
    assert not list(tmp_path.iterdir())
