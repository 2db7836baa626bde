"""Compile the digits network with narrow weights, fine-tune what was deployed, and keep what it learnt.

``python -m ranvier.examples.fine_tuning.fine_tune [bits] [epochs]``: 4 bits and 16 epochs unless others are given.
"""

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import ranvier
from ranvier.app import App
from ranvier.examples.digits.model import STEPS
from ranvier.examples.digits.network import data, network
from ranvier.examples.digits.train import split
from ranvier.fine_tuning import EPOCHS

Frames = NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """Right answers on the test images: of the float network, as compiled, and fine-tuned; and the last app."""

    source: float
    compiled: float
    fine_tuned: float
    app: App


def fine_tune(bits: int = 4, epochs: int = EPOCHS, seed: int = 0) -> Result:
    """The digits network with weights of ``bits``, before and after ``epochs`` of learning from its training images."""
    images, test, labels, test_labels = split()
    net = network()
    app = ranvier.compile(net, "loihi2", shown(data("calibration")["inputs"]), weight_bits=bits)
    better = ranvier.fine_tune(app, shown(images), labels, epochs=epochs, seed=seed).app

    before, after = (ranvier.verify(a, net, (shown(test), test_labels)) for a in (app, better))
    source, compiled, fine_tuned = before.float_accuracy, before.accuracy, after.accuracy
    assert source is not None
    assert compiled is not None
    assert fine_tuned is not None
    return Result(source, compiled, fine_tuned, better)


def shown(images: NDArray[np.generic]) -> Frames:
    """Each image in every step: (samples, steps, 1, 8, 8)."""
    return np.repeat(np.asarray(images, np.float32)[:, None], STEPS, axis=1)


if __name__ == "__main__":
    result = fine_tune(*(int(argument) for argument in sys.argv[1:]))
    print(f"float {result.source:.2%}, compiled {result.compiled:.2%}, fine-tuned {result.fine_tuned:.2%}")
    result.app.save("digits.rnv")
