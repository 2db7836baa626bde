"""A printed step program computes what the interpreter computes, and names are legal and distinct."""

import keyword

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.interpret import NUMPY, mul_shift, step, wrap, wrap_once
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.steps import OPS, StepProgram
from ranvier.compiler.ir.trace import Trace
from ranvier.runtimes.lava.names import RESERVED, class_name, identifier, identifiers
from ranvier.runtimes.lava.printing import EXPRESSIONS, body
from support.networks import features, other_programs


class _Process:
    """What a printed body reads and writes."""

    def __init__(self, values: dict[str, np.ndarray]) -> None:
        self.__dict__.update({key: value.copy() for key, value in values.items()})
        self.membrane = np.zeros(8, np.int64)


def _advance(lines: list[str], process: _Process, a: np.ndarray) -> np.ndarray:
    scope = {"np": np, "mul_shift": mul_shift, "wrap": wrap, "wrap_once": wrap_once}
    source = "def advance(self, a):\n" + "\n".join(f"    {line}" for line in lines)
    exec(compile(source, "printed", "exec"), scope)
    sent: np.ndarray = scope["advance"](process, a)
    return sent


def test_every_integer_operation_has_an_expression() -> None:
    assert set(EXPRESSIONS) == set(OPS) == set(NUMPY)


@given(st.one_of(features().map(chip_lif), other_programs()), st.integers(0, 2**32 - 1))
def test_printed_program_equals_the_interpreter(program: StepProgram, seed: int) -> None:
    rng = np.random.default_rng(seed)
    states = {s.name: rng.integers(-(2**23), 2**23, 8) for s in program.states}
    params = {name: rng.integers(1, 4096, 8) for name in program.params}
    a = rng.integers(-(2**26), 2**26, 8)
    process = _Process({**states, **params})
    sent = _advance(body(program), process, a)
    wanted = step(program, states, params, a)
    np.testing.assert_array_equal(sent, wanted.spikes)
    np.testing.assert_array_equal(process.membrane, wanted.membrane)
    for state, values in wanted.states.items():
        np.testing.assert_array_equal(getattr(process, state), values)


def test_states_that_change_places_and_inlined_differences() -> None:
    t = Trace("test.swap", "int")
    u, v, p = t.state("u", 24), t.state("v", 24), t.param("p")
    program = t.finish({"u": v, "v": u}, spikes=(t.input - (p - u)) >> 1, membrane=v, graded=True)
    process = _Process({"u": np.array([1]), "v": np.array([2]), "p": np.array([10])})
    assert _advance(body(program), process, np.array([20])).tolist() == [5]
    assert (process.u.tolist(), process.v.tolist()) == ([2], [1])


def test_lines_read_like_the_equations() -> None:
    lines = body(chip_lif(Features(reset="subtract", compare=">=")))
    assert "new_u = wrap_once(wrap(mul_shift(u, 4095 - du, 12) + wrap(a << 6, 32), 32), 24)" in lines
    assert "sent = membrane >= threshold" in lines
    assert lines[-1] == "return sent"


@given(st.lists(st.text(max_size=12), unique=True, max_size=8))
def test_names_are_legal_and_distinct(texts: list[str]) -> None:
    names = identifiers(texts, taken=("conv1",))
    assert list(names) == texts
    assert len({*names.values(), "conv1"}) == len(texts) + 1
    for name in names.values():
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert name not in RESERVED


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fc1", "fc1"),
        ("Layer 0/conv", "layer_0_conv"),
        ("0", "layer_0"),
        ("run", "run_"),
        ("class", "class_"),
        ("", "layer"),
    ],
)
def test_names_stay_recognisable(text: str, name: str) -> None:
    assert identifier(text) == name


def test_class_names() -> None:
    assert class_name("loihi2.lif.subtract_ge") == "Loihi2LifSubtractGe"
