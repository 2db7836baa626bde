"""Reads one target file as TOML: its data, and where each key stands; hostile texts are refused quickly."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ranvier.compiler.diagnostics import error
from ranvier.targets.lines import KeyPath, key_lines

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 16
MAX_DOTS: Final = 200
FOLDER: Final = Path(__file__).parent
SOURCES: Final = "sources.toml"

Table = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


Places = dict[KeyPath, Place]
Files = tuple[tuple[str, str], ...]
"""Name and text of a target file and of those that it extends, itself first."""


def place_of(places: Places, path: KeyPath) -> Place:
    """Where the longest known beginning of ``path`` stands; ``places[()]`` is the file itself."""
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return places[()]


def target_names() -> tuple[str, ...]:
    """The chips that ship with Ranvier."""
    return tuple(sorted(p.stem for p in FOLDER.glob("*.toml") if p.name != SOURCES))


def read(path: Path) -> tuple[Table, Places, bytes]:
    """The parsed file, the places of its keys, and its bytes; ``RanvierError`` RV501 unreadable, RV502 not TOML."""
    raw = _raw(path)
    return *parsed(raw, path.name), raw


def parsed(raw: bytes, name: str) -> tuple[Table, Places]:
    """What the bytes of the file ``name`` say, and where; RV501 too long, RV502 not TOML."""
    if len(raw) > MAX_BYTES:
        raise error("RV501", name, f"more than {MAX_BYTES} bytes", "a target file is a few kilobytes")
    try:
        text = raw.decode("utf-8")
        _refuse_long_keys(text, name)
        data = tomllib.loads(text)
        lines = key_lines(text)
    except RecursionError:
        raise error("RV502", name, "nested too deeply", "write flat tables") from None
    except ValueError as problem:
        found = re.search(r"at line (\d+)", str(problem))
        place = f"{name}:{found[1] if found else 1}"
        raise error("RV502", place, f"not TOML: {problem}", "see toml.io for the syntax") from None
    if deep := next((p for p in lines if len(p) > MAX_DEPTH), None):
        raise error("RV502", f"{name}:{lines[deep]}", "nested too deeply", "write flat tables")
    return data, {(): Place(name), **{key: Place(name, line) for key, line in lines.items()}}


def _raw(path: Path) -> bytes:
    try:
        if not path.is_file() and path.exists() and not path.is_dir():
            raise error("RV501", path.name, "it is no ordinary file", "give the path of a TOML file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:
        message = f"cannot be read: {getattr(problem, 'strerror', None) or problem}"
        raise error("RV501", path.name[:80], message, "give the path of a TOML file") from None
    return raw


def _refuse_long_keys(text: str, file: str) -> None:
    """``tomllib`` takes quadratic time for dotted keys, which stand on one line."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MAX_DOTS:
            raise error("RV502", f"{file}:{number}", f"more than {MAX_DOTS} dots in a line", "write flat tables")
