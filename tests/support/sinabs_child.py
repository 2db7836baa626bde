"""The child process of ``sinabs_layers.py``: sinabs' own layers, rules and quantization, without a board.

``check`` builds sinabs' layers from tables that Ranvier wrote; ``quantize`` has sinabs quantize float networks itself.
Behind the verb come, for every job, the file, the frames, and where the answer goes.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import sinabs.layers as sl
import torch
from samna_name import stand_in  # type: ignore[import-not-found]  # beside this script
from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike
from torch import nn

stand_in()
from sinabs.backend.dynapcnn import DynapcnnNetwork  # noqa: E402 - asks for samna
from sinabs.backend.dynapcnn.chips.dynapcnn import DynapcnnConfigBuilder  # noqa: E402 - asks for samna
from sinabs.backend.dynapcnn.dynapcnn_layer import DynapcnnLayer  # noqa: E402 - asks for samna


def neuron(threshold: float, floor: float | None, to_zero: bool) -> Any:
    """Integrate-and-fire, any number of spikes a step."""
    reset = MembraneReset() if to_zero else MembraneSubtract()
    return sl.IAFSqueeze(
        batch_size=1, spike_threshold=torch.tensor(threshold), min_v_mem=floor, spike_fn=MultiSpike, reset_fn=reset
    )


def convolution(weight: Any, bias: Any, stride: tuple[int, int], padding: tuple[int, int]) -> Any:
    """A layer of sinabs' with these numbers."""
    weight = torch.tensor(weight, dtype=torch.float32)
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), stride, padding, bias=bias is not None)
    layer.weight.data = weight
    if bias is not None and layer.bias is not None:
        layer.bias.data = torch.tensor(bias, dtype=torch.float32)
    return layer


def layer_of(config: dict[str, Any]) -> Any:
    """The layer that a core with this configuration is."""
    sizes = config["dimensions"]
    weight = np.array(config["weights"], dtype=np.float32).swapaxes(2, 3)
    conv = convolution(
        weight, config["biases"] if config["leak_enable"] else None,
        (sizes["stride"]["y"], sizes["stride"]["x"]), (sizes["padding"]["y"], sizes["padding"]["x"]),
    )  # fmt: skip
    lowest = None if config["threshold_low"] == -(2**15) else float(config["threshold_low"])
    spiking = neuron(float(config["threshold_high"]), lowest, config["return_to_zero"])
    into = sizes["input_shape"]
    shape = (into["feature_count"], into["size"]["y"], into["size"]["x"])
    return DynapcnnLayer(conv, spiking, shape, [(1, 1)] * max(len(config["destinations"]), 1), discretize=False)


def check(file: str, frames: str, answer: str) -> None:
    """sinabs' layers, the memory and cores that it gives them, the configuration it would write, and what they fire."""
    table = json.loads(Path(file).read_text())
    layers = {n: layer_of(entry["config"]) for n, entry in enumerate(table["layers"])}
    cores = {n: entry["core"] for n, entry in enumerate(table["layers"])}
    number = {core: n for n, core in cores.items()}
    limits = DynapcnnConfigBuilder.get_constraints()
    found: dict[str, Any] = {
        "mapping": DynapcnnConfigBuilder.map_layers_to_cores(layers), "memory": [], "fits": [], "config": []
    }  # fmt: skip
    for n, layer in layers.items():
        goals = [number[d["layer"]] for d in table["layers"][n]["config"]["destinations"]]
        found["memory"].append({name: int(value) for name, value in layer.memory_summary().items()})
        found["fits"].append(bool(limits[cores[n]].fits(layer)))
        config = DynapcnnConfigBuilder.get_dynapcnn_layer_config_dict(layer, cores, goals)
        found["config"].append({**config, "leak_enable": bool(config["leak_enable"])})
    arrays = {}
    with torch.no_grad():
        x = torch.tensor(np.load(frames), dtype=torch.float32)
        for entry, layer in zip(table["layers"], layers.values(), strict=True):
            x = layer.spk_layer(layer.conv_layer(x))
            arrays[f"spikes:{entry['name']}"] = x.numpy()
    np.savez(answer, found=json.dumps(found), **arrays)


def quantize(network: str, frames: str, answer: str) -> None:
    """The integers that sinabs makes of a float network, and what it fires with them."""
    with np.load(network) as held:
        count = sum(name.startswith("weight") for name in held.files)
        modules: list[Any] = []
        for n in range(count):
            stride, pad = int(held[f"stride{n}"]), int(held[f"pad{n}"])
            modules.append(convolution(held[f"weight{n}"], None, (stride, stride), (pad, pad)))
            modules.append(neuron(1.0, -1.0, to_zero=False))
    x = torch.tensor(np.load(frames), dtype=torch.float32)
    quantized = DynapcnnNetwork(nn.Sequential(*modules), input_shape=tuple(x.shape[1:]), discretize=True)
    arrays: dict[str, Any] = {}
    with torch.no_grad():
        for n, layer in enumerate(quantized.dynapcnn_layers.values()):
            x = layer.spk_layer(layer.conv_layer(x))
            arrays |= {f"spikes{n}": x.numpy(), f"weight{n}": layer.conv_layer.weight.numpy()}
            arrays[f"threshold{n}"] = np.array(float(layer.spk_layer.spike_threshold))
    np.savez(answer, **arrays)


if __name__ == "__main__":
    verb, jobs = {"check": check, "quantize": quantize}[sys.argv[1]], sys.argv[2:]
    for first in range(0, len(jobs), 3):
        verb(*jobs[first : first + 3])
