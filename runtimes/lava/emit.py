"""Writes a chip network as a Lava project: a folder that needs nothing but Lava and numpy to run.

``<name>_net`` holds the hierarchical Process and its SubProcessModel, ``<name>_neurons`` the neurons that Lava
lacks, ``<name>_host`` the ends of a run on a CPU. Lava finds the models of a Process by executing every
file beside it: hence packages with ``process.py`` and ``models.py`` only, and absolute imports.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.coding import described
from ranvier.compiler.ir.steps import StepProgram
from ranvier.runtimes.lava import watch
from ranvier.runtimes.lava.environment import LAVA_VERSION
from ranvier.runtimes.lava.layers import LayerView, layer_view
from ranvier.runtimes.lava.names import class_name, identifier
from ranvier.runtimes.lava.plan import Plan, plan
from ranvier.runtimes.lava.printing import body
from ranvier.runtimes.lava.synapses import SynapseView, synapse_view, wiring

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Project:
    """An emitted project: its folder, the script that runs it, and the Python name of each population."""

    folder: Path
    script: Path
    attributes: Mapping[str, str]
    fresh: bool


@dataclass(frozen=True)
class NeuronView:
    """A generated neuron as its template needs it."""

    name: str
    semantics: str
    states: Sequence[str]
    params: Sequence[str]
    body: Sequence[str]


def emit(chip: ChipNetwork, folder: Path, single_run: bool = False) -> Project:
    """Write ``chip`` as a Lava project into ``folder`` (made if absent; files of the same names are replaced).

    ``single_run``: see :func:`~ranvier.runtimes.lava.plan.plan`. Raises ``RanvierError`` RV706 for what no Lava process
    computes exactly.
    """
    chosen = plan(chip, single_run)
    tensors: dict[str, NDArray[Any]] = {}
    context = _context(chosen, tensors)
    base = identifier(chip.name)
    texts = {
        f"{base}_net/__init__.py": f'"""{context["title"]} for Lava."""\n',
        f"{base}_net/process.py": _render("net_process.py.j2", context),
        f"{base}_net/models.py": _render("net_models.py.j2", context),
        f"{base}_host/__init__.py": '"""Input from files and output into files, on a CPU."""\n',
        f"{base}_host/process.py": _render("host_process.py.j2", context),
        f"{base}_host/models.py": _render("host_models.py.j2", context),
        "run.py": _render("run.py.j2", context),
        "run_loihi2.py": _render("run_loihi2.py.j2", context),
        "watch.py": Path(watch.__file__).read_text(),
        "README.md": _render("README.md.j2", context),
    }
    if context["neurons"]:
        texts[f"{base}_neurons/__init__.py"] = '"""Neurons that Lava does not have."""\n'
        texts[f"{base}_neurons/process.py"] = _render("neurons_process.py.j2", context)
        texts[f"{base}_neurons/models.py"] = _render("neurons_models.py.j2", context)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    np.savez(folder / f"{base}_net" / "weights.npz", **tensors)  # type: ignore[arg-type]
    attributes = {n.population.name: n.attribute for n in chosen.neurons}
    return Project(folder, folder / "run.py", attributes, chosen.fresh)


def _context(chosen: Plan, tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """All that the templates read; weights and per-neuron parameters go into ``tensors``."""
    chip = chosen.chip
    base, port = identifier(chip.name), chip.ports[0]
    classes = neuron_classes(chosen)
    layers = [layer_view(n, classes.get(n.population.program, ""), tensors) for n in chosen.neurons]
    synapses = [synapse_view(s, tensors) for s in chosen.synapses]
    output = next(layer for layer in layers if layer.name == chip.readout.node)
    return {
        "lava_version": LAVA_VERSION,
        "title": f"The network {base}",
        "package": f"{base}_net",
        "host_package": f"{base}_host",
        "neurons_package": f"{base}_neurons",
        "net_class": f"{class_name(chip.name)}Net",
        "layers": layers,
        "synapses": synapses,
        "wires": wiring(chosen),
        "neurons": [_neuron_view(name, program) for program, name in classes.items()],
        "needs_csr": any(synapse.process.endswith("Sparse") for synapse in synapses),
        "lava_imports": _lava_imports(layers, synapses),
        "own_imports": _own_imports(base, f"{class_name(chip.name)}Net", classes),
        "input_shape": port.shape,
        "input_bits": port.bits,
        "input_scale": port.scale,
        "input_text": _input_text(port.bits, port.scale),
        "coder": None if port.encoder is None else described(port.encoder),
        "output": output.attribute,
        "output_shape": output.shape,
        "readout_kind": chip.readout.kind,
        "reads_spikes": chip.readout.reads_spikes,
        "latency": chip.latency,
        "fresh": chosen.fresh,
        "drain": chosen.drain,
    }


def neuron_classes(chosen: Plan) -> dict[StepProgram, str]:
    """A class name for each step program that a generated process runs."""
    classes: dict[StepProgram, str] = {}
    for neurons in chosen.generated:
        program = neurons.population.program
        if program not in classes:
            name = class_name(program.semantics.partition(".")[2] or program.semantics)
            classes[program] = name if name not in classes.values() else f"{name}{len(classes) + 1}"
    return classes


def _neuron_view(name: str, program: StepProgram) -> NeuronView:
    return NeuronView(
        name,
        f"The step program {program.semantics}: {_meaning(program)}.",
        [state.name for state in program.states],
        program.params,
        body(program),
    )


def _meaning(program: StepProgram) -> str:
    states = ", ".join(state.name for state in program.states)
    return f"states {states}; sends {'numbers' if program.graded else '0 or 1'}"


def _lava_imports(layers: Sequence[LayerView], synapses: Sequence[SynapseView]) -> list[str]:
    modules = {"Conv": "conv", "Dense": "dense", "DelayDense": "dense", "DelaySparse": "sparse", "Sparse": "sparse"}
    used: dict[str, set[str]] = {"lif": {"LIFReset"}} if any(layer.stock for layer in layers) else {}
    for synapse in synapses:
        used.setdefault(modules[synapse.process], set()).add(synapse.process)
    return [f"from lava.proc.{module}.process import {', '.join(sorted(used[module]))}" for module in sorted(used)]


def _own_imports(base: str, net_class: str, classes: Mapping[StepProgram, str]) -> list[str]:
    lines = [f"from {base}_net.process import {net_class}"]
    if classes:
        lines.append(f"from {base}_neurons.process import {', '.join(sorted(classes.values()))}")
    return lines


def _input_text(bits: int, scale: float) -> str:
    if bits == 0:
        return "spikes, 0 or 1"
    return f"integers of {bits} bits, or real numbers x that become round({scale!r} * x)"


def _listed(texts: Iterable[str]) -> str:
    """``texts`` as a tuple of strings in Python source."""
    quoted = [f'"{text}"' for text in texts]
    return f"({', '.join(quoted)}{',' if len(quoted) == 1 else ''})"


def _render(template: str, context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - a slow import

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.filters["listed"] = _listed
    return environment.get_template(template).render(context)
