"""A chip network on the device: generated kernels, weights and parameters, uploaded once for all pieces of work."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import triton

from ranvier.compiler.ir.ranges import INT32, fits
from ranvier.compiler.ir.steps import INPUT
from ranvier.runtimes.gpu.emit import lossy, scan
from ranvier.runtimes.gpu.ranges import bounds
from ranvier.runtimes.gpu.routes import Route, current, messages
from ranvier.runtimes.simulator.cache import load, store
from ranvier.runtimes.simulator.plan import Layer, Plan

Tensor = Any  # torch.Tensor, whose annotations would need torch wherever this is read


@dataclass(frozen=True, eq=False)
class Population:
    """A layer on the device: its kernel, the types of its input and of what it sends, parameters, initial states.

    ``places`` names where overflows are counted: lossy operations, incoming connections, and the sum of these.
    """

    layer: Layer
    kernel: Any
    sums: Tensor
    sends: Tensor
    params: Tensor
    initial: Tensor
    places: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Synapses:
    """A connection on the device: its route and the route's arrays."""

    route: Route
    arrays: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Uploaded:
    """Everything of a network that no sample changes."""

    plan: Plan
    port: Tensor
    populations: Mapping[str, Population]
    synapses: Mapping[str, Synapses]
    device: str


def upload(plan: Plan, routes: Mapping[str, Route], device: str) -> Uploaded:
    """Generate and load the kernels of ``plan`` and put its arrays on ``device``."""
    largest = messages(plan)
    populations = {layer.name: _population(plan, layer, largest, device) for layer in plan.layers}
    synapses = {
        name: Synapses(route, {key: torch.from_numpy(values).to(device) for key, values in route.arrays.items()})
        for name, route in routes.items()
    }
    kinds = (torch.int8, torch.int16, torch.int32)
    port = next(kind for kind in kinds if largest[plan.source.name] <= torch.iinfo(kind).max)
    return Uploaded(plan, port, populations, synapses, device)


@cache
def kernel(source: str) -> Any:
    """The ``scan`` of a generated module, loaded from a file: Triton reads a kernel's source there."""
    digest = hashlib.sha256(f"triton {triton.__version__}\n{source}".encode()).hexdigest()
    return load(store(source, digest)).scan


def _population(plan: Plan, layer: Layer, largest: Mapping[str, int], device: str) -> Population:
    arriving = current(plan, layer.name, largest)
    wide = not fits(arriving)
    places = (*(op.result for op in lossy(layer.program)), *(link.name for link in plan.into[layer.name]), INPUT)
    made = scan(layer.program, bounds(layer, INT32 if wide else arriving), len(places) - 1 if wide else None)
    return Population(
        layer,
        kernel(made.source),
        torch.int64 if wide else torch.int32,
        getattr(torch, made.sends),
        _table(layer.params, device),
        _table(layer.initial, device),
        places,
    )


def _table(rows: Any, device: str) -> Tensor:
    return torch.from_numpy(np.array(rows, np.int64)).to(device)
