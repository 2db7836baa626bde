"""A small transformer that only partly spikes: softmax attention, RMS norms and a SiLU gate between spiking neurons."""

from typing import Any

import numpy as np
import torch
from spikingjelly.activation_based import functional
from torch import nn

from support.transformers import BATCH, TOKENS, Frame, Width, lif, shown


class SoftmaxBlock(nn.Module):
    """Attention with softmax and a gated layer, each normed, behind neurons and a sum: (steps, batch, tokens, dim)."""

    def __init__(self, width: Width, wider: int = 2) -> None:
        super().__init__()
        self.width, dim = width, width.dim
        self.norm1, self.norm2 = nn.RMSNorm(dim, eps=1e-5), nn.RMSNorm(dim, eps=1e-5)
        self.q, self.k, self.v, self.proj = (nn.Linear(dim, dim) for _ in range(4))
        self.gate, self.up = (nn.Linear(dim, wider * dim) for _ in range(2))
        self.down = nn.Linear(wider * dim, dim)
        self.lif1, self.lif2 = lif(0.5), lif(0.5)

    def forward(self, x: Frame) -> Frame:
        h = self.norm1(x)
        q, k, v = (self.width.parted(layer(h)) for layer in (self.q, self.k, self.v))
        scores = torch.softmax((q @ k.transpose(-2, -1)) * (self.width.dim // self.width.heads) ** -0.5, dim=-1)
        x = x + self.lif1(self.proj((scores @ v).transpose(2, 3).reshape(x.shape)))
        h = self.norm2(x)
        total: Frame = x + self.lif2(self.down(nn.functional.silu(self.gate(h)) * self.up(h)))
        return total


class HostedTransformer(nn.Module):
    """Patches of 2 x 2 pixels as tokens, one block, a readout of all tokens: (steps, batch, 1, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        width = Width()
        self.embed = nn.Conv2d(1, width.dim, 2, stride=2, bias=False)
        self.bn, self.lif = nn.BatchNorm2d(width.dim), lif()
        self.block = SoftmaxBlock(width)
        self.head, self.out = nn.Linear(TOKENS * width.dim, 10), lif(0.5)

    def forward(self, x: Frame) -> Frame:
        functional.reset_net(self)
        steps, batch = x.shape[:2]
        tokens = self.bn(self.embed(x.flatten(0, 1))).flatten(2).transpose(-1, -2)
        h = self.block(self.lif(tokens.reshape(steps, batch, *tokens.shape[1:]).contiguous()))
        spikes: Frame = self.out(self.head(h.flatten(2)))
        return spikes


def hosted_transformer(data: tuple[Any, Any], epochs: int) -> HostedTransformer:
    """A network after ``epochs`` on ``data`` (images from 0 to 1, labels)."""
    torch.manual_seed(0)
    network = HostedTransformer()
    images, labels = shown(data[0]), torch.as_tensor(np.asarray(data[1]), dtype=torch.int64)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * -(-len(labels) // BATCH))
    for _ in range(epochs):
        for picked in torch.randperm(len(labels)).split(BATCH):
            loss = nn.functional.cross_entropy(8.0 * network(images[:, picked]).mean(0), labels[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    functional.reset_net(network)
    return network.eval()
