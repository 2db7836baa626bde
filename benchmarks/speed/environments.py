"""The environments of the peers that cannot live in ours: made once, in the cache folder, each under its own Python.

Their licences (GPL, AGPL, "free for non-commercial use", none stated) or their pins (Python 3.10, numpy 1.23) keep
them out of ours. Nothing of them is ever imported here: children exchange arrays with us.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ranvier.runtimes.cache import cache_folder
from ranvier.runtimes.lava import interpreters

BUILD_SECONDS = 600


class UnavailableError(Exception):
    """An environment cannot be made here; the text says why."""


@dataclass(frozen=True)
class Recipe:
    """What an environment holds: every package pinned, wheels or sources, and nothing else."""

    name: str
    python: str
    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it lies."""
        key = hashlib.sha256("\n".join((self.python, *self.requirements)).encode()).hexdigest()[:12]
        return cache_folder() / "peers" / f"{self.name}-{key}"

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """Whether it has been made whole."""
        return (self.folder / "ready").is_file()


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "nengo-loihi",
            "3.10",
            ("nengo==3.2.0", "nengo-loihi==1.1.0", "numpy==1.23.5", "scipy==1.15.3", "jinja2==3.1.6",
             "MarkupSafe==3.0.4", "packaging==26.3"),
        ),
        Recipe(
            "brian2-loihi",
            "3.10",
            ("Brian2==2.5.4", "brian2-loihi==0.5.2", "numpy==1.23.5", "scipy==1.11.4", "sympy==1.12.1", "mpmath==1.3.0",
             "Cython==3.3.1", "jinja2==3.1.6", "MarkupSafe==3.0.4", "pyparsing==3.3.3", "setuptools==69.5.1",
             "packaging==26.3"),
        ),
        Recipe("xylosim", "3.11", ("xylosim==0.1.3", "numpy==1.26.4", "scipy==1.15.3")),
        Recipe("sanafe", "3.11", ("sanafe==2.2.9", "numpy==2.4.6", "scipy==1.17.1")),
    )
}  # fmt: skip


def interpreter(recipe: Recipe) -> Path:
    """The Python of the environment of ``recipe``, made first where it is missing; raises ``UnavailableError``."""
    recipe.folder.parent.mkdir(parents=True, exist_ok=True)
    with recipe.folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not recipe.ready:
            _make(recipe)
    return recipe.interpreter


def interpreters_of(recipes: Sequence[Recipe]) -> dict[str, Path | str]:
    """The Python of each recipe, made in parallel where missing; a reason where one cannot be made."""

    def made(recipe: Recipe) -> Path | str:
        try:
            return interpreter(recipe)
        except UnavailableError as problem:
            return str(problem)

    with ThreadPoolExecutor(max(1, len(recipes))) as pool:
        return dict(zip((r.name for r in recipes), pool.map(made, recipes), strict=True))


def base_python(version: str) -> Path | None:
    """An interpreter of ``version`` (such as "3.10") on this machine."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return Path(sys.executable)
    if version == interpreters.VERSION:
        return interpreters.find([])
    found = shutil.which(f"python{version}")
    return Path(found) if found else None


def _make(recipe: Recipe) -> None:
    base = base_python(recipe.python)
    if base is None:
        raise UnavailableError(f"no Python {recipe.python} was found")
    shutil.rmtree(recipe.folder, ignore_errors=True)
    install = [str(recipe.interpreter), "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
    for command in ([str(base), "-m", "venv", str(recipe.folder)], [*install, *recipe.requirements]):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=BUILD_SECONDS)
        except (OSError, subprocess.SubprocessError) as problem:
            told = getattr(problem, "stderr", None) or problem
            raise UnavailableError(
                f"the environment of {recipe.name} could not be made: {str(told).strip()[-300:]}"
            ) from None
    (recipe.folder / "ready").touch()
