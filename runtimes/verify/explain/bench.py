"""The bench on which layers are run in every mixture: the data, the float network's recording, the pairs of parts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.runtimes.recording import encode
from ranvier.runtimes.verify.explain import groups
from ranvier.runtimes.verify.explain.engine import Wires, forced, run
from ranvier.runtimes.verify.explain.layers import Exact, Pair, mixed, pairs_with_source
from ranvier.runtimes.verify.explain.views import Frame, View, frame_of

Values = NDArray[Any]
NAMED = ("name", "values")


@dataclass(frozen=True, eq=False)
class Bench:
    """``inputs`` (samples, steps, *shape) for ``chip``, which was made from the folded float network ``source``."""

    chip: ChipNetwork
    source: Network
    inputs: Values
    labels: NDArray[np.int64] | None = None

    @cached_property
    def pairs(self) -> Mapping[str, Pair]:
        """Every layer's exact and deployed parts, in the order of evaluation."""
        found = {pair.name: pair for pair in pairs_with_source(self.chip, self.source)}
        return {p.name: found[p.name] for p in sorted(self.chip.populations, key=lambda p: p.latency)}

    @cached_property
    def frame(self) -> Frame:
        """Shapes, thresholds and readout."""
        payloads = next(iter(self.pairs.values())).payloads
        return frame_of(self.chip, self.source, payloads)

    @property
    def port(self) -> str:
        """The name of the input."""
        return self.chip.ports[0].name

    def frames(self, exact: bool) -> Values:
        """(samples, steps, wires) of the input: integers as the chip gets them, or real numbers in their units."""
        port = self.chip.ports[0]
        flat = self.inputs.reshape(*self.inputs.shape[:2], size(port.shape))
        if port.bits == 0:
            return flat.astype(np.int8)
        return flat.astype(np.float64) * port.scale if exact else encode(port, flat).astype(np.float64)

    def run(self, exact: Mapping[str, Exact] | Exact, membranes: Iterable[str] = ()) -> View:
        """The whole network, free running; ``exact`` for all layers, or by layer (the input under its own name)."""
        chosen = exact if isinstance(exact, Mapping) else dict.fromkeys((*self.pairs, self.port), exact)
        layers = [mixed(pair, chosen.get(name, groups.NOTHING)) for name, pair in self.pairs.items()]
        frames = self.frames(groups.INPUT in chosen.get(self.port, groups.NOTHING))
        read = () if self.frame.readout.reads_spikes else (self.frame.readout.node,)
        return self.frame.view(run(layers, self.port, frames, {*membranes, *read}), self.port)

    def wires(self, view: View, exact_input: bool) -> Wires:
        """What the senders of every layer gave in ``view``."""
        return {**view.sent, self.port: self.frames(exact_input)}

    def forced(self, layer: str, exact: Exact, wires: Wires) -> tuple[Values, Values]:
        """(sent, membrane) of ``layer`` in the mixture ``exact`` on recorded ``wires``."""
        return forced(mixed(self.pairs[layer], exact), wires)

    def accuracy(self, view: View) -> float | None:
        """Share of right answers; None without labels."""
        return None if self.labels is None else float(np.mean(view.predictions == self.labels))

    @cached_property
    def active(self) -> Mapping[str, tuple[str, ...]]:
        """By layer, the approximations whose deployed parts are not exact."""
        return {name: active(pair) for name, pair in self.pairs.items()}

    @cached_property
    def input_active(self) -> bool:
        """Whether the input's integers are not exactly its real values."""
        return not np.array_equal(self.frames(exact=True), self.frames(exact=False))

    def present(self) -> tuple[str, ...]:
        """All approximations that are made anywhere."""
        found = {group for own in self.active.values() for group in own}
        return tuple(g for g in groups.ALL if g in found or (g == groups.INPUT and self.input_active))


def active(pair: Pair) -> tuple[str, ...]:
    """The approximations in which the parts of ``pair`` are not the same."""
    everything = groups.EVERYTHING - {groups.ROUNDING, groups.WIDTH}
    whole = _signature(pair, groups.NOTHING)
    found = [g for g in groups.PER_LAYER if g in everything and not _same(whole, _signature(pair, frozenset({g})))]
    found += [g for g, one, other in _losses(pair) if one != other]
    return tuple(g for g in groups.PER_LAYER if g in found)


def _losses(pair: Pair) -> tuple[tuple[str, bool, bool], ...]:
    rounds = (groups.ROUNDING, pair.exact.rounding, pair.deployed.rounding)
    return rounds, (groups.WIDTH, pair.exact.width, pair.deployed.width)


def _signature(pair: Pair, exact: Exact) -> list[object]:
    layer = mixed(pair, exact)
    values: list[object] = [layer.program.ops, *layer.params.items(), *layer.initial.items()]
    return [*values, *((k.source, k.delay, k.exponent) for k in layer.links), *(k.matrix for k in layer.links)]


def _same(left: list[object], right: list[object]) -> bool:
    return len(left) == len(right) and all(_equal(a, b) for a, b in zip(left, right, strict=True))


def _equal(a: Any, b: Any) -> bool:
    if hasattr(a, "tocsr"):
        return bool(a.shape == b.shape and (a != b).nnz == 0)
    if isinstance(a, tuple) and len(a) == len(NAMED):
        return bool(a[0] == b[0] and np.all(np.asarray(a[1]) == b[1]))
    return bool(a == b)
