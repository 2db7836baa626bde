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
    convolution trains every weight by itself. With ``keep_zeros``, or where zero is no level, every zero stays.
    """

    def __init__(self, connection: Connection, unit: float, trained: bool, keep_zeros: bool = False) -> None:
        super().__init__()
        self.connection, self.unit = connection, unit
        self.levels = weight_levels(connection.bits, connection.sign)
        values = torch.from_numpy(_values(connection.synapse).astype(np.float64))
        self.latent = nn.Parameter(values / unit, requires_grad=trained)
        zero_is_level = float(self.levels.nearest(np.zeros(()))) == 0.0
        self.kept = values != 0 if keep_zeros or not zero_is_level else torch.ones_like(values, dtype=torch.bool)

    def weight(self) -> Tensor:
        """The integers: on the grid of the connection's sign and width, within its range."""
        if not self.latent.requires_grad:
            return torch.round(self.latent * self.unit)
        step, low, high = self.levels.step, self.levels.low, self.levels.high
        offset = low % step
        return (rounded((self.latent * self.unit - offset) / step) * step + offset).clamp(low, high) * self.kept

    def forward(self, sent: Tensor, weight: Tensor) -> Tensor:
        """What ``sent`` (samples, steps, wires) brings by the integers ``weight``: (samples, steps, neurons)."""
        sums = self._sum(sent.flatten(0, 1), weight).reshape(*sent.shape[:2], -1)
        total = wrapped(sums, ACCUMULATOR_BITS[self.connection.synapse.kind])
        exponent = self.connection.exponent
        if exponent >= 0:
            return wrapped(total * 2.0**exponent, REGISTER_BITS)
        smooth = total * 2.0**exponent
        return straight(torch.floor(smooth), smooth)

    def _sum(self, sent: Tensor, weight: Tensor) -> Tensor:
        synapse = self.connection.synapse
        if isinstance(synapse, DenseSynapse):
            return sent @ weight.T
        if isinstance(synapse, ConvSynapse):
            (top, bottom), (left, right) = synapse.padding
            frames = functional.pad(sent.reshape(-1, *synapse.in_shape), (left, right, top, bottom))
            return functional.conv2d(frames, weight, None, synapse.stride, 0, synapse.dilation, synapse.groups).flatten(
                1
            )
        wires = self.connection.wires
        if wires is not None:
            return sent[:, torch.from_numpy(wires.copy())] @ weight.reshape(synapse.out_size, -1).T
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
