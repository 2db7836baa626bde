"""Float programs against the published equations, and integer ones against Lava's formulas where both mean the same."""

from collections.abc import Callable
from dataclasses import replace
from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.models import FORMS, realised
from ranvier.compiler.ir.neuron_steps.graded import graded_lif
from ranvier.compiler.ir.neuron_steps.resonators import resonate
from ranvier.compiler.ir.neuron_steps.sigma_delta import sigma_delta
from ranvier.compiler.ir.neurons import (
    NUMERIC,
    AdaptiveLif,
    Compare,
    FeedbackLif,
    GradedLif,
    Lif,
    NeuronModel,
    Resonator,
    SigmaDelta,
    lm_h,
    resonator,
    tc_lif,
)
from ranvier.compiler.ir.steps import StepProgram, problems
from support.kinds import MODELS

Floats = NDArray[np.float64]
Reference = Callable[[Floats], tuple[list[float], list[float]]]
STEPS = 400


def traces(model: NeuronModel, x: Floats) -> tuple[Floats, Floats]:
    """(what is sent, membrane before reset) of one neuron driven by ``x``."""
    made = realised(model)
    states: Any = {name: np.array([float(value)]) for name, value in made.initial.items()}
    sent, membrane = [], []
    for value in x:
        result = step(made.program, states, made.params, np.array([value]))
        states = result.states
        sent.append(float(result.spikes[0]))
        membrane.append(float(result.membrane[0]))
    return np.array(sent), np.array(membrane)


def stimulus(seed: int, lattice: bool = False) -> Floats:
    """Weak, strong, none and negative input; on multiples of 1/4 with ``lattice``."""
    rng = np.random.default_rng(seed)
    mean = np.repeat([0.3, 1.5, 0.0, -0.4], STEPS // 4)
    x = mean + rng.normal(0, 0.5, STEPS)
    return np.rint(x * 4) / 4 if lattice else x


def sigmoid(c: float) -> float:
    return 1 / (1 + exp(-c))


def tc_lif_trace(x: Floats, c0: float, c1: float, gamma: float, equal: bool, hard: bool, swapped: bool = False) -> Any:
    """Zhang et al. 2024; ``swapped`` lets the soma read the dendrite of the step before."""
    d = s = 0.0
    sent, membrane = [], []
    for value in x:
        before = d
        d = d - sigmoid(c0) * s + value
        s = s + sigmoid(c1) * (before if swapped else d)
        membrane.append(s)
        o = s >= 1.0 if equal else s > 1.0
        sent.append(float(o))
        if o and hard:
            s = 0.0
        elif o:
            d, s = d - gamma, s - 1.0
    return np.array(sent), np.array(membrane)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("equal", [True, False])
def test_tc_lif_bit_for_bit(equal: bool, hard: bool) -> None:
    for seed, (c0, c1) in enumerate([(0.0, 0.0), (-1.0, 0.7), (2.0, -0.4)]):
        x = stimulus(seed, lattice=c0 == 0)
        found = traces(tc_lif(c0, c1, 0.5, fire_on_equal=equal, hard_reset=hard), x)
        wanted = tc_lif_trace(x, c0, c1, 0.5, equal, hard)
        np.testing.assert_array_equal(found, wanted)
        assert wanted[0].sum() > 20
        assert not np.array_equal(found[0], tc_lif_trace(x, c0, c1, 0.5, equal, hard, swapped=True)[0])


def test_equality_decides_spikes_on_a_lattice() -> None:
    x = np.array([1.0, 1.0, 0.5])
    fires, waits = (traces(tc_lif(0.0, 0.0, fire_on_equal=equal), 2 * x)[0] for equal in (True, False))
    assert fires[0] == 1
    assert waits[0] == 0


def test_lm_h_bit_for_bit() -> None:
    a1, b1, a2, b2, theta = 0.3, -0.6, 0.9, 0.2, 0.8
    x = stimulus(5)
    d, s, sent, membrane = 0.0, 0.5 * theta, [], []
    for value in x:
        d = (sigmoid(a1) - 0.5) * d + (sigmoid(b1) - 0.5) * s + value
        s = (sigmoid(a2) + 0.5) * s + (sigmoid(b2) + 0.5) * d
        membrane.append(s)
        sent.append(float(s >= theta))
        s -= theta * (s >= theta)
        if abs(s) > 1e6:
            break
    found = traces(lm_h(a1, b1, a2, b2, theta), x[: len(sent)])
    np.testing.assert_array_equal(found, (sent, membrane))
    assert 5 < sum(sent) < len(sent)


def test_sinabs_alif() -> None:
    tau_mem, tau_adapt, b0, scale = 12.0, 30.0, 1.0, 1.8
    a_mem, a_ad = exp(-1 / tau_mem), exp(-1 / tau_adapt)
    x = 3 * stimulus(6)
    v, b, sent, membrane = 0.0, 0.0, [], []
    for value in x:
        v = a_mem * v + (1 - a_mem) * value
        membrane.append(v)
        th = b0 + scale * b
        n = float(v >= th)
        v -= n * th
        b = a_ad * b + (1 - a_ad) * n
        sent.append(n)
    model = AdaptiveLif(keep_membrane=a_mem, gain=1 - a_mem, keep_adaptation=a_ad, adaptation=scale * (1 - a_ad))
    found = traces(model, x)
    np.testing.assert_array_equal(found[0], sent)
    np.testing.assert_allclose(found[1], membrane, atol=1e-12)
    assert 10 < sum(sent) < STEPS / 2


def test_slayer_alif_whose_decays_come_before_the_comparison() -> None:
    keep_u, keep_v, keep_th, keep_r, th0, th_step = 0.6, 0.85, 0.92, 0.7, 1.0, 0.3
    x = stimulus(7)
    u = v = r = 0.0
    th, sent, membrane = th0, [], []
    for value in x:
        u = keep_u * u + value
        v = keep_v * v + u
        membrane.append(v)
        r = keep_r * r
        th = (th - th0) * keep_th + th0
        fires = v >= th + r
        sent.append(float(fires))
        if fires:
            r, th = r + 2 * th, th + th_step
    model = AdaptiveLif(
        keep_current=keep_u,
        keep_membrane=keep_v,
        keep_adaptation=keep_th,
        adaptation=keep_th * th_step,
        keep_refractory=keep_r,
        refractory=2 * keep_r,
        reset="none",
    )
    found = traces(model, x)
    np.testing.assert_array_equal(found[0], sent)
    np.testing.assert_allclose(found[1], membrane, atol=1e-12)
    assert 10 < sum(sent) < STEPS / 2


@pytest.mark.parametrize("rectify", [True, False])
def test_lprnn_neuron(rectify: bool) -> None:
    tau_in, tau_ip, tau_fb, tau_v, w_fb, bias = 4.0, 8.0, 16.0, 8.0, -0.5, 0.02
    x = 0.2 * stimulus(8)
    i_in = i_ip = i_fb = v = 0.0
    sent, membrane = [], []
    for value in x:
        old_in, old_ip, old_fb = i_in, i_ip, i_fb
        i_in = old_in - old_in / tau_in + value
        i_ip = old_ip - old_ip / tau_ip + old_in + bias
        i_fb = old_fb - old_fb / tau_fb
        v = v - v / tau_v + old_ip + old_fb
        if rectify:
            i_ip, v = max(i_ip, 0.0), max(v, 0.0)
        membrane.append(v)
        sent.append(float(v > 0))
        if v > 0:
            v, i_fb = 0.0, i_fb + w_fb
    model = FeedbackLif(keep_input=1 - 1 / tau_in, keep_current=1 - 1 / tau_ip, keep_feedback=1 - 1 / tau_fb,
                        keep_membrane=1 - 1 / tau_v, feedback=w_fb, drive=bias, rectify=rectify)  # fmt: skip
    found = traces(model, x)
    np.testing.assert_array_equal(found[0], sent)
    np.testing.assert_allclose(found[1], membrane, atol=1e-12)
    assert 20 < sum(sent) < STEPS - 20


def test_feedback_follows_the_low_pass_activation_better_in_smaller_steps() -> None:
    errors = []
    for tau in (10, 40, 160):
        model = FeedbackLif(keep_current=1 - 1 / tau, keep_feedback=1 - 1 / tau, keep_membrane=1 - 1 / tau,
                            drive=1 / tau, feedback=-1 / tau)  # fmt: skip
        made = realised(model)
        states: Any = {name: np.zeros(1) for name in made.initial}
        kept = []
        for _ in range(20 * tau):
            states = step(made.program, states, made.params, np.zeros(1)).states
            kept.append(float(states["u"][0] + states["w"][0]))
        errors.append(np.abs(kept[10 * tau :]).mean())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@pytest.mark.parametrize("period", [4.5, 9.0, 20.0])
def test_resonator_is_a_damped_rotation_that_fires_at_its_phase(period: float) -> None:
    alpha, theta = 0.04, 0.7
    x = stimulus(9)
    z, sent, membrane = 0j, [], []
    for value in x:
        old, z = z, z * (1 - alpha) * np.exp(2j * np.pi / period) + value
        membrane.append(z.real)
        sent.append(float(z.real >= theta and old.imag < 0 <= z.imag))
    found = traces(resonator(period, alpha, theta), x)
    np.testing.assert_array_equal(found[0], sent)
    np.testing.assert_allclose(found[1], membrane, atol=1e-12)
    assert sum(sent) > 5


def test_sigma_delta_sends_the_changes_of_its_activation() -> None:
    changes = 0.3 * stimulus(10)
    model = SigmaDelta(bias=0.25, threshold=0.4, activation="relu")
    activation = np.maximum(np.cumsum(changes) + 0.25, 0)
    told, sent = 0.0, []
    for a in activation:
        sent.append(a - told if abs(a - told) >= 0.4 else 0.0)
        told += sent[-1]
    found = traces(model, changes)
    np.testing.assert_allclose(found[0], sent, atol=1e-12)
    np.testing.assert_allclose(found[1], activation, atol=1e-12)
    assert 20 < np.count_nonzero(found[0]) < STEPS
    assert np.abs(np.cumsum(found[0]) - activation).max() < 0.4
    encoder = traces(replace(model, integrate=False), changes)
    np.testing.assert_array_equal(encoder[1], np.maximum(changes + 0.25, 0))


@pytest.mark.parametrize("compare", [">=", ">"])
def test_graded_spikes_carry_the_membrane_and_reset_it_fully(compare: Compare) -> None:
    x, v, sent, membrane = stimulus(11, lattice=True), 0.0, [], []
    for value in x:
        h = 0.5 * v + value
        fires = h >= 0.75 if compare == ">=" else h > 0.75
        sent.append(h if fires else 0.0)
        membrane.append(h)
        v = h - sent[-1]
    found = traces(GradedLif(keep_membrane=0.5, threshold=0.75, compare=compare), x)
    np.testing.assert_array_equal(found[0], sent)
    np.testing.assert_array_equal(found[1], membrane)
    assert 20 < np.count_nonzero(sent) < STEPS


@given(st.integers(0, 8), st.lists(st.integers(-(2**15), 2**15), min_size=1, max_size=20))
def test_a_graded_message_is_off_by_half_a_step_at_most(shift: int, arriving: list[int]) -> None:
    program = graded_lif("int", ">=", shift, 24)
    params = {"keep_membrane": 0, "drive": 0, "threshold": 1, "offset": 0}
    sent, _ = integers(program, params, arriving)
    for value, message in zip(arriving, sent, strict=True):
        size = 64 * value if value > 0 else 0
        assert abs(message * 2**shift - size) <= 2**shift / 2


def toward_zero(x: int, bits: int) -> int:
    return (abs(x) >> bits) * (1 if x >= 0 else -1)


def integers(
    program: StepProgram, params: dict[str, int], arriving: list[int]
) -> tuple[list[int], dict[str, list[int]]]:
    """What one integer neuron sends, and its states."""
    states: Any = {s.name: np.array([0]) for s in program.states}
    sent: list[int] = []
    kept: dict[str, list[int]] = {s.name: [] for s in program.states}
    for a in arriving:
        result = step(program, states, {k: np.array([v]) for k, v in params.items()}, np.array([a]))
        states = result.states
        sent.append(int(result.spikes[0]))
        for name, value in states.items():
            kept[name].append(int(value[0]))
    return sent, kept


@pytest.mark.parametrize("izhikevich", [False, True])
def test_integer_resonators_equal_lavas_formulas(izhikevich: bool) -> None:
    """Lava 0.10.0 RF and RF_IZ, fixed point, state_exp 6, decay_bits 12."""
    sin, cos, vth = int(0.95 * np.sin(2 * np.pi / 11) * 4096), int(0.95 * np.cos(2 * np.pi / 11) * 4096), 9 << 6
    arriving = np.random.default_rng(11).integers(-20, 22, 300).tolist()
    re = im = 0
    wanted: list[int] = []
    states: list[tuple[int, int]] = []
    for a in arriving:
        old = im
        new_re = toward_zero(cos * re, 12) - toward_zero(sin * im, 12) + (a << 6)
        new_im = toward_zero(sin * re, 12) + toward_zero(cos * im, 12)
        re, im = new_re, new_im
        fires = im >= vth if izhikevich else re >= vth and im >= 0 and old < 0
        if izhikevich and fires:
            re, im = 0, vth - 1
        wanted.append(int(fires))
        states.append((re, im))
    program = resonate("int", ">=", "imaginary" if izhikevich else "phase", "both" if izhikevich else "none")
    params = {"rotate_real": cos, "rotate_imag": sin, "drive": 0, "threshold": vth}
    if izhikevich:
        params["reset_value"] = vth - 1
    sent, kept = integers(program, params, arriving)
    assert sent == wanted
    assert list(zip(kept["u"], kept["v"], strict=True)) == states
    assert sum(sent) > 10


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("sums", [False, True])
def test_integer_sigma_delta_equals_lavas_formula_where_messages_lose_nothing(sums: bool, relu: bool) -> None:
    """Lava 0.10.0 Delta and SigmaDelta, fixed point, spike_exp 6, state_exp 0; cum_error off."""
    vth, bias = 150, 64 * 3
    arriving = np.random.default_rng(12).integers(-9, 10, 300).tolist()
    sigma = act = res = 0
    wanted = []
    for value in arriving:
        sigma = sigma + 64 * value if sums else 64 * value
        new = max(sigma + bias, 0) if relu else sigma + bias
        change = new - act + res
        sent = change if abs(change) >= vth else 0
        res, act = change - sent, new
        wanted.append(sent)
    program = sigma_delta("int", ">=", "relu" if relu else "unit", sums, 0, 20)
    sent, _ = integers(program, {"drive": 0, "bias": bias, "threshold": vth}, arriving)
    assert sent == wanted
    assert 10 < np.count_nonzero(sent) < 300


def test_what_a_message_cuts_off_is_sent_later() -> None:
    """Changes of 64 in messages of 256: what has been sent never lags by a whole message."""
    arriving = np.random.default_rng(14).integers(-3, 5, 200)
    program = sigma_delta("int", ">=", "unit", True, 8, 12)
    sent, _ = integers(program, {"drive": 0, "bias": 0, "threshold": 0}, arriving.tolist())
    lag = np.cumsum(arriving) * 64 - np.cumsum(sent) * 256
    assert np.abs(lag).max() < 256
    assert 20 < np.count_nonzero(sent) < 200


def test_a_current_that_spikes_clear() -> None:
    x = stimulus(15)
    i = v = 0.0
    sent = []
    for value in x:
        i = 0.9 * i + value
        v = 0.5 * v + i
        sent.append(float(v > 2.0))
        if v > 2.0:
            i = v = 0.0
    model = Lif(keep_current=0.9, keep_membrane=0.5, threshold=2.0, reset_current=True)
    np.testing.assert_array_equal(traces(model, x)[0], sent)
    assert not np.array_equal(traces(replace(model, reset_current=False), x)[0], sent)


def test_alpha_neurons_see_the_current_of_the_step_before_and_lose_it_with_a_spike() -> None:
    """snnTorch's Alpha, reset to zero: exponentials e and i whose difference is the membrane."""
    alpha, beta = 0.9, 0.8
    gain = (alpha - beta) * (np.log(alpha) / (np.log(beta) - np.log(alpha)) + 1)
    x = 2 * stimulus(13)
    e = i = mem = 0.0
    sent, membrane = [], []
    tau = np.log(alpha) / (np.log(beta) - np.log(alpha)) + 1
    for value in x:
        kept = 0.0 if mem > 1.0 else 1.0
        e, i = kept * (alpha * e + value), kept * (beta * i - value)
        mem = kept * tau * (e + i)
        membrane.append(mem)
        sent.append(float(mem > 1.0))
    model = Lif(keep_current=beta, keep_membrane=alpha, gain=gain, late_current=True, reset_current=True,
                block_input=True, refractory=1)  # fmt: skip
    found = traces(model, x)
    np.testing.assert_array_equal(found[0], sent)
    assert sum(sent) > 10
    resting = np.concatenate([[False], np.array(sent[:-1]) > 0])
    np.testing.assert_allclose(found[1][~resting], np.array(membrane)[~resting], atol=1e-12)


def test_every_program_is_legal_and_its_id_means_one_program() -> None:
    named: dict[str, StepProgram] = {}
    for model in MODELS.values():
        form = FORMS.get(type(model))
        if form is not None:
            chosen = not isinstance(model, NUMERIC) or model.message_scale
            ready = model if chosen else replace(model, message_scale=1.0, message_bits=8)
            for program in (form.program(ready, "float", 1.0), form.program(ready, "int", 64.0)):
                assert problems(program) == []
                assert named.setdefault(program.semantics, program) == program


def test_izhikevich_resets_both_parts() -> None:
    model = Resonator(0.8, 0.5, threshold=0.5, reset_value=0.25, fires="imaginary", reset="both")
    made = realised(model)
    first = step(made.program, {"u": np.array([2.0]), "v": np.array([0.0])}, made.params, np.array([0.0]))
    assert (bool(first.spikes[0]), float(first.states["u"][0]), float(first.states["v"][0])) == (True, 0.0, 0.25)
