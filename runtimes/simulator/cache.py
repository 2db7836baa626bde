"""Generated kernels as files in a cache folder, so that Numba's compiled code outlives the process."""

import hashlib
import importlib.util
import os
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ranvier.compiler.ir.steps import StepProgram
from ranvier.runtimes.simulator.emit import kernel_source


def cache_folder() -> Path:
    """``RANVIER_CACHE``, else ``ranvier`` in ``XDG_CACHE_HOME`` (by default ``~/.cache``)."""
    chosen = os.environ.get("RANVIER_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ranvier"


@lru_cache(maxsize=None)
def kernel(program: StepProgram) -> Any:
    """The compiled ``advance`` of ``program``: loaded where this machine has compiled it before."""
    import numba

    source = kernel_source(program)
    digest = hashlib.sha256(f"numba {numba.__version__}\n{source}".encode()).hexdigest()
    return _loaded(_stored(source, digest)).advance


def _stored(source: str, digest: str) -> Path:
    """The file that holds ``source``; written whole or not at all, and renewed when it was changed."""
    for folder in (cache_folder(), Path(tempfile.gettempdir()) / f"ranvier-{os.getuid()}"):
        path = folder / "kernels" / f"{digest}.py"
        try:
            if not path.is_file() or path.read_text(encoding="utf-8") != source:
                _write(path, source)
        except OSError:
            continue
        return path
    raise AssertionError("unreachable")


def _write(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as part:
        part.write(source)
    Path(part.name).replace(path)


def _loaded(path: Path) -> ModuleType:
    name = f"ranvier_kernel_{path.stem[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
