"""Norse's neurons as canonical ones, from the live attributes of the module.

With ``k = dt * tau_mem_inv`` and ``s = dt * tau_syn_inv``, Norse integrates by Euler's method, compares strictly
(``v > v_th``) and resets at once::

    LIF, LIFRecurrent   j = (1 - s) j + x        v = (1 - k) v + k (v_leak + j)      reset to v_reset
    LIFRefrac           the same, v held and silent for ceil(rho_reset) steps after a spike
    LIFBox              no j: x enters v directly                                    reset to v_reset, or - v_th
    IAF                 v = v + x                                                    reset to v_reset
    LI, LIBox           as LIF and LIFBox, without threshold: v is what they show

The synaptic current jumps before it acts and decays afterwards. Membranes start at ``v_leak`` (IAF: at
``v_reset``), and are shown after the reset. Cells take one step, the classes without ``Cell`` a whole sequence
(time, batch, ...). Source: Norse 1.1.0; every form is compared with the live module at each import.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.neurons import Lif, Reset
from ranvier.frontends.torch.adapters import Adapter, Described
from ranvier.frontends.torch.layers import numbers

RESETS: Mapping[str, Reset] = {"reset_value": "value", "reset_subtract": "subtract"}
FUNCTIONAL = "norse.torch.functional"
NEVER = np.array(np.inf)
TRANSPARENT = ("norse.torch.module.sequential.", "norse.torch.module.lift.Lift")
"""Modules that only call others: looked into."""


def _lif(module: Any, name: str, shape: Shape) -> Described:
    return _plain(_synaptic(module, module.p, name, shape))


def _refractory(module: Any, name: str, shape: Shape) -> Described:
    return _plain(_synaptic(module, module.p.lif, name, shape, _silent_steps(module, name)))


def _recurrent(module: Any, name: str, shape: Shape) -> Described:
    return _wired(module, name, lambda inner: _synaptic(module, module.p, name, inner), shape)


def _refractory_recurrent(module: Any, name: str, shape: Shape) -> Described:
    steps = _silent_steps(module, name)
    return _wired(module, name, lambda inner: _synaptic(module, module.p.lif, name, inner, steps), shape)


def _box(module: Any, name: str, shape: Shape) -> Described:
    p = module.p
    method = p.reset_method
    if getattr(method, "__module__", "") != f"{FUNCTIONAL}.reset" or method.__name__ not in RESETS:
        raise _replaced(name, "reset_method", method, "reset_value or reset_subtract")
    threshold, subtracts = _spread(p.v_th, "v_th", name, shape), RESETS[method.__name__] == "subtract"
    return _plain(
        Lif(
            **_membrane(module, p, name, shape),
            threshold=threshold,
            reset=RESETS[method.__name__],
            reset_value=np.zeros(()) if subtracts else _spread(p.v_reset, "v_reset", name, shape),
            reset_amount=threshold if subtracts else np.array(1.0),
        )
    )


def _iaf(module: Any, name: str, shape: Shape) -> Described:
    start = _spread(module.p.v_reset, "v_reset", name, shape)
    threshold = _spread(module.p.v_th, "v_th", name, shape)
    return _plain(Lif(threshold=threshold, reset="value", reset_value=start, initial=start))


def _integrator(module: Any, name: str, shape: Shape) -> Described:
    keep = 1.0 - _rate(module.dt, module.p.tau_syn_inv, "tau_syn_inv", name, shape)
    model = Lif(keep_current=keep, **_membrane(module, module.p, name, shape), threshold=NEVER, reset="none")
    return _silent(model)


def _box_integrator(module: Any, name: str, shape: Shape) -> Described:
    model = Lif(**_membrane(module, module.p, name, shape), threshold=NEVER, reset="none")
    return _silent(model)


def _synaptic(module: Any, p: Any, name: str, shape: Shape, refractory: int = 0) -> Lif:
    """A neuron with a synaptic current; ``p`` are its LIFParameters."""
    return Lif(
        keep_current=1.0 - _rate(module.dt, p.tau_syn_inv, "tau_syn_inv", name, shape),
        **_membrane(module, p, name, shape),
        threshold=_spread(p.v_th, "v_th", name, shape),
        reset="value",
        reset_value=_spread(p.v_reset, "v_reset", name, shape),
        refractory=refractory,
    )


def _membrane(module: Any, p: Any, name: str, shape: Shape) -> dict[str, Any]:
    """Decay, gain, constant drive and start of the membrane."""
    rate = _rate(module.dt, p.tau_mem_inv, "tau_mem_inv", name, shape)
    leak = _spread(p.v_leak, "v_leak", name, shape)
    return {"keep_membrane": 1.0 - rate, "gain": rate, "drive": rate * leak, "initial": leak}


def _plain(model: Lif) -> Described:
    return Described(model, None, None, np.array(1.0), shows_reset=True)


def _silent(model: Lif) -> Described:
    return Described(model, None, None, np.array(1.0), shows_reset=False, silent=True)


def _wired(module: Any, name: str, model: Callable[[Shape], Lif], shape: Shape) -> Described:
    """A population with input and recurrent weights of its own."""
    entry = Dense(f"{name}.input_weights", numbers(module.input_weights))
    if shape != (entry.in_size,):
        raise error(
            "RV271",
            name,
            f"its input_weights take {entry.in_size} values, but it gets frames of shape {list(shape)}.",
            "Flatten what comes before it, so that each step is (batch, features).",
        )
    recurrent = Dense(f"{name}.recurrent_weights", numbers(module.recurrent_weights))
    return Described(model(entry.out_shape), recurrent, None, np.array(1.0), shows_reset=True, entry=entry)


def _silent_steps(module: Any, name: str) -> int:
    steps = np.unique(np.ceil(np.maximum(np.asarray(torch.as_tensor(module.p.rho_reset).detach()), 0.0)))
    if steps.size > 1:
        raise error(
            "RV272",
            name,
            f"rho_reset gives its neurons between {steps[0]:g} and {steps[-1]:g} silent steps.",
            "Use one rho_reset for the whole layer, or split the layer.",
        )
    return int(steps[0])


def _rate(dt: float, inverse: Any, attribute: str, name: str, shape: Shape) -> FloatArray:
    """``dt * inverse`` in the module's own precision, between 0 and 1."""
    rate = _spread(dt * torch.as_tensor(inverse), attribute, name, shape)
    if np.any(rate < 0.0) or np.any(rate > 1.0):
        raise error(
            "RV272",
            name,
            f"dt * {attribute} reaches {float(rate.flat[np.argmax(np.abs(rate - 0.5))]):g}: outside 0 to 1, where "
            "Euler's method oscillates.",
            "Use a dt of at most the shortest time constant.",
        )
    return rate


def _spread(value: Any, attribute: str, name: str, shape: Shape) -> FloatArray:
    """A parameter as () or (neurons,)."""
    tensor = torch.as_tensor(value).detach()
    if tensor.numel() == 1:
        return np.array(float(tensor.reshape(())))
    try:
        return numbers(tensor.broadcast_to(shape)).reshape(size(shape))
    except RuntimeError:
        raise error(
            "RV271",
            name,
            f"{attribute} has shape {list(tensor.shape)}, which does not spread over neurons of shape {list(shape)}.",
            "Give one value, or one per neuron.",
        ) from None


def refusal(path: str, name: str) -> RanvierError:
    """No adapter for a class of Norse."""
    known = ", ".join(path.rpartition(".")[2] for path in TABLE)
    return error(
        "RV273",
        name,
        f"{path.rpartition('.')[2]} of Norse has no counterpart in a network of spiking neurons and weighted sums.",
        f"Neurons with an adapter are {known}; SequentialState and Lift hold them and layers of torch.nn.",
    )


def _replaced(name: str, what: str, found: object, known: str) -> RanvierError:
    return error(
        "RV270",
        name,
        f"its {what} is {getattr(found, '__qualname__', found)}, not Norse's {known}.",
        f"Use {known}, or register the class with ranvier.register_neuron.",
    )


def _checked(activation: str, describe: Callable[[Any, str, Shape], Described]) -> Callable[..., Described]:
    """``describe`` for modules whose step function is still the one of their class."""

    def described(module: nn.Module, name: str, shape: Shape) -> Described:
        found: Any = module.activation
        if found.__name__ != activation or not found.__module__.startswith(FUNCTIONAL):
            raise _replaced(name, "activation", found, activation)
        return describe(module, name, shape)

    return described


def _steps(module: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """A cell on its own, step by step."""
    state, shown = None, []
    for frame in frames:
        out, state = module(frame, state)
        shown.append(out)
    return torch.stack(shown)


def _sequence(module: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """A class that takes all steps at once, on its own."""
    out: torch.Tensor = module(frames)[0]
    return out


def _time_first(_module: nn.Module) -> str:
    return "TB"


def _cell(states: str, outputs: str, activation: str, describe: Callable[..., Described]) -> Adapter:
    return Adapter(tuple(states.split()), tuple(outputs.split()), _checked(activation, describe), play=_steps)


def _whole(states: str, outputs: str, activation: str, describe: Callable[..., Described]) -> Adapter:
    described = _checked(activation, describe)
    return Adapter(tuple(states.split()), tuple(outputs.split()), described, _time_first, _sequence)


_PATH = "norse.torch.module"
TABLE: Mapping[str, Adapter] = {
    f"{_PATH}.lif.LIFCell": _cell("mem syn", "spk mem syn", "lif_feed_forward_step", _lif),
    f"{_PATH}.lif.LIF": _whole("mem syn", "spk", "lif_feed_forward_step", _lif),
    f"{_PATH}.lif.LIFRecurrentCell": _cell("spk mem syn", "spk spk mem syn", "lif_step", _recurrent),
    f"{_PATH}.lif.LIFRecurrent": _whole("spk mem syn", "spk", "lif_step", _recurrent),
    f"{_PATH}.lif_box.LIFBoxCell": _cell("mem", "spk mem", "lif_box_feed_forward_step", _box),
    f"{_PATH}.lif_refrac.LIFRefracCell": _cell(
        "mem syn rest", "spk mem syn rest", "lif_refrac_feed_forward_step", _refractory
    ),
    f"{_PATH}.lif_refrac.LIFRefracRecurrentCell": _cell(
        "spk mem syn rest", "spk spk mem syn rest", "lif_refrac_step", _refractory_recurrent
    ),
    f"{_PATH}.lif_refrac.LIFRefracRecurrent": _whole(
        "spk mem syn rest", "spk", "lif_refrac_step", _refractory_recurrent
    ),
    f"{_PATH}.iaf.IAFCell": _cell("mem", "spk mem", "iaf_feed_forward_step", _iaf),
    f"{_PATH}.iaf.IAF": _whole("mem", "spk", "iaf_feed_forward_step", _iaf),
    f"{_PATH}.leaky_integrator.LICell": _cell("mem syn", "mem mem syn", "li_feed_forward_step", _integrator),
    f"{_PATH}.leaky_integrator.LI": _whole("mem syn", "mem", "li_feed_forward_step", _integrator),
    f"{_PATH}.leaky_integrator_box.LIBoxCell": _cell("mem", "mem mem", "li_box_feed_forward_step", _box_integrator),
}
