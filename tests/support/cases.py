"""The published networks with their data, ready to compile: what the end-to-end tests and the figures share."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ranvier
from ranvier.compiler.ir.chip import Population
from ranvier.compiler.ir.network import Network
from support.data import test_data

Array = NDArray[Any]

READINGS: Mapping[str, tuple[Mapping[str, Any], int]] = {
    "reset to zero": ({"reset": "value", "max_spikes": 1}, 100),
    "single spike, subtract": ({"reset": "subtract", "max_spikes": 1}, 97),
    "multi-spike, subtract, v >= -1": ({"floor": -1.0}, 96),
    "multi-spike, subtract": ({}, 100),
}
BRAILLE: Mapping[str, tuple[str, str, float]] = {
    "bias, reset to zero": ("braille_noDelay_bias_zero.nir", "value", 96.37),
    "no bias, subtract": ("braille_noDelay_noBias_subtract.nir", "subtract", 97.32),
}


@dataclass(frozen=True, eq=False)
class Case:
    """A network, what calibrates it, and data: inputs (samples, steps, *shape), labels (samples,)."""

    network: Network
    calibration: Array
    inputs: Array
    labels: Array


def nmnist(reading: str) -> Case:
    """The convolutional network of the NIR paper in one of its four readings; calibrated on training events."""
    options, _ = READINGS[reading]
    network = ranvier.load(test_data("nir_paper", "cnn_sinabs.nir"), preset="sinabs", **options)
    test = ranvier.load_data(test_data("nmnist", "nmnist_test100.npz"), bin_us=1000, steps=300)
    assert test.labels is not None
    training = ranvier.load_data(test_data("nmnist", "nmnist_train1000.npz"), bin_us=1000, steps=300)
    return Case(network, training.inputs[::50], test.inputs, test.labels)


def braille(variant: str) -> Case:
    """A recurrent network of the NIR paper on the 1158 tactile samples; calibrated on every tenth."""
    file, reset, _ = BRAILLE[variant]
    network = ranvier.load(test_data("nir_paper", "braille", file), preset="snntorch", reset=reset)
    with np.load(test_data("braille", "braille7_unique.npz")) as held:
        shape, labels = held["shape"], held["y"]
        inputs = np.unpackbits(held["x_bits"])[: np.prod(shape)].reshape(shape)
    return Case(network, inputs[::10], inputs, labels)


def mnist_net(samples: int = 4000, steps: int = 20) -> Case:
    """lava-dl's MNIST network in its own integers, with the spike source of its example: integrate, fire above 1."""
    network = ranvier.load(test_data("lava_dl", "mnist_784_128_64_10.net"))
    with gzip.open(test_data("mnist", "t10k-images-idx3-ubyte.gz")) as file:
        images = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 784)[:samples] / 255
    with gzip.open(test_data("mnist", "t10k-labels-idx1-ubyte.gz")) as file:
        labels = np.frombuffer(file.read()[8:], np.uint8)[:samples]
    v, frames = np.zeros(images.shape), np.zeros((samples, steps, 784), np.int8)
    for t in range(steps):
        v += images
        frames[:, t] = v > 1
        v[v > 1] = 0
    return Case(network, frames[:32], frames, labels)


def digits() -> Case:
    """The example that ships with Ranvier: a conv network trained with snnTorch on 8x8 digits."""
    from ranvier.examples.digits.model import STEPS, trained  # noqa: PLC0415 - needs torch

    with as_file(files("ranvier") / "examples" / "digits") as folder:
        test, calibration = ranvier.load_data(folder / "test.npz"), ranvier.load_data(folder / "calibration.npz")
    assert test.labels is not None
    network = ranvier.load(trained(), sample=test.inputs[:1])
    shown = [np.repeat(data.inputs[:, None], STEPS, axis=1) for data in (calibration, test)]
    return Case(network, shown[0], shown[1], test.labels)


def without_biases(app: ranvier.App) -> ranvier.App:
    """``app`` with every bias, and every current that starts at its negative, set to zero."""

    def silenced(p: Population) -> Population:
        zero = np.zeros((), np.int64)
        return replace(p, params={**p.params, "bias": zero}, initial=dict.fromkeys(p.initial, zero))

    chip = app.program.chip
    changed = replace(chip, populations=tuple(map(silenced, chip.populations)))
    return replace(app, program=replace(app.program, chip=changed))
