"""Modules that the torch frontend refuses, and its diagnostics."""

from collections.abc import Callable
from typing import Any

import pytest
import snntorch as snn
import torch
from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.frontends.torch.load import load_torch
from ranvier.frontends.torch.problems import CODES

Frame = Callable[[torch.Tensor, int], torch.Tensor]


def refused(module: nn.Module, sample: Any, **options: Any) -> list[Diagnostic]:
    with pytest.raises(RanvierError) as caught:
        load_torch(module, sample=sample, **options)
    for d in caught.value.diagnostics:
        assert d.code in CODES
        assert d.place
        assert d.message
        assert d.fix
    return list(caught.value.diagnostics)


def one(module: nn.Module, sample: Any, **options: Any) -> Diagnostic:
    found = refused(module, sample, **options)
    assert len(found) == 1, found
    return found[0]


class Loop(nn.Module):
    """Leaky neurons after ``before(x, t)``; returns their spikes, or ``after(spikes, membranes)``."""

    def __init__(self, before: Frame, neuron: nn.Module | None = None, after: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.lif = neuron or snn.Leaky(beta=0.9)
        self.before, self.after = before, after or (lambda s, _m: torch.stack(s))
        self.unused = nn.ReLU()

    def forward(self, x: torch.Tensor) -> Any:
        state: list[torch.Tensor] = []
        spikes, membranes = [], []
        for t in range(x.shape[0]):
            spk, *state = self.lif(self.before(x, t), *state)
            spikes.append(spk)
            membranes.append(state[-1])
        return self.after(spikes, membranes)


def plain(x: torch.Tensor, t: int) -> torch.Tensor:
    return x[t]


SEQUENCE = torch.rand(6, 2, 4)
