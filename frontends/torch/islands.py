"""Functions that no synapse computes, met in a run: islands, each called once per step, that the host may compute.

An island is to the recorded run what a population is: it has a frame that arrives in every step, and what it gives is a
leaf of the expressions that follow. Which step a call belongs to, the newest signal among what arrives tells; calls at
one place that fall into the same step are islands of their own, unless they get the same.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.hosted import HostFunction
from ranvier.compiler.ir.network import Note
from ranvier.frontends.torch.capture import Site
from ranvier.frontends.torch.values import Expr, Leaf, leaves, matches

Rows = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Use:
    """One step of an island: the frame that arrives, and what the run showed, as rows (batch, size) in float64.

    ``given`` holds the arguments, one after the other; None where they were no tensors of the run.
    """

    site: Site
    frame: Expr
    given: Rows | None
    shown: Rows


@dataclass(eq=False)
class Island:
    """A function and its calls by their step; under None the only one of a function of a constant input."""

    function: HostFunction
    uses: dict[int | None, Use] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.function.name

    @property
    def inputs(self) -> list[Expr]:
        """What arrives, step by step."""
        return [use.frame for use in self.calls]

    @property
    def sites(self) -> list[Site]:
        """Where it was called, step by step."""
        return [use.site for use in self.calls]

    @property
    def note(self) -> Note:
        """What the host computes, and where that stands in ``forward``."""
        shapes = " and ".join(str(list(shape)) for shape in self.function.in_shapes)
        return Note("RV731", self.name, f"{self.function.kind} of {shapes} at {self.sites[-1]}: the host computes it")

    @property
    def calls(self) -> list[Use]:
        """The uses in the order of the steps."""
        return [self.uses[step] for step in sorted(self.uses, key=lambda step: -1 if step is None else step)]


@dataclass(eq=False)
class Islands:
    """All islands of a run; ``taken`` are names that modules have."""

    taken: frozenset[str]
    by_name: dict[str, Island] = field(default_factory=dict)
    by_place: dict[Hashable, list[Island]] = field(default_factory=dict)

    def leaf(self, function: HostFunction, step: int | None, use: Use) -> Leaf:
        """What the island that ``use`` belongs to gives in ``step``; ``function`` carries the name that it may get."""
        known = self.by_place.setdefault(_place(function, use.site), [])
        again = next((i for i in known if step in i.uses and matches(i.uses[step].frame, use.frame, 0)), None)
        island = again or next((i for i in known if step not in {*i.uses, None} and None not in i.uses), None)
        if island is None:
            island = Island(replace(function, name=self._unique(function.name)))
            known.append(island)
            self.by_name[island.name] = island
        island.uses.setdefault(step, use)
        return Leaf(island.name, "value", step, function.out_shape)

    def needed(self, exprs: Iterable[Expr]) -> dict[str, Island]:
        """The islands that ``exprs`` depend on, and those that these do, in the order in which they were met."""
        found, todo = set[str](), list(exprs)
        while todo:
            for name in {leaf.source for leaf in leaves(todo.pop()) if leaf.output == "value"} - found:
                found.add(name)
                todo += self.by_name[name].inputs
        return {name: island for name, island in self.by_name.items() if name in found}

    def _unique(self, name: str) -> str:
        used = {*self.taken, *self.by_name}
        return next(n for n in (name, *(f"{name}_{i}" for i in range(2, len(used) + 3))) if n not in used)


def newest(expr: Expr) -> int | None:
    """The last step that ``expr`` reads from; None where all of it is a constant input."""
    return max((leaf.step for leaf in leaves(expr) if leaf.step is not None), default=None)


def uneven(site: Site, kind: str, what: str) -> RanvierError:
    """A function of the host that is not the same in every step."""
    return error(
        "RV730",
        str(site),
        f"{kind}, which the host would compute, {what}: it has to be the same function of what arrives in every step.",
        "Call it once per step, from the first step on, with the same weights and masks, or on the whole sequence. "
        "Where a signal of the step before is needed, delay what the function gives, not what it gets.",
    )


def rows_of(tensor: torch.Tensor, axes: str, steps: int, batch: int) -> list[Rows]:
    """A recorded tensor with ``axes`` (as those of a ``Value``) as rows (batch, size), one array per step."""
    for merged, parted, sizes in (("M", "TB", (steps, batch)), ("N", "BT", (batch, steps))):
        if merged in axes:
            at, shape = axes.index(merged), tensor.shape
            tensor, axes = tensor.reshape(*shape[:at], *sizes, *shape[at + 1 :]), axes.replace(merged, parted)
    tensor = tensor.squeeze(tuple(at for at, letter in enumerate(axes) if letter == "U"))
    for letter in "BT":
        at = axes.replace("U", "").find(letter)
        if at >= 0:
            tensor, axes = tensor.movedim(at, 0), letter + axes.replace("U", "").replace(letter, "")
    frames: Sequence[torch.Tensor] = tensor.unbind(0) if "T" in axes else (tensor,)
    return [frame.detach().reshape(batch, -1).double().numpy() for frame in frames]


def _place(function: HostFunction, site: Site) -> Hashable:
    """What tells two islands apart: where the function stands, and which function it is."""
    constants = tuple((name, value.tobytes()) for name, value in sorted(function.constants.items()))
    options = tuple(sorted(function.options.items()))
    return (site.file, site.line, site.offset, site.scope, function.kind, function.in_shapes, options, constants)
