"""Coders at the input of a network: from loading to a saved program that takes samples as they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier
from ranvier import conversion, encode
from ranvier.compiler.ir.network import Input, Network, Neurons, Payload, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.text import dump
from ranvier.evaluation import evaluate, shards
from ranvier.examples.digits import network as digits
from support.apps import CLASSES, INPUTS, small_network, write_nir

STEPS = 20


def code(refused: pytest.ExceptionInfo[ranvier.RanvierError]) -> str:
    return refused.value.diagnostics[0].code


@given(st.integers(1, 5), st.integers(0, 9))
def test_the_functions_are_the_coders(samples: int, seed: int) -> None:
    x = np.random.default_rng(seed).random((samples, 3, 2))
    pairs: list[tuple[encode.Frames, encode.Encoder]] = [
        (encode.direct(x, 5), encode.Direct(5)),
        (encode.rate(x, 5, seed), encode.Rate(5, seed)),
        (encode.latency(x, 5), encode.Latency(5)),
        (encode.delta(x, 0.25), encode.Delta(3, 0.25)),
        (encode.phase(x, 5, 3), encode.Phase(5, 3)),
        (encode.burst(x, 5, 4, 1), encode.Burst(5, 4, 1)),
    ]
    for frames, encoder in pairs:
        assert (frames == encode.encode(encoder, x)).all()
    with pytest.raises(ranvier.RanvierError, match="RV352"):
        encode.delta(x[:, 0, 0], 0.25)


@pytest.mark.parametrize(
    ("encoder", "coding", "least"),
    [
        (encode.Direct(STEPS), "current", 0.95),
        (encode.Rate(STEPS, seed=7), "spikes", 0.9),
        (encode.Phase(STEPS, bits=4), "spikes", 0.0),
        (encode.Burst(STEPS), "spikes", 0.0),
        (encode.Latency(STEPS), "spikes", 0.0),
    ],
    ids=str,
)
def test_digits_from_raw_images_to_a_program_that_takes_them(
    encoder: encode.Encoder, coding: str, least: float, tmp_path: Path
) -> None:
    data, calibration = digits.data("test"), digits.data("calibration")["inputs"][:32]
    x, y = data["inputs"][:60], data["labels"][:60]
    net = encode.with_encoder(digits.network(), encoder)
    assert net.inputs[0].coding == coding
    ranvier.compile(net, calibrate=calibration).save(tmp_path / "a.rnv")
    app = ranvier.open(tmp_path / "a.rnv")
    assert app.program.chip.ports[0].encoder == encoder
    assert app.program.source is not None
    assert app.program.source.inputs[0].encoder == encoder
    frames = encode.encode(encoder, x)
    raw, shown = app.run(x), app.run(frames)
    assert np.array_equal(raw.outputs, shown.outputs)
    assert (raw.predictions == y).mean() >= least
    found = ranvier.verify(app, net, (x, y), ("simulator", "oracle"))
    assert found.agrees
    assert found.steps == STEPS
    assert found.to_json()["accuracy"] == (raw.predictions == y).mean()
    by_frames = ranvier.compile(net, calibrate=encode.encode(encoder, calibration))
    assert dump(by_frames.program)[0] == dump(app.program)[0]


def test_spikes_of_a_coder_fit_a_chip_that_takes_only_spikes() -> None:
    calibration = digits.data("calibration")["inputs"][:8]
    with pytest.raises(ranvier.RanvierError, match="RV381"):
        ranvier.compile(encode.with_encoder(digits.network(), encode.Direct(4)), "loihi1", calibration)
    app = ranvier.compile(encode.with_encoder(digits.network(), encode.Rate(4)), "loihi1", calibration)
    assert app.program.chip.ports[0].bits == 0


def test_another_coder_is_another_program(tmp_path: Path) -> None:
    files = []
    for name, encoder in {"a": encode.Rate(4), "b": encode.Rate(4, seed=1), "c": None}.items():
        net = small_network() if encoder is None else encode.with_encoder(small_network(), encoder)
        ranvier.compile(net).save(tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert len(set(files)) == 3
    app = ranvier.open(tmp_path / "a")
    with pytest.raises(ranvier.RanvierError) as refused:
        ranvier.verify(app, small_network(), (np.zeros((1, INPUTS)), None))
    assert code(refused) == "RV605"


def test_load_puts_the_coder_at_the_input(tmp_path: Path) -> None:
    path = write_nir(tmp_path / "net.nir")
    for encoder in (encode.Rate(8, seed=3), encode.Direct(8)):
        net = ranvier.load(path, dt=1e-3, reset="subtract", encode=encoder)
        assert net.inputs[0].encoder == encoder
        assert net.inputs[0].coding == ("spikes" if isinstance(encoder, encode.Rate) else "current")
        x = np.linspace(0, 1, 5 * INPUTS).reshape(5, INPUTS)
        assert ranvier.compile(net, calibrate=x).run(x).outputs.shape == (5, 8, CLASSES)
    with pytest.raises(ranvier.RanvierError) as refused:
        ranvier.load(path, dt=1e-3, reset="subtract", coding="spikes", encode=encode.Direct(8))
    assert code(refused) == "RV355"
    with pytest.raises(ranvier.RanvierError) as refused:
        ranvier.load(path, dt=1e-3, reset="subtract", encode="rate")  # type: ignore[call-overload]
    assert code(refused) == "RV350"


def test_load_encodes_what_a_torch_module_was_trained_on() -> None:
    from ranvier.examples.digits.model import trained  # noqa: PLC0415 - slow

    x = digits.data("test")["inputs"][:20]
    net = ranvier.load(trained(), sample=x[:1], encode=encode.Rate(STEPS, seed=2))
    assert net.inputs[0].coding == "spikes"
    again = encode.with_encoder(digits.network(), encode.Rate(STEPS, seed=2))
    loaded, built = (ranvier.compile(n, calibrate=x).run(x).outputs for n in (net, again))
    assert np.array_equal(loaded, built)


def test_integers_fixed_on_the_wire_stay() -> None:
    fixed = Input("input", (INPUTS,), "current", Payload(8, 3.0))
    net = replace(small_network(), nodes=(fixed, *small_network().nodes[1:]))
    changed = encode.with_encoder(net, encode.Rate(4))
    assert changed.inputs == (replace(fixed, encoder=encode.Rate(4)),)
    assert changed.nodes[1:] == net.nodes[1:]
    again = encode.with_encoder(changed, encode.Rate(5))
    assert [n.text for n in again.notes if n.code == "RV356"] == ["samples enter by rate (steps 5, seed 0), as spikes"]


def test_signals_become_rises_and_falls() -> None:
    net = encode.with_encoder(small_network(), encode.Delta(10, 0.25))
    app = ranvier.compile(net)
    x = np.random.default_rng(1).random((4, 10, INPUTS // 2))
    assert np.array_equal(app.run(x).outputs, app.run(encode.delta(x, 0.25)).outputs)
    with pytest.raises(ranvier.RanvierError, match=r"RV352.*\(samples, 10, 3\)"):
        app.run(x[:, :9])


def test_data_that_an_encoded_input_cannot_take_are_refused() -> None:
    app = ranvier.compile(encode.with_encoder(small_network(), encode.Rate(6)))
    x = np.full((2, INPUTS), 0.5)
    for wrong, wanted in [
        (x[:, :-1], "RV352"),
        (x * 3, "RV353"),
        (x * np.nan, "RV353"),
        (x.astype(str), "RV353"),
        (x[:0], "RV352"),
        (np.full((2, 6, INPUTS), 0.5), "RV825"),
    ]:
        with pytest.raises(ranvier.RanvierError) as refused:
            app.run(wrong)
        assert code(refused) == wanted
    with pytest.raises(ranvier.RanvierError, match="RV355"):
        encode.with_encoder(small_network(), encode.Direct(4))


def test_a_lava_project_says_which_coder_made_its_frames(tmp_path: Path) -> None:
    for encoder in (None, encode.Rate(6, seed=9)):
        net = small_network() if encoder is None else encode.with_encoder(small_network(), encoder)
        text = (ranvier.compile(net).emit_lava(tmp_path / "project") / "README.md").read_text()
        assert ("rate (steps 6, seed 9)" in text) == (encoder is not None)
        assert "frames.npy` has the shape" in text


def summing_network() -> Network:
    """The small network with a membrane that is read, as a converted network has it."""
    net = small_network()
    silent = Neurons("out", (CLASSES,), Lif(threshold=np.array(np.inf), reset="none"))
    return replace(net, nodes=(*net.nodes[:-1], silent), readout=Readout("out", "last_membrane"))


def test_accuracy_by_steps_uses_the_coder_of_the_network_whatever_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).random((40, INPUTS))
    labels = np.arange(40) % CLASSES
    net = encode.with_encoder(summing_network(), encode.Rate(8, seed=4))
    found = ranvier.accuracy_by_steps(net, x, labels, steps=(4, 30))
    outputs = ranvier.compile(net, calibrate=x).run(encode.rate(x, 30, seed=4)).outputs
    for steps, share in ranvier.accuracy_by_steps(ranvier.compile(net, calibrate=x), x, labels, (4, 30)).items():
        assert share == (outputs[:, steps - 1].argmax(axis=1) == labels).mean()
    monkeypatch.setattr(conversion, "BATCH", 7)
    assert ranvier.accuracy_by_steps(net, x, labels, steps=(4, 30)) == found
    other = ranvier.accuracy_by_steps(net, x, labels, (30,), encode.Rate(1, seed=5))
    assert other == ranvier.accuracy_by_steps(encode.with_encoder(net, encode.Rate(1, 5)), x, labels, (30,))


def test_a_data_set_in_shards_is_one_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shards, "MOST_SAMPLES", 16)
    app = ranvier.compile(encode.with_encoder(digits.network(), encode.Rate(6, seed=1)))
    x = digits.data("test")["inputs"][:40]
    found = evaluate(app, x, workers=1, folder=tmp_path / "kept")
    whole = app.run(x)
    assert np.array_equal(found.predictions, whole.predictions)
    assert found.layers == whole.stats
    with pytest.raises(ranvier.RanvierError, match="RV353"):
        evaluate(app, 2 * x, workers=1, folder=tmp_path / "kept")
