"""One recorded function call, as its handler sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.linear import Linear
from ranvier.compiler.ir.network import Neurons
from ranvier.frontends.torch.capture import Event, Site, tensors
from ranvier.frontends.torch.operations import Operations, chain, local_name
from ranvier.frontends.torch.problems import mixes
from ranvier.frontends.torch.values import Meaning, Value

Result = Meaning | tuple[Meaning, ...]


@dataclass(frozen=True, eq=False)
class Call:
    """One function call: the cache of operations, where it stands, and the shape it gave.

    ``given``: copies of the tensors that its arguments were, by the identity of what they mean.
    """

    ops: Operations
    event: Event
    given: Mapping[int, torch.Tensor] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        """Where the call stands."""
        return self.event.site

    @property
    def out(self) -> Shape:
        """Shape of the (first) result."""
        return tuple(next(tensors(self.event.out)).shape)

    def name(self, what: str) -> str:
        """A name for an operation made here."""
        return local_name(self.site, what)

    def each(
        self, value: Value, make: Callable[[str, Shape], tuple[Linear | Neurons, ...]], what: str, key: Any = None
    ) -> Value:
        """Operations applied to every frame; features last, one frame axis before them."""
        name = self.name(what)
        made = self.ops.once(
            (what, self.site.file, self.site.offset, self.site.line, value.shape, key), lambda: make(name, value.shape)
        )
        frames = tuple(chain(made, frame) for frame in value.frames)
        lead = value.axes.rstrip("F")
        if "F" in lead:
            raise mixes(self.site, f"{what} with time or batch behind the features")
        return Value(frames, lead + "F" * len(frames[0].shape))
