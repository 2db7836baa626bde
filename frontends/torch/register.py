"""Neuron classes of the user's own: which parameters of a module are which of the canonical neuron."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.neurons import GradedLif, Lif
from ranvier.frontends.torch.adapters import Adapter, Described

REGISTERED: dict[type, Adapter] = {}
RESETS: dict[type, Callable[[Any], None] | None] = {}
NAMES = {"spikes": "spk", "membrane": "mem", "reset_membrane": "mem", "current": "syn"}


def register_neuron(
    cls: type,
    model: Callable[[Any], object],
    *,
    states: Sequence[str] = (),
    returns: Sequence[str] = ("spikes",),
    reset: Callable[[Any], None] | None = None,
) -> None:
    """Teach Ranvier a neuron class: modules that are exactly ``cls`` are read as the neuron ``model(module)``.

    ``model`` gives a :class:`~ranvier.compiler.ir.neurons.Lif`, or a ``GradedLif`` for spikes that carry their size,
    with the live module's parameters, as numbers or one per neuron. ``forward`` takes the weighted input of one step,
    (batch, features), then the ``states``; it returns the tensors ``returns``, alone or in a tuple. Both name, in
    order, ``spikes``, ``membrane`` (before the reset of this step), ``reset_membrane`` (after it), ``current``
    (synaptic); any other name is a state of your own. A module that keeps its states itself has ``states=()``, and
    ``reset(module)`` makes it forget them.

    The live module is run against ``model`` at every import, and refused (RV194, RV265) where they differ.
    Raises ``RanvierError`` RV268 when the names make no sense.
    """
    problem = _problem(cls, states, returns)
    if problem:
        raise error("RV268", getattr(cls, "__name__", str(cls)), problem, "See the section on own neurons in the docs.")
    inputs, outputs = (tuple(NAMES.get(name, name) for name in names) for names in (states, returns))
    shows_reset = "membrane" not in returns

    def describe(module: nn.Module, name: str, _shape: Shape) -> Described:
        found = model(module)
        if not isinstance(found, Lif | GradedLif):
            text = f"the function registered for {cls.__name__} gave a {type(found).__name__}, not a ranvier.Lif."
            fix = "Return ranvier.Lif(...) or ranvier.GradedLif(...) with the module's parameters."
            raise error("RV268", name, text, fix)
        return Described(found, None, None, np.array(1.0), shows_reset)

    REGISTERED[cls] = Adapter(inputs, outputs, describe)
    RESETS[cls] = reset


def registered(cls: type) -> Adapter | None:
    """The adapter registered for exactly ``cls``."""
    return REGISTERED.get(cls)


def reset_registered(module: nn.Module) -> None:
    """Make a module of a registered class forget its states; nothing for all others."""
    reset = RESETS.get(type(module))
    if reset is not None:
        reset(module)


def _problem(cls: object, states: Sequence[str], returns: Sequence[str]) -> str:
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        return "it is not a subclass of torch.nn.Module."
    if tuple(returns[:1]) != ("spikes",):
        return f"it returns {', '.join(returns) or 'nothing'}: the spikes have to come first."
    missing = [name for name in states if name not in returns]
    if missing:
        return f"it takes {', '.join(missing)}, but does not return it, so that it cannot be handed on."
    return ""
