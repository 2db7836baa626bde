"""Products of two spike trains over time: ``IncrementalMatMul`` as populations of a chip.

``A(t) = A(t-1) + S_q(t-1) k(t)' + q(t) S_k(t)'``. A count S is an accumulator, a neuron without memory whose own
message of the step before arrives with the spikes; it sends its count in every step. Gates let the count of one side
pass where the other side spikes, one for each pair of elements, and synapses add them up. A itself is an accumulator
too. Signed trains are differences of two trains of spikes: the counts are signed, and each part has gates of its own.
All numbers are whole and below bounds that the number of steps gives, so that nothing is rounded.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass

import numpy as np
import torch

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.network import Neurons, Note
from ranvier.frontends.torch import features
from ranvier.frontends.torch.adapters import Described
from ranvier.frontends.torch.binary import NotBinaryError, accumulator, gate, rescaled, signed
from ranvier.frontends.torch.capture import Event
from ranvier.frontends.torch.features import Places
from ranvier.frontends.torch.modules import IncrementalMatMul
from ranvier.frontends.torch.operations import Operations
from ranvier.frontends.torch.populations import Population
from ranvier.frontends.torch.products import check_size
from ranvier.frontends.torch.values import Apply, Expr, Leaf, Meaning, Value, add


@dataclass(frozen=True, eq=False)
class _Side:
    """One operand of a step: ``parts`` are its spikes by the sign that they count with, times ``height``.

    ``count`` is the population that counts them, up to ``most``, and ``at`` where each pair takes its element.
    """

    parts: dict[int, Value]
    height: float
    count: Population
    most: int
    at: Places

    @property
    def signed(self) -> bool:
        """Whether the count may fall below zero."""
        return -1 in self.parts


@dataclass(frozen=True, eq=False)
class Incremental:
    """The incremental products of a run; what they consist of is put into ``populations`` and ``notes``."""

    ops: Operations
    populations: MutableMapping[str, Population]
    notes: MutableMapping[str, Note]

    def read(self, event: Event, module: IncrementalMatMul, operands: list[Meaning]) -> Value:
        """What one call gives; ``event.seen`` holds both operands and the result. Raises RV752 and RV247."""
        name = event.name or "product"
        first, second = (_frame(event, meaning) for meaning in operands)
        rows, columns = features.places(first.shape), features.places(second.shape)
        at = np.broadcast_arrays(rows[..., :, None, :], columns[..., None, :, :])
        check_size(str(event.site), 2 * at[0].size)
        try:
            q = self._side(event, f"{name}.q", (first, event.seen[0]), (module.steps, at[0]))
            k = self._side(event, f"{name}.k", (second, event.seen[1]), (module.steps, at[1]))
        except NotBinaryError as found:
            raise _refused(event, found.what) from None
        step = len(k.count.events) - 1
        grown = [*self._gated(name, q, k, step - 1), *self._gated(name, k, q, step)]
        total = Value((add(tuple(grown)),), "B" + "F" * (at[0].ndim - 1))
        height = q.height * k.height
        text = f"sums over {module.steps} steps: longer runs saturate on the chip; {2 * at[0].size} pairs of elements"
        self.notes[name] = Note("RV755", name, text)
        if module.returns == "product":
            most = module.steps**2 * at[0].shape[-1]
            shown = event.seen[2] / height
            population = self._summing(event, name, total.frames[0], (most, q.signed or k.signed), shown)
            total = Value((Leaf(name, "spikes", len(population.events) - 1, total.shape),), total.axes)
        return rescaled(self.ops, total, height, f"{name}.height")

    def _side(self, event: Event, name: str, train: tuple[Value, torch.Tensor], bound: tuple[int, Places]) -> _Side:
        """An operand, counted: ``train`` is what it means and its numbers, ``bound`` the steps and the places."""
        value, numbers = train
        parts, height = signed(self.ops, value)
        arriving = [rescaled(self.ops, part, float(sign), f"{name}.sign").frames[0] for sign, part in parts.items()]
        known = self.populations.get(f"{name}.count")
        before = known.events[-1].seen[0] if known is not None else torch.zeros_like(numbers)
        counts = before + numbers / height
        count = self._summing(event, f"{name}.count", add(tuple(arriving)), (bound[0], -1 in parts), counts)
        return _Side(parts, height, count, *bound)

    def _summing(
        self, event: Event, name: str, arriving: Expr, bound: tuple[int, bool], shown: torch.Tensor
    ) -> Population:
        """The accumulator ``name`` after one more step, in which it has ``shown`` its sum; ``bound``: most, signed."""
        if name not in self.populations:
            described = Described(accumulator(*bound), None, None, np.array(1.0), shows_reset=True)
            self.populations[name] = Population(name, arriving.shape, described)
            if not bound[1]:
                self.ops.counts[name] = bound[0]
        population = self.populations[name]
        own = Leaf(name, "spikes", len(population.events) - 1, population.shape)
        population.inputs.append(add((arriving, own)))
        population.events.append(Event(event.kind, event.name, event.site, (), {}, shown, (shown,)))
        return population

    def _gated(self, name: str, counted: _Side, spiking: _Side, step: int) -> Iterator[Expr]:
        """``counted``'s count of ``step`` times ``spiking``'s spikes of now, summed over the last axis."""
        model = gate(counted.most, counted.signed)
        count = Leaf(counted.count.name, "spikes", step, counted.count.shape)
        whole = features.gathered(
            self.ops, Value((count,), "B" + "F" * len(count.shape)), counted.at, f"{count.source}s"
        )
        for sign, part in spiking.parts.items():
            title = f"{count.source}.{'plus' if sign > 0 else 'minus'}"
            spikes = features.gathered(self.ops, part, spiking.at, f"{title}.spikes")
            opening = rescaled(self.ops, spikes, float(model.offset), f"{title}.opening")
            shape = tuple(counted.at.shape)
            key = ("incremental", name, title, shape)
            (relay,) = self.ops.once(key, lambda: (Neurons(f"{title}.gate", shape, model),))  # noqa: B023 - called now
            pairs = Value((Apply(relay, add((whole.frames[0], opening.frames[0]))),), whole.axes)
            summed = features.summed(self.ops, pairs, (len(shape) - 1,), False, False, f"{title}.sum")
            yield rescaled(self.ops, summed, float(sign), f"{title}.sign").frames[0]


def _frame(event: Event, meaning: Meaning) -> Value:
    """An operand as one frame of two feature axes or more."""
    if not isinstance(meaning, Value):
        raise _refused(event, "a constant")
    lead = meaning.axes.rstrip("F")
    if lead != "B" or len(meaning.shape) < 2:
        text = f"it gets axes other than (batch, ..., elements, features): frames of shape {list(meaning.shape)}"
        raise error("RV752", str(event.site), text, "Call it once per step, in a loop over the steps.")
    return meaning


def _refused(event: Event, what: str) -> RanvierError:
    return error(
        "RV752",
        str(event.site),
        f"{event.name or 'the product'} sums the product of two spike trains over time, and one of them is {what}.",
        "Cut the network here: compute this product on the host and import what stands before and behind it, or give "
        "both operands as spikes of neurons, or differences of two trains of spikes of one height.",
    )
