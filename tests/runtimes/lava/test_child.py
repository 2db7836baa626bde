"""Every way in which a Lava run goes wrong ends in an error that explains it, and leaves nothing running."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.runtimes.lava import child
from ranvier.runtimes.lava.child import failure_text, run_child, run_lava_script

FAULTY = Path(__file__).parent / "scripts" / "faulty.py"


@pytest.fixture(autouse=True)
def _no_orphans(tmp_path: Path) -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while (left := _alive(str(tmp_path))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, f"still running: {left}"


def _alive(argument: str) -> list[int]:
    """The processes, zombies aside, that have ``argument`` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if argument.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _unused_segments() -> set[str]:
    """Shared memory of Python that no living process maps."""
    mapped = ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            mapped += maps.read_text()
    return {segment.name for segment in Path("/dev/shm").glob("psm_*") if segment.name not in mapped}


def _run(lava: Path, tmp_path: Path, mode: str, limit: float = 40.0) -> Path:
    result = tmp_path / "result.txt"
    run_lava_script(
        lava,
        FAULTY,
        [mode, str(result), str(Path(child.__file__).parent)],
        result,
        tmp_path / "log.txt",
        limit,
    )
    return result


def _failure(lava: Path, tmp_path: Path, mode: str, limit: float = 40.0) -> Diagnostic:
    with pytest.raises(RanvierError) as caught:
        _run(lava, tmp_path, mode, limit)
    return caught.value.diagnostics[0]


def test_good_run_gives_its_result(lava: Path, tmp_path: Path) -> None:
    assert _run(lava, tmp_path, "good").read_text() == "done"


def test_result_counts_although_the_interpreter_never_exits(lava: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    assert _run(lava, tmp_path, "no_exit", limit=60).read_text() == "done"
    assert time.monotonic() - started < 45, "the run waited for its limit although the result was there"


def test_crash_in_a_process_shows_its_own_traceback(lava: Path, tmp_path: Path) -> None:
    failure = _failure(lava, tmp_path, "crash")
    assert failure.code == "RV704"
    assert "ValueError: DelayDense Process 'delays' expects values between 0 and 63" in failure.message
    assert child.GENERIC not in failure.message


def test_hang_ends_at_the_limit(lava: Path, tmp_path: Path) -> None:
    started, segments = time.monotonic(), _unused_segments()
    failure = _failure(lava, tmp_path, "hang", limit=6)
    assert failure.code == "RV702"
    assert "for 6 s" in failure.message
    assert 6 <= time.monotonic() - started < 16
    assert _unused_segments() <= segments, "shared memory was left behind"


def test_segmentation_fault_is_named(lava: Path, tmp_path: Path) -> None:
    failure = _failure(lava, tmp_path, "segfault")
    assert (failure.code, failure.figures["signal"]) == ("RV703", "SIGSEGV")


def test_float_threshold_is_an_error_with_its_cause(lava: Path, tmp_path: Path) -> None:
    failure = _failure(lava, tmp_path, "float_vth", limit=6)
    assert failure.code in ("RV702", "RV704")
    assert "scale_threshold" in failure.message


def test_wrong_tag_is_an_error_with_its_cause(lava: Path, tmp_path: Path) -> None:
    failure = _failure(lava, tmp_path, "wrong_tag", limit=6)
    assert failure.code in ("RV702", "RV704")
    assert "No ProcessModels found with tag" in failure.message


def test_exit_without_a_result_is_an_error(lava: Path, tmp_path: Path) -> None:
    assert _failure(lava, tmp_path, "no_result").code == "RV705"


def test_result_of_an_earlier_run_does_not_count(lava: Path, tmp_path: Path) -> None:
    (tmp_path / "result.txt").write_text("old")
    assert _failure(lava, tmp_path, "no_result").code == "RV705"


def test_child_sees_no_python_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    script = "import os; print([k for k in os.environ if k.startswith('PYTHON')])"
    ended = run_child([sys.executable, "-c", script], tmp_path / "log.txt", 20)
    assert (ended.code, (tmp_path / "log.txt").read_text()) == (0, "[]\n")


def test_forks_of_a_child_die_with_it(tmp_path: Path) -> None:
    sleeper = f"import time; time.sleep(60)  # {tmp_path}"
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeper!r}])"
    assert run_child([sys.executable, "-c", script], tmp_path / "log.txt", 20).code == 0


def test_last_lines_stand_in_for_a_missing_traceback() -> None:
    assert failure_text("a\nb\n") == "a\nb"
    only_generic = f'Traceback (most recent call last):\n  File "x.py", line 1\nRuntimeError: 1 {child.GENERIC}\n'
    assert failure_text(only_generic) == only_generic.rstrip()
