"""The watch over a Lava run, on stand-ins for Lava's objects; the real ones are in test_child."""

import os
from types import SimpleNamespace

import pytest

from ranvier.runtimes.lava import watch


class _Actor:
    """One of Lava's system processes."""

    def __init__(self, exception: tuple[Exception, str] | None = None, exitcode: int | None = None) -> None:
        self.exception, self._exitcode, self.killed = exception, exitcode, False

    @property
    def exitcode(self) -> int | None:
        if self._exitcode == 99:
            raise ValueError("process object is closed")
        return self._exitcode

    def kill(self) -> None:
        self.killed = True
        raise ValueError("process object is closed")


class _Memory:
    """Lava's shared memory."""

    freed = False

    def shutdown(self) -> None:
        self.freed = True


class _LeftError(Exception):
    """The interpreter was left."""


@pytest.fixture(autouse=True)
def _exit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise _LeftError(code)

    monkeypatch.setattr(os, "_exit", leave)


def _process(*actors: _Actor) -> SimpleNamespace:
    """A process that was compiled. It is not running, so that the thread that watches it leaves it alone."""
    messaging = SimpleNamespace(actors=actors, smm=_Memory())
    return SimpleNamespace(runtime=SimpleNamespace(_messaging_infrastructure=messaging, _is_running=False))


def _run(process: SimpleNamespace, error: Exception | None = None) -> None:
    def run(condition: object, run_cfg: object) -> None:
        assert (condition, run_cfg) == ("steps", "config")
        if error is not None:
            raise error

    process.run = run
    watch.run_watched(process, "steps", "config")


def test_traceback_of_a_failed_process_is_shown_and_everything_ends(capfd: pytest.CaptureFixture[str]) -> None:
    process = _process(_Actor(), _Actor((ValueError(), "the traceback")))
    with pytest.raises(_LeftError):
        _run(process, RuntimeError("1 Exception(s) occurred"))
    assert "the traceback" in capfd.readouterr().err
    assert all(actor.killed for actor in process.runtime._messaging_infrastructure.actors)
    assert process.runtime._messaging_infrastructure.smm.freed


def test_process_that_was_killed_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(_LeftError):
        _run(_process(_Actor(exitcode=99), _Actor(exitcode=-9)), RuntimeError())
    assert "died with exit code -9" in capfd.readouterr().err


def test_error_of_another_cause_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        _run(_process(_Actor(exitcode=0)), RuntimeError("something else"))
    no_runtime = SimpleNamespace(runtime=None)
    with pytest.raises(RuntimeError, match="not compiled"):
        _run(no_runtime, RuntimeError("not compiled"))
    watch.end_run(no_runtime)


def test_good_run_returns() -> None:
    _run(_process(_Actor(), _Actor(exitcode=0)))
