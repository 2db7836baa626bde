"""The shipped example: its files belong together, and load with torch and without."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.verify import check_network
from ranvier.examples.digits.model import STEPS, trained
from ranvier.examples.digits.network import data, network
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes.reference import run

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


def test_float_accuracy() -> None:
    test = data("test")
    with torch.no_grad():
        predictions = trained()(torch.from_numpy(test["inputs"])).sum(0).argmax(1).numpy()
    assert len(predictions) == 360
    assert np.mean(predictions == test["labels"]) >= 0.97


def test_files_hold_what_the_readme_says() -> None:
    for name, count in (("test", 360), ("calibration", 128)):
        inputs = data(name)["inputs"].astype(np.float64)
        assert inputs.shape == (count, 1, 8, 8)
        assert inputs.min() == 0
        assert inputs.max() == 1


def test_the_network_without_torch_is_the_imported_one() -> None:
    imported = check_network(load_torch(trained(), sample=data("test")["inputs"][:1]), "imported")
    built = check_network(network(), "imported")
    assert built.edges == imported.edges
    assert built.readout == imported.readout
    for mine, theirs in zip(built.nodes, imported.nodes, strict=True):
        assert type(mine) is type(theirs)
        pairs = [(mine, theirs)]
        if isinstance(mine, Neurons) and isinstance(theirs, Neurons):
            pairs.append((mine.model, theirs.model))  # type: ignore[arg-type]
        for a, b in pairs:
            for f in fields(a):
                if f.name != "model":
                    assert np.array_equal(getattr(a, f.name), getattr(b, f.name)), (mine.name, f.name)


def test_the_imported_network_fires_as_the_module_does() -> None:
    images = data("test")["inputs"][:40].astype(np.float32)
    frames = np.repeat(images[:, None].astype(np.float64), STEPS, axis=1)
    recording = run(network(), frames, record=("spikes",))
    with torch.no_grad():
        spikes = trained()(torch.from_numpy(images)).numpy().swapaxes(0, 1)
    assert np.array_equal(recording.outputs, spikes)
    assert np.array_equal(recording.predictions, spikes.sum(1).argmax(1))


@pytest.mark.timeout(600)
def test_training_reproduces_the_test_split(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ranvier.examples.digits import train\n"
        "train.EPOCHS = 0; train.main(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=300, capture_output=True)
    for name in ("test.npz", "calibration.npz"):
        assert (tmp_path / name).read_bytes() == (EXAMPLE / name).read_bytes()
