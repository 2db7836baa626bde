"""The zip framing of an artifact: two stored entries, fixed dates, nothing else, checked byte for byte.

The file is an uncompressed zip archive (APPNOTE 6.3.3, no zip64). It is accepted only if its framing is what
``pack`` writes for entries of those sizes and checksums, so that compressed, duplicate, additional or oddly
named entries cannot occur; sizes are limited before anything is read.
"""

import os
import stat
import struct
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from ranvier.compiler.diagnostics import error

MANIFEST: Final = "manifest.json"
TENSORS: Final = "tensors.safetensors"
MAX_SIZE: Final = {MANIFEST: 16 * 2**20, TENSORS: 3 * 2**30}
AGAIN: Final = "get the file again, or compile the network again"
_MADE: Final = 0x21  # 1980-01-01, the format's first day
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")


class Entry(NamedTuple):
    """Name, CRC-32 and size in bytes of one entry."""

    name: str
    crc: int
    size: int


class Layout(NamedTuple):
    """Both entries of an opened archive, and where their content starts."""

    manifest: Entry
    tensors: Entry
    manifest_at: int
    tensors_at: int


def framing(manifest: Entry, tensors: Entry) -> tuple[bytes, bytes, bytes]:
    """The two local headers, and the central directory with its end record."""
    local, central, offset = [], b"", 0
    for name, crc, size in (manifest, tensors):
        common = (20, 0, 0, 0, _MADE, crc, size, size, len(name), 0)
        header = _LOCAL.pack(b"PK\x03\x04", *common) + name.encode()
        central += _CENTRAL.pack(b"PK\x01\x02", 20, *common, 0, 0, 0, 0, offset) + name.encode()
        local.append(header)
        offset += len(header) + size
    return local[0], local[1], central + _END.pack(b"PK\x05\x06", 0, 0, 2, 2, len(central), offset, 0)


def pack(path: Path, manifest: bytes, tensors: bytes) -> None:
    """Write the archive, whole or not at all; raises RV402 (too large) or RV409 (cannot be written)."""
    contents = {MANIFEST: manifest, TENSORS: tensors}
    head, second = (Entry(name, zlib.crc32(data), len(data)) for name, data in contents.items())
    _limit(path, head)
    _limit(path, second)
    first, middle, tail = framing(head, second)
    try:
        _replace(path, (first, manifest, middle, tensors, tail))
    except OSError as problem:
        message = f"cannot be written: {problem.strerror or problem}"
        raise error("RV409", str(path), message, "choose a folder that can be written") from problem


def _replace(path: Path, parts: Iterable[bytes]) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def layout(file: BinaryIO, path: Path) -> Layout:
    """Where the entries of an open file lie; ``RanvierError`` RV401 to RV403 if it is no such archive."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise error("RV401", str(path), "is not a regular file", "give the path of an .rnv file")
    manifest = _header(file, 0, MANIFEST, path)
    middle_at = _LOCAL.size + len(MANIFEST) + manifest.size
    tensors = _header(file, middle_at, TENSORS, path)
    first, middle, tail = framing(manifest, tensors)
    tail_at = middle_at + len(middle) + tensors.size
    if status.st_size != tail_at + len(tail):
        found, wanted = status.st_size, tail_at + len(tail)
        message = f"has {found:,} bytes, its entries need {wanted:,}: truncated, or something was added"
        raise error("RV403", str(path), message, AGAIN, bytes=found, expected=wanted)
    for offset, expected in ((0, first), (middle_at, middle), (tail_at, tail)):
        file.seek(offset)
        if file.read(len(expected)) != expected:
            message = f"the archive is damaged, or another tool packed it (at byte {offset:,})"
            raise error("RV403", str(path), message, AGAIN, offset=offset)
    return Layout(manifest, tensors, len(first), middle_at + len(middle))


def _header(file: BinaryIO, offset: int, name: str, path: Path) -> Entry:
    """The entry ``name`` whose local header starts at ``offset``, its size within the limit."""
    file.seek(offset)
    raw = file.read(_LOCAL.size + len(name))
    if len(raw) != _LOCAL.size + len(name) or raw[:4] != b"PK\x03\x04" or raw[_LOCAL.size :] != name.encode():
        message = f"no entry {name} at byte {offset:,}: it is no Ranvier artifact, or it is damaged"
        raise error("RV403", str(path), message, "give an .rnv file that Ranvier wrote", offset=offset)
    values = _LOCAL.unpack(raw[: _LOCAL.size])
    entry = Entry(name, values[6], values[8])
    _limit(path, entry)
    return entry


def _limit(path: Path, entry: Entry) -> None:
    most = MAX_SIZE[entry.name]
    if entry.size > most:
        message = f"{entry.name} has {entry.size:,} bytes, at most {most:,} are allowed"
        fix = "split the network, or check where the file comes from"
        raise error("RV402", str(path), message, fix, bytes=entry.size, limit=most)
