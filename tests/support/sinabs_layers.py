"""What sinabs makes of a DynapCNN layer table, and of a float network, asked through a child process."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.network import Network

CHILD = Path(__file__).with_name("sinabs_child.py")
SECONDS = 200
Job = tuple[Path, NDArray[Any]]
"""A file, and the frames (steps, *shape) to run it on."""


@dataclass(frozen=True, eq=False)
class Checked:
    """Layer by layer: memory, whether the core holds it, the configuration, and spikes (steps, *shape) by name.

    ``mapping``: a core for every layer that sinabs finds itself.
    """

    memory: list[dict[str, int]]
    fits: list[bool]
    config: list[dict[str, Any]]
    mapping: dict[str, int]
    spikes: dict[str, NDArray[np.int64]]


def checked(jobs: Sequence[Job]) -> list[Checked]:
    """The tables in the files as sinabs' layers, each run on its frames (steps, *shape)."""
    return [
        Checked(
            **json.loads(str(held["found"])),
            spikes={n.removeprefix("spikes:"): v.astype(np.int64) for n, v in held.items() if n != "found"},
        )
        for held in _ask("check", jobs)
    ]


def quantized(nets: Sequence[tuple[Network, NDArray[Any]]], folder: Path) -> list[dict[str, NDArray[Any]]]:
    """``weight<n>``, ``threshold<n>`` and ``spikes<n>`` of each layer that sinabs' own quantization gives the nets."""
    jobs = []
    for number, (net, frames) in enumerate(nets):
        np.savez(folder / f"float{number}.npz", **_arrays(net))
        jobs.append((folder / f"float{number}.npz", frames))
    return _ask("quantize", jobs)


def _arrays(net: Network) -> dict[str, Any]:
    """The layers of a chain, a dense layer as the kernel that covers the whole map."""
    arrays: dict[str, Any] = {}
    shape = net.inputs[0].shape
    for n, layer in enumerate(node for node in net.nodes if isinstance(node, Conv | Dense)):
        if isinstance(layer, Conv):
            weight, stride, pad, shape = layer.weight, layer.stride[0], layer.padding[0][0], layer.out_shape
        else:
            weight, stride, pad = layer.weight.reshape(-1, *shape), 1, 0
        arrays |= {f"weight{n}": weight, f"stride{n}": stride, f"pad{n}": pad}
    return arrays


def _ask(verb: str, jobs: Sequence[Job]) -> list[dict[str, NDArray[Any]]]:
    pytest.importorskip("sinabs")
    command, answers = [sys.executable, "-W", "ignore", str(CHILD), verb], []
    for file, frames in jobs:
        asked, answer = file.with_suffix(".frames.npy"), file.with_suffix(".answer.npz")
        np.save(asked, frames)
        command += [str(file), str(asked), str(answer)]
        answers.append(answer)
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        pytest.fail(f"sinabs refused it ({done.returncode}): {done.stderr[-2000:]}")
    found = []
    for answer in answers:
        with np.load(answer, allow_pickle=False) as held:
            found.append({name: held[name] for name in held.files})
    return found
