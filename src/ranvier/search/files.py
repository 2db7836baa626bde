"""Architectures as files: JSON that says space, skeleton and cells."""

import json
from dataclasses import asdict
from pathlib import Path

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.search.space import EDGES, SPACES, Architecture, Skeleton

FORMAT = "ranvier.architecture/1"


def to_json(architecture: Architecture) -> dict[str, object]:
    """Plain values, with the ids, parameters and neurons that follow from them for people to read."""
    return {
        "format": FORMAT,
        "space": architecture.space.name,
        "skeleton": asdict(architecture.skeleton),
        "cells": [list(cell) for cell in architecture.cells],
        "ids": list(architecture.ids),
        "parameters": architecture.parameters,
        "neurons": architecture.neurons,
    }


def save_architecture(architecture: Architecture, path: str | Path) -> None:
    """Write ``architecture`` as JSON; raises ``RanvierError`` RV587 if it cannot be written."""
    try:
        Path(path).write_text(json.dumps(to_json(architecture), indent=1) + "\n", encoding="utf-8")
    except OSError as problem:
        raise error(
            "RV587", str(path), f"it cannot be written: {problem}", "give a path in a folder of yours"
        ) from problem


def load_architecture(path: str | Path) -> Architecture:
    """The architecture that :func:`save_architecture` wrote; raises ``RanvierError`` RV586 for anything else."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"the format is {values['format']!r:.40}")
        space, frame = SPACES[values["space"]], values["skeleton"]
        shape, channels = tuple(map(int, frame["shape"])), tuple(map(int, frame["channels"]))
        rest = {name: int(frame[name]) for name in ("classes", "hidden", "votes", "steps")}
        if (len(shape), len(channels), len(values["cells"])) != (3, 2, 2):
            raise ValueError("a shape has three numbers, and there are two cells")
        cells = tuple(space.decode(space.encode(_checked(cell, len(space.ops)))) for cell in values["cells"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RanvierError) as problem:
        fix = "give a file that ranvier search wrote"
        raise error(
            "RV586", str(path), f"no architecture: {type(problem).__name__}: {problem!s:.200}", fix
        ) from problem
    skeleton = Skeleton((shape[0], shape[1], shape[2]), channels=(channels[0], channels[1]), **rest)
    return Architecture(space, skeleton, (cells[0], cells[1]))


def _checked(cell: list[object], ops: int) -> tuple[int, ...]:
    numbers = tuple(op for op in cell if isinstance(op, int) and 0 <= op < ops)
    if not len(cell) == len(numbers) == len(EDGES):
        raise ValueError(f"{cell!r:.60} is no cell of six numbers below {ops}")
    return numbers
