"""The two ways in which the simulator compiles Python functions, and where both are kept on disk.

Numba's own disk cache looks at the file of a function alone; functions here call each other across files, so what is
cached is stamped with the digest of all of them.
"""

import hashlib
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import caching
from numba.core.ccallback import CFunc
from numba.np.numpy_support import carray as _carray

from ranvier.runtimes.cache import cache_folder

carray: Any = _carray
"""An array at a pointer, in compiled functions."""
F = TypeVar("F", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """``function`` compiled by Numba on first use, cached on disk, running without the interpreter lock."""
    dispatcher: Any = numba.njit(**OPTIONS)(function)
    dispatcher._cache = _stored(function)
    return cast("F", dispatcher)


@cache
def address(function: Callable[..., Any], *kinds: Any) -> int:
    """The machine code of ``function``, which takes pointers to its fields and to numbers of ``kinds``.

    It returns an integer, and can be called by its address, from compiled code without the interpreter.
    """
    types = (numba.from_dtype(np.dtype(kind)) for kind in (np.int64, *kinds))
    pointer: Any = numba.types.CPointer
    pointers = [pointer(kind) for kind in types]
    made: Any = CFunc(function, (tuple(pointers), numba.intp), locals={}, options=OPTIONS)
    made._cache = _stored(function)
    made.compile()
    _kept.append(made)
    return int(made.address)


_kept: list[Any] = []


@cache
def sources() -> str:
    """The digest of all that the compiled functions are made from."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:24]


class _Locator(caching._CacheLocator):
    """Ranvier's cache folder, or a folder of this process where that cannot be written."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._name, self._folder = f"{Path(file).stem}-{function.__code__.co_firstlineno}", _folder()

    def get_cache_path(self) -> str:
        return self._folder

    def get_source_stamp(self) -> str:
        return sources()

    def get_disambiguator(self) -> str:
        return self._name

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_Locator":
        return cls(py_func, py_file)


@cache
def _folder() -> str:
    path = cache_folder() / "kernels" / sources()
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError:
        return tempfile.mkdtemp(prefix="ranvier-")
    return str(path)


class _Stored(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012 - as the base class has it


class _Functions(caching.FunctionCache):
    _impl_class = _Stored


def _stored(function: Callable[..., Any]) -> Any:
    """The disk cache of ``function``."""
    cache_of: Any = _Functions
    return cache_of(function)
