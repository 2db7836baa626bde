"""The published workloads: their totals, their closed forms, and what is known of their traffic."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3]))

from benchmarks.schedule_workloads import WORKLOADS, red, sew

from ranvier.compiler.schedule.choices import CHOICES, OWN, PUBLISHED, Choice, Rules, parse_schedule, uniform
from ranvier.compiler.schedule.networks import populations_of
from ranvier.compiler.schedule.plan import Plan, planned
from ranvier.compiler.schedule.tables import Role
from ranvier.compiler.schedule.workload import Workload
from ranvier.targets.load import load_hierarchy
from support.sew import sew as sew_network

CORE = load_hierarchy("stems_1mb").core
KIB, MIB = 8 * 2**10, 8 * 2**20


def operations(workload: Workload, unit: str) -> int:
    return sum(
        workload.steps * k.operations(layer.width) for layer in workload.layers for k in layer.kernels if k.unit == unit
    )


def plan(workload: Workload, schedule: str, rules: Rules = OWN) -> Plan:
    return planned(workload, parse_schedule(schedule, workload), CORE, rules)


@pytest.mark.parametrize(
    ("name", "weights", "states", "products"),
    [
        ("SEW-7PLIF", 580.0625, 5659.5, 26_107_445_248),
        ("SEW-5PLIF", 580.0625, 283.5, 26_107_445_248),
        ("RED-LIF", 1516.59375, 1813.125, 113_980_538_880),
    ],
)
def test_totals(name: str, weights: float, states: float, products: int) -> None:
    workload = WORKLOADS[name]()
    assert workload.weight_bits / KIB == weights
    assert workload.state_bits / KIB == states
    assert operations(workload, "array") == products


def test_sums_are_counted_as_published() -> None:
    """Adds are one operation an element; a pool looks at four."""
    adds = [layer for layer in sew().layers if layer.name.startswith("add")]
    assert operations(sew(), "array") + sum(layer.operations(16) for layer in adds) == 26_129_899_520
    assert operations(red(), "array") + operations(red(), "vector") == 114_024_775_680


@pytest.mark.parametrize(("name", "energy"), [("SEW-7PLIF", 0.5230), ("RED-LIF", 4.9858)])
def test_energy_of_the_products(name: str, energy: float) -> None:
    """pJ an operation, 16/7 of it where the input has four bits."""
    workload, array = WORKLOADS[name](), CORE.array
    wide = array.wide_input
    assert wide is not None
    pj = sum(
        layer.operations(workload.steps) * array.op_pj.v * (wide.v.factor if k.input_bits >= wide.v.bits else 1.0)
        for layer in workload.layers
        for k in layer.kernels
        if k.unit == "array"
    )
    assert round(pj / 1e9, 4) == energy


@pytest.mark.parametrize(
    ("stateful", "kib"), list(enumerate([0, 1.5, 7.5, 43.5, 91.5, 283.5, 1051.5, 5659.5])), ids=str
)
def test_states_by_stateful_blocks(stateful: int, kib: float) -> None:
    assert sew(stateful).state_bits / KIB == kib


def test_states_of_the_networks_with_these_shapes() -> None:
    for stateful, kib in ((7, 5659.5), (5, 283.5)):
        populations = populations_of(sew_network(stateful), CORE.bits.v)
        elements = {p.name: p.shape[0] * p.shape[1] * p.shape[2] for p in populations}
        assert sum(elements[p.name] * sum(p.states.values()) for p in populations) / KIB == kib


def test_states_that_do_not_stay_move_in_and_out_between_steps() -> None:
    """V = 2 (T - 1) |V|: nothing in the first step, nothing after the last."""
    workload = red()
    assert plan(workload, "ST-LBL").by_role(Role.STATE) == 2 * 11 * workload.state_bits
    assert round(2 * 11 * workload.state_bits / MIB, 3) == 38.954
    assert plan(workload, "ST-LBL", Rules("charged")).by_role(Role.STATE) == 2 * 12 * workload.state_bits
    moved = plan(sew(), "ST-LBL").by_role(Role.STATE)
    assert round(moved / MIB, 2) == 154.56
    assert 2 * 15 * 3 * 1536 * KIB < moved < 2 * 15 * sew().state_bits


@pytest.mark.parametrize("name", list(WORKLOADS))
@pytest.mark.parametrize("schedule", ["TB-LBL", "TB-LF"])
def test_batched_blocks_move_no_states_but_charged_ones_once_each_way(name: str, schedule: str) -> None:
    workload = WORKLOADS[name]()
    assert plan(workload, schedule).by_role(Role.STATE) == 0
    charged = plan(workload, schedule, Rules("charged")).by_role(Role.STATE)
    assert charged == 2 * workload.state_bits


def test_weights_of_layers_that_run_once_are_read_once() -> None:
    for workload in (sew(), red()):
        assert plan(workload, "TB-LBL").by_role(Role.WEIGHT) == workload.weight_bits


def test_weights_that_do_not_stay_are_read_in_every_step() -> None:
    assert plan(red(), "ST-LBL").by_role(Role.WEIGHT) == 12 * red().weight_bits


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_data_enter_at_least_once_and_answers_leave(choice: Choice) -> None:
    """The floor of every schedule: weights once, data once, the answer once."""
    workload = red()
    found = planned(workload, uniform(workload, choice), CORE)
    entering = found.moved["frames", Role.INPUT]
    assert entering.read_bits >= workload.steps * workload.sources[0].step_bits
    assert entering.written_bits == 0
    answer = found.moved["16", Role.OUTPUT]
    assert answer.written_bits == workload.steps * workload.layers[-1].step_bits
    assert found.peak_bits <= CORE.store.size_bits.v


def test_fused_and_batched_blocks_of_sew_move_nothing_but_weights_data_and_answers() -> None:
    workload = sew()
    floor = workload.weight_bits + workload.steps * (workload.sources[0].step_bits + workload.layers[-1].step_bits)
    assert plan(workload, "TB-LF").dram_bits == floor


def test_the_figures_of_another_tile_model_where_nothing_is_crude() -> None:
    """One step at a time, layer by layer, evicted by remaining uses: MiB by operand of an independent model."""
    found = plan(red(), "ST-LBL", PUBLISHED)
    activations = found.by_role(Role.INPUT, Role.OUTPUT) - found.moved["16", Role.OUTPUT].bits
    assert round(found.by_role(Role.WEIGHT) / MIB, 2) == 17.77
    assert round(activations / MIB, 1) == 208.3
