"""What an adapter file provides for each neuron class of its framework."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ranvier.compiler.ir.arrays import FloatArray, IntArray, Shape
from ranvier.compiler.ir.linear import Linear
from ranvier.compiler.ir.neurons import AdaptiveLif, GradedLif, Lif, Quantizer, RegisterLif

Spiking = Lif | AdaptiveLif | GradedLif | Quantizer | RegisterLif


@dataclass(frozen=True, eq=False)
class Described:
    """A neuron module in the network's terms.

    ``recurrent`` leads from the spikes of one step to the input of the next, ``feedback`` likewise carries a
    reset that no leak can express; ``amplitude`` is what a spike is worth to the layers that follow;
    ``shows_reset`` tells that the module returns the membrane after the reset; ``silent`` that it never fires and
    returns its membrane first. ``entry`` are weights inside the module, between what it gets and its neurons.
    ``late`` is by how many steps the module shows what each neuron sends late (one number, or one per neuron).
    ``scale`` is not 0 for a model in registers: membrane units per unit of the source.
    """

    model: Spiking
    recurrent: Linear | None
    feedback: Linear | None
    amplitude: FloatArray
    shows_reset: bool
    silent: bool = False
    entry: Linear | None = None
    late: IntArray | None = None
    scale: float = 0.0


def one_step(_module: nn.Module) -> str:
    """A call is one step, on a tensor of axes (batch, features)."""
    return ""


@dataclass(frozen=True)
class Adapter:
    """How to call one class: ``states`` in the order of its arguments, ``outputs`` in the order of its results.

    Results are named ``spk``, ``mem`` (the membrane), ``syn``, or, if only handed on, otherwise. ``sequence`` gives
    the leading axes of the tensor that the live module takes in one call: none for one step, else ``TB``, ``BT``, ``N``
    (batch and time merged, batch major) or ``B*T`` (time last, behind the features) for all steps at once; what such a
    call returns is one sequence. ``play``
    runs the live module on its own (None: as ``states`` and ``sequence`` say).
    """

    states: tuple[str, ...]
    outputs: tuple[str, ...]
    describe: Callable[[nn.Module, str, Shape], Described]
    sequence: Callable[[nn.Module], str] = one_step
    play: Callable[[nn.Module, torch.Tensor], torch.Tensor] | None = None
