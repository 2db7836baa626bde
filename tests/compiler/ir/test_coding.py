"""Input coders: what they send, by their definitions; seeds and batches; places and values they cannot take."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir import coding
from ranvier.compiler.ir.chip import Port
from ranvier.compiler.ir.coding import (
    CODERS,
    Burst,
    Delta,
    Direct,
    Encoder,
    Latency,
    Phase,
    Rate,
    coder,
    encode,
    frames_of,
    problems,
    sample_shape,
    sends,
)
from ranvier.compiler.ir.network import Input, Network, Payload
from ranvier.compiler.ir.text import dump, parse
from ranvier.compiler.ir.verify import check_chip, check_network
from support.apps import small_network
from support.verification import layered_chip

Array = np.ndarray
SHAPE = (2, 4)
STEPS = st.integers(1, 20)
unit = arrays(np.float64, (3, *SHAPE), elements=st.floats(0, 1))

ENCODERS = st.one_of(
    st.builds(Direct, STEPS),
    st.builds(Rate, STEPS, st.integers(0, 2**63 - 1)),
    st.builds(Latency, STEPS),
    st.builds(Delta, STEPS, st.sampled_from([0.1, 0.25, 3.0])),
    st.builds(Phase, STEPS, st.integers(1, 24)),
    st.builds(Burst, STEPS, st.integers(1, 9), st.integers(0, 5)),
)


def samples(encoder: Encoder, count: int, frame: tuple[int, ...] = SHAPE) -> Array:
    """``count`` random samples for frames of that shape."""
    return np.random.default_rng(count).random((count, *sample_shape(encoder, frame)))


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(RanvierError) as found:
        call()
    return found.value.diagnostics[0].code


@given(unit, STEPS)
def test_direct_shows_the_sample_in_every_step(x: Array, n: int) -> None:
    frames = encode(Direct(n), x)
    assert frames.shape == (3, n, *SHAPE)
    assert (frames == x[:, None].astype(np.float32)).all()


def test_rate_draws_as_often_as_the_value_says() -> None:
    x = np.broadcast_to(np.linspace(0, 1, 5), (200, 5))
    frames = encode(Rate(100, 4), x)
    share = frames.mean(axis=(0, 1))
    within = 5 * np.sqrt(x[0] * (1 - x[0]) / frames[..., 0].size)
    assert (np.abs(share - x[0]) <= within).all()
    assert (frames[..., 0] == 0).all()
    assert (frames[..., 4] == 1).all()


@given(unit, STEPS, st.integers(0, 2**40), st.integers(0, 2**40))
def test_rate_compares_with_philox_by_seed_and_number(x: Array, n: int, seed: int, first: int) -> None:
    frames = encode(Rate(n, seed), x, first)
    for i, sample in enumerate(x):
        raw = np.random.Philox(key=seed + ((first + i) << 64)).random_raw(n * sample.size)
        drawn = np.array([(int(r) >> 11) / 2**53 for r in raw]).reshape(n, *SHAPE)
        assert (frames[i] == (drawn < sample)).all()


def test_rate_draws_differ_between_seeds_samples_steps_and_places() -> None:
    x = np.full((2, 64), 0.5)
    frames = encode(Rate(64, 1), x)
    assert (frames == encode(Rate(64, 1), x)).all()
    for other in (encode(Rate(64, 2), x), frames[::-1], np.roll(frames, 1, 1), np.roll(frames, 1, 2)):
        assert 0.4 < (frames == other).mean() < 0.6


@given(ENCODERS, st.integers(1, 6), st.data())
def test_frames_depend_on_neither_batches_nor_order(encoder: Encoder, count: int, data: st.DataObject) -> None:
    x, first = samples(encoder, count), data.draw(st.integers(0, 1000))
    whole = encode(encoder, x, first)
    cut = data.draw(st.integers(0, count))
    parts = [encode(encoder, x[a:b], first + a) for a, b in ((0, cut), (cut, count)) if b > a]
    assert (np.concatenate(parts) == whole).all()
    for i in data.draw(st.permutations(range(count))):
        assert (encode(encoder, x[i : i + 1], first + i)[0] == whole[i]).all()


@given(st.sampled_from([Direct, Rate, Phase, Burst]), STEPS, STEPS)
def test_a_shorter_run_sees_the_beginning_of_a_longer_one(kind: type[Any], a: int, b: int) -> None:
    x = samples(kind(a), 3)
    short, long = encode(kind(min(a, b)), x), encode(kind(max(a, b)), x)
    assert (long[:, : min(a, b)] == short).all()


@given(ENCODERS, st.integers(1, 4))
def test_shapes_types_and_values(encoder: Encoder, count: int) -> None:
    frames = encode(encoder, samples(encoder, count))
    assert frames.shape == (count, encoder.steps, *SHAPE)
    assert frames.dtype == (np.float32 if sends(encoder) == "current" else np.int8)
    assert sends(encoder) == "current" or set(np.unique(frames)) <= {0, 1}


@given(unit, STEPS)
def test_latency_sends_once_and_larger_values_first(x: Array, n: int) -> None:
    frames = encode(Latency(n), x)
    assert (frames.sum(axis=1) == (x > 0)).all()
    when = np.where(x > 0, frames.argmax(axis=1), n)
    order = np.argsort(-x.reshape(-1))
    assert (np.diff(when.reshape(-1)[order]) >= 0).all()
    assert (np.abs((n - 1) * (1 - x) - when)[x > 0] <= 0.5).all()


@given(arrays(np.float64, (2, 12, 3, 2), elements=st.floats(-1, 1)), st.sampled_from([0.25, 0.5, 3.0]))
def test_delta_follows_the_signal(x: Array, threshold: float) -> None:
    sent = encode(Delta(12, threshold), x).astype(int)
    assert sent.shape == (2, 12, 6, 2)
    rises, falls = sent[:, :, :3], sent[:, :, 3:]
    assert (rises + falls <= 1).all()
    followed = threshold * np.cumsum(rises - falls, axis=1)
    before = np.concatenate([np.zeros((2, 1, 3, 2)), followed[:, :-1]], axis=1)
    assert ((rises == 1) == (x - before >= threshold)).all()
    assert ((falls == 1) == (before - x >= threshold)).all()


def test_delta_reaches_a_constant_signal() -> None:
    sent = encode(Delta(20, 0.25), np.full((1, 20, 1), 0.9))
    assert sent[0, :, 0].sum() == 3
    assert sent[0, :, 1].sum() == 0


@given(unit, st.integers(1, 24))
def test_phase_sends_binary_digits(x: Array, bits: int) -> None:
    frames = encode(Phase(2 * bits, bits), x)
    weights = 2.0 ** -(1 + np.arange(2 * bits) % bits)
    value = np.tensordot(frames, weights, axes=(1, 0)) / 2
    np.testing.assert_array_equal(value, np.rint(x * (2**bits - 1)) / 2**bits)


@given(unit, st.integers(1, 6), st.integers(0, 4))
def test_burst_counts_and_distances_follow_the_value(x: Array, longest: int, gap: int) -> None:
    frames = encode(Burst(40, longest, gap), x)
    assert (frames.sum(axis=1) == np.rint(longest * x)).all()
    for i in np.ndindex(x.shape):
        times = np.flatnonzero(frames[(i[0], slice(None), *i[1:])])
        assert (np.diff(times) == 1 + np.rint(gap * (1 - x[i]))).all()
        assert not times.size or times[0] == 0


def test_burst_loses_what_comes_after_the_last_step() -> None:
    assert encode(Burst(3), np.array([[1.0]]))[0, :, 0].tolist() == [1, 1, 1]


@given(ENCODERS, st.integers(1, 3))
def test_an_entry_takes_samples_or_frames_and_no_shape_is_both(encoder: Encoder, count: int) -> None:
    x, kind = samples(encoder, count), sends(encoder)
    port = Port("in", SHAPE, 8 if kind == "current" else 0, 1.0, encoder)
    frames = frames_of(port, x)
    assert (frames == encode(encoder, x)).all()
    assert frames_of(Input("in", SHAPE, kind, None, encoder), frames) is frames
    assert frames_of(replace(port, encoder=None), x) is x
    assert refused(lambda: frames_of(port, x[..., :1])) == "RV352"
    assert refused(lambda: frames_of(port, frames[:, None])) == "RV352"


@given(ENCODERS)
def test_coders_are_written_and_read_back(encoder: Encoder) -> None:
    node = Input("in", SHAPE, sends(encoder), None, encoder)
    assert parse(*dump(node)) == node
    made = {f.name: getattr(encoder, f.name) for f in fields(encoder)}
    assert coder(coding.name_of(encoder), **made) == encoder
    assert str(made["steps"]) in coding.described(encoder)


def test_texts_without_a_coder_still_read() -> None:
    assert parse('Input(name="x", shape=(2,), coding="spikes", payload=None)', {}) == Input("x", (2,), "spikes")
    assert parse('Port(name="x", shape=(2,), bits=0, scale=1.0)', {}) == Port("x", (2,))


def test_the_table_names_every_coder() -> None:
    assert set(CODERS.values()) == set(coding._SENT) == set(Encoder.__args__)


@pytest.mark.parametrize(
    "encoder",
    [
        Direct(0),
        Direct(2**20 + 1),
        Direct(2.5),
        Direct(True),
        Rate(4, -1),
        Rate(4, 2**63),
        Phase(4, 0),
        Phase(4, 25),
        Burst(4, 0),
        Burst(4, 1, -1),
        Delta(4, 0.0),
        Delta(4, float("nan")),
        Delta(4, float("inf")),
        Delta(4, "0.1"),
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused(encoder: Encoder) -> None:
    assert len(list(problems(encoder))) == 1
    assert refused(lambda: encode(encoder, np.zeros((1, 4, 2)))) == "RV351"
    net = small_network()
    wrong = replace(net.inputs[0], encoder=encoder, coding="current", payload=Payload(8, 1.0))
    assert refused(lambda: check_network(with_input(net, wrong), "imported")) == "RV315"


def with_input(net: Network, node: Input) -> Network:
    return replace(net, nodes=(node, *net.nodes[1:]))


def test_the_verifier_refuses_coders_that_do_not_fit_the_input() -> None:
    net, chip = small_network(), layered_chip()
    spikes, port = net.inputs[0], replace(chip.ports[0], bits=0, scale=1.0)
    for fits in (Rate(4), Delta(4, 0.5)):
        check_network(with_input(net, replace(spikes, encoder=fits)), "imported")
    check_chip(replace(chip, ports=(replace(port, encoder=Rate(4)),)))
    assert refused(lambda: check_network(with_input(net, replace(spikes, encoder=Direct(4))), "imported")) == "RV315"
    for wrong in (Direct(4), Rate(0)):
        unfit = replace(chip, ports=(replace(port, encoder=wrong),))
        with pytest.raises(RanvierError, match="RV342"):
            check_chip(unfit)
    odd = replace(spikes, shape=(3,), encoder=Delta(4, 0.5))
    assert any("even" in text for text in coding.misplaced(Delta(4, 0.5), odd.shape, "spikes"))
    assert refused(lambda: check_network(with_input(net, odd), "imported")) == "RV315"


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("RV350", lambda: coder("ttfs", steps=4)),
        ("RV350", lambda: encode("rate", np.array([[1.0]]))),
        ("RV351", lambda: coder("rate", steps=4, bits=3)),
        ("RV351", lambda: coder("delta", steps=4)),
        ("RV351", lambda: coder("rate")),
        ("RV351", lambda: coder("phase", steps=0)),
        ("RV352", lambda: encode(Direct(4), np.zeros((0, 3)))),
        ("RV352", lambda: encode(Direct(4), np.float64(1.0))),
        ("RV352", lambda: encode(Delta(3, 0.1), np.zeros((2, 3)))),
        ("RV352", lambda: encode(Delta(3, 0.1), np.zeros((2, 4, 1)))),
        ("RV353", lambda: encode(Rate(4), np.array([[2.0]]))),
        ("RV353", lambda: encode(Latency(4), np.array([[-0.1]]))),
        ("RV353", lambda: encode(Phase(4), np.array([[np.inf]]))),
        ("RV353", lambda: encode(Direct(4), np.array([[np.nan]]))),
        ("RV353", lambda: encode(Direct(4), np.array([["a"]]))),
        ("RV354", lambda: encode(Rate(2**20), np.zeros((2**10, 2**4)))),
    ],
)
def test_what_a_coder_cannot_take_is_refused(code: str, call: Callable[[], Any]) -> None:
    assert refused(call) == code
