"""NIR's neurons against their differential equations, stepped literally."""

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.nir import load_nir
from ranvier.runtimes.reference import run
from support.nir_files import cuba, integrate_and_fire, lif, write_chain

STEPS, DT = 200, 1e-3
X = np.random.default_rng(5).normal(1.0, 2.0, size=(1, STEPS, 3))


def simulated(path: Path, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and membranes before reset of the only population, driven by the currents X."""
    network = load_nir(path, coding="current", **options)
    recording = run(network, X, record=("spikes", "membrane"))
    name = network.populations[0].name
    return recording.spikes[name][0], recording.membrane[name][0]


def stepped(tau: float, tau_syn: float | None, options: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Euler steps of ``tau_syn I' = -I + 2 x``, ``tau v' = 0.1 - v + 3 I``, threshold 1, written out."""
    v, current = np.full(3, options.get("v0", 0.0)), np.zeros(3)
    spikes, membranes = [], []
    for x in X[0]:
        if tau_syn is not None:
            current = current + DT / tau_syn * (2 * x - current)
        v = v + DT / tau * (0.1 - v + 3 * (x if tau_syn is None else current))
        membranes.append(v.copy())
        fired = v > 1
        v = np.where(fired, v - 1 if options["reset"] == "subtract" else -0.2, v)
        spikes.append(fired)
    return np.array(spikes, float), np.array(membranes)


@pytest.mark.parametrize("reset", ["value", "subtract"])
@pytest.mark.parametrize("tau_syn", [None, 0.005])
def test_euler_steps_of_lif_and_cubalif(tmp_path: Path, reset: str, tau_syn: float | None) -> None:
    given = {"v_leak": 0.1, "r": 3.0, "v_reset": -0.2}
    node = lif(3, **given) if tau_syn is None else cuba(3, w_in=2.0, **given)
    spikes, membranes = simulated(write_chain(tmp_path / "n.nir", (3,), node), dt=DT, reset=reset)
    wanted, before = stepped(0.01, tau_syn, {"reset": reset})
    assert wanted.sum() > 10
    np.testing.assert_array_equal(spikes, wanted)
    np.testing.assert_allclose(membranes, before, atol=1e-9)


def test_exponential_steps_are_exact_for_a_constant_input(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "n.nir", (3,), lif(3, v_threshold=np.inf, r=2.0, v_leak=0.5))
    network = load_nir(path, dt=DT, method="exp", reset="value", coding="current")
    membrane = run(network, np.full((1, 40, 3), 0.7), record=("membrane",)).membrane["l0"][0]
    time = DT * np.arange(1, 41)
    np.testing.assert_allclose(membrane[:, 0], (0.5 + 2 * 0.7) * (1 - np.exp(-time / 0.01)), atol=1e-12)


def test_if_gains_r_dt_and_threshold_keeps_nothing(tmp_path: Path) -> None:
    network = load_nir(write_chain(tmp_path / "i.nir", (3,), integrate_and_fire(3)), dt=0.25, reset="value")
    assert isinstance(network.populations[0].model, Lif)
    assert float(network.populations[0].model.gain) == 0.25
    spikes, _ = simulated(write_chain(tmp_path / "t.nir", (3,), nir.Threshold(np.array([0.5, 1.0, 2.0]))))
    np.testing.assert_array_equal(spikes, X[0] > np.array([0.5, 1.0, 2.0]))


@pytest.mark.parametrize(
    "node",
    [
        nir.LI(tau=np.full(3, 0.01), r=np.ones(3), v_leak=np.zeros(3)),
        nir.I(r=np.ones(3)),
        nir.CubaLI(tau_mem=np.full(3, 0.01), tau_syn=np.full(3, 0.01), r=np.ones(3), v_leak=np.zeros(3)),
    ],
)
def test_integrators_are_read_out_by_their_membrane_and_never_fire(tmp_path: Path, node: Any) -> None:
    network = load_nir(write_chain(tmp_path / "n.nir", (3,), node), dt=DT, coding="current")
    assert network.readout.kind == "last_membrane"
    assert run(network, X * 100, record=("spikes",)).spikes["l0"].sum() == 0
    with pytest.raises(RanvierError) as found:
        load_nir(write_chain(tmp_path / "m.nir", (3,), node, integrate_and_fire(3)), dt=DT, reset="value")
    assert [d.code for d in found.value.diagnostics] == ["RV113"]


def test_a_delayed_subtraction_equals_resetting_one_step_later(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "n.nir", (3,), lif(3, r=3.0))
    spikes, _ = simulated(path, dt=DT, reset="delayed_subtract")
    v, fired, wanted = np.zeros(3), np.zeros(3, bool), []
    for x in X[0]:
        v = 0.9 * v + 0.3 * x - fired
        fired = v > 1
        wanted.append(fired)
    np.testing.assert_array_equal(spikes, np.array(wanted, float))
    assert spikes.sum() > 10


def test_a_delayed_zero_of_a_neuron_with_current_loses_the_next_step(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "n.nir", (3,), cuba(3, r=3.0, w_in=2.0))
    spikes, _ = simulated(path, dt=DT, reset="delayed_value")
    v, i, fired, wanted = np.zeros(3), np.zeros(3), np.zeros(3, bool), []
    for x in X[0]:
        i = 0.8 * i + 0.4 * x
        v = ~fired * (0.9 * v + 0.3 * i)
        fired = v > 1
        wanted.append(fired)
    np.testing.assert_array_equal(spikes, np.array(wanted, float))
    assert spikes.sum() > 10


def test_several_spikes_a_step_and_a_floor(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "n.nir", (3,), integrate_and_fire(3))
    options = {"dt": 1.0, "reset": "subtract", "compare": ">=", "max_spikes": 0, "floor": -1.0}
    spikes, _ = simulated(path, **options)
    v, wanted = np.zeros(3), []
    for x in X[0]:
        v = v + x
        n = np.where(v >= 1, np.floor(v), 0)
        v = np.maximum(v - n, -1.0)
        wanted.append(n)
    np.testing.assert_array_equal(spikes, np.array(wanted))
    assert spikes.max() > 2


def test_parameters_per_channel_and_per_neuron(tmp_path: Path) -> None:
    per_channel = nir.IF(r=np.ones((2, 1)), v_threshold=np.array([[1.0], [2.0]]), v_reset=np.zeros((2, 1)))
    network = load_nir(write_chain(tmp_path / "n.nir", (2, 3), per_channel), dt=1.0, reset="value")
    assert isinstance(network.populations[0].model, Lif)
    np.testing.assert_array_equal(network.populations[0].model.threshold, [1, 1, 1, 2, 2, 2])


@pytest.mark.parametrize(
    ("node", "options", "code"),
    [
        (lif(3, tau=5e-4), {"dt": DT}, "RV114"),
        (lif(3, tau=-1.0), {"dt": DT}, "RV114"),
        (lif(3, tau=DT), {"dt": DT, "reset": "delayed_subtract"}, "RV114"),
        (lif(4), {"dt": DT}, "RV107"),
        (lif(3), {"preset": "norse"}, "RV115"),
        (integrate_and_fire(3), {"preset": "rockpool"}, "RV115"),
    ],
)
def test_impossible_neurons_are_refused(tmp_path: Path, node: Any, options: dict[str, Any], code: str) -> None:
    with pytest.raises(RanvierError) as found:
        load_nir(write_chain(tmp_path / "n.nir", (3,), node), **({"reset": "value"} | options))
    assert [d.code for d in found.value.diagnostics] == [code]
