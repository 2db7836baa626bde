"""The search for a mapping on the command line: shown while it takes long, and ended early by Ctrl-C."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from ranvier.cli.output import Output, Tick
from ranvier.compiler.passes.mapping.effort import CUTTING

# A search that takes less is not shown.
_SECONDS = 1.0


@dataclass
class Searching:
    """What a search is told and asks: ``progress`` draws it, ``stop`` says whether it was interrupted."""

    tick: Tick
    begun: float = field(default_factory=time.monotonic)
    running: bool = False
    interrupted: bool = False

    def progress(self, stage: str, share: float) -> None:
        """Draws a stage once the search has taken a while."""
        self.running = stage != CUTTING
        if time.monotonic() - self.begun >= _SECONDS:
            self.tick(stage, round(100 * share), 100)

    def stop(self) -> bool:
        """Whether the search shall end with the best that it has."""
        return self.interrupted

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """The first Ctrl-C in a search ends that; any other ends the command."""
        if not self.running or self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True


@contextmanager
def searching(output: Output, tick: Tick) -> Iterator[Searching]:
    """A search during which Ctrl-C is its own; what it did is said at the end."""
    search = Searching(tick)
    if threading.current_thread() is not threading.main_thread():
        yield search
        return
    before = signal.signal(signal.SIGINT, search.interrupt)
    try:
        yield search
    finally:
        signal.signal(signal.SIGINT, before)
    if search.interrupted:
        output.say("the search for a better mapping was interrupted; the best so far is taken")
