"""Layers on cores of different sizes, one each: a bipartite matching by augmenting paths."""

from collections.abc import Mapping, Sequence

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.chip import ChipNetwork, ConvSynapse, Population
from ranvier.compiler.ir.program import CoreSite, Piece, Placement
from ranvier.targets.expression import parse
from ranvier.targets.schema import LayerTarget


def matched(chip: ChipNetwork, target: LayerTarget) -> Placement:
    """Every layer on a core of its own that holds it; RV641 with each layer's figures if there is no matching."""
    demands = {p.name: _demand(chip, p, target) for p in chip.populations}
    classes = {core: c.size.v for c in target.core.classes for core in c.ids}
    fits = {
        name: [
            core for core, sizes in classes.items() if all(used[r.name] <= sizes[r.cap] for r in target.core.resources)
        ]
        for name, used in demands.items()
    }
    holds: dict[int, str] = {}
    left = [name for name in fits if not _augment(name, fits, holds, set())]
    if left:
        sizes = "; ".join(f"{name}: {_said(demands[name])}, {len(fits[name])} cores hold it" for name in demands)
        text = f"no core is left for {', '.join(left)} of {len(demands)} layers on {len(classes)} cores. {sizes}"
        cite = f"[{target.name}.core.classes; {target.cite(target.core.classes[0].size)}]"
        fix = "use fewer or smaller layers: fewer channels, smaller kernels, a stride in an earlier layer"
        raise error("RV641", left[0], f"{text} {cite}", fix, used=len(demands), limit=len(classes))
    core_of = {name: core for core, name in holds.items()}
    pieces = tuple(Piece(p.name, 0, p.size, core_of[p.name], demands[p.name]) for p in chip.populations)
    return Placement(pieces, tuple(CoreSite(core, 0, -1, -1) for core in sorted(holds)))


def _augment(name: str, fits: Mapping[str, Sequence[int]], holds: dict[int, str], tried: set[int]) -> bool:
    """Put ``name`` on a core, moving others along a path if need be. Method: Kuhn's augmenting paths."""
    for core in fits[name]:
        if core not in tried:
            tried.add(core)
            if core not in holds or _augment(holds[core], fits, holds, tried):
                holds[core] = name
                return True
    return False


def _demand(chip: ChipNetwork, population: Population, target: LayerTarget) -> dict[str, int]:
    (connection,) = chip.into[population.name]
    kernel = connection.synapse
    assert isinstance(kernel, ConvSynapse)
    outputs, rows, columns = kernel.out_shape
    bias = np.broadcast_to(population.params["bias"], (population.size,)).reshape(outputs, -1)
    counters = {
        "c_in": kernel.weight.shape[1],
        "c_out": outputs,
        "kx": kernel.weight.shape[3],
        "ky": kernel.weight.shape[2],
        "out_x": columns,
        "out_y": rows,
        "n_bias": int(np.any(bias, axis=1).sum()),
    }
    return {r.name: parse(r.use, frozenset(counters))(counters) for r in target.core.resources}


def _said(used: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {amount}" for name, amount in used.items())
