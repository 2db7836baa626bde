"""Graded spikes and binary weights: neurons that send their membrane, weights of one bit, trained and deployed.

The neurons are those of EM-PF networks: ``v = norm(keep r + x)``, ``s = v`` from the threshold on, ``r = v - s``.
Weights are ``alpha sign(w)`` with one alpha per output, and the batch norm stands inside the neuron, on the membrane.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import ranvier
from ranvier.frontends.torch.normalised import behind_batch_norm

THRESHOLD, WIDTH, STEPS = 0.5, 64, 4


class Sent(torch.autograd.Function):
    """The membrane where it reaches the threshold, with a gradient of a window around it."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor) -> torch.Tensor:
        """``v`` where ``v >= threshold``, else 0."""
        ctx.save_for_backward(v)
        return torch.where(v >= THRESHOLD, v, torch.zeros_like(v))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Where it fires 1, and beside the threshold a window of height 1/2."""
        (v,) = ctx.saved_tensors
        window = 0.5 * ((v - THRESHOLD).abs() < THRESHOLD).float()
        passed: torch.Tensor = gradients[0] * ((v >= THRESHOLD).float() + window)
        return passed


class Graded(nn.Module):
    """EM-PF neurons with a batch norm on the membrane; the state is handed from step to step."""

    def __init__(self, neurons: int) -> None:
        super().__init__()
        self.norm, self.keep = nn.BatchNorm1d(neurons), nn.Parameter(torch.full((neurons,), 0.5))

    def forward(self, x: torch.Tensor, r: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step: what is sent, and what is kept."""
        v = self.norm(self.keep * r + x)
        s: torch.Tensor = Sent.apply(v)  # type: ignore[no-untyped-call]
        return s, v - s


def as_graded(neuron: Any) -> ranvier.GradedLif:
    """The same neurons in Ranvier's terms, the batch norm folded into them."""
    keep = neuron.keep.detach().double().numpy()
    plain = ranvier.GradedLif(keep_membrane=keep, threshold=np.array(THRESHOLD), compare=">=")
    return behind_batch_norm(plain, neuron.norm, (len(keep),))


ranvier.register_neuron(Graded, as_graded, states=("reset_membrane",), returns=("spikes", "reset_membrane"))


class Binary(nn.Linear):
    """``alpha sign(w)`` with one alpha per output; the gradient passes the sign as if it were not there."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The weighted sum."""
        alpha = self.weight.abs().mean(1, keepdim=True)
        signs = torch.where(self.weight >= 0, 1.0, -1.0)
        return functional.linear(x, alpha * (signs - self.weight).detach() + alpha * self.weight, self.bias)


class Net(nn.Module):
    """Two layers of graded spikes behind binary weights; the answer is the sum of a last, full layer over all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.n1 = Binary(64, WIDTH, bias=False), Graded(WIDTH)
        self.fc2, self.n2 = Binary(WIDTH, WIDTH, bias=False), Graded(WIDTH)
        self.fc3 = nn.Linear(WIDTH, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(steps, batch, 64) to (batch, 10)."""
        r1, r2 = x.new_zeros(x.shape[1], WIDTH), x.new_zeros(x.shape[1], WIDTH)
        out = []
        for frame in x:
            s1, r1 = self.n1(self.fc1(frame), r1)
            s2, r2 = self.n2(self.fc2(s1), r2)
            out.append(self.fc3(s2))
        return torch.stack(out).sum(0)


def trained(images: Any, labels: Any, epochs: int = 10, seed: int = 0) -> Net:
    """A network after ``epochs`` on ``images`` (samples, 64) from 0 to 1, shown in every step."""
    torch.manual_seed(seed)
    net = Net()
    x, y = shown(images), torch.as_tensor(labels, dtype=torch.int64)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for picked in torch.split(torch.randperm(len(y)), 64):
            loss = functional.cross_entropy(net(x[:, picked]), y[picked])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    return net.eval()


def shown(images: Any) -> torch.Tensor:
    """Images (samples, 64), the same in every step: (steps, samples, 64)."""
    return torch.as_tensor(images, dtype=torch.float32).expand(STEPS, -1, -1).contiguous()
