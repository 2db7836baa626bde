"""A step written with Python operators becomes the operations it means, in order."""

import numpy as np
import pytest

from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.steps import Op, State
from ranvier.compiler.ir.trace import Trace


def test_every_operator_records_its_operation():
    t = Trace("test", "int")
    v, p = t.state("v", 24), t.param("p")
    number = ((((v + p) - 1) * p) << 2) >> 1
    fire = ((number > p) & ~(v >= 3)) & (number // p > 0)
    program = t.finish({"v": t.where(fire, 0, number)}, fire, number, graded=False)
    assert [(op.kind, op.args) for op in program.ops] == [
        ("add", ("v", "p")),
        ("sub", ("t0", 1)),
        ("mul", ("t1", "p")),
        ("shift_left", ("t2", 2)),
        ("shift_right", ("t3", 1)),
        ("gt", ("t4", "p")),
        ("ge", ("v", 3)),
        ("not", ("t6",)),
        ("and", ("t5", "t7")),
        ("divide_floor", ("t4", "p")),
        ("gt", ("t9", 0)),
        ("and", ("t8", "t10")),
        ("where", ("t11", 0, "t4")),
    ]
    assert (program.states, program.params) == ((State("v", 24),), ("p",))
    assert (program.updates, program.spikes, program.membrane) == ((("v", "t12"),), "t11", "t4")


def test_a_traced_step_computes_what_python_would():
    def body(v, p, a):
        return ((v * p + a) << 3) - (a >> 1)

    t = Trace("test", "int")
    v, p = t.state("v", 24), t.param("p")
    result = body(v, p, t.input)
    program = t.finish({"v": result}, result > 0, result, graded=False)
    values = np.random.default_rng(0).integers(-1000, 1000, (3, 50))
    got = step(program, {"v": values[0]}, {"p": values[1]}, values[2])
    assert np.array_equal(got.states["v"], body(*values))


def test_updates_follow_the_order_of_the_states():
    t = Trace("test", "float")
    u, v = t.state("u"), t.state("v")
    assert t.finish({"v": u, "u": v}, v > 0, v, graded=False).updates == (("u", "v"), ("v", "u"))


def test_unknown_operations_and_illegal_programs_are_our_own_bugs():
    t = Trace("test", "int")
    with pytest.raises(AssertionError):
        t.op("power", t.input)
    v = t.state("v", 24)
    with pytest.raises(AssertionError):
        t.finish({"v": v}, v, v, graded=False)


def test_a_recorded_operation_is_plain_data():
    t = Trace("test", "int")
    v = t.state("v", 24)
    total = v + 1
    assert t.finish({"v": total}, total > v, total, graded=False).ops[0] == Op("t0", "add", ("v", 1))
