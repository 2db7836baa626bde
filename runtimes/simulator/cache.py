"""Generated kernels as files in a cache folder, so that Numba's compiled code outlives the process."""

import hashlib
import importlib.util
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numba

from ranvier.compiler.ir.steps import StepProgram
from ranvier.runtimes.cache import cache_folder
from ranvier.runtimes.simulator.emit import kernel_source


@cache
def kernel(program: StepProgram) -> Any:
    """The compiled ``advance`` of ``program``: loaded where this machine has compiled it before."""
    source = kernel_source(program)
    digest = hashlib.sha256(f"numba {numba.__version__}\n{source}".encode()).hexdigest()
    return load(store(source, digest)).advance


def store(source: str, digest: str) -> Path:
    """The file that holds ``source``: in the cache folder, or in a new one of this process where that fails."""
    path = cache_folder() / "kernels" / f"{digest}.py"
    try:
        _write(path, source)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="ranvier-")) / path.name
        _write(path, source)
    return path


def _write(path: Path, source: str) -> None:
    """Write ``source`` whole or not at all, unless it stands there already."""
    if path.is_file() and path.read_text(encoding="utf-8") == source:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as part:
        part.write(source)
    Path(part.name).replace(path)


def load(path: Path) -> ModuleType:
    """The module in the file at ``path``, executed."""
    name = f"ranvier_kernel_{path.stem[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
