"""Ways out of what ``check`` finds that the compiler can try by itself: other neurons of the same family, fewer bits.

A fix changes what the network computes; how much, ``ranvier verify`` says on data. Each is kept only if fewer errors
are left than without it, and every step is told.

No fix splits a layer. On a mesh the partition does, and what it refuses is a single neuron whose own synapses exceed a
core: partial sums would have to travel as messages, rounded. A single core is the whole chip already, TrueNorth is only
checked, and a core of Speck takes one kernel from one source: what follows half a layer could not hear the other half.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ranvier.api import check
from ranvier.compiler.diagnostics import Diagnostic
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import Lif

SECONDS: Final = 60.0
"""No further fix is tried after this long."""


@dataclass(frozen=True, eq=False)
class Fix:
    """One change that was tried: ``what`` it is, and how many errors there were before and after it."""

    what: str
    before: int
    after: int

    @property
    def helps(self) -> bool:
        """Whether it was kept."""
        return self.after < self.before

    def to_json(self) -> dict[str, object]:
        """Plain values for ``--json``."""
        return {"what": self.what, "errors_before": self.before, "errors_after": self.after, "applied": self.helps}


@dataclass(frozen=True, eq=False)
class Fixed:
    """A network after the fixes that help, what was tried, and what is left to say about it."""

    network: Network
    weight_bits: int
    tried: tuple[Fix, ...]
    found: tuple[Diagnostic, ...]


Change = tuple[str, Network, int]


def fixed(net: Network, target: str | Path, found: Sequence[Diagnostic], seconds: float = SECONDS) -> Fixed:
    """``net`` after every fix for the errors in ``found`` that leaves fewer; ``target`` as ``check`` takes it."""
    end = time.monotonic() + seconds
    now, bits, said = net, 8, tuple(found)
    tried: list[Fix] = []
    for codes, changes in FIXES.items():
        for what, changed, narrower in changes(now, [d for d in said if d.code in codes]):
            if time.monotonic() > end:
                return Fixed(now, bits, tuple(tried), said)
            answer = tuple(check(changed, target, weight_bits=narrower))
            tried.append(Fix(what, _errors(said), _errors(answer)))
            if tried[-1].helps:
                now, bits, said = changed, narrower, answer
                break
    return Fixed(now, bits, tuple(tried), said)


def _errors(found: Sequence[Diagnostic]) -> int:
    return sum(d.severity == "error" for d in found)


def _on(net: Network, places: set[str], change: Callable[[Lif], Lif]) -> Network:
    """``net`` with ``change`` made to the neurons named, where they are of the family."""
    nodes = tuple(
        replace(n, model=change(n.model))
        if isinstance(n, Neurons) and isinstance(n.model, Lif) and n.name in places
        else n
        for n in net.nodes
    )
    return replace(net, nodes=nodes)


def _counts(net: Network, found: Sequence[Diagnostic]) -> Iterator[Change]:
    most = {d.place: int(str(d.figures["most"])) for d in found if "most" in d.figures}
    if most:
        changed = net
        for place, count in most.items():
            changed = _on(changed, {place}, lambda m, count=count: replace(m, max_spikes=count))  # type: ignore[misc]
        counts = ", ".join(f"{count} at {place}" for place, count in most.items())
        yield f"as many spikes a step as the chip's neurons send: {counts}", changed, 8


def _resets(net: Network, found: Sequence[Diagnostic]) -> Iterator[Change]:
    hard = {d.place for d in found if "reset to zero" in d.message or "neither subtracts" in d.message}
    soft = {d.place for d in found if "soft reset" in d.message}
    if hard:
        changed = _on(net, hard, lambda m: replace(m, reset="subtract", reset_amount=m.threshold))
        yield f"a reset that subtracts the threshold at {', '.join(sorted(hard))}", changed, 8
    if soft:
        changed = _on(net, soft, lambda m: replace(m, reset="value", reset_value=0.0 * m.threshold))
        yield f"a reset to zero at {', '.join(sorted(soft))}", changed, 8


def _plain(net: Network, found: Sequence[Diagnostic]) -> Iterator[Change]:
    """Refractory times, floors, starts: leave out whatever is named."""
    parts: Mapping[str, Callable[[Lif], Lif]] = {
        "a refractory time": lambda m: replace(m, refractory=0),
        "a lower bound of the membrane": lambda m: replace(m, floor=None),
        "a second firing level": lambda m: replace(m, late_guard=False),
        "start": lambda m: replace(m, initial=0.0 * m.initial),
        "several spikes per step": lambda m: replace(m, max_spikes=1),
    }
    for what, change in parts.items():
        places = {d.place for d in found if what in d.message}
        if places:
            net = _on(net, places, change)
    if found:
        yield f"plain neurons at {', '.join(sorted({d.place for d in found}))}", net, 8


def _narrower(net: Network, found: Sequence[Diagnostic]) -> Iterator[Change]:
    for bits in (6, 4, 2) if found else ():
        yield f"weights of {bits} bits", net, bits


FIXES: Final[Mapping[tuple[str, ...], Callable[[Network, Sequence[Diagnostic]], Iterator[Change]]]] = {
    ("RV644",): _counts,
    ("RV390", "RV642"): _resets,
    ("RV390", "RV642", "RV620"): _plain,
    ("RV521", "RV522"): _narrower,
}
"""Which errors a fix is tried for, in the order in which they are."""
