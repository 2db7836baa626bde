"""Xylo configurations: a program for ``xylo_a2`` as the specification that Rockpool takes, in JSON.

``specification`` holds the arguments of ``XyloSim.from_specification`` (Rockpool 3.1, ``devices.xylo.syns61201``),
lists in place of arrays. All hidden populations lie in one pool, one after the other; ``layers`` says where. Weights
are the 8-bit integers of the chip (chip networks hold them doubled), decays the bit shifts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.neuron_steps.bytes import XYLO_LIF
from ranvier.compiler.ir.program import Program
from ranvier.runtimes.exports.files import write_json

FORMAT = "ranvier.xylo"
VERSION = 1
WEIGHTS = {"in": "weights_in", "rec": "weights_rec", "out": "weights_out"}
SHIFTS = {"in": "weight_shift_in", "rec": "weight_shift_rec", "out": "weight_shift_out"}
Ints = NDArray[np.int64]


def export_xylo(program: Program, path: str | Path) -> None:
    """Write ``program``, compiled for ``xylo_a2``, as the JSON file ``path``; the same program gives the same bytes.

    The chip runs in chip time: output spikes of input step i leave in step i + latency - 1 of what XyloSim returns
    (``layers`` holds the latencies), so that an input has to be followed by that many silent steps.

    Raises ``RanvierError``: RV460 for a path that cannot be written, RV461 for a program of another chip.
    """
    write_json(path, configuration(program.chip))


def configuration(chip: ChipNetwork) -> Mapping[str, object]:
    """The content of the file; raises ``RanvierError`` RV461 for a network of other neurons."""
    for population in chip.populations:
        if not population.program.semantics.startswith(f"{XYLO_LIF}."):
            text = f"its neurons are {population.program.semantics}, those of {chip.target}, not of Xylo"
            raise error("RV461", population.name, text, "compile for xylo_a2: --target xylo_a2")
    hidden, outputs = _pools(chip)
    port = chip.ports[0]
    return {
        "format": FORMAT,
        "version": VERSION,
        "network": chip.name,
        "chip": chip.target,
        "input": {"name": port.name, "shape": list(port.shape)},
        "layers": [*_places(hidden, "hidden"), *_places([outputs], "outputs")],
        "specification": specification(chip),
    }


def specification(chip: ChipNetwork) -> dict[str, object]:
    """The arguments of ``XyloSim.from_specification``.

    ``weights_in`` (inputs, hidden), ``weights_rec`` (hidden, hidden) and ``weights_out`` (hidden, outputs) are int8
    before their ``weight_shift_*``; ``dash_*`` are the shifts of the decays, one per neuron.
    """
    hidden, outputs = _pools(chip)
    weights, shifts = _matrices(chip, hidden, outputs)
    found: dict[str, object] = {WEIGHTS[name]: matrix.tolist() for name, matrix in weights.items()}
    for suffix, pool in (("", hidden), ("_out", [outputs])):
        found[f"dash_mem{suffix}"] = _shift(pool, "divisor_mem")
        found[f"dash_syn{suffix}"] = _shift(pool, "divisor_syn")
        found[f"threshold{suffix}"] = _joined(pool, "threshold").tolist()
        found[f"bias{suffix}"] = _joined(pool, "bias").tolist()
    return found | {SHIFTS[name]: shift for name, shift in shifts.items()}


def _matrices(
    chip: ChipNetwork, hidden: Sequence[Population], outputs: Population
) -> tuple[dict[str, Ints], dict[str, int]]:
    """The three weight matrices (sources, targets) and their shifts."""
    inputs, count = size(chip.ports[0].shape), sum(p.size for p in hidden)
    shapes = {"in": (inputs, count), "rec": (count, count), "out": (count, outputs.size)}
    weights = {name: np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()}
    shifts, at = dict.fromkeys(shapes, 0), _slices(hidden)
    for c in chip.connections:
        name = "out" if c.target == outputs.name else "rec" if c.source in at else "in"
        rows = at.get(c.source, slice(None))
        weights[name][rows, at.get(c.target, slice(None))] += synapse_matrix(c.synapse).toarray().T // 2
        shifts[name] = c.exponent
    return weights, shifts


def _pools(chip: ChipNetwork) -> tuple[list[Population], Population]:
    """The populations of the hidden pool, and the outputs."""
    read = chip.readout.node
    (outputs,) = (p for p in chip.populations if p.name == read)
    return [p for p in chip.populations if p.name != read], outputs


def _slices(pool: Sequence[Population]) -> dict[str, slice]:
    stops = np.cumsum([p.size for p in pool])
    return {p.name: slice(int(stop) - p.size, int(stop)) for p, stop in zip(pool, stops, strict=True)}


def _places(pool: Sequence[Population], where: str) -> list[dict[str, object]]:
    return [
        {"name": p.name, "pool": where, "start": at.start, "stop": at.stop, "latency": p.latency}
        for p, at in zip(pool, _slices(pool).values(), strict=True)
    ]


def _joined(pool: Sequence[Population], name: str) -> Ints:
    return np.concatenate([np.broadcast_to(p.params[name], (p.size,)) for p in pool])


def _shift(pool: Sequence[Population], name: str) -> list[int]:
    return [int(divisor).bit_length() - 1 for divisor in _joined(pool, name)]
