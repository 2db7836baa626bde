"""A connection with weights that are trained as real numbers and used as the integers they round to."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ranvier.compiler.ir.chip import (
    ACCUMULATOR_BITS,
    ChipSynapse,
    Connection,
    ConvSynapse,
    DenseSynapse,
    SparseSynapse,
)
from ranvier.compiler.ir.weight_levels import weight_levels
from ranvier.runtimes.trainable.arithmetic import rounded, straight, wrapped

REGISTER_BITS = 32


class Synapses(nn.Module):
    """The weights of ``connection`` in units of ``unit`` integers, and the sums they make.

    Weights that are zero in a sparse synapse are no synapses and stay away; a sparse synapse that came from a
    convolution trains every weight by itself.
    """

    def __init__(self, connection: Connection, unit: float, trained: bool) -> None:
        super().__init__()
        self.connection, self.unit = connection, unit
        self.levels = weight_levels(connection.bits, connection.sign)
        values = torch.from_numpy(_values(connection.synapse).astype(np.float64))
        self.latent = nn.Parameter(values / unit, requires_grad=trained)

    def weight(self) -> Tensor:
        """The integers: on the grid of the connection's sign and width, within its range."""
        if not self.latent.requires_grad:
            return torch.round(self.latent * self.unit)
        step, low, high = self.levels.step, self.levels.low, self.levels.high
        offset = low % step
        return (rounded((self.latent * self.unit - offset) / step) * step + offset).clamp(low, high)

    def forward(self, sent: Tensor) -> Tensor:
        """What ``sent`` (frames, wires) brings to the targets: (frames, neurons)."""
        total = wrapped(self._sum(sent), ACCUMULATOR_BITS[self.connection.synapse.kind])
        exponent = self.connection.exponent
        if exponent >= 0:
            return wrapped(total * 2.0**exponent, REGISTER_BITS)
        smooth = total * 2.0**exponent
        return straight(torch.floor(smooth), smooth)

    def _sum(self, sent: Tensor) -> Tensor:
        synapse, weight = self.connection.synapse, self.weight()
        if isinstance(synapse, DenseSynapse):
            return sent @ weight.T
        if isinstance(synapse, ConvSynapse):
            (top, bottom), (left, right) = synapse.padding
            frames = functional.pad(sent.reshape(-1, *synapse.in_shape), (left, right, top, bottom))
            return functional.conv2d(frames, weight, None, synapse.stride, 0, synapse.dilation, synapse.groups).flatten(
                1
            )
        rows = torch.from_numpy(np.repeat(np.arange(synapse.out_size), np.diff(synapse.indptr)))
        entries = sent[:, torch.from_numpy(synapse.indices.copy())] * weight
        return torch.zeros(len(sent), synapse.out_size, dtype=sent.dtype).index_add(1, rows, entries)

    def deployed(self) -> Connection:
        """The connection with the integers of now."""
        integers = self.weight().detach().numpy().astype(np.int32)
        return replace(self.connection, synapse=_with_values(self.connection.synapse, integers))


def _values(synapse: ChipSynapse) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return synapse.data if isinstance(synapse, SparseSynapse) else synapse.weight


def _with_values(synapse: ChipSynapse, values: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> ChipSynapse:
    if isinstance(synapse, SparseSynapse):
        return replace(synapse, data=values)
    return replace(synapse, weight=values)
