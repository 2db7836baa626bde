"""SLAYER's CUBA neurons and blocks (lava-dl) from the live module, in the integers that they compute in.

A SLAYER neuron gets floats, but computes in integers: with ``s = s_scale`` (4096) and decays rounded to 12 bits::

    u = rz(u (4096 - iDecay) / 4096) + s x
    v = rz(v (4096 - vDecay) / 4096) + u - s mean       (mean: of MeanOnlyBatchNorm, else 0)
    a spike, and v = 0, where v > s threshold

``rz`` rounds toward zero. That is the CUBA neuron of Loihi with the registers du = iDecay - 1, dv = vDecay, vth =
``threshold * w_scale`` and the bias ``-s mean``; the weights behind their quantization are integers over ``w_scale``
(64). Nothing is rounded in the import. Tensors are (batch, channels, ..., time). A block with ``delay_shift`` shows
its spikes one step late, and its ``Delay`` each channel as many steps later as its delay has whole ones.
Source: lava-dl 0.6.0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, IntArray, Shape, integers, size
from ranvier.compiler.ir.compose import sparse_layer
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Grid, Linear, SignMode
from ranvier.compiler.ir.matrix import linear_matrix
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.frontends.netx import COUNTER, RANGES
from ranvier.frontends.torch.adapters import Adapter, Described
from ranvier.frontends.torch.isolate import class_path
from ranvier.frontends.torch.layers import numbers

ROOT = "lava.lib.dl.slayer"
BLOCK, SYNAPSE = f"{ROOT}.block.cuba", f"{ROOT}.synapse.layer"
NEURON = f"{ROOT}.neuron.cuba.Neuron"
DELAY = f"{ROOT}.axon.delay.Delay"
MEAN_ONLY = f"{ROOT}.neuron.norm.MeanOnlyBatchNorm"
DECAY_UNITY = 4096
INPUT_UNITS = 64
REASONS: Mapping[str, str] = {
    "alif": "adapts its threshold",
    "rf": "turns a complex state",
    "rf_iz": "turns a complex state",
    "adrf": "turns a complex state and adapts its threshold",
    "adrf_iz": "turns a complex state and adapts its threshold",
    "sigma_delta": "sends changes as numbers",
}


def time_last(_module: nn.Module) -> str:
    """(batch, features ..., time) in one call."""
    return "B*T"


def _block(module: nn.Module, name: str, shape: Shape) -> Described:
    m: Any = module
    _check(m.neuron, name, _delay_problems(m))
    entry = _operation(m.synapse, m.neuron, f"{name}.weight", shape)
    return _described(m.neuron, name, entry.out_shape, entry=entry, late=_late(m, entry.out_shape))


def _recurrent(module: nn.Module, name: str, shape: Shape) -> Described:
    m: Any = module
    problems = _delay_problems(m)
    if m.bias is not None:
        problems.append(("a constant is added to its input, which has no register.", "Set bias to None."))
    _check(m.neuron, name, problems)
    entry = _operation(m.input_synapse, m.neuron, f"{name}.weight", shape)
    back = _operation(m.recurrent_synapse, m.neuron, f"{name}.recurrent", entry.out_shape)
    late = _late(m, entry.out_shape)
    return _described(m.neuron, name, entry.out_shape, entry=entry, recurrent=back, late=late)


def _affine(module: nn.Module, name: str, shape: Shape) -> Described:
    m: Any = module
    problems = []
    if not m.dynamics:
        text = "with dynamics=False it returns a weighted sum of each step, which no neuron holds."
        problems.append((text, "Use dynamics=True, which shows a membrane."))
    _check(m.neuron, name, problems, silent=True)
    entry = _operation(m.synapse, m.neuron, f"{name}.weight", shape)
    return replace(_described(m.neuron, name, entry.out_shape, entry=entry, vth=COUNTER.vth), silent=True)


def _neuron(module: nn.Module, name: str, shape: Shape) -> Described:
    _check(module, name, [])
    return _described(module, name, shape)


def _described(neuron: Any, name: str, shape: Shape, *, vth: IntArray | None = None, **parts: Any) -> Described:
    """A neuron in registers; ``shape`` is that of its population."""
    mantissa = integers(neuron.v_th_mant) if vth is None else vth
    du, dv = _decay(neuron.current_decay, name, shape) - 1, _decay(neuron.voltage_decay, name, shape)
    model = RegisterLif(integers(du), dv, mantissa, _bias(neuron, name, shape))
    parts = {"recurrent": None, **parts}
    return Described(model, feedback=None, amplitude=np.array(1.0), shows_reset=False, scale=neuron.s_scale, **parts)


TABLE: Mapping[str, Adapter] = {
    NEURON: Adapter((), ("spk",), _neuron, time_last),
    **{f"{BLOCK}.{kind}": Adapter((), ("spk",), _block, time_last) for kind in ("Dense", "Conv", "ConvT")},
    **{f"{BLOCK}.{kind}": Adapter((), ("spk",), _block, time_last) for kind in ("Pool", "Unpool")},
    f"{BLOCK}.Recurrent": Adapter((), ("spk",), _recurrent, time_last),
    f"{BLOCK}.Affine": Adapter((), ("mem",), _affine, time_last),
}
"""Neurons, and blocks of weights and neurons."""

RESHAPES = frozenset({f"{BLOCK}.Flatten", f"{ROOT}.neuron.dropout.Dropout"})
"""Modules that change no value in evaluation."""


def synapse(module: nn.Module, name: str, shape: Shape) -> tuple[Linear, ...]:
    """A synapse layer that stands alone: its quantization is that of the neuron that it was given."""
    m: Any = module
    neuron = getattr(m.pre_hook_fx, "__self__", None)
    if class_path(type(neuron)) != NEURON:
        text = "its weights are not quantized by the neuron behind it, so that they are no integers on a chip."
        raise _problem(name, text, "Set synapse.pre_hook_fx = neuron.quantize_8bit, or use the blocks.")
    return (_operation(m, neuron, name, shape),)


LAYERS = {f"{SYNAPSE}.{kind}": synapse for kind in ("Dense", "Conv", "Pool", "ConvTranspose", "Unpool")}
"""Layers of its own, on (batch, channels, ..., time)."""


def _operation(synapse: Any, neuron: Any, name: str, shape: Shape) -> Linear:
    """A synapse as one operation with integer weights."""
    kind = class_path(type(synapse)).removeprefix(f"{SYNAPSE}.")
    if kind not in ("Dense", "Conv", "Pool", "ConvTranspose", "Unpool"):
        raise _problem(name, f"{type(synapse).__name__} is no synapse of real weights.", "Use those of slayer.synapse.")
    weight, grid = _integers(synapse, neuron, name)
    if kind == "Dense" and len(shape) == 1:
        return Dense(name, weight.reshape(weight.shape[0], -1), None, grid)
    if len(shape) != 3:
        fix = "Give it (batch, channels, height, width, time)."
        raise _problem(name, f"it gets frames of shape {list(shape)}.", fix)
    stride, padding, dilation = (tuple(v[:2]) for v in (synapse.stride, synapse.padding, synapse.dilation))
    if kind in ("Dense", "Conv"):
        pads = tuple((p, p) for p in padding)
        return Conv(name, weight, shape, None, stride, pads, dilation, synapse.groups, grid)
    if kind == "Pool":
        return _pool(name, weight, shape, (stride, padding, dilation), grid)
    groups = synapse.groups
    if kind == "Unpool":
        if padding[0] or dilation[0] * (weight.shape[2] - 1) + 1 != stride[0]:
            raise _mixes(name)
        weight, groups = np.repeat(weight, shape[0], axis=0), shape[0]
    extra = tuple(synapse.output_padding[:2])
    back = ConvTranspose(name, weight, shape, None, stride, padding, extra, dilation, groups)
    return replace(sparse_layer(name, linear_matrix(back), back.out_shape), grid=grid)


def _pool(name: str, weight: FloatArray, shape: Shape, options: tuple[Shape, ...], grid: Grid) -> Conv:
    """The sum over windows: SLAYER first adds ``n % kernel`` zeros, and slides over all channels as one tall frame."""
    stride, padding, dilation = options
    extra = [n % k for n, k in zip(shape[1:], weight.shape[2:], strict=True)]
    if padding[0] or (shape[1] + extra[0]) % stride[0] or dilation[0] * (weight.shape[2] - 1) + 1 > stride[0]:
        raise _mixes(name)
    pads = tuple((p, p + e) for p, e in zip(padding, extra, strict=True))
    return Conv(name, np.repeat(weight, shape[0], axis=0), shape, None, stride, pads, dilation, shape[0], grid)


def _integers(synapse: Any, neuron: Any, name: str) -> tuple[FloatArray, Grid]:
    """The weights as they act, in units of ``1 / w_scale``: (outputs, inputs, height, width)."""
    live = synapse.weight if synapse.pre_hook_fx is None else synapse.pre_hook_fx(synapse.weight)
    values = numbers(live)[..., 0] * neuron.w_scale
    low, high = float(values.min()), float(values.max())
    sign: SignMode = "mixed" if low < 0 < high else ("inhibitory" if low < 0 else "excitatory")
    step = 2.0 if sign == "mixed" else 1.0
    off = (values / step != np.rint(values / step)) | (values != np.clip(values, *RANGES[sign]))
    if np.any(off):
        text = f"{int(off.sum())} of {off.size} weights are no multiples of {step:g} / {neuron.w_scale} in 8 bits."
        raise _problem(name, text, "Use pre_hook_fx = neuron.quantize_8bit, which the blocks have by default.")
    return values, Grid(float(neuron.s_scale), 0, sign)


def _decay(values: torch.Tensor, name: str, shape: Shape) -> IntArray:
    """A decay as the neuron rounds it; one per channel spreads as torch spreads it over (channels, ...)."""
    rounded = np.rint(numbers(values).astype(np.float32)).astype(np.int64)
    if rounded.size == 1:
        return integers(int(rounded.reshape(())))
    if len(shape) > 1:
        text = f"its {rounded.size} decays act along the last axis of neurons of shape {list(shape)}, not per channel."
        raise _problem(name, text, "Use shared_param=True in front of an image.")
    return integers(rounded)


def _bias(neuron: Any, name: str, shape: Shape) -> IntArray:
    if neuron.norm is None:
        return integers(0)
    mean = numbers(neuron.norm.pre_hook_fx(neuron.norm.running_mean))
    bias = -mean * neuron.s_scale
    if np.any(bias != np.rint(bias)):
        raise _problem(name, "the mean that its norm subtracts is not quantized.", "Leave pre_hook_fx to the neuron.")
    per_channel = integers(bias).reshape(-1)
    return integers(per_channel[0]) if bias.size == 1 else np.repeat(per_channel, size(shape) // shape[0])


def _late(block: Any, shape: Shape) -> IntArray | None:
    """Steps by which the block shows each of its spikes late."""
    shift = int(block.delay_shift is True)
    if block.delay is None:
        return integers([shift]) if shift else None
    steps = np.floor(numbers(block.delay.delay)).astype(np.int64) + shift
    return np.repeat(steps, size(shape) // steps.size)


def undrawn(module: nn.Module, name: str) -> Iterator[Diagnostic]:
    """Parameters that SLAYER draws at random when a module first runs, and that stand nowhere before."""
    path, m = class_path(type(module)), _any(module)
    what = "decays" if path == NEURON and hasattr(m, "current_decay_min") else ""
    what = "delays" if path == DELAY and not m.init else what
    if what:
        text = f"its {what} are drawn when it runs for the first time, which it has not."
        yield Diagnostic("RV243", name, text, "Run the network once before you import it, and load its weights then.")


def _any(module: nn.Module) -> Any:
    return module


def _delay_problems(block: Any) -> list[tuple[str, str]]:
    if block.delay is None or block.delay.sampling_time == 1:
        return []
    return [(f"its delays are in units of {block.delay.sampling_time:g}.", "Use sampling_time=1.")]


def _check(neuron: Any, name: str, problems: list[tuple[str, str]], *, silent: bool = False) -> None:
    if class_path(type(neuron)) != NEURON:
        raise refusal(class_path(type(neuron)), name)
    found = [Diagnostic("RV243", name, text, fix) for text, fix in (*problems, *_problems(neuron, silent))]
    if found:
        raise RanvierError(found)


def _problems(m: Any, silent: bool) -> list[tuple[str, str]]:
    found = []
    if m.graded_spike:
        found.append(("graded_spike=True sends the membrane instead of a spike.", "Use graded_spike=False."))
    if m.norm is not None and class_path(type(m.norm)) != MEAN_ONLY:
        text = f"{type(m.norm).__name__} divides the current, which rounds it anew."
        found.append((text, "Use norm=slayer.neuron.norm.MeanOnlyBatchNorm, or none."))
    if m.drop is not None and not isinstance(m.drop, nn.modules.dropout._DropoutNd):
        found.append(("dropout is a function of its own.", "Use slayer.neuron.Dropout."))
    if m.p_scale != DECAY_UNITY or m.s_scale != INPUT_UNITS * m.w_scale:
        found.append((f"its scales are {m.w_scale}, {m.s_scale} and {m.p_scale}.", "Leave them as SLAYER sets them."))
    if not silent and not m.threshold > 0:
        found.append((f"its threshold is {m.threshold:g}.", "Use thresholds above zero."))
    elif not silent and np.float32(m.threshold + m.threshold_eps) == np.float32(m.threshold):
        text = f"its threshold {m.threshold:g} is so large that in float32 SLAYER fires at equality, without a reset."
        found.append((text, "Scale thresholds and weights down together."))
    return found


def _mixes(name: str) -> RanvierError:
    text = "its windows reach from one channel into the next: SLAYER slides over all channels as one tall frame."
    return _problem(name, text, "Use stride = kernel, no padding, and a height that the kernel divides.")


def _problem(name: str, text: str, fix: str) -> RanvierError:
    return error("RV243", name, text, fix)


def refusal(path: str, name: str) -> RanvierError:
    """No adapter for a class of SLAYER."""
    parts = path.removeprefix(f"{ROOT}.").split(".")
    kind = ".".join(parts[-2:])
    why = REASONS.get(parts[-2] if len(parts) > 1 else "", "")
    text = f"{kind} of SLAYER {why} in integers of its own rounding, which no target has." if why else (
        f"{kind} of SLAYER has no counterpart in a network of CUBA neurons, integer weights and delays."
    )  # fmt: skip
    return error(
        "RV244",
        name,
        text,
        "Adapters exist for slayer.block.cuba's Dense, Conv, ConvT, Pool, Unpool, Recurrent, Affine and Flatten, for "
        "slayer.neuron.cuba.Neuron and for slayer.synapse's layers: train with those. The input and average blocks can "
        "be loaded from the .net file that export_hdf5 writes.",
    )
