"""``ranvier doctor``: what of Ranvier works on this machine, and how to mend what does not."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Literal

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from ranvier.cli.output import Answer, Output
from ranvier.cli.tables import row, table
from ranvier.compiler.diagnostics import RanvierError
from ranvier.runtimes.cache import cache_folder
from ranvier.runtimes.lava.environment import VARIABLE, lava_python, lava_status

State = Literal["ok", "missing", "problem"]
Fix = Annotated[bool, Option("--fix", help="Build the Lava environment if it is missing or broken.")]
PYTHONS = ((3, 11), (3, 13))
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)[^;]*(?:;.*extra == ['\"](?P<extra>[\w-]+)['\"])?")
EXTRAS = ("torch", "snntorch", "onnx", "lava")
MARKS = {"ok": ("ok", "green"), "missing": ("missing", "yellow"), "problem": ("problem", "bold red")}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``missing`` things are optional, a ``problem`` stands in the way."""

    name: str
    state: State
    value: str
    fix: str = ""


def doctor(output: Output, fix: Fix = False) -> Answer:
    """Look at Python, packages, the Lava environment, the GPU and the cache; say how to mend what is wrong."""
    if fix:
        output.say("building the Lava environment if it is not there; the first time takes some minutes")
    with output.working("looking"):
        findings = [_python(), *_packages(), _lava(fix), _gpu(), _cache()]
    made = table("ranvier doctor", "what", "state", "found")
    parts: list[RenderableType] = [made]
    for f in findings:
        word, style = MARKS[f.state]
        row(made, f.name, Text(word, style), f.value)
        if f.fix:
            parts.append(Text.assemble((f"{f.name}: ", "bold"), f.fix))
    sound = all(f.state != "problem" for f in findings)
    return Answer({"findings": [asdict(f) for f in findings]}, tuple(parts), sound)


def _python() -> Finding:
    (low, high), found = PYTHONS, sys.version_info[:2]
    value = f"{platform.python_version()} ({sys.executable})"
    if low <= found <= high:
        return Finding("Python", "ok", value)
    span = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
    return Finding("Python", "problem", value, f"use Python {span}")


def _packages() -> Iterator[Finding]:
    """Every package that Ranvier or one of its extras needs, by its installed version."""
    seen = set()
    for requirement in requires("ranvier") or ():
        match = REQUIREMENT.match(requirement)
        assert match is not None, requirement
        name, extra = match["name"], match["extra"]
        if name in seen or name == "ranvier" or (extra is not None and extra not in EXTRAS):
            continue
        seen.add(name)
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            wanted = "ranvier" if extra is None else f"ranvier[{extra}]"
            state: State = "problem" if extra is None else "missing"
            yield Finding(name, state, "not installed", f"pip install '{wanted}'")


def _lava(fix: bool) -> Finding:
    """The state of the Lava environment, built before if ``fix`` says so."""
    if fix:
        try:
            lava_python(create=True)
        except RanvierError as refused:
            (told, *_) = refused.diagnostics
            return Finding("Lava", "problem", told.message, told.fix)
    status = lava_status()
    if status.ready:
        versions = ", ".join(f"{name} {number}" for name, number in status.versions.items())
        return Finding("Lava", "ok", f"{versions} ({status.python})")
    named = bool(os.environ.get(VARIABLE))
    tried = "".join(f"; {attempt}" for attempt in status.tried) if named else ""
    return Finding("Lava", "problem" if named else "missing", status.problem + tried, status.fix)


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", "missing", "no nvidia-smi: programs run on the CPU")
    try:
        done = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Finding("GPU", "missing", "nvidia-smi does not answer: programs run on the CPU")
    names = "; ".join(line.partition(" (UUID")[0] for line in done.stdout.splitlines())
    return Finding("GPU", "ok" if names else "missing", names or "none: programs run on the CPU")


def _cache() -> Finding:
    folder = cache_folder()
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("cache", "problem", f"{folder} cannot be written", "set RANVIER_CACHE to another folder")
    return Finding("cache", "ok", f"{folder} ({_size(folder)} MiB)")


def _size(folder: Path) -> int:
    files = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files) >> 20
