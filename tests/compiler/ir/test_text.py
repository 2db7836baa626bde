"""The text form parses back to an equal object, and no text does anything but parse or be refused."""

import time
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir import text
from ranvier.compiler.ir.linear import Conv, Dense, Grid, Pool, Reshape, Scale, Sparse
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Note, Observed, Payload, Readout
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.compiler.ir.program import Program
from ranvier.compiler.ir.text import dump, equal, parse
from support.networks import chip_networks
from support.verification import layered_chip, program_of


def network() -> Network:
    """One of everything."""
    nodes = (
        Input("x", (2, 3, 3), "current", Payload(8, 0.1)),
        Conv("conv", np.ones((4, 1, 2, 2)), (2, 3, 3), np.arange(4), groups=2, grid=Grid(1e-30, -3, "mixed")),
        Pool("pool", "average", (4, 2, 2), (2, 2), (2, 2), ((0, 0), (0, 0))),
        Scale("scale", (4, 1, 1), np.arange(4), 0.0),
        Reshape("flat", (4, 1, 1), (4,)),
        Sparse("sparse", [1.0, -2.5], [0, 3], [0, 1, 2], 4, (2,)),
        Neurons("hidden", (2,), Lif(threshold=[1.0, np.inf], floor=-0.5, reset="subtract"), 3.5, 1),
        Dense("dense", [[0.1, 1e300]]),
        Neurons("out", (1,), RegisterLif(-1, 4096, 7)),
    )
    edges = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    notes = (Note("RV900", "x", 'a "quoted"\\ text\nof two lines\twith é and 😀'),)
    return Network("net", nodes, (*edges, Edge("out", "hidden", 1)), Readout("out", "max_membrane"), notes,
                   {"hidden": Observed(1.0, float("inf"), 0.25)})  # fmt: skip


def same(value: object) -> bool:
    return equal(value, parse(*dump(value)))


@given(chip_networks())
def test_chip_networks_parse_back(chip):
    written, tensors = dump(chip)
    again = parse(written, tensors)
    assert equal(chip, again)
    assert dump(again)[0] == written
    assert {p.name: p.program for p in again.populations} == {p.name: p.program for p in chip.populations}


def test_networks_and_programs_parse_back():
    assert same(network())
    assert same(Program(layered_chip(), program_of(layered_chip()).placement, "loihi2", network()))


@given(st.text(), st.text(min_size=1))
def test_any_name_parses_back(text_, name):
    assert parse(*dump(Note("RV1", "", text_))) == Note("RV1", "", text_)
    nodes = (Dense(name, [[1.0]]), Dense(name + "2", [[2.0]]))
    again = parse(*dump(Network(name, nodes, (), Readout(name))))
    assert [n.name for n in again.nodes] == [name, name + "2"]
    assert [n.weight.item() for n in again.nodes] == [1.0, 2.0]


@given(st.floats(allow_nan=False), st.integers(-(2**62), 2**62))
def test_numbers_parse_back_exactly(scale, exponent):
    assert parse(*dump(Grid(scale, exponent, "mixed"))) == Grid(scale, exponent, "mixed")


def test_numpy_scalars_are_written_as_numbers():
    written, _ = dump(Grid(np.float64(1.5), np.int64(-2), "mixed"))
    assert written == 'Grid(scale=1.5, exponent=-2, sign="mixed", bits=8, part_of="")\n'
    assert same(Lif(late_guard=np.bool_(True)))


def test_equal_means_text_and_tensors():
    first = Dense("d", [[1.0, np.nan]])
    assert equal(first, Dense("d", [[1.0, np.nan]]))
    assert not equal(first, Dense("d", [[2.0, np.nan]]))
    assert not equal(first, Dense("e", [[1.0, np.nan]]))
    assert not equal(first, Dense("d", [[1.0], [np.nan]]))
    chip = layered_chip()
    assert not equal(chip, replace(chip, name="other"))


def test_nodes_named_alike_keep_their_own_tensors_or_are_refused():
    twins = Network("n", (Dense("d", [[1.0]]), Dense("d", [[2.0]])), (), Readout("d"))
    again = parse(*dump(twins))
    assert [n.weight.item() for n in again.nodes] == [1.0, 2.0]


def test_the_text_is_readable():
    written, tensors = dump(Dense("fc", [[1.0, 2.0]]))
    assert written == 'Dense(name="fc", weight=tensor("/weight", "float64", (1, 2)), bias=None, grid=None)\n'
    assert list(tensors) == ["/weight"]


TENSORS = {"w": np.ones((1, 2)), "whole": np.ones(2, np.int64), "text": np.array(["a", "b"]), "huge": np.array([2**40])}
EDGE = 'Edge(source="a", target="b", delay={})'


@pytest.mark.parametrize(
    ("hostile", "line", "complaint"),
    [
        ("", 1, "a value expected"),
        ("Network(", 1, "'=' expected"),
        ("Network(name", 1, "'=' expected"),
        ("Edge(source=", 1, "a value expected"),
        (EDGE.format(0) + " 1", 1, "nothing more expected"),
        ("Edge(\n source='a')", 2, "unexpected character"),
        (EDGE.format('"1"'), 1, "Edge.delay cannot be '1'"),
        (EDGE.format("1.5"), 1, "Edge.delay cannot be 1.5"),
        (EDGE.format("True"), 1, "Edge.delay cannot be True"),
        (EDGE.format("inf"), 1, "Edge.delay cannot be inf"),
        (EDGE.format("0, delay=1"), 1, "delay is given twice"),
        ('Edge(source="a")', 1, "Edge takes"),
        (EDGE.format("0, more=1"), 1, "Edge takes"),
        ('__import__("os")', 1, "unknown kind __import__"),
        ("eval(x=1)", 1, "unknown kind eval"),
        ("_Parser(text=1)", 1, "unknown kind _Parser"),
        ("(" * 100_000, 1, "nested too deeply"),
        ("{" * 50 + '"a"', 1, "nested too deeply"),
        ('{"a": ' * 100, 1, "nested too deeply"),
        ("{1: 2}", 1, "a new string key expected"),
        ('{"a": 1, "a": 2}', 1, "a new string key expected"),
        ('"open', 1, "unexpected character"),
        ('"a\nb"', 1, "unexpected character"),
        ('"\\x41"', 1, "unexpected character"),
        ("9" * 1000, 1, "a number of more than"),
        ("1.2.3", 1, "unexpected character"),
        ("0x10", 1, "unexpected character"),
        ("1 + 1", 1, "unexpected character"),
        ("tensor()", 1, "is missing"),
        ('tensor("nothing", "float64", (1,))', 1, "is missing"),
        ('tensor("w", "float64", (2, 1))', 1, "the text says"),
        ('tensor("w", "float32", (1, 2))', 1, "the text says"),
        ('tensor("w")', 1, "the text says"),
        ('Input(name="x", shape=(1,), coding=tensor("w", "float64", (1, 2)), payload=None)', 1, "Input.coding cannot"),
        ('Input(name="x", shape=(1,), coding="rate", payload=None)', 1, "Input.coding cannot be 'rate'"),
        ('Input(name="x", shape=(1.5,), coding="spikes", payload=None)', 1, "Input.shape cannot"),
        ('Input(name="x", shape=1, coding="spikes", payload=None)', 1, "Input.shape cannot"),
        ('Input(name="x", shape=(1,), coding="spikes", payload=Edge)', 1, "'(' expected"),
        ('Network(name="n", nodes=(1,), edges=(), readout=None, notes=(), observed={})', 1, "Network.nodes cannot"),
        ('Dense(name="d", weight=None, bias=None, grid=None)', 1, "Dense.weight cannot"),
        ('Dense(name="d", weight=tensor("text", "<U1", (2,)), bias=None, grid=None)', 1, "Dense is malformed"),
        ('DenseSynapse(weight=tensor("w", "float64", (1, 2)), kind="dense")', 1, "DenseSynapse is malformed"),
        ('DenseSynapse(weight=tensor("huge", "int64", (1,)), kind="dense")', 1, "DenseSynapse is malformed"),
        ('DenseSynapse(weight=tensor("whole", "int64", (2,)), kind="conv")', 1, "DenseSynapse.kind cannot"),
    ],
)
def test_hostile_texts_are_refused_with_line_and_column(hostile, line, complaint):
    with pytest.raises(RanvierError) as caught:
        parse(hostile, TENSORS)
    (told,) = caught.value.diagnostics
    assert told.code == "RV301"
    assert told.figures["line"] == line
    assert complaint in told.message


def test_the_column_points_at_the_fault():
    with pytest.raises(RanvierError, match="line 2, column 11"):
        parse('Edge(source="a",\n   target=?)', {})


@given(st.data())
def test_damaged_texts_are_refused_or_parse_to_something(data):
    """Every cut and every changed character: a diagnostic or an object, nothing else."""
    written, tensors = dump(layered_chip())
    at = data.draw(st.integers(0, len(written) - 1))
    cut = written[:at]
    put = data.draw(st.sampled_from(["(", ")", ",", '"', "\\", "=", "0", "-", ".", "x", "\x00", "é", "", "1e999"]))
    for hostile in (cut, cut + put + written[at + 1 :]):
        with suppress(RanvierError):
            parse(hostile, tensors)


@pytest.mark.parametrize(
    "hostile",
    [
        " " * 2_000_000 + "?",
        '"' + "a" * 2_000_000,
        '"' + "\\n" * 1_000_000,
        "\\" * 2_000_000,
        "[" * 2_000_000,
        "1" * 2_000_000,
        "1." + "1" * 2_000_000 + "x",
        "a" * 2_000_000,
    ],
)
def test_long_hostile_texts_are_refused_at_once(hostile):
    started = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(RanvierError):
        parse(hostile, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20
    assert time.perf_counter() - started < 5  # a quadratic parser would take hours


def test_oversized_texts_are_not_read(monkeypatch):
    monkeypatch.setattr(text, "MAX_TEXT", 100)
    with pytest.raises(RanvierError, match="RV302"):
        parse(" " * 101, {})
    monkeypatch.setattr(text, "MAX_TOKENS", 50)
    with pytest.raises(RanvierError, match="tokens"):
        parse("(" + "1," * 40 + ")", {})


def test_a_field_with_a_default_may_be_missing() -> None:
    assert parse('Edge(source="a", target="b")', {}) == Edge("a", "b")
