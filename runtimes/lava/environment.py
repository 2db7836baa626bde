"""The Python 3.10 environment that Lava runs in: found, or built once and kept in the cache folder.

``RANVIER_LAVA_PYTHON`` names an interpreter that has Lava already. Without it, the environment is
``<cache>/lava/<hash of the requirements>``, where the cache is ``RANVIER_CACHE``, else
``$XDG_CACHE_HOME/ranvier``, else ``~/.cache/ranvier``. It is built beside its place and renamed, under
a file lock, so that neither a crash nor a second process leaves half an environment behind.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.runtimes.cache import cache_folder
from ranvier.runtimes.lava import interpreters
from ranvier.runtimes.lava.child import run_child
from ranvier.runtimes.lava.interpreters import VERSION, Attempt

LAVA_VERSION = "0.10.0"
REQUIREMENTS = (
    f"lava-nc=={LAVA_VERSION}",
    "numpy==1.26.4",
    "scipy==1.15.3",
    "networkx==2.8.7",
    "asteval==0.9.33",
    "scikit-learn==1.7.2",
    "joblib==1.5.2",
    "threadpoolctl==3.6.0",
)
"""All of Lava's dependencies, each pinned, so that the environment is the same on every machine."""

CHECK = """
import json, sys
from importlib.metadata import version
import lava.proc.conv.models, lava.proc.dense.models, lava.proc.lif.models, lava.proc.sparse.models
names = ("lava-nc", "numpy", "scipy")
print(json.dumps({"python": "%d.%d.%d" % sys.version_info[:3], **{name: version(name) for name in names}}))
"""
CHECK_SECONDS = 120.0
VENV_SECONDS = 300.0
INSTALL_SECONDS = 1800.0
VARIABLE = "RANVIER_LAVA_PYTHON"
PLACE = "Lava environment"


@dataclass(frozen=True)
class Recipe:
    """What an environment holds, and the script that proves it: prints its versions as JSON."""

    requirements: tuple[str, ...] = REQUIREMENTS
    check: str = CHECK

    @property
    def folder(self) -> Path:
        """Where the environment lies."""
        key = hashlib.sha256("\n".join((VERSION, *self.requirements)).encode()).hexdigest()[:16]
        return cache_folder() / "lava" / key

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.folder / "bin" / "python"


LAVA = Recipe()


@dataclass(frozen=True)
class LavaStatus:
    """Whether Lava can run here: the interpreter and its versions, or the problem and its fix."""

    python: Path | None
    versions: Mapping[str, str] = field(default_factory=dict)
    tried: tuple[Attempt, ...] = ()
    problem: str = ""
    fix: str = ""

    @property
    def ready(self) -> bool:
        """Whether Lava can be run now."""
        return self.python is not None


def lava_status(recipe: Recipe = LAVA) -> LavaStatus:
    """What is there, without changing anything."""
    named = os.environ.get(VARIABLE)
    if named:
        return _named_status(Path(named), recipe)
    if not recipe.python.exists():
        tried = [Attempt(str(recipe.folder), "does not exist")]
        found = interpreters.find(tried)
        fix = "run 'ranvier doctor --fix' (first use builds the environment as well)"
        source = str(found) if found else "uv, which has to download one"
        return LavaStatus(None, {}, tuple(tried), f"the environment is not built yet; Python {VERSION}: {source}", fix)
    try:
        return LavaStatus(recipe.python, _verified(recipe.python, recipe.check))
    except RanvierError as problem:
        fix = "run 'ranvier doctor --fix', which builds it anew"
        attempt = Attempt(str(recipe.python), problem.diagnostics[0].message)
        return LavaStatus(None, {}, (attempt,), f"the environment in {recipe.folder} is broken", fix)


def lava_python(create: bool = True, recipe: Recipe = LAVA) -> Path:
    """The interpreter that runs Lava; builds its environment first where it is missing or broken.

    Raises ``RanvierError`` RV701, which tells everything that was tried.
    """
    status = lava_status(recipe)
    if status.python is None and (not create or os.environ.get(VARIABLE)):
        raise _unavailable(status.problem, status.tried, status.fix)
    return status.python or _build_locked(recipe)


def _named_status(python: Path, recipe: Recipe) -> LavaStatus:
    try:
        versions = _verified(python, recipe.check)
    except RanvierError as problem:
        attempt = Attempt(f"{VARIABLE}={python}", problem.diagnostics[0].message)
        return LavaStatus(None, {}, (attempt,), f"{VARIABLE} names an interpreter that cannot run Lava", _named_fix())
    wrong = [
        f"{name} is {versions.get(name)}, not {wanted}"
        for name, wanted in (("lava-nc", LAVA_VERSION), ("python", VERSION))
        if recipe is LAVA and not versions.get(name, "").startswith(wanted)
    ]
    if wrong:
        return LavaStatus(
            None,
            versions,
            (Attempt(f"{VARIABLE}={python}", "; ".join(wrong)),),
            f"{VARIABLE} names an interpreter with other versions",
            _named_fix(),
        )
    return LavaStatus(python, versions)


def _named_fix() -> str:
    return f"unset {VARIABLE}, or let it name a Python {VERSION} with lava-nc=={LAVA_VERSION} and numpy<2"


def _build_locked(recipe: Recipe) -> Path:
    """Build the environment unless another process did so while this one waited for the lock."""
    with _lock(recipe.folder.with_suffix(".lock")):
        if not _healthy(recipe):
            _build(recipe)
    return recipe.python


def _healthy(recipe: Recipe) -> bool:
    try:
        return bool(_verified(recipe.python, recipe.check))
    except RanvierError:
        return False


def _build(recipe: Recipe) -> None:
    """Make the environment under a temporary name, prove it, and move it to its place."""
    shutil.rmtree(recipe.folder, ignore_errors=True)
    tried: list[Attempt] = []
    base = interpreters.find(tried) or interpreters.provide(tried)
    if base is None:
        raise _unavailable(
            f"no Python {VERSION} was found",
            tried,
            f"install Python {VERSION} (pyenv install {VERSION}, or uv python install {VERSION})",
        )
    with tempfile.TemporaryDirectory(prefix="building-", dir=recipe.folder.parent) as temporary:
        home = Path(temporary) / "env"
        _install(base, home, recipe, tried)
        _verified(home / "bin" / "python", recipe.check)
        home.rename(recipe.folder)


def _install(base: Path, home: Path, recipe: Recipe, tried: list[Attempt]) -> None:
    python = str(home / "bin" / "python")
    pip = [] if recipe.requirements else ["--without-pip"]
    steps = [([str(base), "-I", "-m", "venv", *pip, str(home)], VENV_SECONDS)]
    if recipe.requirements:
        options = ["--no-input", "--no-deps", "--only-binary=:all:"]
        install = [python, "-I", "-m", "pip", "install", *options, *recipe.requirements]
        steps.append((install, INSTALL_SECONDS))
    for command, limit in steps:
        log = home.parent / "log.txt"
        ended = run_child(command, log, limit)
        if ended.code != 0:
            tried.append(Attempt(" ".join(command), _ending(log, ended.code, limit)))
            raise _unavailable(
                "building the environment failed",
                tried,
                "correct what the last lines name (network, disk space), then run 'ranvier doctor --fix'",
            )


def _ending(log: Path, code: int | None, limit: float) -> str:
    lines = log.read_text(errors="replace").splitlines()[-8:]
    what = f"not done after {limit:g} s" if code is None else f"exit code {code}"
    return "\n    ".join((what, *lines))


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path``, which the system frees even if this process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def _verified(python: Path, check: str) -> Mapping[str, str]:
    """The versions that ``check`` prints under ``python``; remembered, since it takes half a second."""
    answer = interpreters.capture([str(python), "-I", "-c", check], CHECK_SECONDS)
    if isinstance(answer, Attempt):
        raise _unavailable(f"{python} {answer.outcome}", (), "build the environment anew with 'ranvier doctor --fix'")
    versions: dict[str, str] = json.loads(answer.splitlines()[-1])
    return versions


def _unavailable(problem: str, tried: list[Attempt] | tuple[Attempt, ...], fix: str) -> RanvierError:
    told = "".join(f"\n  - {attempt}" for attempt in tried)
    return error("RV701", PLACE, problem + (f". Tried:{told}" if told else ""), fix)
