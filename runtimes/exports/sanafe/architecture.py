"""The chip in SANA-FE's words: its mesh of tiles, the cores on each, and what every event costs.

All constants are those of the target's default energy and latency bases. SANA-FE bills a neuron for ``access`` and
``update``, as these bases do. What happens outside of the chip costs nothing: every core that input spikes reach has a
*host core* beside it on its tile, where everything is free, with a copy of the input neurons. So input spikes cross no
link of the mesh and wait for none but their receiver.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from ranvier.compiler.diagnostics import Diagnostic, RanvierError

if TYPE_CHECKING:
    from ranvier.targets.costs import EnergyBasis, LatencyBasis
    from ranvier.targets.schema import Target

HOST_SOMA = "host_input"
SOMA, DENDRITE = "lif", "dendrite"
SYNAPSES = ("dense", "sparse", "conv")
LINK_BUFFER = 16
"""Messages that a link of the mesh holds: no public figure of the chip, but what SANA-FE's own Loihi has."""
_ZERO = "0.0"


@dataclass(frozen=True)
class Costs:
    """What SANA-FE needs of a target: its mesh, neurons per core, and one basis each of energy and latency."""

    width: int
    height: int
    cores: int
    neurons: int
    energy: "EnergyBasis"
    latency: "LatencyBasis"

    def tile(self, x: int, y: int) -> int:
        """SANA-FE's number of the tile at column ``x`` and row ``y``: it counts down the columns."""
        return x * self.height + y


def costs(target: "Target") -> Costs:
    """The constants of ``target``; ``RanvierError`` RV440 with all that is not public, or that SANA-FE lacks."""
    mesh, tiles = target.chip.mesh.known(), target.chip.tiles
    energy = target.energy.bases.get(target.energy.default)
    latency = target.latency.bases.get(target.latency.default)
    neurons = next((r.cap.v for r in target.core.resources if r.name == "neurons"), None)
    missing = [
        what
        for what, there in (
            ("the mesh of its tiles is not public", mesh and tiles),
            ("it has no energy per neuron access, update and spike", energy and energy.soma_pj and energy.axon_pj),
            ("it has no time per neuron access, update and spike", latency and latency.soma_ns and latency.axon_ns),
            ("messages within a tile cost extra there", not (energy and energy.hop_pj.v.tile)),
            ("it names no limit of neurons", neurons),
        )
        if not there
    ]
    if missing:
        fix = "compile for loihi1, or write a target file that extends it"
        raise RanvierError(Diagnostic("RV440", f"target {target.name}", reason, fix) for reason in missing)
    assert mesh
    assert tiles
    assert energy
    assert latency
    assert neurons
    return Costs(mesh[0], mesh[1], tiles.v.cores_per_tile, neurons, energy, latency)


def architecture(name: str, given: Costs, hosts: Mapping[int, int], inputs: int) -> str:
    """The architecture file; ``hosts``: how many host cores a tile has, each for ``inputs`` input neurons."""
    barrier = ", ".join(f"{tiles}: {ns!r}e-9" for tiles, ns in given.latency.barrier_ns_by_tiles.v)
    lines = [
        "architecture:",
        f"  name: {name}",
        "  attributes:",
        "    topology: mesh",
        f"    width: {given.width}",
        f"    height: {given.height}",
        f"    link_buffer_size: {LINK_BUFFER}",
        "    sync_model: table",
        f"    latency_sync: {{{barrier}}}",
        "  tile:",
    ]
    for count, run in groupby(range(given.width * given.height), lambda tile: hosts.get(tile, 0)):
        numbers = list(run)
        lines += _tile(f"tile[{numbers[0]}..{numbers[-1]}]", given)
        lines += _core(given)
        lines += _host(inputs, count) if count else []
    return "\n".join(lines) + "\n"


def _tile(name: str, given: Costs) -> Iterable[str]:
    energy, latency = given.energy.hop_pj.v, given.latency.hop_ns.v
    yield f"    - name: {name}"
    yield "      attributes:"
    for way, pj, ns in (
        ("north", energy.ns, latency.ns),
        ("east", energy.ew, latency.ew),
        ("south", energy.ns, latency.ns),
        ("west", energy.ew, latency.ew),
    ):
        yield f"        energy_{way}_hop: {pj!r}e-12"
        yield f"        latency_{way}_hop: {ns!r}e-9"
    yield "      core:"


def _core(given: Costs) -> Iterable[str]:
    energy, latency = given.energy, given.latency
    assert energy.soma_pj
    assert energy.axon_pj
    assert latency.soma_ns
    assert latency.axon_ns
    pj, ns = energy.soma_pj.v, latency.soma_ns.v
    yield from _start(f"core[0..{given.cores - 1}]", given.neurons)
    yield from _unit(
        "axon_in", "axon_in", message_in=(f"{energy.axon_pj.v.in_!r}e-12", f"{latency.axon_ns.v.in_!r}e-9")
    )
    for n, kind in enumerate(SYNAPSES):
        cost = f"{getattr(energy.synapse_pj.v, kind)!r}e-12", f"{getattr(latency.synapse_ns.v, kind)!r}e-9"
        yield from _unit("" if n else "synapse", kind, "current_based", process_spike=cost)
    yield from _unit("dendrite", DENDRITE, "accumulator", update=(_ZERO, _ZERO))
    yield from _unit(
        "soma",
        SOMA,
        "leaky_integrate_fire",
        access_neuron=(f"{pj.access!r}e-12", f"{ns.access!r}e-9"),
        update_neuron=(f"{pj.update!r}e-12", f"{ns.update!r}e-9"),
        spike_out=(f"{pj.spike_out!r}e-12", f"{ns.spike_out!r}e-9"),
    )
    cost = f"{energy.axon_pj.v.out!r}e-12", f"{latency.axon_ns.v.out!r}e-9"
    yield from _unit("axon_out", "axon_out", message_out=cost)


def _host(inputs: int, count: int) -> Iterable[str]:
    free = (_ZERO, _ZERO)
    yield from _start(f"host[0..{count - 1}]", inputs)
    yield from _unit("axon_in", "axon_in", message_in=free)
    yield from _unit("synapse", "none", "current_based", process_spike=free)
    yield from _unit("dendrite", DENDRITE, "accumulator", update=free)
    name = f"{HOST_SOMA}[0..{inputs - 1}]"
    yield from _unit("soma", name, "input", access_neuron=free, update_neuron=free, spike_out=free)
    yield from _unit("axon_out", "axon_out", message_out=free)


def _start(name: str, neurons: int) -> Iterable[str]:
    yield f"        - name: {name}"
    yield "          attributes:"
    yield "            buffer_position: soma"
    yield f"            max_neurons_supported: {neurons}"


def _unit(section: str, name: str, model: str = "", **events: tuple[str, str]) -> Iterable[str]:
    """A unit of a core, its energy and latency by event; ``section`` is empty where it goes on."""
    if section:
        yield f"          {section}:"
    yield f"            - name: {name}"
    yield "              attributes:"
    if model:
        yield f"                model: {model}"
    for event, (energy, latency) in events.items():
        yield f"                energy_{event}: {energy}"
        yield f"                latency_{event}: {latency}"
