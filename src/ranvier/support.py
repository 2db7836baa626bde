"""What Ranvier supports, read from the tables that decide it: the README shows exactly this."""

from collections.abc import Iterable
from typing import get_args

Row = tuple[str, str, str]
HEADER: Row = ("part", "what", "supported")


def support_rows() -> tuple[Row, ...]:
    """Rows of (part, what, names), in the order in which a network passes the parts.

    Importing this needs torch, because the torch frontend's tables stand beside its adapters.
    """
    from ranvier import encode  # noqa: PLC0415
    from ranvier.compiler.ir.neurons import READABLE  # noqa: PLC0415
    from ranvier.compiler.ir.steps import OPS  # noqa: PLC0415 - the tables are read on demand only
    from ranvier.frontends import netx  # noqa: PLC0415
    from ranvier.frontends.conversion import onnx_model  # noqa: PLC0415
    from ranvier.frontends.conversion.graph import ActivationKind  # noqa: PLC0415
    from ranvier.frontends.nir import graph, reading  # noqa: PLC0415
    from ranvier.frontends.onnx import evaluate  # noqa: PLC0415
    from ranvier.frontends.torch import layers, norse, own, pooling, rockpool, sinabs, slayer, snntorch, spikingjelly  # noqa: PLC0415
    from ranvier.runtimes.verify.executors import RUNTIMES  # noqa: PLC0415
    from ranvier.targets.load import target_names  # noqa: PLC0415

    shapes = sorted(_last(layers.RESHAPES))
    return (
        ("torch", "layers", _listed([*_last(layers.LAYERS), *shapes, *sorted(_last(layers.ALIASES))])),
        ("torch", "pooling of binary spikes", _listed(_last(pooling.LAYERS))),
        ("torch", "snnTorch neurons", _listed(_last(snntorch.TABLE))),
        ("torch", "SpikingJelly neurons", _listed(_last(spikingjelly.TABLE))),
        ("torch", "Norse neurons", _listed(_last(norse.TABLE))),
        ("torch", "Sinabs neurons", _listed(_last(sinabs.TABLE))),
        ("torch", "Rockpool neurons", _listed(_last(rockpool.TABLE))),
        ("torch", "SLAYER neurons and blocks", _listed(_last(slayer.TABLE))),
        ("torch", "modules of Ranvier", _listed([*_last(own.TABLE), own.PRODUCT])),
        ("torch", "snnTorch resets", _listed(sorted(snntorch.RESET_CODES))),
        ("NIR", "nodes", _listed(graph.SUPPORTED)),
        ("NIR", "presets", _listed(reading.PRESETS)),
        ("lava-dl `.net`", "layers", _listed(netx.SUPPORTED)),
        ("lava-dl `.net`", "neurons", _listed(netx.NEURONS)),
        ("ONNX, spiking", "operators", _listed(sorted(evaluate.KNOWN))),
        ("neurons", "kinds", _listed(READABLE[kind] for kind in READABLE)),
        ("conversion", "ONNX operators", _listed(onnx_model.READERS)),
        ("conversion", "activations", _listed(get_args(ActivationKind))),
        ("conversion", "input coders", _listed(encode.CODERS)),
        ("targets", "chips", _listed(target_names())),
        ("runtimes", "executors", _listed(RUNTIMES)),
        ("step programs", "operations", _listed(OPS)),
    )


def support_table() -> str:
    """The rows as a Markdown table."""
    lines = [HEADER, ("---", "---", "---"), *support_rows()]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n"


def _last(paths: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(path.rpartition(".")[2] for path in paths))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
