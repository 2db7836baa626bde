# ruff: noqa: PLC0415 - torch is an extra, imported when a network is made
"""What an architecture takes on a target, counted by the compiler itself on a network without zeros."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ranvier.compiler.analysis.memory import memory
from ranvier.compiler.ir.network import Payload
from ranvier.compiler.options import Options
from ranvier.compiler.passes.mapping.effort import Effort
from ranvier.compiling import Compilation
from ranvier.search.space import Architecture
from ranvier.tuning.budget import Budget
from ranvier.tuning.points import Metrics

if TYPE_CHECKING:
    from ranvier.app import App
    from ranvier.compiler.ir.network import Network
    from ranvier.search.modules import CellNet

EFFORT = "quick"
INPUT_BITS = 8
TRACED = 3


def network(module: "CellNet", architecture: Architecture) -> "Network":
    """``module`` as a float network, one frame (channels, height, width) per step.

    It is read from a run of three steps, the fewest that show what leads from step to step; all steps are alike.
    """
    import torch

    from ranvier.frontends.torch.load import load_torch

    sample = torch.rand(1, *architecture.skeleton.shape, generator=torch.Generator().manual_seed(0))
    steps, module.steps = module.steps, TRACED
    try:
        return load_torch(module.eval(), sample=sample, coding="current", name="searched")
    finally:
        module.steps = steps


def resources(architecture: Architecture, target: str | Path, weight_bits: int = 8) -> Metrics:
    """Bytes of weights and states, and cores, of ``architecture`` on ``target``; the accuracy is not known (0).

    All weights of a layer are the same positive number, so that none is rounded to zero and nothing cancels: no
    trained network of this architecture takes more. Raises ``RanvierError`` where it cannot be compiled.
    """
    from ranvier.search.modules import CellNet

    module = CellNet(architecture).with_equal_weights()
    net = network(module, architecture)
    payload = Payload(INPUT_BITS, 2.0 ** (INPUT_BITS - 1) - 1)
    ranged = replace(net, nodes=tuple(replace(n, payload=payload) if n in net.inputs else n for n in net.nodes))
    app = Compilation(ranged, target, None).app(Options(weight_bits=weight_bits), Effort.named(EFFORT))
    return metrics(app, architecture)


def metrics(app: "App", architecture: Architecture) -> Metrics:
    """What the compiled network takes, from the counts that its report prints."""
    program = app.program
    assert app.target is not None
    assert program.placement is not None
    taken = memory(program.chip, program.placement, app.target)
    return Metrics(0.0, taken.weight_bytes + taken.state_bytes, len(taken.cores), None, architecture.skeleton.steps)


def certainly_over(architecture: Architecture, budget: Budget, weight_bits: int) -> bool:
    """Whether the weights alone, each once, are more than ``budget``: then nothing has to be compiled to see it."""
    return architecture.weights * weight_bits / 8 > budget.memory
