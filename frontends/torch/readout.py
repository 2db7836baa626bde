"""What a module returns, as a readout: spike counts, or a membrane over time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.ir.network import Edge, Network, Note, Readout, ReadoutKind
from ranvier.frontends.torch.populations import Folded
from ranvier.frontends.torch.values import Expr, Fixed, Leaf, Opaque, Output, Reduced, Sum, Value, bare, present

How = Literal["sequence", "sum", "max", "last"]
Net = TypeVar("Net", bound=Network | HostedNetwork)
KINDS: dict[tuple[Output, How], ReadoutKind] = {
    ("spikes", "sequence"): "spike_count",
    ("spikes", "sum"): "spike_count",
    ("value", "sequence"): "spike_count",
    ("value", "sum"): "spike_count",
    ("membrane", "sum"): "sum_membrane",
    ("membrane", "max"): "max_membrane",
    ("membrane", "last"): "last_membrane",
}


@dataclass(frozen=True)
class Shown:
    """One returned tensor understood: what of which population, how over time, and by how many steps it comes late."""

    source: str
    output: Output
    how: How
    late: int = 0


def choose(folded: Folded, asked: ReadoutKind | None) -> tuple[Readout, tuple[Note, ...], int]:
    """The readout of what the module returns, and how late that comes; ``asked``: spikes or membranes."""
    shown = [s for s in dict.fromkeys(_shown(folded)) if s.late in (0, _lateness(folded, s.source))]
    readable = [s for s in shown if (s.output, s.how) in KINDS]
    first = next((s for s in readable if s.output == "spikes"), readable[0] if readable else None)
    hosted = next((s.source for s in shown if s.output == "value" and (asked or first is None)), None)
    if hosted is not None and asked != "spike_count" and (first is None or first.source == hosted):
        text = "the module returns its values, of which the last step, the largest or another rule decides."
        fix = "Return the values of all steps or their sum, from which the answer is read, or the spikes of neurons."
        raise error("RV733", hosted, text, fix)
    if asked is not None and shown:
        source = (first or shown[0]).source
        readout = Readout(source, asked)
    elif first is not None:
        readout = Readout(first.source, KINDS[first.output, first.how])
    elif any(s.output == "membrane" for s in shown):
        raise error(
            "RV221",
            shown[0].source,
            "the module returns membranes, or what a layer gives, in all steps: whether their last, largest or sum "
            "decides cannot be seen.",
            "Say readout='last_membrane', 'max_membrane' or 'sum_membrane', or return the spikes.",
        )
    else:
        raise _nothing(folded)
    _check_membrane(folded, readout)
    others = sorted({s.source for s in readable} - {readout.node})
    text = f"the module also returns {', '.join(others)}; the readout is {readout.node}"
    late = next((s.late for s in shown if s.source == readout.node), 0)
    return readout, (Note("RV221", readout.node, text),) if others else (), late


def in_time(network: Net, late: int) -> Net:
    """``network`` with its readout population ``late`` steps later, as the module has shown it.

    What reaches the population is delayed, which is the same where it is silent until then.
    """
    if not late:
        return network
    name = network.readout.node
    if np.any(getattr(getattr(network.by_name[name], "model", None), "bias", 0.0)):
        text = f"the module shows its spikes {late} steps late, and so leaves out those of the last {late} steps"
        return replace(network, notes=(*network.notes, Note("RV246", name, f"{text}; here they count")))
    inner = {e.source for e in network.into[name]} & {e.target for e in network.out_of[name]}

    def moved(edge: Edge) -> Edge:
        if edge.target == name and edge.source not in inner:
            return replace(edge, delay=edge.delay + late)
        if edge.source == name and edge.target not in inner:
            return replace(edge, delay=edge.delay - late)
        return edge

    return replace(network, edges=tuple(moved(edge) for edge in network.edges))


def _lateness(folded: Folded, source: str) -> int:
    """By how many steps ``source`` shows what it sends late: -1 if that differs between its neurons."""
    late = folded.populations[source].described.late if source in folded.populations else None
    steps = np.unique(0 if late is None else late)
    return int(steps[0]) if steps.size == 1 else -1


def _nothing(folded: Folded) -> RanvierError:
    """The module's own problem when what it returns could not be followed, else what a readout needs."""
    for out in folded.outputs:
        for value in _flat(out):
            if isinstance(value, Opaque):
                return value.error
    uneven = [name for name in folded.populations if _lateness(folded, name) == -1]
    if uneven:
        raise error(
            "RV245",
            uneven[-1],
            "its axonal delays delay what is read, each channel by another number of steps.",
            "Build the last block with delay=False.",
        )
    return error(
        "RV220",
        "the return value",
        "the module returns nothing that can be read as spikes or membranes of one population over all steps.",
        "Return the stacked spikes of the last spiking layer, or their sum or mean over time; or the sum, mean, "
        "maximum or last step of a layer, or of the membranes of snntorch.Leaky with reset_mechanism='none'.",
    )


def _check_membrane(folded: Folded, readout: Readout) -> None:
    if readout.node in folded.islands:
        return
    described = folded.populations[readout.node].described
    if not readout.reads_spikes and described.shows_reset:
        raise error(
            "RV220",
            readout.node,
            "with reset_delay=False the module shows the membrane after the reset, the network before it.",
            "Read out spikes, or use reset_delay=True or reset_mechanism='none' in the last layer.",
        )


def _shown(folded: Folded) -> Iterator[Shown]:
    if len(folded.outputs) == 1:
        yield from _parts(folded.outputs[0], folded.steps)
        return
    calls = [list(_flat(out)) for out in folded.outputs]
    for results in zip(*calls, strict=False):
        frames = [r.frames[0] for r in results if isinstance(r, Value) and len(r.frames) == 1]
        found = _sequence(frames, folded.steps)
        if found is not None:
            yield found


def _parts(value: Any, steps: int) -> Iterator[Shown]:
    if isinstance(value, Value):
        found = _understood(value, steps)
        if found is not None:
            yield found
    elif isinstance(value, dict):
        for item in value.values():
            yield from _parts(item, steps)
    elif isinstance(value, (list, tuple)):
        frames = [v.frames[0] for v in value if isinstance(v, Value) and len(v.frames) == 1]
        found = _sequence(frames, steps) if len(frames) == len(value) else None
        if found is not None:
            yield found
        else:
            for item in value:
                yield from _parts(item, steps)


def _flat(value: Any) -> Iterator[Value | Opaque]:
    if isinstance(value, (Value, Opaque)):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _flat(item)


def _understood(value: Value, steps: int) -> Shown | None:
    if value.timed:
        return _sequence(value.frames, steps)
    expr = bare(value.frames[0])
    if isinstance(expr, Reduced):
        whole = _sequence(expr.frames, steps)
        how: How = "max" if expr.kind == "max" else "sum"
        return None if whole is None else replace(whole, how=how)
    if isinstance(expr, Sum):
        whole = _sequence(expr.terms if len(expr.terms) == steps else present(expr), steps)
        return None if whole is None else replace(whole, how="sum")
    if isinstance(expr, Leaf) and expr.step == steps - 1:
        return Shown(expr.source, expr.output, "last")
    return None


def _sequence(frames: Sequence[Expr], steps: int) -> Shown | None:
    """All steps of one population, in any order."""
    found = [bare(frame) for frame in frames]
    shown = [leaf for leaf in found if isinstance(leaf, Leaf)]
    late = sum(isinstance(expr, Fixed) and expr.zero for expr in found)
    inside = list(range(steps - late))
    if not shown or len(shown) + late != len(found) or sorted(leaf.step or 0 for leaf in shown) != inside:
        return None
    if len({(leaf.source, leaf.output) for leaf in shown}) != 1 or shown[0].output == "input":
        return None
    return Shown(shown[0].source, shown[0].output, "sequence", late)
