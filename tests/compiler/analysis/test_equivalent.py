"""The conventional twin: equal but for the MAC where both do the same, and a break-even rate that divides rightly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.analysis.energy import EnergyReport, energy
from ranvier.compiler.analysis.equivalent import MAC_FACTOR, Equivalent
from ranvier.compiler.analysis.traced import traced
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import CoreSite, Piece, Placement
from ranvier.targets.load import load_target
from support.mapping import lif_population

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")
SIZES = {"in": 6, "a": 8, "b": 4}


def network(**registers: int) -> ChipNetwork:
    """Two layers, all to all, whose weights are all there."""
    populations = tuple(lif_population(n, (SIZES[n],), i, **registers) for i, n in enumerate(("a", "b"), 1))
    links = tuple(
        Connection(f"{s}{t}", s, t, DenseSynapse(np.full((SIZES[t], SIZES[s]), 2, np.int32)), 0, "mixed", 0)
        for s, t in (("in", "a"), ("a", "b"))
    )
    return ChipNetwork("net", "loihi1", (Port("in", (6,)),), populations, links, Readout("b"))


STATELESS = network(du=4095, dv=4096)
PLACEMENT = Placement(
    (Piece("a", 0, 3, 0), Piece("a", 3, 8, 1), Piece("b", 0, 4, 2)),
    (CoreSite(0, 0, 0, 0), CoreSite(1, 0, 2, 1), CoreSite(2, 0, 5, 3)),
)


def report(chip: ChipNetwork, spikes: dict[str, NDArray[np.bool_]], basis: str | None = None) -> EnergyReport:
    """The energy of a run that sent ``spikes``."""
    return energy(LOIHI1, traced(chip, PLACEMENT, spikes), basis)


def twin(found: EnergyReport) -> Equivalent:
    assert found.equivalent is not None
    return found.equivalent


def always(steps: int, samples: int = 1) -> dict[str, NDArray[np.bool_]]:
    """Every input and neuron fires in every step."""
    return {name: np.ones((samples, steps, size), np.bool_) for name, size in SIZES.items()}


@pytest.mark.parametrize("basis", ["sanafe", "davies2018"])
def test_one_step_at_full_rate_without_state_differs_in_the_mac_factor_alone(basis: str) -> None:
    found = report(STATELESS, always(1, samples=2), basis)
    spiking, ann = vars(twin(found).spiking), vars(twin(found).ann)
    assert {k: v for k, v in spiking.items() if k != "energy_nj"} == {k: v for k, v in ann.items() if k != "energy_nj"}
    synapses = sum(layer.synapses for layer in found.layers.values())
    more = ann["energy_nj"].value - spiking["energy_nj"].value
    assert synapses > 0
    assert more == pytest.approx((MAC_FACTOR - 1) * synapses)
    assert twin(found).rate == 1
    assert twin(found).activation_bits == 1


def test_states_alone_set_the_columns_apart_in_state_bits() -> None:
    found = twin(report(network(du=300, dv=100), always(1)))
    assert (found.spiking.state_bits, found.ann.state_bits) == (48 * 12, 0)
    # Each neuron is updated in the one step and in the two of the pipeline, and each time reads and writes its states.
    assert (found.spiking.state_traffic_bits, found.ann.state_traffic_bits) == (2 * 3 * 48 * 12, 0)
    assert found.spiking.updates == found.ann.updates == 3 * 12


def test_every_figure_by_hand() -> None:
    spikes = always(7)
    spikes["in"][:, 2:] = False
    spikes["a"][:, :, 1:] = False
    found = report(STATELESS, spikes)
    t = twin(found)
    operations = 2 * 6 * 8 + 7 * 4
    assert (t.activation_bits, t.spiking.operations, t.ann.operations) == (3, operations, 6 * 8 + 8 * 4)
    assert (t.spiking.weight_bits, t.ann.weight_bits) == (8 * operations, 8 * 80)
    # Layer a sends to the core of b alone; one neuron of it did, seven times.
    assert (t.spiking.messages, t.ann.messages) == (7, 8)
    assert (t.spiking.message_bits, t.ann.message_bits) == (7, 8 * 3)
    assert t.rate == pytest.approx(operations / (7 * 80))
    hops = (3 * 5 + 5 * 3) * 3.0 + (3 * 3 + 5 * 2) * 4.2
    ann = 80 * 35.5 * MAC_FACTOR + 12 * (3 * (51.2 + 21.6) + 69.3) + 8 * 111 + hops
    assert t.ann.energy_nj.value == pytest.approx(ann * 1e-3)
    plain = ann - 80 * 35.5 * (MAC_FACTOR - 1)
    assert t.ann.energy_nj.low == pytest.approx(plain * 1e-3 * (1 - 0.117))
    assert t.ann.energy_nj.high == pytest.approx(ann * 1e-3 * 1.117)
    assert t.spiking.energy_nj == found.dynamic_nj


@given(st.integers(1, 40), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_spikes_pay_below_the_break_even_rate_and_only_there(steps: int, rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    spikes = {name: rng.random((2, steps, size)) < rate for name, size in SIZES.items()}
    found = report(STATELESS, spikes)
    t = twin(found)
    if t.break_even is None:
        assert t.spiking.operations == t.spiking.messages == 0
        return
    if abs(t.ratio - 1) > 1e-9:
        assert (t.rate < t.break_even) == (t.ratio < 1)
    layers = found.layers.values()
    updates = sum(layer.neurons for layer in layers)
    scaled = updates + sum(layer.total - layer.neurons for layer in layers) * (t.break_even / t.rate if t.rate else 0)
    if t.break_even > 0:
        assert scaled == pytest.approx(t.ann.energy_nj.value)
    else:
        assert updates >= t.ann.energy_nj.value or t.rate == 0


def test_every_energy_report_has_its_twin_and_none_without_energy() -> None:
    happened = traced(STATELESS, PLACEMENT, always(4))
    borrowed = energy(LOIHI2, happened)
    assert twin(borrowed).ann.energy_nj.high is None
    assert twin(borrowed).ann.energy_nj.value > 0
    plain = borrowed.to_json()["equivalent"]
    assert isinstance(plain, dict)
    assert plain["ann"]["operations"] == 80
    assert plain["spiking"]["energy_nj"]["value"] == vars(borrowed.dynamic_nj)["value"]
    assert any("one pass" in note for note in borrowed.notes)
    bare = LOIHI2.model_copy(update={"energy": LOIHI2.energy.model_copy(update={"stand_in": None, "bases": {}})})
    assert energy(bare, happened).equivalent is None


def test_silence_has_no_break_even_rate() -> None:
    silent = {name: np.zeros((1, 5, size), np.bool_) for name, size in SIZES.items()}
    found = twin(report(STATELESS, silent))
    assert (found.rate, found.break_even, found.spiking.operations) == (0, None, 0)
    long = {name: np.zeros((1, 4000, size), np.bool_) for name, size in SIZES.items()}
    long["in"][0, 0] = True
    assert twin(report(STATELESS, long)).break_even == 0
