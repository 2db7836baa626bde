"""Energy and time: against a published model's run, by hand, and refused where a constant is missing."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from ranvier.compiler.analysis.energy import Estimate, energy
from ranvier.compiler.analysis.events import Events, events, layer_format
from ranvier.compiler.analysis.traffic import cut_size, traffic
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Port, SparseSynapse
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import CoreSite, Piece, Placement
from ranvier.compiler.passes.place import Place
from ranvier.targets.load import load_target
from ranvier.targets.schema import Target
from support.mapping import lif_population

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")


def sure(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


@dataclass(frozen=True)
class Counted:
    neurons: int
    spikes: int
    synaptic_operations: int


def chain(*sizes: int) -> ChipNetwork:
    names = ["in", *(f"p{i}" for i in range(1, len(sizes)))]
    populations = tuple(
        lif_population(n, (k,), i) for i, (n, k) in enumerate(zip(names[1:], sizes[1:], strict=True), 1)
    )
    connections = tuple(
        Connection(f"{a}{b}", a, b, DenseSynapse(np.full((n, m), 2, np.int32)), 0, "mixed", 0)
        for a, b, m, n in zip(names, names[1:], sizes, sizes[1:], strict=False)
    )
    return ChipNetwork("chain", "loihi1", (Port("in", (sizes[0],)),), populations, connections, Readout(names[-1]))


def one_core_each(chip: ChipNetwork, target: Target) -> Placement:
    return Place(target)([Piece(p.name, 0, p.size, core) for core, p in enumerate(chip.populations)])


def test_energy_of_the_published_run_of_the_same_cost_model() -> None:
    # SANA-FE 2.2.9, three layers of 256 densely joined, 100 steps: synapses 27.9, soma 5.91, network 0.34, in all
    # 34.2 uJ at 786 thousand synaptic operations. The first layer here is driven from outside, and the last answers
    # three steps late.
    chip = chain(1, 256, 256, 256)
    operations, arriving = 786_000, 786_000 // 256
    fired = {"p1": arriving // 2, "p2": arriving - arriving // 2, "p3": 1500}
    counts = {
        "p1": Counted(256, fired["p1"], 0),
        "p2": Counted(256, fired["p2"], operations // 2),
        "p3": Counted(256, fired["p3"], operations // 2),
    }
    happened = events(chip, one_core_each(chip, LOIHI1), counts, 1, 97)
    report = energy(LOIHI1, happened)
    layers = report.layers.values()
    assert sum(layer.synapses for layer in layers) == pytest.approx(27.9e3, rel=0.01)
    assert sum(layer.neurons + layer.spikes for layer in layers) == pytest.approx(5.91e3, rel=0.01)
    assert sum(layer.network for layer in layers) == pytest.approx(0.34e3, rel=0.02)
    assert sure(report.dynamic_nj).value == pytest.approx(34.2e3, rel=0.01)
    assert sure(report.dynamic_nj).high == pytest.approx(sure(report.dynamic_nj).value * 1.117)
    assert (report.basis, report.own, report.confidence) == ("sanafe", True, "high")
    assert "regression" in report.source


def small_run(target: Target, samples: int = 2, steps: int = 10) -> Events:
    chip = chain(4, 8, 2)
    counts = {"p1": Counted(8, 30, 200), "p2": Counted(2, 5, 60)}
    return events(chip, one_core_each(chip, target), counts, samples, steps, {"in": 50})


def test_each_term_by_hand() -> None:
    happened = small_run(LOIHI1)
    p1 = happened.layers["p1"]
    # Two samples of ten steps, and two more until the second layer is done with each.
    assert (p1.neuron_updates, p1.messages, p1.format) == (8 * 24, 30, "dense")
    # Both cores are on the first tile, so no hops.
    assert (p1.east_west, p1.north_south) == (0, 0)
    report = energy(LOIHI1, happened)
    assert report.layers["p1"].synapses == pytest.approx(200 * 35.5e-3 / 2)
    assert report.layers["p1"].neurons == pytest.approx(192 * (51.2 + 21.6) * 1e-3 / 2)
    assert report.layers["p1"].spikes == pytest.approx(30 * 69.3e-3 / 2)
    assert report.layers["p1"].network == pytest.approx(30 * 111e-3 / 2)
    assert report.layers["p2"].network == 0
    core0 = max(192 * 9.7 + 30 * 30.0 + 30 * 5.1, 200 * 3.8 + 50 * 16.0)
    core1 = max(48 * 9.7 + 5 * 30.0, 60 * 3.8 + 30 * 16.0)
    step_us = (max(core0, core1) / 24 + 600) / 1000
    assert sure(report.step_us).value == pytest.approx(step_us)
    assert sure(report.inference_us).value == pytest.approx(12 * step_us)
    assert sure(report.static_nj).value == pytest.approx(104.4 * 12 * step_us)
    counts = {"synaptic_operations": 200, "neuron_updates": 192, "messages_in": 50, "messages_out": 30}
    assert report.busiest == pytest.approx({name: count / 24 for name, count in counts.items()})


def test_bases_are_not_mixed() -> None:
    happened = small_run(LOIHI1)
    report = energy(LOIHI1, happened, "davies2018")
    neurons = (192 + 48) * 81e-3 / 2
    synapses = 260 * 23.6e-3 / 2
    network = 30 * 1.7e-3 / 2
    assert sure(report.dynamic_nj).value == pytest.approx(neurons + synapses + network)
    assert sure(report.dynamic_nj).low == pytest.approx(neurons * 52 / 81 + synapses + network)
    assert sure(report.dynamic_nj).high == sure(report.dynamic_nj).value
    assert "pre-silicon" in report.source
    assert sure(report.step_us).value == pytest.approx((max(192 * 8.4, 200 * 3.5) / 24 + 113) / 1000)
    assert any("active" in note for note in report.notes)


def test_loihi2_energy_is_labelled_as_borrowed_and_its_time_refused() -> None:
    report = energy(LOIHI2, small_run(LOIHI2))
    assert (report.basis, report.own, report.confidence) == ("loihi1.sanafe", False, "low")
    assert sure(report.dynamic_nj).value > 0
    assert (sure(report.dynamic_nj).low, sure(report.dynamic_nj).high) == (None, None)
    assert (report.step_us, report.inference_us, report.static_nj) == (None, None, None)
    said = " | ".join(report.notes)
    for part in (
        "Loihi 1 silicon, not Loihi 2",
        "mesh of loihi2",
        "static power of loihi2",
        "time per operation of loihi2",
    ):
        assert part in said
    plain = report.to_json()
    assert plain["step_us"] is None
    assert plain["own"] is False
    assert plain["dynamic_nj"] == vars(sure(report.dynamic_nj))


def test_no_figure_without_constants() -> None:
    bare = LOIHI2.model_copy(update={"energy": LOIHI2.energy.model_copy(update={"stand_in": None, "bases": {}})})
    report = energy(bare, small_run(LOIHI2))
    assert (report.dynamic_nj, report.layers, report.source) == (None, {}, "")
    assert "no energy per operation of loihi2 is public" in report.notes[0]


def test_an_unknown_basis_names_the_known_ones() -> None:
    with pytest.raises(RanvierError, match=r"RV525(.|\n)*sanafe, davies2018"):
        energy(LOIHI1, small_run(LOIHI1), "intel")


def test_hops_and_chip_crossings_follow_the_sites() -> None:
    chip = chain(1, 2, 4)
    sites = (CoreSite(0, 0, 0, 0), CoreSite(1, 0, 3, 2), CoreSite(2, 1, 0, 0))
    placement = Placement((Piece("p1", 0, 2, 0), Piece("p2", 0, 2, 1), Piece("p2", 2, 4, 2)), sites)
    flow = traffic(chip, placement)
    assert flow["in"].messages.tolist() == [1]
    p1 = flow["p1"]
    assert p1.messages.tolist() == [2, 2]
    assert (p1.east_west.tolist(), p1.north_south.tolist()) == ([3, 3], [2, 2])
    assert p1.between_chips.tolist() == [1, 1]
    assert flow["p2"].messages.tolist() == [0, 0, 0, 0]
    assert cut_size(chip, placement) == 4
    happened = events(chip, placement, {"p1": Counted(2, 6, 0), "p2": Counted(4, 0, 48)}, 1, 10)
    assert happened.layers["p1"].east_west == 18
    assert happened.between_chips == 6
    report = energy(LOIHI1, happened)
    assert report.layers["p1"].network == pytest.approx((6 * 2 * 111 + 18 * 3.0 + 12 * 4.2) * 1e-3)
    assert any("between chips" in note for note in report.notes)
    assert happened.cores[1].synaptic_operations["dense"].tolist() == [24.0 / 12]


def test_mixed_storage_counts_as_dense() -> None:
    chip = chain(1, 2)
    synapse = SparseSynapse(np.array([2], np.int32), np.array([0]), np.array([0, 1, 1]), 1)
    sparse = Connection("extra", "in", "p1", synapse, 0, "mixed", 0)
    assert layer_format(replace(chip, connections=(sparse,)), "p1") == "sparse"
    assert layer_format(replace(chip, connections=(*chip.connections, sparse)), "p1") == "dense"
