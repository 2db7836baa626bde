"""``convert_model``: from what a user has to a graph, and from a graph to a spiking network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.network import Coding, Network, Note
from ranvier.frontends.conversion.amplitudes import Calibration, amplitudes
from ranvier.frontends.conversion.build import spiking, without_last_activation
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.graph import Graph, MaxPool
from ranvier.frontends.conversion.normalise import fold_scales
from ranvier.frontends.conversion.pooling import averages, exact_maxima, pruned

MaxPooling = Literal["exact", "average"]


@dataclass(frozen=True)
class Conversion:
    """How a graph becomes a network: amplitudes, what becomes of max pools, and what enters."""

    calibration: Calibration
    max_pool: MaxPooling = "exact"
    coding: Coding = "current"


def read_graph(source: Any, samples: NDArray[Any] | None) -> Graph:
    """The graph of a path to an ONNX file, or of a torch module, which is run on ``samples`` (samples, *shape)."""
    if isinstance(source, str | Path):
        from ranvier.frontends.conversion.onnx_model import read_onnx  # noqa: PLC0415 - the onnx package may be absent

        return read_onnx(Path(source))
    from ranvier.frontends.conversion.torch_model import read_module  # noqa: PLC0415 - torch may be absent

    if samples is None:
        raise error("RV664", type(source).__name__, "a torch module is read by running it on samples",
                    "give calibrate=..., some typical inputs (samples, *shape)")  # fmt: skip
    return read_module(source, samples[:4])


def convert_graph(graph: Graph, samples: NDArray[Any] | None, how: Conversion) -> Network:
    """The spiking network of ``graph``, its amplitudes measured on ``samples`` (samples, *shape), without labels.

    Raises ``RanvierError`` RV664 without samples, unless every activation is quantized and so carries its own
    amplitude; RV668 where there is no activation; RV661 to RV663 for data and layers that do not fit.
    """
    notes: list[Note] = []
    plain = fold_scales(pruned(without_last_activation(graph)))
    if not plain.activations:
        raise error("RV668", graph.name, "it has no activation that could become spiking neurons",
                    "use ranvier.load for networks that spike already")  # fmt: skip
    if plain.output != graph.output:
        text = "the last activation is left out: classes are ranked by what enters it"
        notes.append(Note("RV670", graph.output, text))
    if any(isinstance(op, MaxPool) for op in plain.ops):
        plain, note = _without_maxima(plain, samples, how)
        notes.append(note)
    if samples is None and any(a.kind != "quantized" for a in plain.activations):
        raise error(
            "RV664",
            graph.name,
            "how large its activations are is not known; with thresholds of 1 such networks fall to a half of "
            "their accuracy or less",
            "give calibrate=..., 100 to 500 typical inputs (samples, *shape); labels are not needed",
        )
    found = amplitudes(plain, samples, how.calibration)
    notes += [Note("RV671", name, _amplitude_text(a)) for name, a in found.items()]
    return spiking(plain, found, how.coding, tuple(notes))


def _without_maxima(graph: Graph, samples: NDArray[Any] | None, how: Conversion) -> tuple[Graph, Note]:
    pools = [op for op in graph.ops if isinstance(op, MaxPool)]
    names = ", ".join(p.name for p in pools)
    if how.max_pool == "exact":
        exact = exact_maxima(graph)
        text = (
            f"maxima are computed by sums and rectifiers, exactly: {len(exact.activations)} populations "
            f"instead of {len(graph.activations)}"
        )
        return exact, Note("RV672", names, text)
    changed = averages(graph)
    if samples is None:
        return changed, Note("RV673", names, "maxima became averages: another network; what it costs is not known")
    before, after = (Evaluator(g).outputs(samples).argmax(axis=1) for g in (graph, changed))
    share = float(np.mean(before != after))
    text = f"maxima became averages, which changes the answer on {100 * share:.2f} % of the calibration data"
    return changed, Note("RV673", names, text)


def _amplitude_text(amplitude: NDArray[Any]) -> str:
    if amplitude.ndim == 0:
        return f"a spike stands for {float(amplitude):.6g}"
    return f"a spike stands for {float(amplitude.min()):.6g} to {float(amplitude.max()):.6g}, by channel"
