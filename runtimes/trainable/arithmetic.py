"""Rounding and wrapping of torch tensors with the gradient of the real number that they stand for.

Straight-through gradients: Bengio et al., arXiv 1308.3432. Integers travel as float64, exact below 2**53.
"""

from typing import Any

import torch
from torch import Tensor


class _StraightThrough(torch.autograd.Function):
    """The value of ``exact`` with the gradient of ``smooth``."""

    @staticmethod
    def forward(_ctx: Any, exact: Tensor, _smooth: Tensor) -> Tensor:
        return exact

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


def straight(exact: Tensor, smooth: Tensor) -> Tensor:
    """``exact``, through which gradients pass as if it were ``smooth``."""
    return _StraightThrough.apply(exact.detach(), smooth)  # type: ignore[no-untyped-call, no-any-return]


def rounded(x: Tensor) -> Tensor:
    """The nearest whole number, ties to even."""
    return straight(torch.round(x), x)


def wrapped(x: Tensor, bits: int) -> Tensor:
    """Two's complement of ``bits`` bits."""
    half = 2.0 ** (bits - 1)
    if x.numel() == 0 or float(x.detach().abs().max()) < half:
        return x
    return straight(torch.remainder(x + half, 2.0 * half) - half, x)
