"""Runs commands and Lava scripts in a child process that can be trusted to end.

Lava forks one process per Lava Process and may hang, crash or fail to exit. So a child gets its own
session, writes to a log file (orphans cannot block a pipe), has a time limit, and its whole process
group is killed afterwards. A script's result file counts as soon as it exists, whatever the script
does next: scripts write it under another name and rename it.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ranvier.compiler.diagnostics import RanvierError, error

GRACE_S = 3.0
"""Seconds that a child may still live once its result exists."""
POLL_S = 0.02
TERMINATE_S = 2.0
"""Seconds between the polite and the final signal, in which shared memory is freed."""
TAIL_LINES = 15
GENERIC = "Exception(s) occurred. See output above for details."
"""What Lava raises in the parent when a Process failed; the real traceback is an earlier one."""
TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)+?(?:\S.*(?:\n|\Z))", re.MULTILINE)


@dataclass(frozen=True)
class ChildExit:
    """How a child ended: ``code`` as of ``subprocess``, or None when it had to be killed."""

    code: int | None
    seconds: float
    has_result: bool


def run_child(
    command: Sequence[str],
    log: Path,
    limit: float,
    result: Path | None = None,
    progress: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> ChildExit:
    """Run ``command`` for at most ``limit`` seconds, its output in ``log``, and kill all it left behind.

    With ``progress``, the limit starts anew whenever that file changes. With ``result``, the child is
    given ``GRACE_S`` seconds to exit once that file exists. The child's environment is ours without
    ``PYTHON*`` variables, plus ``extra``.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | dict(extra or {})
    started = time.monotonic()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        ) as child,
    ):
        try:
            _wait(child.pid, limit, result, progress)
        finally:
            exited = _exited(child.pid)
            _end_group(child.pid)
    seconds = time.monotonic() - started
    return ChildExit(child.returncode if exited else None, seconds, result is not None and result.exists())


def run_lava_script(
    python: Path,
    script: Path,
    arguments: Sequence[str],
    result: Path,
    log: Path,
    limit: float,
    progress: Path | None = None,
) -> ChildExit:
    """Run a Lava script, isolated (``-I``), until ``result`` exists; ``progress`` as in ``run_child``.

    Raises ``RanvierError`` RV702 (time limit), RV703 (killed by a signal), RV704 (error exit) or RV705
    (no result), with the traceback of the Lava Process that failed when the log holds one.
    """
    result.unlink(missing_ok=True)
    command = [str(python), "-I", str(script), *arguments]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ended = run_child(command, log, limit, result, progress, threads)
    if not ended.has_result:
        raise _failure(ended, script, log, limit)
    return ended


def failure_text(log: str) -> str:
    """The traceback that explains a failed run, else the last lines of its log."""
    found = TRACEBACK.findall(log if log.endswith("\n") else log + "\n")
    telling = [text for text in found if GENERIC not in text] or found
    return telling[-1].rstrip() if telling else "\n".join(log.splitlines()[-TAIL_LINES:])


def _wait(pid: int, limit: float, result: Path | None, progress: Path | None) -> None:
    """Return when the child has exited, its time is over, or its result has existed for the grace period."""
    deadline, seen = time.monotonic() + limit, b""
    while not _exited(pid) and time.monotonic() < deadline:
        if result is not None and result.exists():
            deadline = min(deadline, time.monotonic() + GRACE_S)
            result = progress = None
        if progress is not None and progress.exists() and (now := progress.read_bytes()) != seen:
            deadline, seen = time.monotonic() + limit, now
        time.sleep(POLL_S)


def _exited(pid: int) -> bool:
    """Whether the child has ended. It is left unreaped, so that its group's number cannot be given anew."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(group: int) -> None:
    """Kill what is left of the child and its forks, so that no shared memory stays behind either.

    All forks die of the first signal but Python's resource tracker, which ignores it, then sees that
    it is alone, frees the shared memory that the dead can no longer free, and exits.
    """
    os.killpg(group, signal.SIGTERM)
    deadline = time.monotonic() + TERMINATE_S
    while _living(group) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    os.killpg(group, signal.SIGKILL)


def _living(group: int) -> bool:
    """Whether the process group has a member that is no zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(member_of) == group and state != "Z":
            return True
    return False


def _failure(ended: ChildExit, script: Path, log: Path, limit: float) -> RanvierError:
    text = failure_text(log.read_text(errors="replace"))
    place = f"Lava run of {script.name}"
    if ended.code is None:
        return error(
            "RV702",
            place,
            f"no result and no progress for {limit:g} s. Lava does not stop when one of its processes fails. "
            f"What the log says:\n{text}",
            "correct what the traceback names; without one, allow more time",
            limit_s=limit,
        )
    if ended.code < 0:
        name = signal.Signals(-ended.code).name
        return error(
            "RV703",
            place,
            f"the Lava interpreter was killed by {name} after {ended.seconds:.1f} s:\n{text}",
            "SIGSEGV: check the environment with 'ranvier doctor'; SIGKILL: is the memory used up?",
            signal=name,
        )
    if ended.code > 0:
        return error(
            "RV704",
            place,
            f"Lava failed after {ended.seconds:.1f} s:\n{text}",
            "correct what the traceback names",
            exit_code=ended.code,
        )
    return error(
        "RV705",
        place,
        f"the script ended without a result:\n{text}",
        "the script must write its result before it exits",
    )
