"""Sinabs' neurons and layers, from the live attributes of the module.

``LIF``: ``i = a_syn (i + x)`` (without ``tau_syn``: ``i = x``), ``v = a_mem v + k i`` with ``k = 1 - a_mem`` where
``norm_input`` is set, else 1; ``a = exp(-1 / tau)`` in steps. It fires where ``v >= threshold``: once (SingleSpike),
``floor(v / threshold)`` times (MultiSpike), or so up to a maximum (MaxSpike); each spike subtracts, or any spike
resets to 0; then ``v`` is held above ``min_v_mem``. ``IAF`` keeps its membrane, ``ExpLeak`` never fires and returns
it, ``ALIF`` raises its threshold with each spike. Sequences are (batch, time, ...), of the Squeeze classes
(batch * time, ...). Source: Sinabs 3.1.3.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, floats, size
from ranvier.compiler.ir.linear import Linear, Pool
from ranvier.compiler.ir.matrix import linear_offset
from ranvier.compiler.ir.neurons import UNLIMITED, AdaptiveLif, Lif
from ranvier.frontends.torch.adapters import Adapter, Described
from ranvier.frontends.torch.isolate import class_path
from ranvier.frontends.torch.layers import LAYERS as TORCH
from ranvier.frontends.torch.layers import numbers
from ranvier.frontends.torch.sequences import step_of, together

ROOT = "sinabs.layers"
SPIKES = {
    "sinabs.activation.spike_generation.SingleSpike": 1,
    "sinabs.activation.spike_generation.MultiSpike": UNLIMITED,
}
MAX_SPIKE = "sinabs.activation.spike_generation.MaxSpike"
SUBTRACT = "sinabs.activation.reset_mechanism.MembraneSubtract"
RESET = "sinabs.activation.reset_mechanism.MembraneReset"


def in_sequences(_module: nn.Module) -> str:
    """(batch, time, ...) in one call."""
    return "BT"


def squeezed(_module: nn.Module) -> str:
    """(batch * time, ...) in one call."""
    return "N"


def _lif(module: nn.Module, name: str, shape: Shape) -> Described:
    return _described(module, name, shape, None)


def _recurrent(module: nn.Module, name: str, shape: Shape) -> Described:
    return _described(module, name, shape, _connection(module, name, shape))


def _leak(module: nn.Module, name: str, shape: Shape) -> Described:
    return _described(module, name, shape, None, silent=True)


def _adaptive(module: nn.Module, name: str, shape: Shape) -> Described:
    return _adapting(module, name, shape, None)


def _adaptive_recurrent(module: nn.Module, name: str, shape: Shape) -> Described:
    return _adapting(module, name, shape, _connection(module, name, shape))


def _adapting(module: nn.Module, name: str, shape: Shape, recurrent: Linear | None) -> Described:
    """``th = b0 + scale b``, ``b = a b + (1 - a) spikes``; with ``norm_input`` the kept current is scaled too."""
    m: Any = module
    _check(m, name, adaptive=True)
    keep, fading = _spread(m.alpha_mem_calculated, name, shape), _spread(m.alpha_adapt_calculated, name, shape)
    gain = 1.0 - keep if m.norm_input else floats(1.0)
    if m.alpha_syn_calculated is not None:
        gain = gain * _spread(m.alpha_syn_calculated, name, shape)
    keep_current = floats(0.0) if m.alpha_syn_calculated is None else gain
    form: dict[str, Any] = {"keep_current": keep_current, "keep_membrane": keep, "gain": gain}
    model = AdaptiveLif(
        **form,
        keep_adaptation=fading,
        threshold=_spread(m.b0, name, shape),
        adaptation=_spread(m.adapt_scale, name, shape) * (1.0 - fading),
        reset="subtract" if class_path(type(m.reset_fn)) == SUBTRACT else "value",
        initial=floats(0.0) if recurrent is None else _before_recurrence(recurrent, form, name),
        max_spikes=_most(m.spike_fn),
        floor=floats(0.0 if m.min_v_mem is None else np.float32(m.min_v_mem)),
        floored=m.min_v_mem is not None,
    )
    return Described(model, recurrent, None, np.array(1.0), shows_reset=True)


def _play_squeezed(module: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """The module run with the sizes of ``frames`` instead of its own."""
    m: Any = module
    held = m.batch_size, m.num_timesteps
    m.batch_size, m.num_timesteps = frames.shape[1], frames.shape[0]
    try:
        out = module(together(frames, "N"))
    finally:
        m.batch_size, m.num_timesteps = held
    return torch.stack([step_of(out, "N", frames.shape[0], t) for t in range(frames.shape[0])])


TABLE: Mapping[str, Adapter] = {
    f"{ROOT}.iaf.IAF": Adapter((), ("spk",), _lif, in_sequences),
    f"{ROOT}.iaf.IAFRecurrent": Adapter((), ("spk",), _recurrent, in_sequences),
    f"{ROOT}.iaf.IAFSqueeze": Adapter((), ("spk",), _lif, squeezed, _play_squeezed),
    f"{ROOT}.lif.LIF": Adapter((), ("spk",), _lif, in_sequences),
    f"{ROOT}.lif.LIFRecurrent": Adapter((), ("spk",), _recurrent, in_sequences),
    f"{ROOT}.lif.LIFSqueeze": Adapter((), ("spk",), _lif, squeezed, _play_squeezed),
    f"{ROOT}.alif.ALIF": Adapter((), ("spk",), _adaptive, in_sequences),
    f"{ROOT}.alif.ALIFRecurrent": Adapter((), ("spk",), _adaptive_recurrent, in_sequences),
    f"{ROOT}.alif.ALIFSqueeze": Adapter((), ("spk",), _adaptive, squeezed, _play_squeezed),
    f"{ROOT}.exp_leak.ExpLeak": Adapter((), ("mem",), _leak, in_sequences),
    f"{ROOT}.exp_leak.ExpLeakSqueeze": Adapter((), ("mem",), _leak, squeezed, _play_squeezed),
}
"""The neurons."""

RESHAPES = frozenset({f"{ROOT}.reshape.FlattenTime"})
"""Layers that only change shapes."""

TRANSPARENT = (
    "sinabs.network.Network",
    f"{ROOT}.reshape.Repeat",
    f"{ROOT}.reshape.UnflattenTime",
    f"{ROOT}.merge.Merge",
)
"""Modules that only call others: looked into."""


def sum_pool(module: nn.Module, name: str, shape: Shape) -> tuple[Linear, ...]:
    """``SumPool2d``: the norm of order one, which is the sum where nothing is negative."""
    m: Any = module
    kernel, stride = _pair(m.kernel_size), _pair(m.stride or m.kernel_size)
    if m.ceil_mode and any((n - k) % s for n, k, s in zip(shape[1:], kernel, stride, strict=True)):
        raise _problem(name, "ceil_mode=True makes windows that hang over the edge.", "Set ceil_mode=False.")
    return (Pool(name, "sum", shape, kernel, stride, ((0, 0), (0, 0))),)


LAYERS = {f"{ROOT}.pool2d.SumPool2d": sum_pool}
"""Layers of its own."""


def _described(module: nn.Module, name: str, shape: Shape, recurrent: Linear | None, silent: bool = False) -> Described:
    m: Any = module
    if not silent:
        _check(m, name, adaptive=False)
    keep, syn = _spread(m.alpha_mem_calculated, name, shape), m.alpha_syn_calculated
    gain = 1.0 - keep if m.norm_input else floats(1.0)
    keep_current = floats(0.0)
    if syn is not None:
        keep_current = _spread(syn, name, shape)
        gain = gain * keep_current
    form: dict[str, Any] = {"keep_current": keep_current, "keep_membrane": keep, "gain": gain}
    if m.min_v_mem is not None:
        form["floor"] = float(np.float32(m.min_v_mem.detach()))
    if silent:
        model = Lif(**form, threshold=floats(np.inf), reset="none")
        return Described(model, None, None, np.array(1.0), shows_reset=False, silent=True)
    threshold = _spread(m.spike_threshold, name, shape)
    form |= {"threshold": threshold, "compare": ">=", "max_spikes": _most(m.spike_fn)}
    if class_path(type(m.reset_fn)) == SUBTRACT:
        value = m.reset_fn.subtract_value
        form |= {"reset": "subtract", "reset_amount": threshold if value is None else floats(np.float32(value))}
    if recurrent is not None:
        form["initial"] = _before_recurrence(recurrent, form, name)
    return Described(Lif(**form), recurrent, None, np.array(1.0), shows_reset=True)


def _before_recurrence(recurrent: Linear, form: Mapping[str, Any], name: str) -> FloatArray:
    """The membrane before the first step: there the recurrent layer is silent, its bias included."""
    bias = linear_offset(recurrent)
    if not np.any(bias):
        return floats(0.0)
    if np.any(form["keep_current"]):
        text = "rec_connect has a bias, which Sinabs leaves out in the first step, and the current remembers it."
        raise _problem(name, text, "Use rec_connect without bias; put it into the layer before.")
    return floats(-bias * form["gain"] / form["keep_membrane"])


def _most(rule: Any) -> int:
    """The largest number of spikes in a step, 0 without a limit, -1 for a rule that is not known."""
    if class_path(type(rule)) == MAX_SPIKE:
        return int(rule.max_num_spikes_per_bin or UNLIMITED)
    return SPIKES.get(class_path(rule), -1) if isinstance(rule, type) else -1


def _spread(values: Any, name: str, shape: Shape) -> FloatArray:
    """A parameter as () or flat over the neurons."""
    tensor = torch.as_tensor(values, dtype=torch.float32).detach()
    if tensor.numel() == 1:
        return floats(float(tensor.reshape(())))
    try:
        return numbers(tensor.broadcast_to(shape)).reshape(size(shape))
    except RuntimeError:
        text = f"a parameter of shape {list(tensor.shape)} does not spread over neurons of shape {list(shape)}."
        raise _problem(name, text, "Give one value, or one per neuron.") from None


def _connection(module: Any, name: str, shape: Shape) -> Linear:
    """``rec_connect`` as one operation; shapes around it change nothing."""
    inner = module.rec_connect
    parts = [p for p in (inner if isinstance(inner, nn.Sequential) else (inner,)) if not _shapes_only(p)]
    if len(parts) != 1 or class_path(type(parts[0])) not in TORCH:
        text = f"the recurrent connection {type(inner).__name__} is more than one weight layer."
        raise _problem(name, text, "Use one Linear or Conv as rec_connect (with Flatten and Unflatten around it).")
    linear = isinstance(parts[0], nn.Linear)
    if linear and len(shape) > 1 and not isinstance(inner, nn.Sequential):
        raise _problem(name, "rec_connect would act on the last axis alone.", "Put Flatten in front of it.")
    (op,) = TORCH[class_path(type(parts[0]))](parts[0], f"{name}.recurrent", (size(shape),) if linear else shape)
    if size(op.out_shape) != size(shape):
        text = f"rec_connect gives {list(op.out_shape)} for neurons of shape {list(shape)}."
        raise _problem(name, text, "Use a recurrent layer that keeps the shape.")
    return op


def _shapes_only(part: nn.Module) -> bool:
    return isinstance(part, (nn.Flatten, nn.Unflatten, nn.Identity))


def _check(m: Any, name: str, *, adaptive: bool) -> None:
    problems = _problems(m, m.b0 if adaptive else m.spike_threshold)
    if adaptive and _most(m.spike_fn) != 1 and not bool((torch.as_tensor(m.adapt_scale) >= 0).all()):
        text = "adapt_scale is negative: spikes are counted by a threshold that can fall to zero."
        problems.append((text, "Use SingleSpike, or adapt_scale of at least 0."))
    if adaptive and getattr(m.reset_fn, "subtract_value", None) is not None:
        problems.append(("ALIF subtracts a value other than its threshold.", "Use MembraneSubtract()."))
    found = [Diagnostic("RV235", name, text, fix) for text, fix in problems]
    if found:
        raise RanvierError(found)


def _problems(m: Any, threshold: Any) -> list[tuple[str, str]]:
    found = []
    if _most(m.spike_fn) < 0:
        text = f"spike_fn {getattr(m.spike_fn, '__name__', type(m.spike_fn).__name__)} is not one of Sinabs' own."
        found.append((text, "Use SingleSpike, MultiSpike or MaxSpike."))
    rule = class_path(type(m.reset_fn))
    if rule not in (SUBTRACT, RESET):
        text = f"reset_fn {type(m.reset_fn).__name__} is not one of Sinabs' own."
        found.append((text, "Use MembraneSubtract() or MembraneReset()."))
    if rule == RESET and m.reset_fn.reset_value != 0.0:
        text = (
            f"MembraneReset adds its reset_value {m.reset_fn.reset_value:g} to every membrane in every step, also to "
            "those of neurons that did not fire."
        )
        found.append((text, "Use MembraneReset(reset_value=0.0), or a bias in the layer before it."))
    if not bool((torch.as_tensor(threshold) > 0).all()):
        found.append(("a threshold is not positive.", "Use thresholds above zero."))
    return found


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _problem(name: str, text: str, fix: str) -> RanvierError:
    return error("RV235", name, text, fix)


def refusal(path: str, name: str) -> RanvierError:
    """No adapter for a class of Sinabs."""
    kind = path.rpartition(".")[2]
    return error(
        "RV236",
        name,
        f"{kind} of Sinabs has no counterpart in a network of spiking neurons, weighted sums and delays.",
        "Neurons with an adapter are IAF and LIF with their Recurrent and Squeeze forms, ExpLeak with its Squeeze "
        "form, and ALIF with its Recurrent and Squeeze forms; layers are those "
        "of torch.nn, SumPool2d, FlattenTime, UnflattenTime, Repeat and Merge.",
    )
