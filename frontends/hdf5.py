"""Safe reading of HDF5 files from anywhere: all or nothing, in bounded time and memory.

The HDF5 library loops or crashes on some damaged files, so a child process reads the file under
limits that the kernel enforces (see ``hdf5_child.py``) and hands over plain arrays and texts. Links
to other places, values in other files, unusual types and filters, and more data than the size of the
file justifies are refused.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError, error

CHILD = Path(__file__).with_name("hdf5_child.py")
BASE_BYTES = 16 * 2**20
EXPANSION = 10
BASE_SECONDS = 0.6
OBJECT_BYTES_PER_SECOND = 2.5e6
OBJECT_SECONDS = 5.0
BYTES_PER_SECOND = 50e6
WALL_SECONDS = 60.0
MAX_LINE = 128 * 2**20
Value = NDArray[Any] | str | tuple[str, ...]


@dataclass
class Group:
    """A group of the file: subgroups and values by name; ``place`` is its path inside the file."""

    place: str
    groups: dict[str, "Group"] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """The text stored under ``name``, or None when there is none."""
        value = self.values.get(name)
        if isinstance(value, tuple) and len(value) == 1:
            return value[0]
        return value if isinstance(value, str) else None


def read_hdf5(path: str | Path, code: str, what: str) -> Group:
    """The whole content of the file at ``path`` as a tree.

    ``code`` is the diagnostic code for everything wrong with the file itself, ``what`` names the kind
    of file in the messages. Raises ``RanvierError``.
    """
    file = Path(path)
    place = str(path)
    if not file.is_file():
        raise error(code, place, f"there is no {what} at this path", "check the path")
    size = file.stat().st_size
    budget = BASE_BYTES + EXPANSION * size
    seconds = BASE_SECONDS + min(size / OBJECT_BYTES_PER_SECOND, OBJECT_SECONDS) + size / BYTES_PER_SECOND
    command = [sys.executable, "-P", str(CHILD), str(file.resolve()), str(budget), str(seconds)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        entries, end = _collect(child, budget, WALL_SECONDS + seconds)
    finally:
        child.kill()
        child.wait()
    if end.get("kind") != "end":
        raise _failure(end, code, place, what, size)
    return entries


def _collect(child: "subprocess.Popen[bytes]", budget: int, wall: float) -> tuple[Group, Mapping[str, Any]]:
    """The tree that ``child`` writes, and its last line ({} when it died)."""
    assert child.stdout is not None
    timer = threading.Timer(wall, child.kill)
    timer.start()
    try:
        return _parse(child.stdout, budget)
    finally:
        timer.cancel()
        child.stdout.close()


def _parse(stream: IO[bytes], budget: int) -> tuple[Group, Mapping[str, Any]]:
    root = Group("")
    while line := stream.readline(MAX_LINE):
        if not line.endswith(b"\n"):
            break
        entry: dict[str, Any] = json.loads(line)
        if entry["kind"] == "group":
            _group_at(root, entry["path"])
        elif entry["kind"] in ("array", "text"):
            parent, name = _group_at(root, entry["path"].rpartition("/")[0]), entry["path"].rpartition("/")[2]
            value = _array(stream, entry, budget) if entry["kind"] == "array" else _texts(entry)
            if value is None:
                break
            parent.values[name] = value
        else:
            return root, entry
    return root, {}


def _array(stream: IO[bytes], entry: Mapping[str, Any], budget: int) -> NDArray[Any] | None:
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    assert count <= budget, "the child keeps to the budget"
    raw = stream.read(count)
    if len(raw) != count:
        return None
    return np.frombuffer(raw, dtype=dtype).reshape(shape)


def _texts(entry: Mapping[str, Any]) -> Value:
    texts = tuple(entry["texts"])
    return texts[0] if not entry["shape"] else texts


def _group_at(root: Group, path: str) -> Group:
    group = root
    for name in path.split("/")[1:]:
        group = group.groups.setdefault(name, Group(f"{group.place}/{name}"))
    return group


def _failure(end: Mapping[str, Any], code: str, place: str, what: str, size: int) -> RanvierError:
    kind = end.get("kind")
    if kind == "refused":
        message = f"this {what} is refused: {end['why']}"
        fix = "write the file again with its exporter, values inside it and without compression"
    elif kind == "damaged":
        message = f"this is not a readable {what} ({size} bytes): {end['why']}"
        fix = "get or export the file again: it is damaged, cut short, or of another format"
    else:
        message = f"reading this {what} ({size} bytes) ended in a crash or took too long: it is damaged"
        fix = "get or export the file again"
    return error(code, place, message, fix, bytes=size)
