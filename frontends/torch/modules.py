"""Torch modules of Ranvier's own, to train with: quantized events, and products of two spike trains over time."""

from typing import Any, Literal

import torch
from torch import nn

from ranvier.compiler.diagnostics import error

Returns = Literal["product", "increment"]


class EventQuantizer(nn.Module):
    """Sends its input in whole multiples of a fixed ``scale``, one event for each number: a stateless graded neuron.

    ``y = sign(x) * min(floor(abs(x) / scale + 1/2), top) * scale`` with ``top = 2**(bits - 1) - 1``: fake quantization
    to ``bits`` bits, halves away from zero. The gradient passes the rounding, and is 0 where the level saturates.
    ``x`` has any shape; on a chip the level is one graded spike. Raises ``RanvierError`` RV754 for a scale that is not
    positive, or bits outside of 2 to 16. Source: the EI_IF neuron of BrainTransformers, with a static scale.
    """

    def __init__(self, scale: float, bits: int = 8) -> None:
        super().__init__()
        if not 0.0 < scale < float("inf") or not 2 <= bits <= 16:
            text = f"a scale of {scale:g} and {bits} bits."
            raise error("RV754", "EventQuantizer", text, "Give a positive scale, and 2 to 16 bits.")
        self.scale, self.bits = float(scale), int(bits)

    @classmethod
    def for_data(cls, x: torch.Tensor, bits: int = 8) -> "EventQuantizer":
        """One whose largest level is the largest ``abs(x)``; scale 1 where all are zero."""
        peak = float(x.detach().abs().max()) if x.numel() else 0.0
        return cls(peak / (2 ** (bits - 1) - 1) if peak else 1.0, bits)

    @property
    def top(self) -> int:
        """The largest level."""
        return int(2 ** (self.bits - 1) - 1)

    def levels(self, x: torch.Tensor) -> torch.Tensor:
        """The whole numbers that are sent.

        With y whole halves of a step, ``y - floor(y / 2)``: ``floor(x / scale + 1/2)`` in floats would round the sum,
        and give 1 for the largest number below 1/2.
        """
        halves = torch.floor(2.0 * x.abs() / self.scale)
        return x.sign() * (halves - torch.floor(halves / 2.0)).clamp(max=self.top)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` rounded to its level."""
        sent = self.levels(x) * self.scale
        return _Rounded.apply(x, sent, self.top * self.scale)  # type: ignore[no-untyped-call, no-any-return]

    def extra_repr(self) -> str:
        """The options."""
        return f"scale={self.scale:g}, bits={self.bits}"


class _Rounded(torch.autograd.Function):
    """``rounded``, with the gradient of ``x`` where it does not saturate."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rounded: torch.Tensor, limit: float) -> torch.Tensor:
        ctx.save_for_backward(x.abs() <= limit)
        return rounded.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


class IncrementalMatMul(nn.Module):
    """The product ``Q K'`` of two spike trains summed over time, updated in every step.

    With ``S(t)`` the sum of a train up to and with step t, and A(-1) = 0::

        A(t) = A(t-1) + S_q(t-1) k(t)' + q(t) S_k(t)' = S_q(t) S_k(t)'

    which is ``A + S_q(t) k' + q S_k(t)' - q k'`` with one product fewer. It telescopes: after every step A is the
    product of the sums, for whole numbers exactly. (The sum of ``q(t) k(t)'`` is not.)

    One call is one step: ``q`` (batch, ..., n, d) and ``k`` (batch, ..., m, d) give ``A(t)`` (batch, ..., n, m), or
    with ``returns="increment"`` ``A(t) - A(t-1)``, which layers that sum over time take. ``reset()`` begins a new
    sample. Trains of 0 and 1 or -1, 0 and 1 (differences of two spike trains), times one factor, are imported as
    populations of a chip; ``steps`` bounds their sums. Gradients pass through all steps.

    Raises ``RanvierError`` RV753 for a step beyond ``steps`` without ``reset()``, RV754 for options without meaning.
    Source: SNNMatmul of BrainTransformers.
    """

    def __init__(self, steps: int, returns: Returns = "product") -> None:
        super().__init__()
        if steps < 1 or returns not in ("product", "increment"):
            text = f"{steps} steps and returns={returns!r}."
            raise error("RV754", "IncrementalMatMul", text, "Give 1 step at least, and 'product' or 'increment'.")
        self.steps, self.returns = steps, returns
        self.reset()

    def reset(self) -> None:
        """Forget all sums: the next call is step 0."""
        self.step = 0
        self.q_sum: torch.Tensor | None = None
        self.k_sum: torch.Tensor | None = None
        self.product: torch.Tensor | None = None

    def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """The product after this step, or what it grew by."""
        if self.step == self.steps:
            raise error(
                "RV753",
                "IncrementalMatMul",
                f"step {self.step + 1} of a product over {self.steps} steps.",
                "Call reset() before every sample, or give more steps: they bound the counts on the chip.",
                steps=self.steps,
            )
        self.k_sum = k if self.k_sum is None else self.k_sum + k
        grown = q @ self.k_sum.transpose(-2, -1)
        if self.q_sum is not None:
            grown = grown + self.q_sum @ k.transpose(-2, -1)
        self.q_sum = q if self.q_sum is None else self.q_sum + q
        self.product = grown if self.product is None else self.product + grown
        self.step += 1
        return grown if self.returns == "increment" else self.product

    def extra_repr(self) -> str:
        """The options."""
        return f"steps={self.steps}, returns={self.returns!r}"
