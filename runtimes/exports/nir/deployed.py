"""A compiled program as a NIR file: equations in the chip's integers, placement and registers beside them.

| where | what |
|---|---|
| weights of a node | the deployed integers (times the connection's power of two) |
| parameters of a neuron | thresholds, biases and decays as their registers stand for |
| metadata of a neuron | ``registers.<name>``: the integers; ``placement``: rows of start, stop, core, chip, x, y |
| metadata of the graph | ``target``, ``cores``, ``chips`` |
| metadata ``ranvier.*`` | all else, so that the file gives back the program byte for byte |
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import Figure
from ranvier.compiler.ir.chip import ChipNetwork, Connection, Population, Port
from ranvier.compiler.ir.network import Note
from ranvier.compiler.ir.program import Program
from ranvier.runtimes.exports.nir.carry import carried, pieces_of
from ranvier.runtimes.exports.nir.equations import equations, synapse_names
from ranvier.runtimes.exports.nir.file import write
from ranvier.runtimes.exports.nir.graph import Graph, suffix_checked
from ranvier.runtimes.exports.nir.readers import READERS
from ranvier.targets.files import Files

ROUNDS = "registers round toward zero, wrap and clip at every step; the equations do not"


def export_nir_program(
    program: Program,
    path: str | Path,
    *,
    provenance: Mapping[str, Figure] | None = None,
    target_sha256: str = "",
    target_files: Files = (),
) -> tuple[Note, ...]:
    """Write the placed ``program`` as the NIR file ``path``, with integer weights, registers and placement.

    The notes (RV465) say what the equations alone do otherwise than the chip. ``ranvier.open`` reads the file back as
    the program that it is. ``provenance``, ``target_sha256`` and ``target_files`` are those of the artifact.

    Raises ``RanvierError``: RV680 (path), RV464 (neurons that NIR has no equation for), RV684.
    """
    file, chip = suffix_checked(path), program.chip
    names = synapse_names(chip)
    beside: dict[str, object] = dict(chip.by_name)
    beside |= {names[c.name]: c for c in chip.connections}
    graph = Graph(equations(chip), READERS["spec"], READERS["spec"].dt, beside, dict(_registers(program)))
    graph.build()
    write(file, graph, _outline(program, provenance or {}, target_sha256) | _files(target_files))
    different = [Note("RV465", loss.place, f"NIR's equations differ: {loss.message}") for loss in graph.losses]
    kept = [hint for hint in graph.hints if hint.code != "RV687" or "type_check" in hint.text]
    return (Note("RV465", chip.name, ROUNDS), *different, *_graded(chip), *kept)


def _graded(chip: ChipNetwork) -> Iterator[Note]:
    for port in chip.ports:
        if port.bits:
            text = f"real inputs enter as the integers round({port.scale:.6g} x), of {port.bits} bits"
            yield Note("RV465", port.name, text)


def _registers(program: Program) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What other programs may want to know of a population, in plain numbers."""
    sites = {site.core: site for site in program.placement.sites}
    for population in program.chip.populations:
        rows = [
            (p.start, p.stop, p.core, sites[p.core].chip, sites[p.core].x, sites[p.core].y)
            for p in program.placement.pieces
            if p.population == population.name
        ]
        placed = {"placement": np.array(rows, dtype=np.int64), "neuron": population.program.semantics}
        yield population.name, {**placed, **_integers(population)}


def _integers(population: Population) -> dict[str, Any]:
    return {
        f"registers.{name}": np.array(value, dtype=np.int64) if value.ndim else int(value)
        for name, value in population.params.items()
    }


def _files(target_files: Files) -> dict[str, Any]:
    """The target's files, where it is no shipped one."""
    return {"ranvier.target_files": pieces_of(json.dumps(target_files))} if target_files else {}


def _outline(program: Program, provenance: Mapping[str, Figure], target_sha256: str) -> dict[str, Any]:
    """The program without what stands at the nodes, and in which order these come."""
    chip = program.chip
    bare = replace(program, chip=replace(chip, ports=(), populations=(), connections=()))
    members: tuple[Port | Population | Connection, ...] = (*chip.ports, *chip.populations, *chip.connections)
    return {
        "target": program.target,
        "cores": program.placement.cores,
        "chips": program.placement.chips,
        "placement_columns": "start stop core chip x y",
        "ranvier.order": np.array([f"{type(m).__name__}\t{m.name}".encode() for m in members]),
        "ranvier.provenance": pieces_of(json.dumps(dict(provenance), sort_keys=True)),
        "ranvier.target_sha256": target_sha256,
        **carried(bare, {}),
    }
