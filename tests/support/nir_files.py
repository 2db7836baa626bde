"""Small NIR files for tests, written by the nir package."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np


def write_nir(path: Path, nodes: Mapping[str, Any], edges: Sequence[tuple[str, str]]) -> Path:
    """Write a graph without nir's own type check, which takes a kernel's height for both axes."""
    nir.write(path, nir.NIRGraph(dict(nodes), list(edges), type_check=False))
    return path


def write_chain(path: Path, shape: tuple[int, ...], *layers: Any, out: int = 1) -> Path:
    """Write Input -> layers -> Output, the layers named ``l0``, ``l1``, ..."""
    names = ["in", *(f"l{i}" for i in range(len(layers))), "out"]
    nodes = dict(zip(names, [nir.Input(np.array(shape)), *layers, nir.Output(np.array([out]))], strict=True))
    return write_nir(path, nodes, list(pairwise(names)))


def lif(n: int, **changed: float) -> Any:
    """A population of n LIF neurons, tau 10 ms, threshold 1."""
    values = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | changed
    return nir.LIF(**{name: np.full(n, value) for name, value in values.items()})


def cuba(n: int, **changed: float) -> Any:
    """A population of n CubaLIF neurons, tau_mem 10 ms, tau_syn 5 ms, threshold 1."""
    values = {
        "tau_mem": 0.01,
        "tau_syn": 0.005,
        "r": 1.0,
        "v_leak": 0.0,
        "v_threshold": 1.0,
        "w_in": 1.0,
        "v_reset": 0.0,
    }
    return nir.CubaLIF(**{name: np.full(n, value) for name, value in (values | changed).items()})


def integrate_and_fire(*shape: int, threshold: float = 1.0) -> Any:
    """A population of IF neurons of the given shape."""
    return nir.IF(r=np.ones(shape), v_threshold=np.full(shape, threshold), v_reset=np.zeros(shape))
