"""Where a verb's words go: the answer to standard output, everything else to standard error."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from ranvier.compiler.diagnostics import Diagnostic

Tick = Callable[[str, int, int], None]
COLORS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


@dataclass(frozen=True)
class Answer:
    """What a verb found: ``data`` for programs, ``shown`` for people, and whether the answer is yes."""

    data: Mapping[str, object]
    shown: tuple[RenderableType, ...] = ()
    ok: bool = True


class PlainConsole(Console):
    """A console that colours only what it is told to, and leaves a closed pipe to its caller."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)

    def on_broken_pipe(self) -> None:
        """Raise, where rich would end the process with a code that means something else."""
        raise BrokenPipeError


@dataclass(frozen=True)
class Output:
    """How a verb speaks: as one JSON object (``json``), silently (``quiet``), or with all details (``verbose``)."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    err: Console = field(default_factory=lambda: PlainConsole(stderr=True))

    def say(self, text: str) -> None:
        """A remark about what goes on, on standard error."""
        if not (self.quiet or self.json):
            self.err.print(Text(text, style="dim"))

    @contextmanager
    def working(self, what: str) -> Iterator[Tick]:
        """A progress bar while something runs, on a terminal only; the tick takes (what, done, total)."""
        visible = self.err.is_terminal and not (self.quiet or self.json)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.err, transient=True, disable=not visible) as progress:
            tasks: dict[str, TaskID] = {what: progress.add_task(what, total=None)}

            def tick(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = progress.add_task(name, total=total)
                progress.update(tasks[name], completed=done, total=total)

            yield tick

    def show(self, answer: Answer) -> None:
        """The answer on standard output: tables, or a JSON object, or nothing when quiet."""
        for part in () if self.quiet else answer.shown:
            _print(PlainConsole(), part)

    def refuse(self, diagnostics: Iterable[Diagnostic]) -> None:
        """All diagnostics on standard error."""
        for part in drawn(diagnostics):
            _print(self.err, part)


def _print(console: Console, part: RenderableType) -> None:
    """Lines of text keep whole where nobody looks at them, so that programs find what they search for."""
    console.print(part, soft_wrap=isinstance(part, Text) and not console.is_terminal)


def drawn(diagnostics: Iterable[Diagnostic]) -> tuple[RenderableType, ...]:
    """Diagnostics for people: code, place and message, and the fix below."""
    parts: list[RenderableType] = []
    for d in diagnostics:
        kind = (f"{d.severity} {d.code}", COLORS[d.severity])
        parts.append(Text.assemble(kind, " ", (clean(d.place), "bold"), ": ", clean(d.message)))
        if d.severity != "note":
            parts.append(Text.assemble(("      fix: ", "green"), clean(d.fix)))
    return tuple(parts)


def clean(text: str) -> str:
    """``text`` without characters that control a terminal: names come from files of others."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def write_json(values: Mapping[str, object], stream: TextIO) -> None:
    """One JSON object and a line's end."""
    stream.write(json.dumps(plain(values), allow_nan=False) + "\n")


def plain(value: Any) -> object:
    """``value`` in JSON's types: arrays as lists, paths as texts, numbers that JSON lacks as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, tuple | list | set | frozenset):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
