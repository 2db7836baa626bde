"""Rows of the neurons and layers that NIR and lava-dl files hold."""

from pathlib import Path
from typing import Any

import nir
import numpy as np

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import integers
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.frontends import netx
from ranvier.frontends.netx import COUNTER
from ranvier.frontends.nir import load_nir
from ranvier.frontends.nir.graph import LINEARS, NEURONS
from ranvier.frontends.nir.reading import PRESETS
from ranvier.frontends.torch import slayer
from ranvier.standing import alone, cell
from ranvier.words import words
from support import netx_files
from support.nir_files import write_chain
from support.page import layers
from support.page.page import EMPTY, NO_EXAMPLE, TARGETS, Page, neurons_alone

REGISTERS = RegisterLif(integers(1023), integers(128), integers(80))
_SINGLE = {"tau": 4e-3, "tau_mem": 4e-3, "tau_syn": 2e-3, "r": 1.0, "v_leak": 0.0, "w_in": 1.0}
_FIELDS = {
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "IF": ("r", "v_threshold", "v_reset"),
    "CubaLIF": ("tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "Threshold": ("threshold",),
    "LI": ("tau", "r", "v_leak"),
    "I": ("r",),
    "CubaLI": ("tau_mem", "tau_syn", "r", "v_leak", "w_in"),
}


def _nir_node(kind: str, dt: float) -> Any:
    """A node of three neurons whose time constants are some steps of ``dt``."""
    values = {**_SINGLE, "v_threshold": 1.0, "threshold": 1.0, "v_reset": 0.0}
    values |= {name: 1e4 * dt * value for name, value in _SINGLE.items() if name.startswith("tau")}
    values["r"] = 1.0 / dt if kind in ("IF", "I") else 1.0
    return getattr(nir, kind)(**{name: np.full(3, values[name]) for name in _FIELDS[kind]})


def nir_neurons(page: Page, folder: Path) -> None:
    rows = []
    for preset, known in PRESETS.items():
        kinds = NEURONS if preset == "spec" else ("IF", "LIF", "CubaLIF")
        rows += [[preset, kind, *_nir_cells(page, folder, kind, preset, known.reset is None)] for kind in kinds]
    header = ["preset", "node", "becomes", *TARGETS]
    text = (
        "A file does not say its time step, `>=`, resets by subtraction and spikes a step: the preset of the program "
        "that wrote it does, or options do ([nir.md](nir.md)). Of snnTorch's resets `delayed_subtract` is shown. Files "
        "for these programs are written from leaky integrate-and-fire neurons; other kinds are refused (RV682)."
    )
    page.section("### NIR", text, header, rows)


def _nir_cells(page: Page, folder: Path, kind: str, preset: Any, asks: bool) -> list[str]:
    dt = {"sinabs": 1.0, "norse": 1e-3}.get(preset, 1e-4)
    options: dict[str, Any] = {"reset": "delayed_subtract"} if asks else {}
    weights = np.where(np.arange(6).reshape(3, 2) % 2, -0.25, 0.5)
    node = _nir_node(kind, dt)
    if preset == "norse" and kind != "IF":
        node = _in_norse_units(node, dt)
    try:
        file = write_chain(folder / "n.nir", (2,), nir.Linear(weights), node, out=3)
        network = load_nir(file, preset=preset, **options)
    except RanvierError as refused:
        return [page.refused(refused.diagnostics[0]), *EMPTY]
    return [words(network.populations[0].model), *page.on_targets(network, neurons_alone)]


def _in_norse_units(node: Any, dt: float) -> Any:
    """Norse writes time constants times dt."""
    for name in ("tau", "tau_mem", "tau_syn"):
        if hasattr(node, name):
            setattr(node, name, getattr(node, name) * dt)
    return node


def slayer_neurons(page: Page, folder: Path) -> None:
    """Live blocks, each with the registers that it holds, and the neurons of files."""
    rows = []
    for path in slayer.TABLE:
        parts, model = path.split("."), COUNTER if path.endswith(".Affine") else REGISTERS
        said = "an integrator in registers" if model is COUNTER else words(model)
        rows.append([".".join(parts[-3:]), "live", said, *page.on_targets(alone(model, 4.0), neurons_alone)])
    for kind in slayer.REASONS:
        found = slayer.refusal(f"{slayer.ROOT}.block.{kind}.Dense", "block").diagnostics[0]
        rows.append([f"block.{kind}.Dense", "live", page.refused(found), *EMPTY])
    rows += [[kind, "`.net`", *_netx_neuron(page, folder, kind)] for kind in (*netx.NEURONS, "ALIF", "RF", "SDNN")]
    text = (
        "SLAYER trains in the chip's integers, which are taken as they are. Live modules are tested in an environment "
        "of their own; here stand the registers that they hold. Synapses that stand alone in front of a neuron: "
        f"{', '.join(path.rpartition('.')[2] for path in slayer.LAYERS)}."
    )
    page.section("### SLAYER (lava-dl)", text, ["class", "from", "becomes", *TARGETS], rows)


def _netx_neuron(page: Page, folder: Path, kind: str) -> list[str]:
    layer = netx_files.dense([[2, -2, 4], [6, 8, -2]], {**netx_files.CUBA, "type": kind})
    try:
        network = netx.load_netx(netx_files.write_netx(folder / "n.net", layer))
    except RanvierError as refused:
        return [page.refused(refused.diagnostics[0]), *EMPTY]
    return [words(network.populations[0].model), *page.on_targets(network, cell)]


def file_layers(page: Page, folder: Path) -> None:
    """The layers of both kinds of files."""
    rows = [["NIR", kind, *_nir_layer(page, folder, kind)] for kind in LINEARS]
    rows += [["`.net`", kind, *_netx_layer(page, folder, kind)] for kind in netx.SUPPORTED]
    page.section("### Of NIR and `.net` files", "", ["file", "layer", "becomes", *TARGETS], rows)


def _nir_layer(page: Page, folder: Path, kind: str) -> list[str]:
    if kind not in layers.NIR:
        return [NO_EXAMPLE, *EMPTY]
    make, shape = layers.NIR[kind]
    behind = nir.IF(r=np.full(1, 1e4), v_threshold=np.ones(1), v_reset=np.zeros(1))
    network = load_nir(write_chain(folder / "l.nir", shape, make(), behind), preset="spec")
    return page.of_layers(network)


def _netx_layer(page: Page, folder: Path, kind: str) -> list[str]:
    if kind not in layers.NETX:
        return [NO_EXAMPLE, *EMPTY]
    network = netx.load_netx(netx_files.write_netx(folder / "l.net", *layers.NETX[kind]()))
    return page.of_layers(network)
