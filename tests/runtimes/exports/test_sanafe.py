"""What is written for SANA-FE: neurons that keep every spike, numbers that are exact, and refusals by name."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import CoreSite, Piece, Placement, Program
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import oracle
from ranvier.runtimes.exports.sanafe import MOST_SYNAPSES, NETWORK
from ranvier.runtimes.exports.sanafe.network import weights
from ranvier.runtimes.exports.sanafe.neurons import described, problems
from ranvier.sanafe import export
from ranvier.targets.load import load_target
from support.mapping import lif_population
from support.networks import Limits, chip_networks, inputs_for
from support.sanafe_files import recurrent

LOIHI1 = load_target("loihi1")
PLAIN = Limits(stock_only=True, graded=False, delays=False, exponents=(-1, 2))
Sent = Mapping[str, NDArray[np.int64]]


def forgetful(chip: ChipNetwork) -> ChipNetwork:
    """The network with currents that last one step."""
    return replace(
        chip,
        populations=tuple(replace(p, params={**p.params, "du": np.array(4095)}) for p in chip.populations),
    )


def theirs(chip: ChipNetwork, x: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """(steps, neurons) spikes of SANA-FE's equations in double precision, from its first step on, in own steps."""
    steps = x.shape[0] + chip.latency
    padded = np.concatenate([x.reshape(len(x), -1), np.zeros((chip.latency, x[0].size), np.int64)])
    made = {p.name: {k: np.array(v) for k, v in described(p).attributes.items()} for p in chip.populations}
    potential = {name: values["potential"] for name, values in made.items()}
    current = {name: np.zeros_like(value) for name, value in potential.items()}
    waits = {name: np.zeros(value.shape, np.int64) for name, value in potential.items()}
    sent = {p.name: np.zeros((steps, p.size), np.int64) for p in chip.populations}
    for t in range(steps):
        for p in chip.populations:
            a = made[p.name]
            arrived = np.zeros(p.size)
            for c in chip.into[p.name] if t else ():
                source = padded[t - 1] if c.source in {port.name for port in chip.ports} else sent[c.source][t - 1]
                matrix = weights(c)
                assert matrix is not None
                arrived += matrix @ source
            v, u = potential[p.name] * (a["leak_decay"] if t else 1), current[p.name] * a["input_decay"]
            v = np.trunc(v * 64) / 64
            free = waits[p.name] == 0
            u = u + free * arrived
            v = v + free * (a["bias"] + u)
            fired = free & (v > a["threshold"])
            potential[p.name], current[p.name] = np.where(fired, a["reset"], v), u
            waits[p.name] = np.where(fired, a.get("refractory_delay", 0), waits[p.name])
            waits[p.name] = np.maximum(waits[p.name] - 1, 0).astype(np.int64)
            sent[p.name][t] = fired
    return {p.name: sent[p.name][p.latency : p.latency + len(x)] for p in chip.populations}


def check_equal(chip: ChipNetwork, x: NDArray[np.int64]) -> Sent:
    """The oracle's spikes, once the equations have given every one of them; nothing if registers overflowed."""
    ours = oracle.run(chip, x[None], ("spikes",))
    if ours.overflows:
        return {}
    found = theirs(chip, x)
    for name, spikes in found.items():
        np.testing.assert_array_equal(spikes, ours.spikes[name][0].reshape(len(x), -1), name)
    return found


@given(st.data())
def test_the_written_neurons_fire_as_ours_biases_and_loops_included(data: st.DataObject) -> None:
    chip = forgetful(data.draw(chip_networks(PLAIN)))
    assume(not [p for population in chip.populations for p in problems(population)])
    assume(all(weights(c) is not None for c in chip.connections))
    assume(check_equal(chip, data.draw(inputs_for(chip, 1, 20))[0].astype(np.int64)))


def wired(du: int, refractory: int, initial: int = 0) -> Population:
    """The stock neuron of a fixed core, refractory for some steps."""
    plain = lif_population("slow", (6,), 1, du=du, dv=100, vth=50)
    params = {**plain.params, "refractory": np.array(refractory)}
    start = {"u": np.array(initial), "v": np.array(0), "rest": np.array(0)}
    return replace(plain, program=chip_lif(Features(refractory=True, wired=True)), params=params, initial=start)


@pytest.mark.parametrize("refractory", [1, 3])
def test_refractory_neurons(refractory: int) -> None:
    program, _ = recurrent(0, 50)
    first = program.chip.connections[0]
    synapse = replace(first.synapse, weight=np.full((6, 30), 4, np.int32))
    slow = wired(4095, refractory)
    chip = replace(
        program.chip, populations=(slow,), connections=(replace(first, target="slow", synapse=synapse),),
        readout=replace(program.chip.readout, node="slow"),
    )  # fmt: skip
    x = (np.random.default_rng(3).random((40, 30)) < 0.6).astype(np.int64)
    spikes = check_equal(chip, x)["slow"]
    assert spikes.any(axis=0).all()
    assert not (spikes[:-1] & spikes[1:]).any()


def refusals(program: Program, folder: Path) -> dict[str, str]:
    """Place and message by code."""
    with pytest.raises(RanvierError) as refused:
        export(program, LOIHI1, folder)
    assert all(d.fix and d.severity == "error" for d in refused.value.diagnostics)
    return {d.code: f"{d.place}: {d.message}" for d in refused.value.diagnostics}


def test_everything_that_it_cannot_be_is_named_at_once(tmp_path: Path) -> None:
    program, _ = recurrent(0, 50)
    a, b, c = program.chip.populations
    programmed = replace(
        a, program=chip_lif(Features(reset="subtract")),
        params={k: np.array(900) for k in ("du", "dv", "bias", "threshold", "reset_amount")},
    )  # fmt: skip
    strange = replace(b, initial={**b.initial, "u": np.array(-3)})
    balanced = replace(c, params={**c.params, "bias": np.array(-200), "vth": np.array(1)})
    links = list(program.chip.connections)
    links[1] = replace(links[1], delay=2)
    links[2] = replace(links[2], exponent=-5)
    chip = replace(
        program.chip, ports=(Port("in", (30,), bits=8),), populations=(programmed, strange, balanced),
        connections=tuple(links),
    )  # fmt: skip
    found = refusals(replace(program, chip=chip), tmp_path / "never")
    assert found.keys() == {"RV441", "RV442", "RV443", "RV444", "RV445"}
    assert found["RV441"].startswith("a: its neurons are programmed (loihi2.lif.subtract)")
    assert found["RV442"].startswith("in: values of 8 bits")
    assert "b.1: its u start" in found["RV443"]
    assert "b_1: its biases cannot be balanced over the 3 steps" in found["RV444"]
    assert "b_1 from b.1" in found["RV445"]
    assert not (tmp_path / "never").exists()


def test_a_bias_is_balanced_where_it_can_be() -> None:
    plain = lif_population("p", (3,), 3, du=4095, dv=500, vth=90, bias=np.array([-1500, 0, 700]))
    made = described(replace(plain, initial={**plain.initial, "v": np.array([64, -64, 0])}))
    start = np.array(made.attributes["potential"]) * 64
    assert start[0] > 0 > start[2]
    v = start - 0
    for step in range(3):
        v = np.trunc(v * (1 if step == 0 else (4096 - 500) / 4096)) + np.array([-1500, 0, 700])
    assert v.tolist() == [64, -64, 0]
    assert made.notes == ()


def test_refractory_currents_and_programs_of_many_chips(tmp_path: Path) -> None:
    assert [d.code for d in problems(wired(300, 2))] == ["RV443"]
    program, _ = recurrent(0, 50)
    sites = (*program.placement.sites[:-1], CoreSite(program.placement.sites[-1].core, 1, 0, 0))
    found = refusals(replace(program, placement=replace(program.placement, sites=sites)), tmp_path)
    assert "2 chips" in found["RV446"]


def test_huge_networks_are_refused_without_unrolling_them(tmp_path: Path) -> None:
    program, _ = recurrent(0, 50)
    first = program.chip.connections[0]
    wide = np.broadcast_to(np.int32(2), (40, MOST_SYNAPSES // 40 + 1))
    chip = replace(
        program.chip, ports=(Port("in", (wide.shape[1],)),),
        connections=(replace(first, synapse=replace(first.synapse, weight=wide)), *program.chip.connections[1:]),
    )  # fmt: skip
    assert "written out one by one" in refusals(replace(program, chip=chip), tmp_path)["RV446"]


def test_targets_without_a_mesh_or_costs_and_paths_that_fail(tmp_path: Path) -> None:
    program, target = recurrent(0, 50)
    with pytest.raises(RanvierError, match=r"RV440(.|\n)*mesh(.|\n)*no time"):
        export(program, load_target("loihi2"), tmp_path)
    with pytest.raises(RanvierError, match="RV440"):
        export(program, None, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RanvierError, match="RV447"):
        export(program, target, tmp_path / "file" / "folder")


def test_weights_are_written_to_the_last_one_under_names_of_their_own(tmp_path: Path) -> None:
    program, target = recurrent(1, 12)
    export(program, target, tmp_path)
    text = (tmp_path / NETWORK).read_text()
    names = re.findall(r"^    - name: (\S+)$", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert names[-3:] == ["a", "b_1", "b_1_2"]
    assert len(names) == 3 + 4
    written = [int(n) for row in re.findall(r"weight: \[([^\]]*)\]", text) for n in row.split(",")]
    scaled = [synapse_matrix(c.synapse).toarray() * 2.0**c.exponent for c in program.chip.connections]
    assert sum(written) == sum(int(m.sum()) for m in scaled)
    assert sum(w != 0 for w in written) == sum(np.count_nonzero(m) for m in scaled)


def test_currents_that_last_and_registers_that_may_overflow_are_noted(tmp_path: Path) -> None:
    program, target = recurrent(0, 50)
    lasting = tuple(
        replace(p, params={**p.params, "du": np.array(300), "dv": np.array(0)}) for p in program.chip.populations
    )
    notes = export(replace(program, chip=replace(program.chip, populations=lasting)), target, tmp_path)
    assert {(n.code, n.place) for n in notes if n.code == "RV448"} == {("RV448", p.name) for p in lasting}
    assert any(n.code == "RV449" for n in notes)


def test_a_full_connection_is_written_source_by_source(tmp_path: Path) -> None:
    weight = np.array([[2, 4, 6], [8, 10, 12]], np.int32)
    population = lif_population("out", (2,), 1, du=4095)
    link = Connection("all", "in", "out", DenseSynapse(weight), 1, "excitatory", 0)
    chip = ChipNetwork("tiny", "loihi1", (Port("in", (3,)),), (population,), (link,), Readout("out"))
    placement = Placement((Piece("out", 0, 2, 0),), (CoreSite(0, 0, 1, 2),))
    frames = np.array([[[0, 1, 1], [1, 0, 1]]])
    export(Program(chip, placement, "loihi1"), LOIHI1, tmp_path, frames)
    lines = [line.strip() for line in (tmp_path / NETWORK).read_text().splitlines()]
    # Tile 6 is the third of the second column; the host core stands behind the tile's four.
    assert "- in_6_0 -> out: [type: dense, weight: [4,16,8,20,12,24]]" in lines
    assert "- 1: [soma: {spikes: [1,0]}]" in lines
    assert '- in_6_0.2: [core: 6.4, synapse: none, dendrite: dendrite, soma: "host_input[2]"]' in lines
    assert "- out.0..1: [core: 6.0, synapse: dense, dendrite: dendrite, soma: lif]" in lines
