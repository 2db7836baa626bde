"""SANA-FE's description of a placed program: its chip, its network, where every neuron lies.

| file | holds |
|---|---|
| ``architecture.py`` | the chip: tiles, cores, and what events cost, from the target file |
| ``neurons.py`` | neurons as SANA-FE's, and which are not |
| ``network.py`` | groups, edges and mappings |

SANA-FE 2.x reads them: ``load_arch(folder / "architecture.yaml")``, ``load_net(folder / "network.yaml", arch)``. A
sample of T steps takes T + L of its time steps, L being the latency of the program: chip step t is its step t + 1.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, ChipSynapse, ConvSynapse, SparseSynapse
from ranvier.compiler.ir.network import Note
from ranvier.compiler.ir.program import Program
from ranvier.runtimes.exports.sanafe.architecture import architecture, costs
from ranvier.runtimes.exports.sanafe.network import MOST_SYNAPSES, Mapped, described, weights
from ranvier.runtimes.exports.sanafe.neurons import described as neurons_of
from ranvier.runtimes.exports.sanafe.neurons import problems as neuron_problems
from ranvier.runtimes.recording import check_inputs

if TYPE_CHECKING:
    from ranvier.targets.schema import Target

__all__ = ["ARCHITECTURE", "NETWORK", "export_sanafe"]
ARCHITECTURE, NETWORK = "architecture.yaml", "network.yaml"


def export_sanafe(
    program: Program,
    target: "Target",
    folder: str | Path,
    formats: Mapping[str, str],
    frames: NDArray[Any] | None = None,
) -> tuple[Note, ...]:
    """Write ``program`` for SANA-FE into ``folder``: the files ``architecture.yaml`` and ``network.yaml``.

    ``formats``: how the synapses that end in a population are stored (dense, sparse, conv), which decides what they
    cost. ``frames`` (steps, *shape) are the spikes of one sample; without them the input is silent. The energy and
    time of SANA-FE are then those of ``compiler/analysis/energy.py``, and its spikes the program's where no register
    overflows and no note (RV448) names currents that decay without rounding.

    Raises ``RanvierError`` with everything that SANA-FE cannot express: RV440 to RV447.
    """
    chip = program.chip
    found = list(_problems(program))
    if found:
        raise RanvierError(found)
    mapped = Mapped(chip, program.placement, costs(target), formats)
    spikes = None if frames is None else _spikes(chip, frames)
    neurons = {p.name: neurons_of(p) for p in chip.populations}
    place, inputs, hosts = Path(folder), size(chip.ports[0].shape), Counter(tile for tile, _ in mapped.hosts)
    try:
        place.mkdir(parents=True, exist_ok=True)
        _write(place / ARCHITECTURE, (architecture(target.name, mapped.costs, hosts, inputs),))
        _write(place / NETWORK, (f"{line}\n" for line in described(mapped, neurons, spikes)))
    except OSError as failed:
        raise error("RV447", str(folder), f"it cannot be written: {failed.strerror}", "choose another folder") from None
    return tuple(note for n in neurons.values() for note in n.notes)


def _write(path: Path, lines: Iterable[str]) -> None:
    """The file, whole or not at all."""
    draft = Path(f"{path}.part")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _problems(program: Program) -> Iterator[Diagnostic]:
    chip, placement = program.chip, program.placement
    port = chip.ports[0]
    if port.bits:
        text = f"values of {port.bits} bits enter; SANA-FE's messages are spikes"
        yield Diagnostic("RV442", port.name, text, "compile with a coder that makes spikes, such as --encode rate")
    for population in chip.populations:
        yield from neuron_problems(population)
    for c in chip.connections:
        if c.delay:
            text = f"spikes from {c.source} take {c.delay} more steps; SANA-FE's Loihi has no delays"
            yield Diagnostic("RV445", f"{c.target} from {c.source}", text, "make all ways to a layer of equal length")
        if c.exponent < 0 and weights(c) is None:
            text = f"the sum of its weights is shifted by {c.exponent} bits, which rounds; SANA-FE's sums are exact"
            yield Diagnostic("RV445", f"{c.target} from {c.source}", text, "compile with more weight bits")
    synapses = sum(_most(c.synapse) for c in chip.connections)
    if synapses > MOST_SYNAPSES:
        text = f"{synapses:,} synapses would be written out one by one"
        fix = f"take a network of at most {MOST_SYNAPSES:,} synapses, or one part of it"
        yield Diagnostic("RV446", chip.name, text, fix, figures={"synapses": synapses, "limit": MOST_SYNAPSES})
    if placement.chips > 1:
        text = f"the program lies on {placement.chips} chips; SANA-FE describes one mesh"
        yield Diagnostic(
            "RV446", chip.name, text, "take a network that fits one chip", figures={"chips": placement.chips}
        )


def _most(synapse: ChipSynapse) -> int:
    """As many synapses as there can be."""
    if isinstance(synapse, ConvSynapse):
        return synapse.out_size * int(np.prod(synapse.weight.shape[1:]))
    return int(synapse.data.size if isinstance(synapse, SparseSynapse) else synapse.weight.size)


def _spikes(chip: ChipNetwork, frames: NDArray[Any]) -> NDArray[np.int64]:
    """(steps, neurons) 0 or 1."""
    given = np.asarray(frames)
    check_inputs(given[None], chip)
    return given.reshape(given.shape[0], -1).astype(np.int64)
