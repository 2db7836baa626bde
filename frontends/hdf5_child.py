"""Reads one HDF5 file in a process of its own and writes its content to standard output.

Run as a script by :mod:`ranvier.frontends.hdf5`. The HDF5 library can loop, crash or allocate without
bound on a damaged file; here the kernel stops it: processor time by a profiling timer, memory by an
address space limit. What it writes is plain: one JSON line per object, raw little-endian bytes after
the line of an array, and a last line that says how it ended.
"""

import json
import os
import resource
import signal
import sys
from typing import Any, BinaryIO

import h5py
import numpy as np

NUMBER_BYTES = 8  # what every number takes once it is a float64
MAX_DEPTH = 32
MAX_OBJECTS = 4_000
MAX_STRINGS = 1_000_000
MAX_STRING = 1024
MAX_NAME = 256
MAX_RANK = 8
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
SPARE_MEMORY = 96 * 2**20


class RefusedError(Exception):
    """The file holds something that a model file has no need for."""


class Reader:
    """Walks the tree and writes it; refuses before anything large is allocated."""

    def __init__(self, out: BinaryIO, budget: int) -> None:
        self._out, self._budget, self._objects = out, budget, 0

    def group(self, group: Any, place: str, ancestors: tuple[int, ...]) -> None:
        """Write ``group`` and all that it holds; ``ancestors`` are the addresses of the groups above."""
        address = h5py.h5o.get_info(group.id).addr
        if address in ancestors:
            raise RefusedError(f"{place} contains itself")
        if len(ancestors) >= MAX_DEPTH:
            raise RefusedError(f"groups are nested deeper than {MAX_DEPTH} at {place}")
        self._objects += len(group)
        if self._objects > MAX_OBJECTS:
            raise RefusedError(f"the file holds more than {MAX_OBJECTS} objects")
        self._line({"kind": "group", "path": place})
        for name in group:
            self._member(group, name, f"{place}/{name}", (*ancestors, address))

    def _member(self, group: Any, name: str, place: str, ancestors: tuple[int, ...]) -> None:
        if len(name) > MAX_NAME or not name.isprintable():
            raise RefusedError(
                f"a name in {place.rpartition('/')[0] or 'the root'} is no printable text of up to {MAX_NAME}"
            )
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise RefusedError(f"{place} is a {type(link).__name__}, which may point anywhere")
        item = group[name]
        if isinstance(item, h5py.Group):
            self.group(item, place, ancestors)
        elif isinstance(item, h5py.Dataset):
            self._dataset(item, place)
        else:
            raise RefusedError(f"{place} is neither a group nor a dataset")

    def _dataset(self, data: Any, place: str) -> None:
        self._check_storage(data, place)
        if h5py.check_string_dtype(data.dtype) is not None:
            self._strings(data, place)
            return
        if data.dtype.kind not in "biuf" or data.dtype.itemsize > 8:
            raise RefusedError(f"{place} has type {data.dtype}, which is neither a number nor text")
        self._spend(data.size * NUMBER_BYTES, place, str(data.shape))
        values = np.ascontiguousarray(data[()])
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        self._line({"kind": "array", "path": place, "shape": list(data.shape), "dtype": values.dtype.str})
        self._out.write(values.tobytes())

    def _check_storage(self, data: Any, place: str) -> None:
        if data.is_virtual or data.external:
            raise RefusedError(f"{place} keeps its values in another file")
        if data.shape is None or len(data.shape) > MAX_RANK:
            raise RefusedError(f"{place} has no values, or more than {MAX_RANK} axes")
        if data.chunks is not None:
            chunk = int(np.prod([int(n) for n in data.chunks], dtype=object)) * data.dtype.itemsize
            if chunk > self._budget:
                raise RefusedError(f"{place} is stored in chunks of {chunk} bytes")
        creation = data.id.get_create_plist()
        used = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
        if any(code not in FILTERS for code in used):
            raise RefusedError(f"{place} uses filter {used}; only {', '.join(FILTERS.values())} are read")

    def _strings(self, data: Any, place: str) -> None:
        if data.size > MAX_STRINGS or (data.dtype.kind == "S" and data.dtype.itemsize > MAX_STRING):
            raise RefusedError(f"{place} holds {data.size} texts of up to {data.dtype.itemsize} bytes")
        self._spend(data.size * 64, place, str(data.shape))
        flat = np.asarray(data[()], dtype=object).ravel()
        texts = [t if isinstance(t, bytes) else str(t).encode() for t in flat]
        if any(len(t) > MAX_STRING for t in texts):
            raise RefusedError(f"{place} holds a text longer than {MAX_STRING} bytes")
        decoded = [t.decode("utf-8") for t in texts]
        self._line({"kind": "text", "path": place, "shape": list(data.shape), "texts": decoded})

    def _spend(self, size: int, place: str, shape: str) -> None:
        if size > self._budget:
            raise RefusedError(f"{place} of shape {shape} would take {size} bytes of the {self._budget} left")
        self._budget -= size

    def _line(self, entry: dict[str, Any]) -> None:
        self._out.write(json.dumps(entry).encode() + b"\n")


def limit(seconds: float, budget: int) -> None:
    """Let the kernel end this process after ``seconds`` of processor time, and bound its memory."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - no import of pathlib for this
        used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    allowed = used + SPARE_MEMORY + 2 * budget
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_PROF, seconds)


def main(path: str, budget: int, seconds: float) -> None:
    """Write the content of the file at ``path``, at most ``budget`` bytes of values."""
    limit(seconds, budget)
    out = sys.stdout.buffer
    end: dict[str, str]
    try:
        with h5py.File(path, "r") as file:
            Reader(out, budget).group(file, "", ())
        end = {"kind": "end"}
    except RefusedError as refused:
        end = {"kind": "refused", "why": str(refused)}
    except MemoryError:
        end = {"kind": "refused", "why": "reading it takes more memory than a file of this size may need"}
    except Exception as damage:  # noqa: BLE001 - h5py raises nearly every type on a damaged file
        end = {"kind": "damaged", "why": f"{type(damage).__name__}: {damage}"[:300]}
    out.write(json.dumps(end).encode() + b"\n")
    out.flush()
    os._exit(0)  # closing a damaged file can crash the library; nothing is left to be done


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
