"""A short training of a network of the space on the user's images, and what it then answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ranvier.search.modules import CellNet
from ranvier.search.space import Architecture

BATCH = 64
RATE = 1e-2
SHOWN = 256
Array = NDArray[Any]
Progress = Callable[[int, int], None]


def trained(
    architecture: Architecture,
    images: Array,
    labels: Array,
    epochs: int,
    *,
    seed: int = 0,
    rate: float = RATE,
    progress: Progress = lambda _done, _total: None,
) -> CellNet:
    """A network of ``architecture`` after ``epochs`` of Adam on the cross entropy of its votes, a cosine schedule.

    ``images`` are images or frames as ``CellNet`` takes them, ``labels`` (samples,). Without epochs it is as it was
    drawn, with batch norms measured on the images. The same arguments give the same network on the same machine.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = CellNet(architecture)
    x, y = torch.as_tensor(images, dtype=torch.float32), torch.as_tensor(labels, dtype=torch.int64)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, epochs))
    net.train()
    for epoch in range(epochs):
        for chosen in torch.randperm(len(x), generator=order).split(BATCH):  # type: ignore[no-untyped-call]
            if len(chosen) > 1:  # the statistics of a batch norm need two samples
                loss = functional.cross_entropy(net(x[chosen]), y[chosen])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        schedule.step()
        progress(epoch + 1, epochs)
    _measure_norms(net, x)
    return net.eval()


def accuracy(net: CellNet, images: Array, labels: Array) -> float:
    """The share of ``images`` whose largest vote is the label."""
    net.eval()
    x = torch.as_tensor(images, dtype=torch.float32)
    with torch.no_grad():
        found = torch.cat([net(part).argmax(1) for part in torch.split(x, SHOWN)])
    return float(np.mean(found.numpy() == labels))


def _measure_norms(net: CellNet, images: torch.Tensor) -> None:
    """The statistics of the batch norms over all ``images`` and steps, in place of a moving average."""
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    net.train()
    with torch.no_grad():
        for part in torch.split(images, SHOWN):
            if len(part) > 1:
                net(part)
