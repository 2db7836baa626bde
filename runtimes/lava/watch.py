"""Ends a Lava run as soon as one of its processes fails; this file is copied into every emitted project.

Lava itself waits for all processes of a failed run, and the others wait for the failed one: the run
hangs and the traceback is lost. Here a thread looks at them, prints the traceback and exits.
"""

import contextlib
import os
import sys
import threading
import time
from typing import Any

EXIT_CODE = 1
EVERY_S = 0.2


def run_watched(process: Any, condition: Any, run_cfg: Any) -> None:
    """``process.run(condition, run_cfg)``; exits the interpreter when a process of the run fails."""
    threading.Thread(target=_look, args=(process,), daemon=True).start()
    try:
        process.run(condition=condition, run_cfg=run_cfg)
    except RuntimeError:
        _exit_if_failed(process)
        raise


def end_run(process: Any) -> None:
    """Kill the processes of a run and free its shared memory; ``stop()`` may wait for them for ever."""
    messaging = getattr(process.runtime, "_messaging_infrastructure", None)
    if messaging is None:
        return
    for actor in messaging.actors:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # Lava has joined and closed it already
            actor.kill()
    messaging.smm.shutdown()


def _look(process: Any) -> None:
    while True:
        time.sleep(EVERY_S)
        if process.runtime is not None and process.runtime._is_running:
            _exit_if_failed(process)


def _exit_if_failed(process: Any) -> None:
    if process.runtime is None:
        return
    found = [_failure(actor) for actor in process.runtime._messaging_infrastructure.actors]
    texts = [text for text in found if text]
    if texts:
        sys.stderr.write("\n".join(texts))
        sys.stderr.flush()
        end_run(process)
        os._exit(EXIT_CODE)


def _failure(actor: Any) -> str:
    """The traceback of one of Lava's system processes, or how it died; empty while all is well."""
    try:
        if actor.exception:
            return f"{actor.exception[1]}\n"
        code = actor.exitcode
    except (AttributeError, EOFError, OSError, ValueError):  # Lava has joined and closed it meanwhile
        return ""
    return f"A Lava process died with exit code {code}\n" if code else ""
