"""A decoder layer of a spiking transformer: imported from torch, in integers, simulated; its time and memory.

Run with ``PYTHONPATH=tests python -m benchmarks.transformer [--dim 768 --heads 12 --tokens 128]``. The layer has causal
spike-driven attention (``q * lif(cumsum(k * v))``) and two layers four times as wide between them, random weights and
batch norms that let about one neuron in ten fire. Torch runs the same module on the same input.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from spikingjelly.activation_based import functional
from torch import nn

from ranvier.compiler.options import Options
from ranvier.compiler.pipeline import lower, prepare
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes import simulator
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_target
from support.transformers import Block, Frame, Width, lif

Result = TypeVar("Result")
STEPS, RATE = 4, 0.1


class Decoder(nn.Module):
    """One causal block; neurons behind the last sum make spikes of it, so that it can be stacked."""

    def __init__(self, width: Width) -> None:
        super().__init__()
        self.block, self.out = Block(True, width, wider=4), lif()

    def forward(self, x: Frame) -> Frame:
        """Spikes of (steps, batch, features, tokens)."""
        functional.reset_net(self)
        spikes: Frame = self.out(self.block(x))
        return spikes


def decoder(width: Width) -> Decoder:
    """A decoder in evaluation, its batch norms set so that neurons fire."""
    torch.manual_seed(0)
    module = Decoder(width)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            assert part.running_var is not None
            part.running_var.fill_(0.01)
            part.bias.data.uniform_(-0.5, 1.0)
    return module.eval()


def timed(what: str, work: Callable[[], Result]) -> Result:
    """``work`` done, with a line of its seconds and of the memory that the process has taken by then."""
    started = time.perf_counter()
    result = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"| {what} | {time.perf_counter() - started:.2f} | {peak:,.0f} |", flush=True)
    return result


def main() -> None:
    """Print one row per stage, and whether the float network equals torch and the integers the oracle's rules."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("dim", 768), ("heads", 12), ("tokens", 128)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    module = decoder(Width(args.dim, args.heads, causal=True))
    x = (torch.rand(STEPS, 1, args.dim, args.tokens) < RATE).float()
    frames = x.numpy().swapaxes(0, 1)
    print("| stage | seconds | peak MB |\n| --- | --- | --- |")
    with torch.no_grad():
        shown = timed("torch, the module itself", lambda: module(x)).numpy().swapaxes(0, 1)
    network = timed("import, checked against torch", lambda: load_torch(module, sample=x))
    prepared = timed("prepare", lambda: prepare(network))
    observed = timed("float network on the input", lambda: observe(prepared, frames))
    chip = timed("quantize and fit", lambda: lower(prepared, load_target("loihi2"), observed, Options()))
    timed("simulate, first call", lambda: simulator.run(chip, frames))
    found = timed("simulate", lambda: simulator.run(chip, frames))
    neurons = sum(p.size for p in chip.populations)
    sent = sum(s.spikes for s in found.stats.values())
    same = float(np.mean(found.outputs == shown))
    print(f"\n{len(chip.populations)} populations, {neurons:,} neurons, {STEPS} steps, {sent:,} spikes")
    print(f"spikes of the last layer in integers as in torch: {same:.2%}; overflows: {len(found.overflows)}")


if __name__ == "__main__":
    main()
