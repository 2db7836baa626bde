"""Generated Python kernels as files in a cache folder, where what is compiled from them outlives the process."""

import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from ranvier.runtimes.cache import cache_folder


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
