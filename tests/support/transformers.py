"""Small spiking transformers in SpikingJelly, trained on digits: spike-driven attention, and Spikformer's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import nn

from ranvier import IncrementalMatMul

Frame = torch.Tensor
STEPS, TOKENS, DIM, HEADS, BATCH = 4, 16, 16, 2, 32


@dataclass(frozen=True)
class Width:
    """Features of a token and heads of attention; ``causal``: a token attends to itself and those before it."""

    dim: int = DIM
    heads: int = HEADS
    causal: bool = False

    def parted(self, x: Frame) -> Frame:
        """(steps, batch, tokens, features) as (steps, batch, heads, tokens, features of a head)."""
        return x.reshape(*x.shape[:3], self.heads, self.dim // self.heads).permute(0, 1, 3, 2, 4).contiguous()


def lif(threshold: float = 1.0) -> nn.Module:
    """A leaky neuron over all steps, with a gradient."""
    made: nn.Module = neuron.LIFNode(
        tau=2.0, v_threshold=threshold, detach_reset=True, step_mode="m", surrogate_function=surrogate.ATan()
    )
    return made


class Weighted(nn.Module):
    """A convolution over single tokens, batch norm, neurons: (steps, batch, features, tokens)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.bn, self.lif = nn.Conv1d(inputs, outputs, 1, bias=False), nn.BatchNorm1d(outputs), lif()

    def forward(self, x: Frame) -> Frame:
        steps, batch = x.shape[:2]
        spikes: Frame = self.lif(self.bn(self.conv(x.flatten(0, 1))).reshape(steps, batch, -1, x.shape[-1]))
        return spikes


class Projected(nn.Module):
    """A linear layer on every token, batch norm, neurons: (steps, batch, tokens, features)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear, self.bn, self.lif = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), lif()

    def forward(self, x: Frame) -> Frame:
        steps, batch, tokens, _ = x.shape
        h = self.bn(self.linear(x.flatten(0, 1)).transpose(-1, -2)).transpose(-1, -2)
        spikes: Frame = self.lif(h.reshape(steps, batch, tokens, -1).contiguous())
        return spikes


class SpikeDrivenAttention(nn.Module):
    """Elementwise products, a sum over tokens, neurons (Yao et al., NeurIPS 2023)."""

    def __init__(self, width: Width = Width()) -> None:
        super().__init__()
        self.width = width
        self.q, self.k, self.v, self.proj = (Weighted(width.dim, width.dim) for _ in range(4))
        self.talking_heads = lif(0.5)

    def forward(self, x: Frame) -> Frame:
        q, k, v = (self.width.parted(part(x).transpose(-1, -2)) for part in (self.q, self.k, self.v))
        both = k.mul(v)
        kv = self.talking_heads(both.cumsum(-2) if self.width.causal else both.sum(dim=-2, keepdim=True))
        spikes: Frame = self.proj(q.mul(kv).transpose(3, 4).reshape(x.shape).contiguous())
        return spikes


class SpikformerAttention(nn.Module):
    """``Q K' V`` times a scale, without softmax (Zhou et al., ICLR 2023)."""

    def __init__(self, width: Width = Width()) -> None:
        super().__init__()
        self.width = width
        self.q, self.k, self.v, self.proj = (Projected(width.dim, width.dim) for _ in range(4))
        self.attn_lif = lif(0.5)

    def forward(self, x: Frame) -> Frame:
        q, k, v = (self.width.parted(part(x)) for part in (self.q, self.k, self.v))
        mixed = ((q @ k.transpose(-2, -1)) * 0.125) @ v
        spikes: Frame = self.proj(self.attn_lif(mixed.transpose(2, 3).reshape(x.shape).contiguous()))
        return spikes


class SummedAttention(nn.Module):
    """``A V`` times a scale, where A is the product of all spikes of Q and K so far."""

    def __init__(self, width: Width = Width()) -> None:
        super().__init__()
        self.width, self.product = width, IncrementalMatMul(STEPS)
        self.q, self.k, self.v, self.proj = (Projected(width.dim, width.dim) for _ in range(4))
        self.attn_lif = lif(0.5)

    def forward(self, x: Frame) -> Frame:
        q, k, v = (self.width.parted(part(x)) for part in (self.q, self.k, self.v))
        summed = torch.stack([self.product(q[t], k[t]) for t in range(x.shape[0])])
        mixed = (summed * 0.03125) @ v
        spikes: Frame = self.proj(self.attn_lif(mixed.transpose(2, 3).reshape(x.shape).contiguous()))
        return spikes


class Block(nn.Module):
    """Attention and two layers that are ``wider`` between them, each with a residual sum of spikes.

    ``driven``: elementwise attention; else matrix products, ``summed`` over time or of each step.
    """

    def __init__(self, driven: bool = True, width: Width = Width(), wider: int = 2, summed: bool = False) -> None:
        super().__init__()
        product = SummedAttention if summed else SpikformerAttention
        attention, layer = (SpikeDrivenAttention, Weighted) if driven else (product, Projected)
        dim = width.dim
        self.attention, self.up, self.down = attention(width), layer(dim, wider * dim), layer(wider * dim, dim)

    def forward(self, x: Frame) -> Frame:
        x = x + self.attention(x)
        total: Frame = x + self.down(self.up(x))
        return total


class Transformer(nn.Module):
    """Patches of 2 x 2 pixels as tokens, blocks, a readout of all tokens: (steps, batch, 1, 8, 8)."""

    def __init__(self, driven: bool, blocks: int, summed: bool = False) -> None:
        super().__init__()
        self.driven = driven
        self.embed, self.bn, self.lif = nn.Conv2d(1, DIM, 2, stride=2, bias=False), nn.BatchNorm2d(DIM), lif()
        self.blocks = nn.Sequential(*(Block(driven, summed=summed) for _ in range(blocks)))
        self.head, self.out = nn.Linear(TOKENS * DIM, 10), lif(0.5)

    def forward(self, x: Frame) -> Frame:
        functional.reset_net(self)
        steps, batch = x.shape[:2]
        tokens = self.bn(self.embed(x.flatten(0, 1))).flatten(2)
        tokens = tokens if self.driven else tokens.transpose(-1, -2)
        h = self.blocks(self.lif(tokens.reshape(steps, batch, *tokens.shape[1:]).contiguous()))
        spikes: Frame = self.out(self.head(h.flatten(2)))
        return spikes


def shown(images: Any) -> Frame:
    """Images (samples, 8, 8), the same in every step: (steps, samples, 1, 8, 8)."""
    frames = torch.as_tensor(np.asarray(images), dtype=torch.float32).reshape(-1, 1, 8, 8)
    return frames.expand(STEPS, -1, -1, -1, -1).contiguous()


def trained(driven: bool, blocks: int, data: tuple[Any, Any], epochs: int, summed: bool = False) -> Transformer:
    """A network after ``epochs`` on ``data`` (images from 0 to 1, labels)."""
    torch.manual_seed(0)
    network = Transformer(driven, blocks, summed)
    images, labels = shown(data[0]), torch.as_tensor(np.asarray(data[1]), dtype=torch.int64)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3, weight_decay=1e-3)
    batches = epochs * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=batches)
    for _ in range(epochs):
        for picked in torch.randperm(len(labels)).split(BATCH):
            rates = network(images[:, picked]).mean(0)
            loss = nn.functional.cross_entropy(8.0 * rates, labels[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    functional.reset_net(network)
    return network.eval()
