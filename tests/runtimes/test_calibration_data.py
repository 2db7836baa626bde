"""What calibration data of every kind of unfitness lead to: notes in the program, with figures."""

from itertools import pairwise

import numpy as np
import pytest

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Note, Payload, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.pipeline import prepare
from ranvier.runtimes.calibration_data import calibration_notes
from ranvier.runtimes.observe import observe

WIRES, STEPS = 12, 20


def network(coding="current", payload: Payload | None = None, kind="spike_count", **lif) -> Network:
    """Two layers of leaky neurons for images from 0 to 1."""
    rng = np.random.default_rng(2)
    model = Lif(keep_membrane=np.array(0.75), **{name: np.array(value) for name, value in lif.items()})
    nodes = (
        Input("input", (WIRES,), coding, payload),
        Dense("fc0", rng.normal(0.04, 0.2, (16, WIRES))), Neurons("hidden", (16,), Lif(keep_membrane=np.array(0.75))),
        Dense("fc1", rng.normal(0.2, 0.4, (4, 16))), Neurons("out", (4,), model),
    )  # fmt: skip
    edges = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    return Network("net", nodes, edges, Readout("out", kind))


def images(samples: int = 20, most: float = 1.0) -> np.ndarray:
    """Static images (samples, steps, wires) with values from 0 to ``most``."""
    shown = np.rint(np.random.default_rng(3).random((samples, 1, WIRES)) * 255) / 255 * most
    return np.repeat(shown, STEPS, axis=1)


def notes(net: Network, data: np.ndarray) -> dict[str, Note]:
    prepared = prepare(net)
    found = calibration_notes(prepared, data, observe(prepared, data))
    assert len({(note.code, note.place) for note in found}) == len(found)
    return {note.code: note for note in found}


def test_good_data_need_no_note():
    assert notes(network(), images()) == {}
    spikes = (np.random.default_rng(0).random((20, STEPS, WIRES)) < 0.5).astype(np.int8)
    assert notes(network("spikes"), spikes) == {}


def test_constant_data():
    found = notes(network(), np.full((20, STEPS, WIRES), 0.5))
    assert found["RV840"].place == "input"
    assert "every value of the calibration data is 0.5" in found["RV840"].text
    assert not {"RV841", "RV842"} & set(found)


def test_silent_data():
    found = notes(network(), np.zeros((20, STEPS, WIRES)))
    assert set(found) == {"RV841", "RV844"}
    assert "all 20 calibration samples are zero" in found["RV841"].text
    assert "RV841" not in notes(network(), images() - 1.0)


def test_one_sample_many_times():
    found = notes(network(), np.repeat(images(1), 20, axis=0))
    assert set(found) == {"RV842"}
    assert "all 20" in found["RV842"].text


@pytest.mark.parametrize(("count", "text"), [(1, "1 calibration sample: "), (9, "9 calibration samples: ")])
def test_few_samples(count: int, text: str):
    found = notes(network(), images(count))
    assert set(found) == {"RV843"}
    assert text in found["RV843"].text
    assert f"1 in {count + 1}" in found["RV843"].text
    assert "RV843" not in notes(network(), images(10))


def test_a_layer_that_never_spikes():
    found = notes(network(threshold=1e6), images())
    assert set(found) == {"RV844"}
    assert found["RV844"].place == "out"


def test_data_that_are_too_small_silence_the_network():
    assert set(notes(network(), images(most=1 / 255))) == {"RV844"}


@pytest.mark.parametrize("threshold", [1e6, np.inf])
def test_a_layer_that_is_read_by_its_membrane_may_be_silent(threshold: float):
    assert notes(network(kind="last_membrane", threshold=threshold), images()) == {}


def test_a_layer_that_spikes_in_every_step():
    found = notes(network(threshold=1e-6, drive=10.0), images())
    assert set(found) == {"RV845"}
    assert found["RV845"].place == "out"
    assert "100 % of all steps" in found["RV845"].text


def test_images_of_8_bits_for_a_network_of_0_to_1():
    found = notes(network(), images(most=255))
    assert found["RV847"].place == "input"
    assert "from 0 to 255" in found["RV847"].text
    assert "divide the data by 255" in found["RV847"].text
    assert "hidden" in found["RV847"].text


def test_other_data_that_are_too_large():
    text = notes(network(), images(most=60) - 20.0)["RV847"].text
    assert "scale the data as in training" in text
    assert "255" not in text


def test_large_data_that_the_neurons_bear_are_no_fault():
    net = network()
    scaled = [Dense(n.name, n.weight / 255) if n.name == "fc0" else n for n in net.nodes]
    assert notes(Network("net", tuple(scaled), net.edges, net.readout), images(most=255)) == {}


def test_neurons_that_spike_always_within_few_steps_are_no_fault():
    assert "RV847" not in notes(network(), images(most=255)[:, :2])


def test_data_beyond_the_range_that_the_input_was_imported_with():
    net = network(payload=Payload(8, 127.0))
    assert notes(net, images()) == {}
    found = notes(net, images(most=2.0))
    assert "the input takes -1.004 to 1.004" in found["RV846"].text
    share = 100 * np.mean(images(most=2.0) > 127.5 / 127)
    assert f"{share:.3g} % of the values saturate" in found["RV846"].text


def test_the_program_carries_the_notes():
    chip = ranvier.compile(network(), "loihi2", images(4, most=255)).program.chip
    assert {"RV843", "RV847"} <= {note.code for note in chip.notes}
    good = ranvier.compile(network(), "loihi2", images()).program.chip
    assert not [note for note in good.notes if note.code.startswith("RV84")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (images()[:, 0], "RV821"),
        (images()[:, :, :5], "RV821"),
        (images()[:0], "RV822"),
        (images()[:, :0], "RV822"),
        (np.where(images() > 0.9, np.nan, images()), "RV824"),
        (np.where(images() > 0.9, np.inf, images()), "RV824"),
        (images().astype(str), "RV823"),
    ],
    ids=["no steps", "wires", "no samples", "no step", "nan", "inf", "text"],
)
def test_data_that_cannot_enter_are_refused(data: np.ndarray, code: str):
    with pytest.raises(RanvierError) as refused:
        ranvier.compile(network(), "loihi2", data)
    (found,) = refused.value.diagnostics
    assert found.code == code
    assert found.fix
