"""Compile the digits network with narrow weights, fine-tune what was deployed, and keep what it learnt.

``python -m ranvier.examples.fine_tuning.fine_tune [bits] [epochs]``: half a minute on one core for 4 bits and 4 epochs.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

import ranvier
from ranvier.app import App
from ranvier.examples.digits.model import STEPS
from ranvier.examples.digits.network import data, network
from ranvier.examples.digits.train import split

Frames = NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """Right answers on the test images: of the float network, as compiled, and fine-tuned; and the last app."""

    source: float
    compiled: float
    fine_tuned: float
    app: App


def fine_tune(bits: int = 4, epochs: int = 4, seed: int = 0) -> Result:
    """The digits network with weights of ``bits``, before and after ``epochs`` of training."""
    torch.manual_seed(seed)
    images, test, labels, test_labels = split()
    net = network()
    app = ranvier.compile(net, "loihi2", shown(data("calibration")["inputs"]), weight_bits=bits)

    module = ranvier.trainable(app)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in batches(len(images)):
            counts = module(torch.from_numpy(shown(images[batch]))).sum(1)
            loss = functional.cross_entropy(counts, torch.from_numpy(labels[batch]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    better = ranvier.retrained(app, module)

    before, after = (ranvier.verify(a, net, (shown(test), test_labels)) for a in (app, better))
    source, compiled, fine_tuned = before.float_accuracy, before.accuracy, after.accuracy
    assert source is not None
    assert compiled is not None
    assert fine_tuned is not None
    return Result(source, compiled, fine_tuned, better)


def shown(images: NDArray[np.generic]) -> Frames:
    """Each image in every step: (samples, steps, 1, 8, 8)."""
    return np.repeat(np.asarray(images, np.float32)[:, None], STEPS, axis=1)


def batches(samples: int, size: int = 50) -> Iterator[NDArray[np.int64]]:
    """The numbers of all samples in random order, ``size`` at a time."""
    order = torch.randperm(samples).numpy()
    yield from (order[first : first + size] for first in range(0, samples, size))


if __name__ == "__main__":
    result = fine_tune(*(int(argument) for argument in sys.argv[1:]))
    print(f"float {result.source:.2%}, compiled {result.compiled:.2%}, fine-tuned {result.fine_tuned:.2%}")
    result.app.save("digits.rnv")
