"""Every kind of neuron as a generated Lava process: the same spikes, messages, membranes and states as the oracle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork, Connection, Population, Port
from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.neuron_steps.resonators import resonate
from ranvier.compiler.ir.neuron_steps.sigma_delta import sigma_delta
from ranvier.compiler.ir.steps import StepProgram
from ranvier.runtimes.lava.child import run_lava_script
from support.kinds import INPUTS, MODELS, data, lowered
from support.lava_networks import STALL_S, assert_lava_agrees, lava_processes

pytestmark = pytest.mark.usefixtures("lava")
NUMBERS = "sigma_delta"


def side_by_side(kinds: list[str]) -> ChipNetwork:
    """The networks of several kinds on one port."""
    populations: list[Population] = []
    connections: list[Connection] = []
    for kind in kinds:
        _, chip, _ = lowered(kind)
        assert chip.ports[0].bits == 0
        names = {p.name: f"{kind}_{p.name}" for p in chip.populations}
        populations += [replace(p, name=names[p.name]) for p in chip.populations]
        for c in chip.connections:
            ends = {"source": names.get(c.source, "in"), "target": names[c.target]}
            connections.append(replace(c, name=f"{kind}_{c.name}", **ends))
    port, readout = Port("in", (INPUTS,)), Readout(populations[-1].name, "last_membrane")
    return ChipNetwork("kinds", "loihi2", (port,), tuple(populations), tuple(connections), readout)


def test_spiking_kinds_have_the_same_states_in_lava() -> None:
    kinds = [kind for kind in MODELS if kind != NUMBERS]
    chip, inputs = side_by_side(kinds), data(kinds[0], samples=2, steps=20)
    assert lava_processes(chip) == {"generated", "Dense"}
    assert_lava_agrees(chip, inputs.astype(np.int32))


def test_messages_of_several_bits_arrive_in_lava() -> None:
    _, chip, inputs = lowered(NUMBERS)
    assert [p.bits > 1 for p in chip.populations] == [True, True]
    assert_lava_agrees(chip, inputs[:2])


def sent(program: StepProgram, params: dict[str, int], arriving: NDArray[np.int64]) -> list[int]:
    """What one neuron sends."""
    states = {s.name: np.zeros(1, np.int64) for s in program.states}
    found = []
    for a in arriving:
        result = step(program, states, {k: np.array([v]) for k, v in params.items()}, np.array([a]))
        states = {name: np.asarray(value) for name, value in result.states.items()}
        found.append(int(result.spikes[0]))
    return found


def test_lavas_own_resonators_and_sigma_delta_processes_send_the_same(lava: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    spikes, changes = rng.integers(-20, 22, 400), rng.integers(-9, 10, 400)
    np.savez(tmp_path / "in.npz", spikes=spikes, changes=changes)
    script, result = Path(__file__).parent / "scripts" / "stock_kinds.py", tmp_path / "out.npz"
    run_lava_script(lava, script, [str(tmp_path / "in.npz"), str(result)], result, tmp_path / "log", STALL_S)
    turn = 0.95 * np.exp(2j * np.pi / 11) * 4096
    rotation = {"rotate_real": int(turn.real), "rotate_imag": int(turn.imag), "drive": 0, "threshold": 9 << 6}
    level = {"drive": 0, "bias": 0, "threshold": 3 << 6}
    wanted = {
        "phase": sent(resonate("int", ">=", "phase", "none"), rotation, spikes),
        "izhikevich": sent(
            resonate("int", ">=", "imaginary", "both"), {**rotation, "reset_value": (9 << 6) - 1}, spikes
        ),
        "delta": sent(sigma_delta("int", ">=", "unit", False, 0, 20), level, changes),
        "sigma_unit": sent(sigma_delta("int", ">=", "unit", True, 0, 20), {**level, "bias": 3 << 6}, changes),
        "sigma_relu": sent(sigma_delta("int", ">=", "relu", True, 0, 20), {**level, "bias": 3 << 6}, changes),
    }
    with np.load(result) as found:
        assert {name: found[name].tolist() for name in wanted} == wanted
    assert all(np.count_nonzero(values) > 10 for values in wanted.values())
