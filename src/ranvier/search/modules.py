"""The networks of the cell space as torch modules: neurons written out, edges, cells, and the whole network."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ranvier.search.space import EDGES, NODES, Architecture, Op

TAU = 4 / 3
THRESHOLD = 1.0
SLOPE = 2.0
"""Of the surrogate gradient at the threshold, twice."""
GAIN = 4.0
"""Of the first weights of the hidden layer over 1 / sqrt(inputs): pooled spikes are small and few."""
STILL = 4
"""Axes of a batch of images, which have no time."""
Tensor = torch.Tensor


class Spike(torch.autograd.Function):
    """``1 if v >= theta else 0``; backward the slope of an arc tangent: ``a / 2 / (1 + (pi a (v - theta) / 2)^2)``."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, theta: float) -> Tensor:
        """The spikes."""
        ctx.save_for_backward(v)
        ctx.theta = theta
        return (v >= theta).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient to the membrane."""
        (v,) = ctx.saved_tensors
        return gradients[0] * (SLOPE / 2) / (1.0 + (math.pi / 2 * SLOPE * (v - ctx.theta)) ** 2), None


class Lif(nn.Module):
    """Leaky integrate-and-fire: ``v <- v + (x - v) / tau``; where ``v >= theta`` a spike, and ``v <- 0``."""

    def __init__(self, theta: float = THRESHOLD) -> None:
        super().__init__()
        self.theta = theta
        self.v: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The spikes of one step, of ``x``'s shape."""
        v = x / TAU if self.v is None else self.v * (1 - 1 / TAU) + x / TAU
        spikes = Spike.apply(v, self.theta) if self.training else (v >= self.theta).to(v.dtype)  # type: ignore[no-untyped-call]
        self.v = v * (1 - spikes)
        return spikes  # type: ignore[no-any-return, unused-ignore]


class CellModule(nn.Module):
    """``x_j = sum over i < j of e_ij(x_i)``; the last node is the result."""

    def __init__(self, ops: Sequence[Op], channels: int) -> None:
        super().__init__()
        made = {f"e{i}{j}": _edge(op, channels) for (i, j), op in zip(EDGES, ops, strict=True)}
        self.edges = nn.ModuleDict({name: edge for name, edge in made.items() if edge is not None})

    def forward(self, x: Tensor) -> Tensor:
        """One step: (batch, channels, height, width) to the same shape."""
        nodes: list[Tensor | None] = [x]
        for j in range(1, NODES):
            terms = [
                self.edges[f"e{i}{j}"](node)
                for i, node in enumerate(nodes)
                if node is not None and f"e{i}{j}" in self.edges
            ]
            nodes.append(sum(terms[1:], terms[0]) if terms else None)
        return torch.zeros_like(x) if nodes[-1] is None else nodes[-1]


class CellNet(nn.Module):
    """The network of ``architecture``: samples to the votes (batch, classes).

    A sample is an image (channels, height, width), shown as a constant current, or has a frame for every step (steps,
    channels, height, width). Stem (3x3 convolution, batch norm); a cell; batch norm, LIF, 3x3 convolution to the next
    width, batch norm, average pool by 2; a cell; batch norm, LIF, average pool by 2; a layer of ``hidden`` LIF;
    ``classes * votes`` outputs whose means by class are averaged over the steps.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        frame, space = architecture.skeleton, architecture.space
        first, second = frame.channels
        cells = [
            CellModule(space.ops_of(cell), width)
            for cell, width in zip(architecture.cells, frame.channels, strict=True)
        ]
        self.steps, self.votes = frame.steps, frame.votes
        self.stem = nn.Sequential(nn.Conv2d(frame.shape[0], first, 3, padding=1, bias=False), nn.BatchNorm2d(first))
        self.cell1, self.cell2 = cells
        self.down = nn.Sequential(
            nn.BatchNorm2d(first), Lif(), nn.Conv2d(first, second, 3, padding=1, bias=False), nn.BatchNorm2d(second),
            nn.AvgPool2d(2),
        )  # fmt: skip
        self.last = nn.Sequential(nn.BatchNorm2d(second), Lif(), nn.AvgPool2d(2), nn.Flatten())
        features = nn.Linear(frame.features, frame.hidden, bias=False)
        nn.init.normal_(features.weight, std=GAIN / math.sqrt(frame.features))
        self.hidden = nn.Sequential(features, Lif())
        self.out = nn.Linear(frame.hidden, frame.classes * frame.votes)

    def forward(self, samples: Tensor) -> Tensor:
        """The votes, averaged over the steps: of images, or of frames (batch, steps, channels, height, width)."""
        for part in self.modules():
            if isinstance(part, Lif):
                part.v = None
        still = self.stem(samples) if samples.ndim == STILL else None
        shown = []
        for step in range(self.steps):
            current = self.stem(samples[:, step]) if still is None else still
            features = self.last(self.cell2(self.down(self.cell1(current))))
            votes = self.out(self.hidden(features))
            shown.append(functional.avg_pool1d(votes[:, None], self.votes)[:, 0])
        return torch.stack(shown).mean(0)

    def with_equal_weights(self) -> "CellNet":
        """This network, each weight of a layer being 1 / (inputs of a neuron), the biases 0."""
        with torch.no_grad():
            for part in self.modules():
                if isinstance(part, nn.Conv2d | nn.Linear):
                    part.weight.fill_(1.0 / part.weight[0].numel())
                    if part.bias is not None:
                        part.bias.zero_()
        return self


def _edge(op: Op, channels: int) -> nn.Module | None:
    """The module of one edge; None for no connection."""
    if op.kind == "zero":
        return None
    if op.kind == "skip":
        return nn.Identity()
    if op.kind == "pool":
        return nn.AvgPool2d(op.kernel, 1, op.kernel // 2)
    conv = nn.Conv2d(channels, channels, op.kernel, padding=op.kernel // 2, bias=False)
    return nn.Sequential(Lif(op.threshold), conv, nn.BatchNorm2d(channels))
