"""snnTorch's neurons as canonical ones, from the live attributes of the module.

snnTorch compares strictly (``mem > threshold``) and, by default, lets the reset of a spike act in the next step.
With decay b the delayed subtraction of the threshold equals an immediate subtraction of ``threshold / b``; a
delayed reset to zero equals an immediate one, followed, where the reset also drops the input (Synaptic, RLeaky,
RSynaptic, Lapicque), by one silent step. ``Leaky`` with ``reset_delay=False`` and subtraction fires only above
twice the threshold in a step that starts above it. Source: snnTorch 1.0.0; every form is compared with the
live module at each import.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.linear import Conv, Dense, Linear, Scale
from ranvier.compiler.ir.neurons import Lif, Reset
from ranvier.frontends.torch.adapters import Adapter, Described
from ranvier.frontends.torch.isolate import class_path
from ranvier.frontends.torch.layers import LAYERS, numbers

RESETS: Mapping[str, Reset] = {"_base_sub": "subtract", "_base_zero": "value", "_base_int": "none"}
RESET_CODES = {"subtract": 0, "value": 1, "none": 2}
WEAK = 2.0**-6
PROBE = (-3.0, -1.0, -1e-3, -1e-6, 0.0, 1e-6, 1e-3, 0.5, 1.0, 3.0)


@dataclass(frozen=True, eq=False)
class _Live:
    """The attributes of a live module, spread over its neurons."""

    module: Any
    name: str
    shape: Shape

    def values(self, attribute: str, low: float | None = None, high: float | None = None) -> FloatArray:
        """A parameter as () or (neurons,), clamped as the module does."""
        return self.spread(
            getattr(self.module, attribute).clamp(low, high) if low is not None else getattr(self.module, attribute),
            attribute,
        )

    def spread(self, tensor: torch.Tensor, attribute: str) -> FloatArray:
        """``tensor`` per neuron."""
        if tensor.numel() == 1:
            return np.array(float(tensor.detach().reshape(())))
        try:
            return numbers(tensor.broadcast_to(self.shape)).reshape(size(self.shape))
        except RuntimeError:
            raise error(
                "RV193",
                self.name,
                f"{attribute} has shape {list(tensor.shape)}, which does not spread over neurons of shape "
                f"{list(self.shape)}.",
                "Give one value, or one per neuron.",
            ) from None

    @property
    def reset(self) -> Reset:
        """The reset that is bound, whatever ``reset_mechanism`` was set to later."""
        return RESETS[self.module.state_function.__name__]

    @property
    def delayed(self) -> bool:
        """Whether the reset acts in the next step."""
        return bool(getattr(self.module, "reset_delay", True))

    @property
    def threshold(self) -> FloatArray:
        """The firing threshold."""
        return self.values("threshold")


def _leaky(module: nn.Module, name: str, shape: Shape) -> Described:
    live = _Live(module, name, shape)
    return _described(live, live.values("beta", 0, 1), delayed=live.delayed)


def _synaptic(module: nn.Module, name: str, shape: Shape) -> Described:
    live = _Live(module, name, shape)
    alpha, beta = live.values("alpha", 0, 1), live.values("beta", 0, 1)
    return _described(live, beta, alpha=alpha, delayed=live.delayed, drops_input=True)


def _rleaky(module: nn.Module, name: str, shape: Shape) -> Described:
    live = _Live(module, name, shape)
    beta = live.values("beta", 0, 1)
    return _described(live, beta, delayed=live.delayed, drops_input=True, recurrent=_recurrent(live))


def _rsynaptic(module: nn.Module, name: str, shape: Shape) -> Described:
    """``reset_delay=False`` has no effect here: the corrected membrane is never stored."""
    live = _Live(module, name, shape)
    if not live.delayed and getattr(module, "init_hidden", False):
        raise _option(name, "reset_delay=False fails inside RSynaptic with init_hidden=True", "Use reset_delay=True.")
    alpha, beta = live.values("alpha", 0, 1), live.values("beta", 0, 1)
    return _described(live, beta, alpha=alpha, drops_input=True, recurrent=_recurrent(live))


def _lapicque(module: nn.Module, name: str, shape: Shape) -> Described:
    live = _Live(module, name, shape)
    m = live.module
    gain = live.spread(m.R * (1 / (m.R * m.C)) * m.time_step, "R, C and time_step")
    decay = live.spread(1 - (m.time_step / (m.R * m.C)), "R, C and time_step")
    return _described(live, decay, gain=gain, drops_input=True)


def _alpha(module: nn.Module, name: str, shape: Shape) -> Described:
    """``mem = tau (exc + inh)`` follows from itself and ``-inh`` of the step before: a late current."""
    live = _Live(module, name, shape)
    if live.reset == "subtract":
        raise _option(
            name,
            "reset_mechanism='subtract' of Alpha subtracts the threshold from a current",
            "Use reset_mechanism='zero', the default of Alpha, or 'none'.",
        )
    alpha, beta = live.values("alpha", 0, 1), live.values("beta", 0, 1)
    _check(live, alpha)
    m = live.module
    slow, fast = torch.log(m.alpha.clamp(0, 1)), torch.log(m.beta.clamp(0, 1))
    scale = live.spread(slow / (fast - slow) + 1, "alpha and beta")
    common = {
        "keep_current": beta,
        "keep_membrane": alpha,
        "gain": (alpha - beta) * scale,
        "threshold": live.threshold,
    }
    if live.reset == "none":
        model = Lif(**_arrays(common), reset="none", late_current=True)
    else:
        model = Lif(**_arrays(common), refractory=1, late_current=True, reset_current=True, block_input=True)
    return Described(model, None, None, live.values("graded_spikes_factor"), shows_reset=False)


TABLE: Mapping[str, Adapter] = {
    "snntorch._neurons.alpha.Alpha": Adapter(
        ("syn_exc", "syn_inh", "mem"), ("spk", "syn_exc", "syn_inh", "mem"), _alpha
    ),
    "snntorch._neurons.leaky.Leaky": Adapter(("mem",), ("spk", "mem"), _leaky),
    "snntorch._neurons.synaptic.Synaptic": Adapter(("syn", "mem"), ("spk", "syn", "mem"), _synaptic),
    "snntorch._neurons.rleaky.RLeaky": Adapter(("spk", "mem"), ("spk", "mem"), _rleaky),
    "snntorch._neurons.rsynaptic.RSynaptic": Adapter(("spk", "syn", "mem"), ("spk", "syn", "mem"), _rsynaptic),
    "snntorch._neurons.lapicque.Lapicque": Adapter(("mem",), ("spk", "mem"), _lapicque),
}


def _described(
    live: _Live,
    beta: FloatArray,
    *,
    alpha: FloatArray | float = 0.0,
    gain: FloatArray | float = 1.0,
    delayed: bool = True,
    drops_input: bool = False,
    recurrent: Linear | None = None,
) -> Described:
    _check(live, beta)
    common = {"keep_current": alpha, "keep_membrane": beta, "gain": gain, "threshold": live.threshold}
    feedback = None
    if live.reset == "none":
        model = Lif(**_arrays(common), reset="none")
    elif live.reset == "value":
        model = Lif(**_arrays(common), reset="value", refractory=int(delayed and drops_input))
    elif delayed:
        amount, feedback = _delayed_subtraction(live, beta, np.asarray(alpha), np.asarray(gain))
        model = Lif(**_arrays(common | {"reset_amount": amount}), reset="subtract")
    else:
        model = Lif(**_arrays(common | {"reset_amount": live.threshold}), reset="subtract", late_guard=True)
    shows_reset = not delayed and live.reset != "none"
    return Described(model, recurrent, feedback, live.values("graded_spikes_factor"), shows_reset)


def _arrays(values: Mapping[str, FloatArray | float]) -> dict[str, Any]:
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}


def _delayed_subtraction(
    live: _Live, beta: FloatArray, alpha: FloatArray, gain: FloatArray
) -> tuple[FloatArray, Linear | None]:
    """The amount to subtract at once; where the leak forgets (almost) all, a weight from the neuron to itself."""
    weak = beta < WEAK
    amount = live.threshold / np.where(weak, 1.0, beta) * ~weak
    if not np.any(weak):
        return amount, None
    if np.any(alpha):
        raise error(
            "RV193",
            live.name,
            f"beta is {float(np.min(beta)):g} with a synaptic current and a subtracting reset in the next step: the "
            "membrane forgets before the reset arrives.",
            f"Use beta of at least {WEAK:g}, reset_mechanism='zero', or reset_delay=False.",
        )
    weight = -live.threshold * weak / gain
    return amount, Scale(f"{live.name}.reset", live.shape, weight, np.array(0.0))


def _recurrent(live: _Live) -> Linear:
    """The recurrent weights, on spikes of amplitude one."""
    inner, name = live.module.recurrent, f"{live.name}.recurrent"
    amplitude = live.values("graded_spikes_factor")
    if type(inner).__name__ == "RecurrentOneToOne":
        return Scale(name, live.shape, live.spread(inner.V, "V") * amplitude, np.array(0.0))
    if class_path(type(inner)) not in LAYERS:
        raise _option(live.name, f"the recurrent part was replaced by {type(inner).__name__}", "Use all_to_all or V.")
    (op,) = LAYERS[class_path(type(inner))](inner, name, live.shape)
    if op.out_shape != live.shape:
        raise error(
            "RV193",
            name,
            f"the recurrent layer gives {list(op.out_shape)} for neurons of shape {list(live.shape)}.",
            "Use an odd kernel, so that the recurrent convolution keeps the shape.",
        )
    if isinstance(op, Dense) or (isinstance(op, Conv) and amplitude.ndim == 0):
        return replace(op, weight=op.weight * amplitude)
    raise _option(live.name, "graded_spikes_factor differs between neurons with a recurrent convolution", "Use one.")


def _check(live: _Live, decay: FloatArray) -> None:
    found = [*_option_problems(live)]
    if np.any(live.threshold < 0):
        found.append(
            Diagnostic(
                "RV193",
                live.name,
                f"the threshold {float(np.min(live.threshold)):g} is negative: the neuron "
                "would reset before its first step.",
                "Use a threshold of zero or more.",
            )
        )
    if np.any(decay < 0) or np.any(decay > 1):
        found.append(
            Diagnostic(
                "RV193",
                live.name,
                f"the membrane keeps {float(np.min(decay)):g} to {float(np.max(decay)):g} of "
                "its value per step, outside 0 to 1.",
                "Choose R*C of at least time_step.",
            )
        )
    if np.any(live.values("graded_spikes_factor") == 0):
        found.append(
            Diagnostic(
                "RV193", live.name, "graded_spikes_factor is 0: no spike has an effect.", "Use a factor other than 0."
            )
        )
    if found:
        raise RanvierError(found)


def _option_problems(live: _Live) -> list[Diagnostic]:
    m, found = live.module, []
    if getattr(m, "inhibition", False):
        found.append(
            (
                "inhibition=True lets only the strongest neuron fire while all others are reset as well",
                "Train without inhibition, or with lateral weights (RLeaky).",
            )
        )
    if getattr(m, "state_quant", False):
        found.append(
            (
                "state_quant changes the states by a function of your own after each step",
                "Train without state_quant: the compiler quantizes the states for the target.",
            )
        )
    try:
        probe = torch.tensor(PROBE)
        plain = torch.equal(m.spike_grad(probe).float(), (probe > 0).float())
    except (RuntimeError, TypeError, ValueError, IndexError):
        plain = False
    if not plain:
        found.append(
            (
                "spike_grad does not give 1 above zero and 0 at or below it in the forward pass",
                "Use a surrogate gradient from snntorch.surrogate, whose forward pass is the plain threshold.",
            )
        )
    codes = int(getattr(m, "reset_mechanism_val", RESET_CODES[live.reset]))
    if not live.delayed and codes != RESET_CODES[live.reset]:
        found.append(
            (
                "reset_mechanism was changed after construction, which with reset_delay=False mixes two resets",
                "Construct the neuron with the reset mechanism that you mean.",
            )
        )
    return [Diagnostic("RV190", live.name, f"{text}.", fix) for text, fix in found]


def _option(place: str, text: str, fix: str) -> RanvierError:
    return error("RV190", place, f"{text}.", fix)
