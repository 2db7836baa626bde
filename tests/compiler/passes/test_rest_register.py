"""Rest after a spike on a chip that is not programmable: its refractory register, bit for bit."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.programs import CUBA_REFRACTORY, Features, chip_lif
from ranvier.runtimes.verify import Asked

LIMIT = 2**23 - 1
WIRED = Features(refractory=True, wired=True)
Array = Any


def shifted(value: Array, factor: Array) -> Array:
    """``value * factor / 4096`` towards zero."""
    return np.sign(value) * ((np.abs(value) * factor) >> 12)


def published(arriving: Array, du: int, dv: int, vth: int, bias: int, register: int) -> Array:
    """Spikes (steps, neurons) of Loihi 1's compartment as nengo-loihi 1.1 steps it; ``register`` = 1 is no rest."""
    u = v = rest = np.zeros(arriving.shape[1], np.int64)
    fired = []
    for now in arriving:
        u = shifted(u, 4096 - (du + 1)) + (now << 6)
        v = np.clip(shifted(v, 4096 - dv) + u + bias, -LIMIT, LIMIT)
        v = np.where(rest > 0, 0, v)
        spikes = v > (vth << 6)
        v = np.where(spikes, 0, v)
        rest = np.maximum(np.where(spikes, register, rest) - 1, 0)
        fired.append(spikes)
    return np.array(fired)


@given(
    st.integers(0, 2**31),
    st.sampled_from([-1, 299, 1023, 4095]),
    st.sampled_from([0, 128, 1000, 4096]),
    st.integers(1, 400),
    st.integers(-300, 300),
    st.integers(1, 62),
)
def test_the_step_is_the_published_one(seed: int, du: int, dv: int, vth: int, bias: int, steps: int) -> None:
    random = np.random.default_rng(seed)
    arriving = random.integers(-60, 120, (80, 12)) * (random.random((80, 12)) < 0.5)
    program = chip_lif(WIRED)
    params = {n: np.array(v) for n, v in {"du": du, "dv": dv, "vth": vth, "bias": bias, "refractory": steps}.items()}
    states: Any = {s.name: np.zeros(12, np.int64) for s in program.states}
    fired = []
    for now in arriving:
        result = step(program, states, {n: params[n] for n in program.params}, now)
        fired.append(np.asarray(result.spikes, bool))
        states = result.states
    np.testing.assert_array_equal(np.array(fired), published(arriving, du, dv, vth, bias, steps + 1))


def resting(refractory: int, **more: Any) -> Network:
    """Two layers, the first with a synaptic current; weights that the grid of 8 bits holds but for rounding."""
    random = np.random.default_rng(3)
    hidden = Lif(keep_current=np.array(0.5), keep_membrane=np.array(0.9), refractory=refractory, **more)
    nodes = (
        Input("input", (10,), "spikes"),
        Dense("fc1", random.uniform(-0.4, 1.0, (8, 10))), Neurons("hidden", (8,), hidden),
        Dense("fc2", random.uniform(-0.4, 1.0, (4, 8))), Neurons("out", (4,), Lif(keep_membrane=np.array(0.8))),
    )  # fmt: skip
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return Network("resting", nodes, tuple(edges), Readout("out", "spike_count"))


def data() -> Array:
    return (np.random.default_rng(5).random((4, 30, 10)) < 0.4).astype(float)


@pytest.mark.parametrize("steps", [1, 3, 62])
def test_loihi1_takes_it_as_its_own(steps: int) -> None:
    app = ranvier.compile(resting(steps), "loihi1", data())
    hidden = app.program.chip.by_name["hidden"]
    assert hidden.program.semantics == CUBA_REFRACTORY
    ours, theirs = (app.run(data(), ("spikes", "membrane"), runtime) for runtime in ("simulator", "oracle"))
    for layer, spikes in ours.spikes.items():
        np.testing.assert_array_equal(spikes, theirs.spikes[layer])
        np.testing.assert_array_equal(ours.membrane[layer], theirs.membrane[layer])
    fired = ours.spikes["hidden"].astype(bool)
    assert fired.any()
    for later in range(1, min(steps, 29) + 1):
        assert not np.any(fired[:, later:] & fired[:, :-later])


def test_it_is_verified_and_explained() -> None:
    app = ranvier.compile(resting(2), "loihi1", data())
    found = ranvier.verify(app, resting(2), (data(), None), ("simulator", "oracle"), explain=Asked(samples=2))
    assert found.agrees
    assert not found.overflows
    assert all(layer.fraction > 0.95 for layer in found.agreement.values())
    assert found.explanation is not None
    assert not found.explanation.suspects


def test_it_is_saved_and_read(tmp_path: Any) -> None:
    app = ranvier.compile(resting(2), "loihi1", data())
    app.save(tmp_path / "resting.rnv")
    np.testing.assert_array_equal(ranvier.open(tmp_path / "resting.rnv").run(data()).outputs, app.run(data()).outputs)


def test_in_lava_spike_for_spike() -> None:
    app = ranvier.compile(resting(2), "loihi1", data())
    host, lava = (app.run(data()[:2, :10], ("spikes",), runtime) for runtime in ("simulator", "lava"))
    for layer, spikes in host.spikes.items():
        np.testing.assert_array_equal(spikes, lava.spikes[layer], err_msg=layer)
    assert host.spikes["hidden"].any()


def test_a_rest_beyond_the_register_is_refused() -> None:
    with pytest.raises(RanvierError) as found:
        ranvier.compile(resting(63), "loihi1", data())
    (only,) = found.value.diagnostics
    assert only.code == "RV399"
    assert "63 steps" in only.message
    assert "up to 62" in only.message


@pytest.mark.parametrize("more", [{"reset": "subtract"}, {"floor": -1.0}, {"block_input": True}])
def test_with_anything_else_it_is_no_register(more: dict[str, Any]) -> None:
    with pytest.raises(RanvierError) as found:
        ranvier.compile(resting(2, **more), "loihi1", data())
    assert [d.code for d in found.value.diagnostics] == ["RV390"]
    assert "a refractory time" in found.value.diagnostics[0].message
