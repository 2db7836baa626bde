"""DynapCNN layer tables: a program for ``speck2f`` layer by layer, in JSON.

``config`` of a layer has the names, the units and the order of axes that sinabs 3.1 gives a core's
``CNNLayerConfig`` (``DynapcnnConfigBuilder.get_dynapcnn_layer_config_dict``): weights (outputs, inputs, x, y), signed
8-bit integers, x before y. ``memory`` is what the layer takes of its core by sinabs' published rules, beside the core's
limits.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.chip import ChipNetwork, ConvSynapse, Population
from ranvier.compiler.ir.network import Note
from ranvier.compiler.ir.neuron_steps.bytes import DYNAPCNN_IAF, WORD_MAX
from ranvier.compiler.ir.program import Program
from ranvier.runtimes.exports.files import write_json

FORMAT = "ranvier.dynapcnn"
VERSION = 1
ONE_PIXEL = (1, 1)


def export_dynapcnn(program: Program, path: str | Path) -> tuple[Note, ...]:
    """Write ``program``, compiled for ``speck2f``, as the JSON file ``path``; the same program gives the same bytes.

    The notes (RV463) say what the chip does otherwise than the program: it has no limit of spikes per step.
    Raises ``RanvierError``: RV460 for a path that cannot be written, RV461 for a program of another chip.
    """
    write_json(path, layer_table(program))
    return tuple(
        Note("RV463", p.name, f"at most {most} spikes in a step; the chip has no steps and no such limit")
        for p in program.chip.populations
        if (most := _most(p))
    )


def layer_table(program: Program) -> Mapping[str, object]:
    """The content of the file; raises ``RanvierError`` RV461 for a network of other neurons."""
    chip = program.chip
    for population in chip.populations:
        if not population.program.semantics.startswith(f"{DYNAPCNN_IAF}."):
            text = f"its neurons are {population.program.semantics}, those of {chip.target}, not of DYNAP-CNN"
            raise error("RV461", population.name, text, "compile for speck2f: --target speck2f")
    cores = {piece.population: piece.core for piece in program.placement.pieces}
    uses = {piece.population: dict(piece.use) for piece in program.placement.pieces}
    port = chip.ports[0]
    entries = [cores[c.target] for c in chip.connections if c.source == port.name]
    return {
        "format": FORMAT,
        "version": VERSION,
        "network": chip.name,
        "chip": chip.target,
        "input": {"name": port.name, "shape": list(port.shape), "cores": entries},
        "output": {"name": chip.readout.node, "core": cores[chip.readout.node]},
        "layers": [
            {
                "name": p.name,
                "core": cores[p.name],
                "memory": uses[p.name],
                "config": layer_config(chip, p, cores),
            }
            for p in chip.populations
        ],
    }


def layer_config(chip: ChipNetwork, population: Population, cores: Mapping[str, int]) -> dict[str, object]:
    """What a core is set to so that it is ``population``; ``cores``: the core of each population."""
    (connection,) = chip.into[population.name]
    kernel = connection.synapse
    assert isinstance(kernel, ConvSynapse), "the fit writes every layer as a convolution"
    biases = _biases(population, kernel)
    shape = kernel.out_shape
    goals = [c.target for c in chip.connections if c.source == population.name]
    floor = population.params.get("floor")
    return {
        "destinations": [{"layer": cores[goal], "enable": True, "pooling": 1} for goal in goals],
        "dimensions": {
            "input_shape": _dimensions(kernel.in_shape),
            "output_shape": _dimensions(shape),
            "padding": {"x": kernel.padding[1][0], "y": kernel.padding[0][0]},
            "stride": {"x": kernel.stride[1], "y": kernel.stride[0]},
            "kernel_size": kernel.weight.shape[2],
        },
        "weights": (kernel.weight.swapaxes(2, 3) // 2).tolist(),
        "biases": biases,
        "leak_enable": any(biases),
        "return_to_zero": ".zero" in population.program.semantics,
        "threshold_high": int(population.params["threshold"]),
        "threshold_low": -WORD_MAX - 1 if floor is None else int(floor),
        "monitor_enable": population.name == chip.readout.node,
        "neurons_initial_value": np.zeros((shape[0], shape[2], shape[1]), dtype=np.int64).tolist(),
    }


def _biases(population: Population, kernel: ConvSynapse) -> list[int]:
    """One bias per channel; the fit refuses others."""
    per_neuron = np.broadcast_to(population.params["bias"], (population.size,))
    return [int(row[0]) for row in per_neuron.reshape(kernel.out_shape[0], -1)]


def _dimensions(shape: Shape) -> dict[str, object]:
    return {"size": {"x": shape[2], "y": shape[1]}, "feature_count": shape[0]}


def _most(population: Population) -> int:
    """How many spikes the step program sends at most, 0 without limit."""
    words = [word for word in population.program.semantics.split(".") if word.startswith("most")]
    return int(words[0].removeprefix("most")) if words else 0
