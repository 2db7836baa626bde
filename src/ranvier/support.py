"""What Ranvier supports, read from the tables that decide it: the README shows exactly this."""

from collections.abc import Iterable

Row = tuple[str, str, str]
HEADER: Row = ("part", "what", "supported")


def support_rows() -> tuple[Row, ...]:
    """Rows of (part, what, names), in the order in which a network passes the parts.

    Importing this needs torch, because the torch frontend's tables stand beside its adapters.
    """
    from ranvier.compiler.ir.steps import OPS  # noqa: PLC0415 - the tables are read on demand only
    from ranvier.frontends import netx  # noqa: PLC0415
    from ranvier.frontends.nir import graph, reading  # noqa: PLC0415
    from ranvier.frontends.torch import layers, snntorch  # noqa: PLC0415
    from ranvier.runtimes.verify.executors import RUNTIMES  # noqa: PLC0415
    from ranvier.targets.load import target_names  # noqa: PLC0415

    shapes = sorted(_last(layers.RESHAPES))
    return (
        ("torch", "layers", _listed([*_last(layers.LAYERS), *shapes, *sorted(_last(layers.ALIASES))])),
        ("torch", "snnTorch neurons", _listed(_last(snntorch.TABLE))),
        ("torch", "resets", _listed(sorted(snntorch.RESET_CODES))),
        ("NIR", "nodes", _listed(graph.SUPPORTED)),
        ("NIR", "presets", _listed(reading.PRESETS)),
        ("lava-dl `.net`", "layers", _listed(netx.SUPPORTED)),
        ("lava-dl `.net`", "neurons", _listed(netx.NEURONS)),
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
