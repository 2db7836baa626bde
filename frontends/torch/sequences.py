"""Neurons that take a whole sequence in one call, seen as one call per step.

SpikingJelly's multi-step modules take (time, batch, ...), Sinabs and Rockpool (batch, time, ...), and Sinabs' Squeeze
classes (batch * time, ...), split as the module itself says.
"""

import torch
from torch import nn

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape
from ranvier.frontends.torch.adapters import Adapter
from ranvier.frontends.torch.capture import Event, tensors
from ranvier.frontends.torch.values import Expr, Fixed, Value

WORDS = {
    "TB": "(time, batch, ...)",
    "BT": "(batch, time, ...)",
    "N": "(batch * time, ...)",
    "B*T": "(batch, ..., time)",
}


def steps_of_call(rules: Adapter, module: nn.Module, x: torch.Tensor) -> int:
    """How many steps the live ``module`` takes in a call with ``x``."""
    letters = rules.sequence(module)
    if letters != "N":
        return x.shape[_time(letters)] if letters else 1
    steps = int(getattr(module, "num_timesteps", -1))
    return steps if steps > 0 else x.shape[0] // int(getattr(module, "batch_size", 1))


def step_of(x: torch.Tensor, letters: str, steps: int, step: int) -> torch.Tensor:
    """(batch, features) of one step of a sequence whose leading axes are ``letters``."""
    if letters == "N":
        return x.reshape(x.shape[0] // steps, steps, *x.shape[1:])[:, step]
    return x.select(_time(letters), step)


def axes_of(letters: str, features: int) -> str:
    """The axes of a sequence of frames with so many feature axes, one letter each."""
    return "B" + "F" * features + "T" if letters == "B*T" else letters + "F" * features


def features_of(letters: str, shape: Shape) -> Shape:
    """The shape of a frame in a tensor of ``shape``, which is one step or a sequence."""
    if letters == "B*T":
        return shape[1:-1]
    return shape[len(letters) if letters in ("TB", "BT") else 1 :]


def _time(letters: str) -> int:
    return -1 if letters == "B*T" else letters.index("T")


def together(frames: torch.Tensor, letters: str) -> torch.Tensor:
    """Frames (time, batch, ...) as the sequence that a call takes."""
    if letters == "TB":
        return frames
    if letters == "B*T":
        return frames.movedim(0, -1)
    return frames.transpose(0, 1) if letters == "BT" else frames.transpose(0, 1).flatten(0, 1)


def split(event: Event, letters: str, steps: int) -> list[Event]:
    """One call on a sequence as one event per step; ``seen`` holds input and first result of the step."""
    given = len(list(tensors((event.args, dict(event.kwargs)))))
    x, out = event.seen[0], event.seen[given]
    parts = []
    for step in range(steps):
        both = step_of(x, letters, steps, step), step_of(out, letters, steps, step)
        parts.append(Event(event.kind, event.name, event.site, both[:1], {}, both[1], both))
    return parts


def sequence_frames(
    value: Value | torch.Tensor, shape: Shape, letters: str, event: Event, steps: int
) -> tuple[Expr, ...]:
    """What a neuron receives in each step of a call on a whole sequence."""
    if isinstance(value, torch.Tensor):
        return tuple(Fixed(step_of(value, letters, steps, t), shape) for t in range(steps))
    if value.axes != axes_of(letters, len(shape)) or len(value.frames) != steps:
        wanted = WORDS[letters]
        raise error(
            "RV205",
            str(event.site),
            f"{event.name} takes a whole sequence {wanted} of {steps} steps in one call, and gets something else.",
            "Give the axes in this order, and a sample with the batch size and the number of steps that the module "
            "was made for.",
        )
    return value.frames


def played(module: nn.Module, rules: Adapter, frames: torch.Tensor) -> torch.Tensor:
    """The first result of the live ``module``, from a fresh state, on ``frames`` (time, batch, ...): the same shape."""
    if rules.play is not None:
        return rules.play(module, frames)
    letters, steps = rules.sequence(module), frames.shape[0]
    if letters:
        out = next(tensors(module(together(frames, letters))))
        return torch.stack([step_of(out, letters, steps, t) for t in range(steps)])
    states: dict[str, torch.Tensor] = {}
    if not getattr(module, "init_hidden", False):
        states = {state: torch.zeros_like(frames[0]) for state in rules.states}
    shown = []
    for frame in frames:
        results = tuple(tensors(module(frame, *states.values())))
        states = {s: results[rules.outputs.index(s)] for s in states}
        shown.append(results[0].clone())
    return torch.stack(shown)
