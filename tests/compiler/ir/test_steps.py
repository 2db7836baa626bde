"""Which step programs are legal. Executors print them as source text: names are the dangerous part."""

import pytest

from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.steps import OPS, Op, State, StepProgram, problems


def program(*ops, states=("v",), params=("p",), spikes="fire", membrane="h", updates=None, **more):
    """A program with one state; ``h`` and ``fire`` are there unless other ops are given."""
    ops = ops or (Op("h", "add", ("v", "a")), Op("fire", "gt", ("h", "p")))
    updates = ((("v", "h"),)) if updates is None else updates
    declared = tuple(State(name, 24) for name in states)
    fields = {"semantics": "test.program", "domain": "int", "graded": False} | more
    return StepProgram(fields["semantics"], fields["domain"], declared, params, ops, updates, spikes, membrane,
                       fields["graded"])  # fmt: skip


SUM, FIRE = Op("h", "add", ("v", "a")), Op("fire", "gt", ("h", "p"))


def test_a_legal_program_has_no_problems():
    assert problems(program()) == []
    assert problems(chip_lif(Features(reset="subtract", max_spikes=3, refractory=True, floor=True))) == []


@pytest.mark.parametrize("name", ["import os", "x;y", "x\ny", "1x", "", "lambda", "é", "a.b", "__import__('os')"])
def test_names_are_identifiers_and_nothing_else(name):
    assert f"{name!r} is no name" in problems(program(Op(name, "add", ("v", "a")), SUM, FIRE))
    assert f"{name!r} is no name" in problems(program(params=("p", name)))
    assert f"{name!r} is no name" in problems(program(states=("v", name), updates=(("v", "h"), (name, "h"))))


@pytest.mark.parametrize("semantics", ["", "a b", "x\n#", "1", 'a"'])
def test_semantics_are_dotted_names(semantics):
    assert any("semantic id" in text for text in problems(program(semantics=semantics)))


@pytest.mark.parametrize(
    ("op", "complaint"),
    [
        (Op("t", "pow", ("v", "p")), "unknown operation pow"),
        (Op("t", "add", ("v",)), "takes 2 arguments, not 1"),
        (Op("t", "add", ("v", "p", 1)), "takes 2 arguments, not 3"),
        (Op("t", "wrap", ("v",)), "takes 2 arguments, not 1"),
        (Op("t", "add", ("v", "later")), "later is not defined"),
        (Op("t", "wrap", ("v", "p")), "needs literal integers"),
        (Op("t", "wrap", ("v", True)), "needs literal integers"),
        (Op("t", "wrap", ("v", 1)), "cannot have the constants [1]"),
        (Op("t", "wrap", ("v", 63)), "cannot have the constants [63]"),
        (Op("t", "shift_left", ("v", -1)), "cannot have the constants [-1]"),
        (Op("t", "clip", ("v", 5, -5)), "cannot have the constants [5, -5]"),
        (Op("t", "wrap", (5, 24)), "wrap of a literal"),
        (Op("t", "add", ("v", 1.5)), "integer literals"),
        (Op("t", "add", ("v", True)), "integer literals"),
        (Op("t", "add", ("v", 2**62)), "integer literals"),
        (Op("t", "and", ("v", "fire")), "operand v of and must be a bool"),
        (Op("t", "not", ("v",)), "operand v of not must be a bool"),
        (Op("t", "where", ("v", "v", "p")), "operand v of where must be a bool"),
        (Op("t", "add", ("fire", "v")), "operand fire of add must be a number"),
        (Op("v", "add", ("v", "p")), "v is assigned twice"),
        (Op("a", "add", ("v", "p")), "a is assigned twice"),
        (Op("h", "add", ("v", "p")), "h is assigned twice"),
    ],
)
def test_every_illegal_operation_is_named(op, complaint):
    found = problems(program(SUM, FIRE, op))
    assert any(complaint in text for text in found), found


def test_integer_operations_do_not_exist_in_float_programs():
    for kind, spec in OPS.items():
        args = ("fire",) if kind == "not" else (*["v", "p", "a"][: spec.operands], *[4, 5][: spec.constants])
        found = problems(program(SUM, FIRE, Op("t", kind, args), domain="float"))
        exists = f"t: {kind} does not exist in float programs" not in found
        assert exists == ("float" in spec.domains)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"updates": ()}, "every state needs one update"),
        ({"updates": (("w", "h"),)}, "every state needs one update"),
        ({"updates": (("v", "nothing"),)}, "nothing is not defined"),
        ({"updates": (("v", "fire"),)}, "fire is a bool"),
        ({"spikes": "nothing"}, "nothing is not defined"),
        ({"spikes": "h"}, "must be marked graded"),
        ({"membrane": "fire"}, "fire is a bool"),
        ({"params": ("v",)}, "distinct names"),
        ({"params": ("a", "p")}, "distinct names"),
    ],
)
def test_ends_of_a_program_are_checked(changes, complaint):
    found = problems(program(**changes))
    assert any(complaint in text for text in found), found


def test_numbers_may_be_sent_by_graded_programs():
    assert problems(program(spikes="h", graded=True)) == []


def test_a_program_prints_its_whole_step():
    assert str(program()) == ("step test.program(v; p; a)\n  h = add(v, a)\n  fire = gt(h, p)\n  v' = h\n  send fire")
