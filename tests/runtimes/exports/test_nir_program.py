"""Compiled programs as NIR files: nir opens them, weights and registers are the deployed ones, and they come back."""

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import ranvier
from ranvier.app import App
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, ConvSynapse, DenseSynapse
from ranvier.compiler.ir.program import CoreSite, Piece, Placement, Program
from ranvier.compiler.ir.text import dump
from ranvier.frontends.nir import load_nir, load_nir_program
from ranvier.runtimes import oracle, reference
from ranvier.runtimes.exports.nir import export_nir_program
from support.apps import small_data, small_network
from support.byte_networks import device_program, speck_network, spikes, xylo_network
from support.networks import Limits, chip_networks

FAMILY = Limits(stock_only=True)


def placed(chip: ChipNetwork) -> Program:
    """``chip`` with each population cut in two, on cores of two chips with known places."""
    pieces: list[Piece] = []
    sites: list[CoreSite] = []
    for p in chip.populations:
        for start, stop in ((0, p.size // 2), (p.size // 2, p.size)):
            if start < stop:
                pieces.append(Piece(p.name, start, stop, len(sites), {"neurons": stop - start}))
                sites.append(CoreSite(len(sites), len(sites) % 2, len(sites) // 2, 3))
    return Program(chip, Placement(tuple(pieces), tuple(sites)), "loihi2")


def same(a: Program, b: Program) -> bool:
    """Whether text and tensors of both are equal, types included."""
    (text, tensors), (other, others) = dump(a), dump(b)
    alike = all(tensors[k].dtype == others[k].dtype and np.array_equal(tensors[k], others[k]) for k in tensors)
    return text == other and set(tensors) == set(others) and alike


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10, deadline=None)
@given(chip=chip_networks(FAMILY))
def test_random_programs_come_back_exactly(chip: ChipNetwork, tmp_path: Path) -> None:
    program = placed(chip)
    export_nir_program(program, tmp_path / "p.nir", provenance={"a": 1, "b": None}, target_sha256="0" * 64)
    held = load_nir_program(tmp_path / "p.nir")
    assert same(held.program, program)
    assert (dict(held.provenance), held.target_sha256) == ({"a": 1, "b": None}, "0" * 64)
    graph = nir.read(tmp_path / "p.nir", type_check=False)
    assert (graph.metadata["target"], int(graph.metadata["cores"]), int(graph.metadata["chips"])) == (
        "loihi2", program.placement.cores, program.placement.chips,
    )  # fmt: skip
    for p in chip.populations:
        node = graph.nodes[p.name]
        rows = [tuple(int(v) for v in row) for row in node.metadata["placement"]]
        wanted = [q for q in program.placement.pieces if q.population == p.name]
        sites = [program.placement.sites[q.core] for q in wanted]
        assert rows == [(q.start, q.stop, q.core, s.chip, s.x, s.y) for q, s in zip(wanted, sites, strict=True)]
        np.testing.assert_array_equal(node.metadata["registers.vth"], p.params["vth"])
        np.testing.assert_array_equal(np.ravel(node.v_threshold), np.broadcast_to(p.params["vth"], (p.size,)))
    for c in chip.connections:
        weight = graph.nodes[c.name].weight
        if isinstance(c.synapse, DenseSynapse | ConvSynapse) and weight.shape == c.synapse.weight.shape:
            np.testing.assert_array_equal(weight, c.synapse.weight * 2.0**c.exponent)


def test_an_artifact_comes_back_byte_for_byte_and_runs(tmp_path: Path) -> None:
    app = ranvier.compile(small_network(), "loihi2", small_data(40)[0])
    app.save(tmp_path / "a.rnv")
    notes = app.export_nir(tmp_path / "p.nir")
    assert {n.code for n in notes} == {"RV465"}
    again = ranvier.open(tmp_path / "p.nir")
    again.save(tmp_path / "b.rnv")
    assert (tmp_path / "a.rnv").read_bytes() == (tmp_path / "b.rnv").read_bytes()
    x = small_data(5)[0]
    np.testing.assert_array_equal(again.run(x).outputs, app.run(x).outputs)
    assert again.target is not None
    first = (tmp_path / "p.nir").read_bytes()
    app.export_nir(tmp_path / "p.nir")
    assert (tmp_path / "p.nir").read_bytes() == first


def test_the_equations_alone_fire_as_the_integers_where_nothing_is_rounded(tmp_path: Path) -> None:
    """Integrate-and-fire in integers: floats hold all of it, so another program's reading is exact too."""
    x = spikes((2, 12, 12), 0)
    program = device_program(speck_network(0, floor=-1.0), "speck2f", x)
    export_nir_program(program, tmp_path / "p.nir")
    options: dict[str, Any] = {"preset": "spec", "compare": ">=", "max_spikes": 0, "reset": "subtract"}
    read = load_nir(tmp_path / "p.nir", **options, floor=float(program.chip.populations[0].params["floor"]))
    first = program.chip.populations[0].name
    ours = oracle.run(program.chip, x, ("spikes",)).spikes[first]
    theirs = reference.run(read, x, record=("spikes",)).spikes[first]
    assert ours.any()
    np.testing.assert_array_equal(theirs.reshape(ours.shape), ours)


def test_xylo_and_speck_come_back_too(tmp_path: Path) -> None:
    programs = (
        device_program(xylo_network(1), "xylo_a2", spikes((8,), 1)),
        device_program(speck_network(3, reset="value"), "speck2f", spikes((2, 12, 12), 3)),
    )
    for program in programs:
        notes = export_nir_program(program, tmp_path / "p.nir")
        assert any("fires 1 spikes in a step" in n.text for n in notes)
        assert same(load_nir_program(tmp_path / "p.nir").program, program)


def app_file(folder: Path) -> Path:
    ranvier.compile(small_network(), "loihi2", small_data(40)[0]).export_nir(folder / "p.nir")
    return folder / "p.nir"


def codes(path: Path, verb: Any, **options: Any) -> list[str]:
    with pytest.raises(RanvierError) as refused:
        verb(path, **options)
    return [d.code for d in refused.value.diagnostics]


def test_a_program_is_no_network_and_a_network_no_program(tmp_path: Path) -> None:
    path = app_file(tmp_path)
    assert codes(path, ranvier.load) == ["RV466"]
    assert ranvier.load(path, preset="spec", reset="value").populations[0].name == "out"
    ranvier.export_nir(small_network(), tmp_path / "net.nir")
    assert codes(tmp_path / "net.nir", ranvier.open) == ["RV467"]
    assert codes(tmp_path / "none.nir", ranvier.open) == ["RV100"]


def test_a_file_changed_since_is_not_taken_for_the_program(tmp_path: Path) -> None:
    path = app_file(tmp_path)
    with h5py.File(path, "r+") as file:
        file["node/nodes/fc/weight"][0, 0] += 2
    assert codes(path, ranvier.open) == ["RV698"]


@pytest.mark.parametrize("damage", ["order", "text", "provenance", "int64"])
def test_damaged_metadata_are_a_diagnostic(damage: str, tmp_path: Path) -> None:
    path = app_file(tmp_path)
    with h5py.File(path, "r+") as file:
        held = file["node/metadata" if damage in ("order", "provenance", "text") else "node/nodes/out/metadata"]
        values = held[f"ranvier.{damage}"][()]
        del held[f"ranvier.{damage}"]
        held[f"ranvier.{damage}"] = values[:-1] if values.size > 1 else values[:0]
    assert codes(path, ranvier.open) in (["RV699"], ["RV467"])


def test_pieces_that_do_not_cover_the_neurons_are_refused(tmp_path: Path) -> None:
    app = ranvier.compile(small_network(), "loihi2", small_data(40)[0])
    broken = Program(app.program.chip, Placement((Piece("out", 0, 2, 0),), app.program.placement.sites), "loihi2")
    App(broken).export_nir(tmp_path / "p.nir")
    assert codes(tmp_path / "p.nir", ranvier.open) == ["RV408"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10, deadline=None)
@given(chip=chip_networks())
def test_every_neuron_is_written_or_refused_by_name(chip: ChipNetwork, tmp_path: Path) -> None:
    program = placed(chip)
    (tmp_path / "p.nir").unlink(missing_ok=True)
    found: tuple[Diagnostic, ...] = ()
    try:
        export_nir_program(program, tmp_path / "p.nir")
    except RanvierError as refused:
        found = refused.diagnostics
    assert {d.code for d in found} <= {"RV464", "RV683"}
    assert {d.place for d in found} <= {p.name for p in chip.populations}
    assert (tmp_path / "p.nir").exists() == (not found)
    assert found or same(load_nir_program(tmp_path / "p.nir").program, program)
