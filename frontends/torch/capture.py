"""One concrete run of a module, recorded: calls of layers and neurons, and torch functions between them.

Tracing with proxies fails on ordinary training code (``range(x.size(0))``, item assignment), and exporting
loses the neurons' states. A concrete run always works: hooks see the modules, a ``TorchFunctionMode`` sees
everything else, and the identity of the tensors gives the data flow.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, resolve_name

from ranvier.frontends.torch.isolate import private_copy, undisturbed

Kind = Literal["neuron", "layer", "product", "function"]
OUTSIDE = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


@dataclass(frozen=True)
class Site:
    """Where a call stands in the user's code; ``scope`` is the module whose ``forward`` it is in."""

    file: str
    line: int
    offset: int
    scope: str

    def __str__(self) -> str:
        inside = f" in {self.scope}" if self.scope else ""
        return f"{Path(self.file).name}:{self.line}{inside}" if self.file else self.scope or "the module"


@dataclass(frozen=True, eq=False)
class Event:
    """One call: ``name`` is the module's path or the function's name; tensors are kept alive in it.

    ``seen`` holds copies of what later code may overwrite: arguments and results of a neuron or a product over time, a
    function's results; ``given`` those of a function's arguments, where they were asked for.
    """

    kind: Kind
    name: str
    site: Site
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    out: Any
    seen: tuple[torch.Tensor, ...] = ()
    given: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class Watched:
    """What a recording does with functions by their short names: ``kept`` are those whose arguments are copied.

    ``parted`` gives the functions that run in their place, whose own calls are recorded; they return None for arguments
    that they do not take.
    """

    kept: frozenset[str] = frozenset()
    parted: Mapping[str, Callable[..., torch.Tensor | None]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trace:
    """A recorded run: ``calls`` of the root module with their inputs and outputs, and all events in order.

    ``known`` are the tensors that existed before the run, by id: parameters, buffers, attributes.
    """

    root: nn.Module
    modules: Mapping[str, nn.Module]
    inputs: tuple[torch.Tensor, ...]
    outputs: tuple[Any, ...]
    events: tuple[Event, ...]
    called: tuple[str, ...]
    known: Mapping[int, torch.Tensor]


def tensors(value: object) -> Iterator[torch.Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)


def short_name(name: str) -> str:
    """``torch.Tensor.add_`` and ``torch.Tensor.__add__`` are ``add``; a property is its own name."""
    parts = name.split(".")
    return (parts[-2] if parts[-1] == "__get__" else parts[-1]).strip("_")


def record(
    module: nn.Module,
    inputs: Sequence[torch.Tensor],
    kind: Callable[[nn.Module], Kind],
    watched: Watched = Watched(),
) -> Trace:
    """Call a private copy of ``module`` on each of ``inputs`` in turn, states kept in between.

    ``kind`` tells leaves (neurons, layers, products over time), whose inside stays invisible, from what is looked into.
    """
    twin = private_copy(module)
    modules = dict(nn.Module.named_modules(twin))
    recorder = _Recorder(watched)
    handles = [h for name, part in modules.items() for h in recorder.watch(part, name, kind(part))]
    held = [value for part in modules.values() for value in tensors(dict(vars(part)))]
    held += [*nn.Module.parameters(twin), *nn.Module.buffers(twin)]
    with undisturbed(twin), recorder:
        outputs = [twin(frame) for frame in inputs]
    for handle in handles:
        handle.remove()
    called = tuple(dict.fromkeys(recorder.called))
    known = {id(value): value for value in held}
    return Trace(twin, modules, tuple(inputs), tuple(outputs), tuple(recorder.events), called, known)


class _Recorder(TorchFunctionMode):
    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.watched = watched
        self.events: list[Event] = []
        self.called: list[str] = []
        self.scope: list[str] = []
        self.depth = 0

    def watch(self, module: nn.Module, name: str, kind: Kind) -> list[Any]:
        """Hooks that note calls of ``module``."""
        leaf = kind != "function"

        def before(_m: nn.Module, _args: Any, _kwargs: Any) -> None:
            if self.depth == 0:
                self.called.append(name)
            if leaf:
                self.depth += 1
            else:
                self.scope.append(name)

        def after(_m: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            if not leaf:
                self.scope.pop()
                return
            self.depth -= 1
            if self.depth == 0:
                site = _site(sys._getframe(1), self.scope[-1] if self.scope else "")
                stateful = kind in ("neuron", "product")
                seen = tuple(t.clone() for t in tensors((args, dict(kwargs), out))) if stateful else ()
                self.events.append(Event(kind, name, site, args, dict(kwargs), out, seen))

        return [
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after, with_kwargs=True),
        ]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func`` and note it, unless it is called inside a leaf or another function."""
        kwargs = kwargs or {}
        if self.depth:
            return func(*args, **kwargs)
        name = resolve_name(func) or getattr(func, "__name__", str(func))
        parted = self._in_parts(short_name(name), args, kwargs)
        if parted is not None:
            return parted
        kept = short_name(name) in self.watched.kept
        given = tuple(t.clone() for t in tensors((args, kwargs))) if kept else ()
        self.depth = 1
        try:
            out = func(*args, **kwargs)
        finally:
            self.depth = 0
        if not name.endswith("__set__"):
            site = _site(sys._getframe(1), self.scope[-1] if self.scope else "")
            seen = tuple(t.clone() for t in tensors(out))
            self.events.append(Event("function", name, site, args, kwargs, out, seen, given))
        return out

    def _in_parts(self, name: str, args: Any, kwargs: Any) -> torch.Tensor | None:
        """What the functions give that run in place of ``name``, recorded; None where there are none."""
        if name not in self.watched.parted:
            return None
        with self:
            return self.watched.parted[name](*args, **kwargs)


def _site(frame: FrameType | None, scope: str) -> Site:
    while frame is not None and frame.f_code.co_filename.startswith(OUTSIDE):
        if frame.f_code is record.__code__:
            return Site("", 0, 0, scope)
        frame = frame.f_back
    if frame is None:
        return Site("", 0, 0, scope)
    return Site(frame.f_code.co_filename, frame.f_lineno, frame.f_lasti, scope)
