"""Every operation that a step program may contain, printed, compiled and compared with its meaning."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.steps import OPS, StepProgram
from ranvier.compiler.ir.trace import Trace
from ranvier.runtimes.simulator.emit import GROUP, lossy
from ranvier.runtimes.simulator.lanes import FLOAT, INTEGER, static
from ranvier.runtimes.simulator.machine import fields, kernel
from ranvier.runtimes.simulator.ranges import Traits

SAMPLES, STEPS = 2, 7


def everything(domain: Any) -> StepProgram:
    """A program without purpose in which every operation of ``domain`` has a part in the result."""
    t = Trace(f"test.{domain}", domain)
    x, y, p = t.state("x", 40), t.state("y", 40), t.param("p")
    total = t.op("sub", t.op("add", x, t.input), t.op("mul", y, p))
    quotient = t.op("divide_floor", total, p)
    small = t.op("minimum", t.op("maximum", quotient, -30_000), 40_000)
    if domain == "int":
        shifted = t.op("shift_left", t.op("shift_right", t.op("mul_shift", total, y, 5), 2), 3)
        wrapped = t.op("wrap", shifted, 20)
        turned = t.op("wrap_once", t.op("add", wrapped, t.op("mul", t.input, 9)), 18)
        small = t.op("clip", t.op("add", small, turned), -9_000, 10_000)
    higher = t.op("and", t.op("gt", small, y), t.op("not", t.op("ge", x, 2000)))
    chosen = t.op("where", higher, small, p)
    return t.finish({"x": chosen, "y": quotient if domain == "float" else small}, small, total, graded=True)


def arrays(program: StepProgram, seed: int, neurons: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(samples, steps, neurons) inputs, (samples, states, neurons) states, (1, neurons) divisors, one of them 0."""
    rng = np.random.default_rng(seed)
    current = rng.integers(-(2**20), 2**20, (SAMPLES, STEPS, neurons))
    states = rng.integers(-3000, 3000, (SAMPLES, 2, neurons))
    params = rng.integers(1, 50, (1, neurons))
    if program.domain == "float":
        return current.astype(np.float64), states / 3.0, params / 7.0
    params[0, neurons // 2] = 0
    return current.astype(np.int32), states, params


def address(values: NDArray[Any]) -> int:
    return int(values.ctypes.data)


@pytest.mark.parametrize("neurons", [1, 15, 16, 37, 300])
@pytest.mark.parametrize("domain", ["int", "float"])
def test_every_operation(domain: str, neurons: int) -> None:
    program = everything(domain)
    assert {op.kind for op in program.ops} == {kind for kind, spec in OPS.items() if domain in spec.domains}
    current, states, params = arrays(program, 5, neurons)
    number, before = states.dtype, states.copy()
    sent, membrane = np.zeros(current.shape, number), np.zeros(current.shape, number)
    kept = np.zeros((2, *current.shape), number)
    fired, dirty = np.zeros(neurons, np.int64), np.zeros(SAMPLES, np.int64)
    lost = np.zeros(current.shape, np.int64)
    touched = np.full((SAMPLES, -(-neurons // GROUP)), -1, np.int64)
    frame = {"first": 0, "last": STEPS, "samples": SAMPLES, "neurons": neurons, "steps": STEPS, "block": STEPS}
    frame |= {"stride": neurons, "touched": address(touched)}
    frame |= {"current": address(current), "params": address(params), "sent": address(sent), "fired": address(fired)}
    run, full = kernel(program, Traits()), {"membrane": address(membrane), "kept": address(kept)}
    full |= {"kept_stride": current.size, "lost": address(lost), "dirty": address(dirty)}
    run(fields({**frame, **full, "states": address(states)}), fully=True)
    expected = [{"x": before[s, 0].copy(), "y": before[s, 1].copy()} for s in range(SAMPLES)]
    for sample in range(SAMPLES):
        for t in range(STEPS):
            result = step(program, expected[sample], {"p": params[0]}, current[sample, t].astype(number))
            expected[sample] = dict(result.states)
            np.testing.assert_array_equal(sent[sample, t], result.spikes)
            np.testing.assert_array_equal(membrane[sample, t], result.membrane)
            np.testing.assert_array_equal(kept[:, sample, t], [result.states["x"], result.states["y"]])
            for place, op in enumerate(lossy(program)):
                changed = result.overflows.get(op.result, np.zeros(neurons, bool))
                np.testing.assert_array_equal((lost[sample, t] >> place) & 1, changed)
    np.testing.assert_array_equal(states, [[state["x"], state["y"]] for state in expected])
    np.testing.assert_array_equal(fired, np.count_nonzero(sent, axis=(0, 1)))
    np.testing.assert_array_equal(dirty, lost.any(axis=(1, 2)))
    again, seen = np.zeros_like(sent), np.zeros_like(dirty)
    run(fields({**frame, "states": address(before), "sent": address(again), "dirty": address(seen)}))
    np.testing.assert_array_equal(again, sent)
    np.testing.assert_array_equal(seen, dirty)
    np.testing.assert_array_equal(before, states)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("kind", "constants"), [("wrap", (18,)), ("wrap_once", (18,)), ("clip", (-(2**17), 2**17)), ("mul_shift", (9, 3))]
)
def test_the_edges_of_registers(kind: str, constants: tuple[int, ...], bits: int) -> None:
    t = Trace("test.edges", "int")
    found = t.op(kind, t.input, *constants)
    program = t.finish({}, found, found, graded=True)
    edges = np.array([sign * 2**17 + near for sign in (-1, 1) for near in (-1, 0, 1)])
    values = np.concatenate([edges, 3 * edges, [0, -1, 7, -7, -8, 8]]).astype(np.int32)
    sent, fired, dirty = np.zeros(values.size, np.int64), np.zeros(values.size, np.int64), np.zeros(1, np.int64)
    touched = np.full(2, -1, np.int64)
    frame = {"first": 0, "last": 1, "samples": 1, "neurons": values.size, "steps": 1, "current": address(values)}
    frame |= {"block": 1, "stride": values.size, "touched": address(touched)}
    frame |= {"sent": address(sent), "fired": address(fired), "dirty": address(dirty)}
    kernel(program, Traits(bits))(fields(frame))
    np.testing.assert_array_equal(sent, step(program, {}, {}, values.astype(np.int64)).spikes)


def test_no_memory_beside_the_neurons_is_touched() -> None:
    program = everything("int")
    current, states, params = arrays(program, 5, 19)
    sent = np.full(SAMPLES * STEPS * 19 + 64, 77, np.int64)
    fired, dirty = np.full(19 + 64, 5, np.int64), np.zeros(SAMPLES, np.int64)
    touched = np.full((SAMPLES, 2), -1, np.int64)
    frame = {"first": 0, "last": STEPS, "samples": SAMPLES, "neurons": 19, "steps": STEPS, "dirty": address(dirty)}
    frame |= {"block": STEPS, "stride": 19, "touched": address(touched)}
    frame |= {"current": address(current), "params": address(params), "fired": address(fired)}
    kernel(program, Traits())(fields({**frame, "states": address(states), "sent": address(sent)}))
    assert (sent[-64:] == 77).all()
    assert (fired[19:] == 5).all()


def test_every_operation_has_its_instructions() -> None:
    assert set(INTEGER) == {kind for kind, spec in OPS.items() if "int" in spec.domains}
    assert set(FLOAT) == {kind for kind, spec in OPS.items() if "float" in spec.domains}


def test_what_depends_on_parameters_only_is_worked_out_once() -> None:
    program = chip_lif(Features())
    assert {op.kind for op in static(program)} == {"sub", "shift_left"}
    assert all(set(op.args) & set(program.params) for op in static(program))
