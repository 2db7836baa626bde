"""The training-free score: how differently untrained spikes answer to different images.

Kim et al., "Neural architecture search for spiking neural networks", ECCV 2022 (SNASNet), section 3.2.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ranvier.search.modules import CellNet, Lif
from ranvier.search.space import Architecture

IMAGES = 256
REPEATS = 2
SLIGHT = 1e-3
Array = NDArray[Any]


def fitness(architecture: Architecture, images: Array, seed: int = 0, batch: int = IMAGES) -> float:
    """The mean over two drawings of weights of ``logdet(K)``; higher is better, ``-inf`` where images look the same.

    ``K`` is the mean over all LIF layers and steps of ``N - 0.5 D / (E + 1e-3)`` for N neurons: ``D`` is the Hamming
    distance of two images' spikes, ``E = N (s (1 - s)' + (1 - s) s')`` what is expected of rates ``s``. Drawing r
    uses the r-th ``batch`` of ``images`` (from the beginning again where they end), and batch norms its statistics.
    """
    scores = []
    for repeat in range(REPEATS):
        chosen = np.take(images, np.arange(repeat * batch, repeat * batch + min(batch, len(images))), 0, mode="wrap")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed * REPEATS + repeat)
            net = CellNet(architecture).train()
        kernel = _Kernel()
        with torch.no_grad(), kernel.listening(net):
            net(torch.as_tensor(chosen, dtype=torch.float32))
        scores.append(kernel.logdet())
    return float(np.mean(scores))


def hamming_kernel(spikes: torch.Tensor) -> torch.Tensor:
    """``N - 0.5 D / (E + 1e-3)`` of spikes (images, N), in float64; see :func:`fitness`."""
    count, rates = spikes.shape[1], spikes.double().mean(1)
    both = (spikes @ spikes.T).double()
    apart = count * (rates[:, None] + rates[None, :]) - 2.0 * both
    expected = count * (rates[:, None] + rates[None, :] - 2.0 * rates[:, None] * rates[None, :])
    return count - 0.5 * apart / (expected + SLIGHT)


@dataclass
class _Kernel:
    """The sum of the kernels of all calls of LIF layers."""

    total: torch.Tensor | None = None
    calls: int = 0
    hooks: list[Any] = field(default_factory=list)

    @contextmanager
    def listening(self, net: nn.Module) -> Iterator[None]:
        """Add up what the neurons of ``net`` send."""
        self.hooks = [m.register_forward_hook(self._heard) for m in net.modules() if isinstance(m, Lif)]
        try:
            yield
        finally:
            for hook in self.hooks:
                hook.remove()

    def _heard(self, _module: nn.Module, _inputs: object, spikes: torch.Tensor) -> None:
        kernel = hamming_kernel(spikes.flatten(1))
        self.total = kernel if self.total is None else self.total + kernel
        self.calls += 1

    def logdet(self) -> float:
        """The logarithm of the determinant of the mean kernel; ``-inf`` where it has none."""
        assert self.total is not None
        value = float(torch.linalg.slogdet(self.total / self.calls).logabsdet)
        return value if math.isfinite(value) else -math.inf
