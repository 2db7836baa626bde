"""Networks as users of each framework write them: imported, compiled, run on every executor, verified, exported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ranvier
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.text import equal
from ranvier.runtimes import reference
from ranvier.runtimes.verify import Asked
from support.nir_frameworks import IMPORT, with_state
from support.user_networks import MAKERS, ON_LOIHI1, case

pytestmark = pytest.mark.filterwarnings("ignore")  # the importers warn about parameters that they do not read
KEPT = ("spikes", "membrane", "states")
UNLIKE = ("Sinabs from_model, strong",)
"""Eight spikes a step: their number is seldom the same, their sum over time is (see below)."""
networks: dict[str, Network] = {}


def network(name: str) -> Network:
    """The imported network ``name``."""
    if name not in networks:
        networks[name] = case(name).network()
    return networks[name]


@pytest.mark.parametrize("name", MAKERS)
def test_imported_it_answers_as_the_module(name: str) -> None:
    found = case(name)
    recording = reference.run(network(name), found.data, ("spikes",))
    np.testing.assert_array_equal(recording.spikes[network(name).readout.node], found.answers)
    assert all(0.01 < np.mean(spikes > 0) < 0.99 for spikes in recording.spikes.values())


@pytest.mark.parametrize("name", MAKERS)
def test_on_loihi2_all_executors_agree_and_little_is_lost(name: str) -> None:
    deployed(name, "loihi2")


@pytest.mark.parametrize("name", ON_LOIHI1)
def test_on_loihi1_too(name: str) -> None:
    deployed(name, "loihi1")


def deployed(name: str, target: str) -> None:
    """Compiled: simulator and oracle equal in every state, verified, and most spikes as in the float network."""
    data = case(name).data
    app = ranvier.compile(network(name), target, data)
    ours, theirs = app.run(data, KEPT), app.run(data, KEPT, "oracle")
    for layer, spikes in ours.spikes.items():
        np.testing.assert_array_equal(spikes, theirs.spikes[layer])
        np.testing.assert_array_equal(ours.membrane[layer], theirs.membrane[layer])
        assert spikes.any(), layer
    found = ranvier.verify(app, network(name), (data, None), ("simulator", "oracle"))
    assert found.agrees
    assert not found.overflows
    assert all(layer.fraction > (0.6 if name in UNLIKE else 0.85) for layer in found.agreement.values())


SHIFTED = {"Sinabs from_model": 1, "Sinabs from_model, reset to zero": 1, "Sinabs from_model, strong": 2}
"""By how many spikes a count may be ahead or behind: these neurons do not leak, so that a rounded weight acts on."""


@pytest.mark.parametrize(("name", "ahead"), SHIFTED.items())
def test_neurons_without_leak_send_the_same_spikes_a_step_earlier_or_later(name: str, ahead: int) -> None:
    """Where layers agree in fewer steps, counts still do: answers change only where classes are as good as equal."""
    data = case(name).data
    app = ranvier.compile(network(name), "loihi2", data)
    floats = reference.run(network(name), data, ("spikes",)).spikes
    chip = app.run(data, ("spikes",)).spikes
    for layer, spikes in chip.items():
        assert np.abs(np.cumsum(spikes - floats[layer], axis=1)).max() <= ahead, layer
    wanted, counts = (found[network(name).readout.node].sum(1) for found in (floats, chip))
    best = wanted.argmax(1)
    moved = counts.argmax(1) != best
    margin = np.sort(wanted, 1)[:, -1] - np.sort(wanted, 1)[:, -2]
    assert np.all(margin[moved] <= 2 * ahead)


@pytest.mark.parametrize("name", ["Sinabs from_model, reset to zero", "Sinabs from_model, strong"])
def test_the_grid_of_the_weights_is_what_shifts_them(name: str) -> None:
    data = case(name).data
    app = ranvier.compile(network(name), "loihi2", data)
    found = ranvier.verify(app, network(name), (data, None), ("simulator",), explain=Asked(samples=4)).explanation
    assert found is not None
    assert {cause.approximations for cause in found.causes} == {("weights",)}
    if_exact = {effect.approximation: effect.agreement_if_exact for effect in found.effects if effect.layer is None}
    assert if_exact["weights"] > 0.998
    assert all(share < 0.995 for approximation, share in if_exact.items() if approximation != "weights")


@pytest.mark.parametrize("name", sorted(set(MAKERS) - set(ON_LOIHI1)))
def test_what_loihi1_does_not_have_is_refused_by_name(name: str) -> None:
    found = ranvier.check(network(name), "loihi1")
    refused = [d for d in found if d.severity == "error"]
    assert {d.code for d in refused} == {"RV390"}
    assert all("loihi2" in d.fix for d in refused)
    assert {d.place for d in refused} <= {p.name for p in network(name).populations}


@pytest.mark.parametrize("name", MAKERS)
def test_through_nir_it_is_the_same_program_byte_for_byte(name: str, tmp_path: Path) -> None:
    data = case(name).data
    ranvier.export_nir(network(name), tmp_path / "n.nir")
    again = ranvier.load(tmp_path / "n.nir")
    assert equal(again, network(name))
    for made, file in ((network(name), "a.rnv"), (again, "b.rnv")):
        ranvier.compile(made, "loihi2", data).save(tmp_path / file)
    assert (tmp_path / "a.rnv").read_bytes() == (tmp_path / "b.rnv").read_bytes()


READ_BACK = {
    "snnTorch tutorial, reset to zero": "snntorch",
    "SpikingJelly convolutions, average pools": "spikingjelly",
    "Norse SequentialState": "norse",
    "Norse box and fire": "norse",
    "Sinabs from_model": "sinabs",
    "Sinabs from_model, strong": "sinabs",
}


@pytest.mark.parametrize(("name", "reader"), READ_BACK.items())
def test_its_own_framework_reads_it_back_and_spikes_alike(name: str, reader: Any, tmp_path: Path) -> None:
    ranvier.export_nir(network(name), tmp_path / "n.nir", reader=reader, portable=True)
    found = case(name)
    frames = torch.tensor(found.data, dtype=torch.float32)
    made = [with_state(IMPORT[reader](tmp_path / "n.nir", 1), frame[None])[0] for frame in frames]
    np.testing.assert_array_equal(np.stack(made), found.answers)
    assert found.answers.any()


@pytest.mark.parametrize("name", ["snnTorch recurrent", "Norse refractory cells"])
def test_in_lava_spike_for_spike(name: str) -> None:
    data = case(name).data[:2, :8]
    app = ranvier.compile(network(name), "loihi2", case(name).data)
    host, lava = app.run(data, ("spikes",)), app.run(data, ("spikes",), "lava")
    for layer, spikes in host.spikes.items():
        np.testing.assert_array_equal(spikes, lava.spikes[layer], err_msg=layer)
    assert host.outputs.any()
