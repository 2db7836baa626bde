"""Small lava-dl ``.net`` files for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Layer = dict[str, Any]
CUBA: Layer = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80, "refDelay": 1, "gradedSpike": False}
"""A CUBA neuron as lava-dl writes it."""


def write_netx(path: Path, *layers: Layer) -> Path:
    """Write ``layers`` as lava-dl does; a nested mapping is a group, ``type`` of a layer a byte string."""
    with h5py.File(path, "w") as file:
        for number, layer in enumerate(layers):
            group = file.create_group(f"layer/{number}")
            for name, value in layer.items():
                if isinstance(value, Mapping):
                    for key, entry in value.items():
                        group[f"{name}/{key}"] = entry
                else:
                    group[name] = np.array([value.encode()], "S10") if name == "type" else value
    return path


def dense(weight: Any, neuron: Layer | None = CUBA, **more: Any) -> Layer:
    """A dense layer with the given integer weights (outputs, inputs)."""
    weight = np.asarray(weight, np.float32)
    layer = {"type": "dense", "inFeatures": weight.shape[1], "outFeatures": weight.shape[0], "weight": weight}
    return layer | ({"neuron": neuron} if neuron else {}) | more


def conv(weight: Any, neuron: Layer = CUBA, **more: Any) -> Layer:
    """A convolution with the given integer kernel (outputs, inputs / groups, h, w)."""
    ones = np.array([1, 1])
    layer = {"type": "conv", "weight": np.asarray(weight, np.float32), "neuron": neuron}
    return layer | {"stride": ones, "padding": 0 * ones, "dilation": ones, "groups": 1} | more
