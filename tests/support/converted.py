"""The published ReLU network with MNIST: what the end-to-end test and the figures of conversion share."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ranvier
from ranvier.compiler.ir.network import Network
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.graph import Graph
from ranvier.frontends.conversion.onnx_model import read_onnx
from support.data import test_data

Array = NDArray[Any]
STEPS = 32
TESTED = 1000
CALIBRATING = slice(1000, 1256)


@dataclass(frozen=True, eq=False)
class Images:
    """A model's file, images that calibrate it, and others with their labels; pixels from 0 to 255."""

    path: Path
    calibration: Array
    inputs: Array
    labels: Array

    def source_accuracy(self, change: Callable[[Graph], Graph] = lambda graph: graph) -> float:
        """The share of right answers of the ReLU network itself, or of what ``change`` makes of it, in float64."""
        found = Evaluator(change(read_onnx(self.path))).outputs(self.inputs).argmax(axis=1)
        return float((found == self.labels).mean())

    def compiled(self, net: Network, steps: int = STEPS) -> ranvier.App:
        """``net`` compiled for Loihi 2 with 32 of the calibration images, shown for ``steps``."""
        return ranvier.compile(net, "loihi2", ranvier.encode.direct(self.calibration[:32], steps))


def germanov(samples: int = TESTED) -> Images:
    """A convolutional network with max pools, on the first test images of MNIST; later ones calibrate it."""
    with gzip.open(test_data("mnist", "t10k-images-idx3-ubyte.gz")) as file:
        images = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    with gzip.open(test_data("mnist", "t10k-labels-idx1-ubyte.gz")) as file:
        labels = np.frombuffer(file.read()[8:], np.uint8)
    path = test_data("onnx", "germanov_mnist.onnx")
    return Images(path, images[CALIBRATING], images[:samples], labels[:samples])
