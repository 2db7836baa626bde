# ruff: noqa: PLC0415 - what one function needs alone is imported there, so that `import ranvier` stays fast
"""The public way from a conventional network to a spiking one, and what its answers are worth at each length."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.chip import Port
from ranvier.compiler.ir.coding import Direct, Encoder, Frames, checked, encode, sends
from ranvier.compiler.ir.network import Coding, Input, Network
from ranvier.encode import with_encoder
from ranvier.loading import TorchModule

if TYPE_CHECKING:
    from ranvier.app import App
    from ranvier.frontends.conversion.first_spike import FirstSpikeNetwork

STEPS = (4, 8, 16, 32, 64)
PERCENTILE = 99.9
LONG = 64
BATCH = 128


def convert(  # noqa: PLR0913 one keyword per choice
    model: str | Path | TorchModule,
    *,
    calibrate: ArrayLike | None,
    steps: int = 32,
    percentile: float | None = None,
    per_channel: bool = False,
    max_pool: Literal["exact", "average"] = "exact",
    coding: Coding = "current",
    sample: ArrayLike | None = None,
    encode: Encoder | None = None,
) -> Network:
    """The spiking network of a ReLU network: an ONNX file, or a torch module.

    ``calibrate``: typical inputs (samples, *shape), preprocessed as the model takes them; 100 to 500, without labels.
    None is for networks whose activations are all quantized (QCFS), which need none; a torch module then is read by
    running it on ``sample`` (samples, *shape). ``steps`` is how long inputs will
    be shown. What a spike stands for is chosen per layer, or ``per_channel``: the ``percentile`` of its activations
    (None: 99.9, the largest from 64 steps on). ``max_pool``: ``exact`` computes maxima by sums and rectifiers,
    ``average`` is another, cheaper network, and a note says how many answers it changes. ``encode`` makes
    frames from samples, by default ``ranvier.encode.Direct(steps)``, the sample itself in every step; with
    ``coding="spikes"`` and without ``encode`` the network takes frames of spikes.

    The network integrates and fires with soft reset, starts at half a threshold, and ends in a membrane that sums up
    the scores: its readout is the last membrane. Raises ``RanvierError`` RV660 to RV668 with what stands in the way.
    """
    from ranvier.frontends.conversion.amplitudes import Calibration
    from ranvier.frontends.conversion.load import Conversion, convert_graph, read_graph

    if steps < 1 or (percentile is not None and not 0 < percentile <= 100):
        raise error("RV664", "options", f"steps={steps}, percentile={percentile}",
                    "give at least one step, and a percentile above 0 and up to 100")  # fmt: skip
    samples = None if calibrate is None else np.asarray(calibrate)
    chosen = percentile or (100.0 if steps >= LONG else PERCENTILE)
    encoder = encode or (Direct(steps) if coding == "current" else None)
    how = Conversion(Calibration(chosen, per_channel), max_pool, sends(checked(encoder)) if encoder else coding)
    shown = samples if sample is None else np.asarray(sample)
    net = convert_graph(read_graph(model, shown), samples, how)
    return net if encoder is None else with_encoder(net, encoder)


def convert_first_spike(
    model: str | Path | TorchModule, *, calibrate: ArrayLike | None, margin: float = 0.5
) -> "FirstSpikeNetwork":
    """The ReLU network ``model`` with each value as the time of one spike: exact in floats, not for chips.

    ``calibrate`` (samples, *shape) says how long each layer's window has to be, ``1 + margin`` times its largest
    activation. Run it with ``.run(samples, bits=None)``; ``bits`` rounds times to 2**bits - 1 ticks a window.
    Raises ``RanvierError`` as ``convert`` does, and RV676 for quantized activations.
    """
    from ranvier.frontends.conversion.first_spike import first_spike_network
    from ranvier.frontends.conversion.load import read_graph

    samples = None if calibrate is None else np.asarray(calibrate)
    return first_spike_network(read_graph(model, samples), samples, margin)


def accuracy_by_steps(
    net: "Network | App",
    samples: ArrayLike,
    labels: ArrayLike,
    steps: Sequence[int] = STEPS,
    encoder: Encoder | None = None,
) -> dict[int, float]:
    """The share of right answers after each of ``steps``, from one run as long as the longest.

    ``net`` is a converted network (run in float) or the compiled ``App`` (run in integers). ``samples``
    (samples, *shape) are shown by ``encoder``, by default the network's own, for as many steps as it takes. The readout
    must be the last membrane, which says in every step what it would answer now; otherwise ``RanvierError`` RV674.
    """
    x, wanted = np.asarray(samples), np.asarray(labels)
    run, entry, readout = _runner(net)
    if readout != "last_membrane" or not steps or min(steps) < 1 or len(x) != len(wanted):
        message = f"readout {readout}, steps {list(steps)}, {len(x)} samples, {len(wanted)} labels"
        raise error(
            "RV674", "accuracy by steps", message, "give a converted network, steps from 1 on, a label per sample"
        )
    shown = _for_steps(encoder or entry.encoder, max(steps))
    right = dict.fromkeys(sorted(set(steps)), 0)
    for start in range(0, len(x), BATCH):
        outputs = run(encode(shown, x[start : start + BATCH], start))
        for t in right:
            answers = outputs[:, t - 1].reshape(len(outputs), -1).argmax(axis=1)
            right[t] += int((answers == wanted[start : start + BATCH]).sum())
    return {t: count / len(x) for t, count in right.items()}


def scores(net: "Network | App", samples: ArrayLike, steps: int, encoder: Encoder | None = None) -> NDArray[np.float64]:
    """(samples, *classes): what the last layer summed up over ``steps``, per step; near to the scores of the source.

    Of an ``App`` they are in units of the chip. Arguments and errors as for ``accuracy_by_steps``.
    """
    run, entry, readout = _runner(net)
    if readout != "last_membrane":
        raise error("RV674", "scores", f"the readout is {readout}", "give a converted network")
    return np.asarray(run(encode(_for_steps(encoder or entry.encoder, steps), samples))[:, -1] / steps)


def fewest_steps(accuracies: Mapping[int, float], least: float) -> int:
    """The fewest steps from which on ``accuracies`` stay at ``least`` or above; ``RanvierError`` RV675 if none do."""
    found = None
    for steps in sorted(accuracies, reverse=True):
        if accuracies[steps] < least:
            break
        found = steps
    if found is None:
        last = max(accuracies)
        raise error("RV675", "accuracy by steps", f"{accuracies[last]:.4f} at {last} steps, {least:.4f} was asked for",
                    "show inputs longer, calibrate per channel, or ask for less")  # fmt: skip
    return found


def _for_steps(encoder: Encoder | None, steps: int) -> Encoder:
    """``encoder``, or direct coding where there is none, for ``steps`` steps."""
    return Direct(steps) if encoder is None else replace(encoder, steps=steps)


def _runner(net: "Network | App") -> tuple[Callable[[Frames], NDArray[np.float64]], Input | Port, str]:
    """What runs ``net`` and gives outputs (samples, steps, *shape), where data enter, and how its answer is read."""
    if isinstance(net, Network):
        from ranvier.compiler.pipeline import prepare
        from ranvier.runtimes import simulator

        prepared = prepare(net)
        return lambda x: simulator.run(prepared, x).outputs, prepared.inputs[0], net.readout.kind
    return lambda x: net.run(x).outputs, net.program.chip.ports[0], net.program.chip.readout.kind
