"""What a NIR file leaves open: asked for all at once, or taken from a preset and then said."""

from pathlib import Path

import nir
import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.nir import PRESETS, load_nir
from support.nir_files import cuba, integrate_and_fire, lif, write_chain


def only_model(path: Path, **options: object) -> Lif:
    model = load_nir(path, **options).populations[0].model
    assert isinstance(model, Lif)
    return model


def test_dt_and_reset_are_asked_for_together_with_the_nodes_that_need_them(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "n.nir", (3,), lif(3), nir.Linear(np.ones((2, 3))), cuba(2))
    with pytest.raises(RanvierError) as found:
        load_nir(path)
    assert [(d.code, d.place) for d in found.value.diagnostics] == [("RV110", "option dt"), ("RV110", "option reset")]
    for diagnostic, word in zip(found.value.diagnostics, ("dt=1e-3", "'subtract'"), strict=True):
        assert "l0, l2" in diagnostic.message
        assert word in diagnostic.fix
    with pytest.raises(RanvierError) as found:
        load_nir(path, dt=1e-3)
    assert [d.place for d in found.value.diagnostics] == ["option reset"]


def test_nothing_is_asked_that_the_file_does_not_need(tmp_path: Path) -> None:
    load_nir(write_chain(tmp_path / "t.nir", (3,), nir.Threshold(np.ones(3))))
    load_nir(write_chain(tmp_path / "v.nir", (3,), lif(3, v_reset=-0.5)), dt=1e-3)


def test_metadata_of_a_node_win_over_the_options(tmp_path: Path) -> None:
    node = lif(3)
    node.metadata = {"reset": "subtract", "dt": 0.002}
    path = write_chain(tmp_path / "n.nir", (3,), node)
    assert only_model(path).reset == "subtract"
    model = only_model(path, dt=1e-4, reset="value")
    assert (model.reset, round(float(model.keep_membrane), 12)) == ("subtract", 0.8)
    node.metadata = {"reset": "sideways", "dt": -1.0}
    with pytest.raises(RanvierError) as found:
        load_nir(write_chain(tmp_path / "m.nir", (3,), node))
    assert [d.code for d in found.value.diagnostics] == ["RV111", "RV111"]


def test_every_value_that_was_not_stated_is_a_note(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "n.nir", (3,), integrate_and_fire(3))
    notes = load_nir(path, preset="sinabs", reset="value").notes
    said = {note.place: note.text for note in notes if note.code == "RV120"}
    assert set(said) == {"dt", "method", "compare", "max_spikes", "floor"}
    assert said["compare"] == "compare = >=, from preset sinabs, not from the file"
    assert said["max_spikes"].startswith("max_spikes = unlimited")
    stated = load_nir(
        path, dt=1.0, method="exp", reset="value", compare=">", max_spikes=1, floor=-1.0, readout="spike_count"
    )
    assert [note for note in stated.notes if note.code in ("RV120", "RV124")] == []


def test_presets_supply_what_their_exporter_means(tmp_path: Path) -> None:
    dt, tau, tau_syn = 1e-4, 2e-3, 1e-3
    snntorch = cuba(3, tau_mem=tau, tau_syn=tau_syn, r=tau / dt * (1 + 2e-7), w_in=tau_syn / dt)
    path = write_chain(tmp_path / "s.nir", (3,), snntorch)
    with pytest.raises(RanvierError) as found:
        load_nir(path, preset="snntorch")
    assert [d.place for d in found.value.diagnostics] == ["option reset"]
    model = only_model(path, preset="snntorch", reset="subtract")
    assert float(model.gain) == 1.0
    assert (float(model.keep_membrane), float(model.keep_current)) == pytest.approx((0.95, 0.9))
    assert (model.compare, model.max_spikes) == (">", 1)
    jelly = only_model(write_chain(tmp_path / "j.nir", (3,), lif(3, tau=tau, v_reset=-0.5)), preset="spikingjelly")
    assert (jelly.compare, jelly.reset, float(jelly.initial), float(jelly.gain)) == (">=", "value", -0.5, 0.05)


def test_norse_writes_tau_times_dt(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "n.nir", (3,), cuba(3, tau_mem=0.01 * 1e-3, tau_syn=0.005 * 1e-3, r=7.0, v_leak=0.3))
    model = only_model(path, preset="norse")
    wanted = (0.9, 0.8, 0.1, 0.1 * 0.3, 0.3)
    found = (model.keep_membrane, model.keep_current, model.gain, model.drive, model.initial)
    assert tuple(map(float, found)) == pytest.approx(wanted)


def test_sinabs_counts_tau_in_steps(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "n.nir", (3,), lif(3, tau=10.0, r=5.0))
    model = only_model(path, preset="sinabs")
    assert float(model.gain) == pytest.approx(1 - np.exp(-0.1))
    assert (model.reset, model.compare, model.max_spikes) == ("subtract", ">=", 0)


def test_rockpool_hides_dt_in_r(tmp_path: Path) -> None:
    dt, tau = 1e-3, 0.02
    hidden = tau * np.exp(-dt / tau) / dt
    model = only_model(
        write_chain(tmp_path / "n.nir", (3,), cuba(3, tau_mem=tau, tau_syn=0.01, r=hidden)), preset="rockpool"
    )
    assert float(model.keep_membrane) == pytest.approx(np.exp(-dt / tau), rel=1e-9)
    assert float(model.gain) == float(model.keep_current) == pytest.approx(np.exp(-dt / 0.01), rel=1e-9)
    mixed = cuba(3, tau_mem=tau, r=hidden)
    mixed.r = np.array([hidden, hidden, hidden / 2])
    with pytest.raises(RanvierError) as found:
        load_nir(write_chain(tmp_path / "m.nir", (3,), mixed), preset="rockpool")
    assert [d.code for d in found.value.diagnostics] == ["RV115"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_reads_a_lif_file_or_asks(tmp_path: Path, name: str) -> None:
    tau = 1e-5 if name == "norse" else 10.0 if name == "sinabs" else 0.01
    path = write_chain(tmp_path / "n.nir", (3,), lif(3, tau=tau, r=10.0))
    assert 0 < float(only_model(path, preset=name, reset="value").keep_membrane) < 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("dt", 0.0),
        ("dt", np.nan),
        ("method", "rk4"),
        ("reset", "zero"),
        ("compare", "="),
        ("preset", "b"),
        ("max_spikes", -1),
    ],
)
def test_illegal_options_are_named(tmp_path: Path, option: str, value: object) -> None:
    options: dict[str, object] = {"dt": 1.0, "reset": "value"}
    with pytest.raises(RanvierError) as found:
        load_nir(write_chain(tmp_path / "n.nir", (3,), lif(3)), **(options | {option: value}))
    assert [(d.code, d.place) for d in found.value.diagnostics] == [("RV111", f"option {option}")]
