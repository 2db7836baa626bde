"""``extends``: a target file that says only what differs from another one.

``extends = "loihi2"`` names a shipped chip, ``extends = "mine.toml"`` a file beside the one that says so. Tables are
merged key by key; a value that is no table replaces the one below it. A list whose entries have names is merged by
these names, so that one line changes one limit::

    extends = "loihi2"
    core.pools.core_memory.cap_bytes.v = 262144

A new value does not keep what the one below it says of itself: without a source of its own it is marked as an estimate
of the file's author. The chip's name is the file's, unless the file gives one.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ranvier.compiler.diagnostics import error
from ranvier.targets.files import FOLDER, MAX_BYTES, Files, Places, Table, parsed, place_of, read, target_names
from ranvier.targets.lines import KeyPath

MAX_CHAIN: Final = 16
OWN: Final = "own"
"""The source of a value that a file replaces without naming one."""
_CLAIMS: Final = ("src", "basis", "conf", "err", "note")


@dataclass(frozen=True)
class Merged:
    """A target file with all that it extends: its data, where each key stands, the files, the hash of their bytes."""

    data: Table
    places: Places
    files: Files
    sha256: str


def merged(path: Path) -> Merged:
    """The file at ``path`` over its bases; RV510 a base that does not exist, RV511 a cycle or a long chain."""
    chain: list[_Link] = []
    seen: list[Path] = []
    following: Path | None = path
    while following is not None:
        data, places, raw = read(following)
        seen.append(following.resolve())
        chain.append(_Link(following.name, raw, data, places))
        _refuse_long(chain)
        following = _base(following, data, places, seen)
    return _over_each_other(chain)


def merged_texts(files: Files) -> Merged:
    """The first of ``files`` over the others, each of which it is said to extend; no file is opened.

    RV501, RV502 and RV511 as for files; RV510 where they do not extend each other, one the next and the last none.
    """
    chain: list[_Link] = []
    for number, (name, text) in enumerate(files):
        raw = text.encode("utf-8", "surrogatepass")
        data, places = parsed(raw, name)
        chain.append(_Link(name, raw, data, places))
        _refuse_long(chain)
        if ("extends" in data) != (number + 1 < len(files)) or len(chain) > MAX_CHAIN:
            raise error("RV510", name, "the files do not extend each other", "give all of them, each before its base")
        data.pop("extends", None)
    if not chain:
        raise error("RV510", "target", "there is no file", "give at least one")
    return _over_each_other(chain)


@dataclass(frozen=True)
class _Link:
    name: str
    raw: bytes
    data: Table
    places: Places


def _refuse_long(chain: list[_Link]) -> None:
    if sum(len(link.raw) for link in chain) > 2 * MAX_BYTES:
        message = f"the files that extend each other have more than {2 * MAX_BYTES} bytes together"
        raise error("RV511", chain[-1].name, message, "say only what differs")


def _over_each_other(chain: list[_Link]) -> Merged:
    digest = hashlib.sha256(b"".join(link.raw for link in chain)).hexdigest()
    files = tuple((link.name, link.raw.decode("utf-8")) for link in chain)
    below, where = chain[-1].data, chain[-1].places
    for link in reversed(chain[:-1]):
        _named(link.data, link.name)
        merge = _Merge(link.places, dict(where) | {(): link.places[()]})
        below, where = merge.over(below, link.data, (), ()), merge.places
    return Merged(below, where, files, digest)


def _base(file: Path, data: Table, places: Places, seen: list[Path]) -> Path | None:
    if "extends" not in data:
        return None
    name, place = data.pop("extends"), str(place_of(places, ("extends",)))
    if not isinstance(name, str):
        raise error("RV510", place, f"extends = {name!r:.60} is no name", "name a shipped target or a .toml file")
    if name in target_names():
        found = FOLDER / f"{name}.toml"
    else:
        found = file.parent / name if "\0" not in name and len(name) < 1024 else Path()
        if not name.endswith(".toml") or not found.is_file():
            fix = f"name a shipped target ({', '.join(target_names())}) or a .toml file, relative to this one"
            raise error("RV510", place, f"extends = {name!r:.80}: there is no such target", fix)
    if found.resolve() in seen:
        names = " -> ".join([*(p.name for p in seen), found.name])
        raise error("RV511", place, f"files extend each other in a cycle: {names}", "let one of them extend nothing")
    if len(seen) >= MAX_CHAIN:
        raise error("RV511", place, f"more than {MAX_CHAIN} files extend each other", "extend fewer files")
    return found


def _named(data: Table, file: str) -> None:
    """Another chip has another name: programs say by it what they were compiled for."""
    chip = data.setdefault("chip", {})
    if isinstance(chip, dict):
        chip.setdefault("name", re.sub(r"[^A-Za-z0-9_.:-]", "_", Path(file).stem)[:64])


@dataclass
class _Merge:
    own_places: Places
    places: Places = field(default_factory=dict)

    def over(self, below: Any, own: Any, at: KeyPath, own_at: KeyPath) -> Any:
        """``own`` over ``below``, both at ``at``; ``own`` stands at ``own_at`` in its file."""
        if isinstance(own, dict) and isinstance(below, dict):
            return self._tables(below, own, at, own_at)
        if isinstance(own, dict) and isinstance(below, list) and _have_names(below):
            return self._entries(below, own, at, own_at)
        self._place(own, at, own_at)
        return own

    def _tables(self, below: Table, own: Table, at: KeyPath, own_at: KeyPath) -> Table:
        kept = dict(below)
        if "v" in own and "src" in below:
            kept = {key: value for key, value in below.items() if key not in _CLAIMS} | {"src": OWN}
            self.places[*at, "src"] = place_of(self.own_places, (*own_at, "v"))
        if at[-1:] == ("v",):
            self.places[at] = place_of(self.own_places, own_at)
        for key, value in own.items():
            kept[key] = self.over(below.get(key), value, (*at, key), (*own_at, key))
        return kept

    def _entries(self, below: list[Any], own: Table, at: KeyPath, own_at: KeyPath) -> list[Any]:
        kept = list(below)
        numbers = {entry["name"]: number for number, entry in enumerate(below)}
        for key, value in own.items():
            number = numbers.get(key, len(kept))
            if number == len(kept):
                kept.append({"name": key})
                self.places[*at, number] = place_of(self.own_places, (*own_at, key))
            kept[number] = self.over(kept[number], value, (*at, number), (*own_at, key))
        return kept

    def _place(self, own: Any, at: KeyPath, own_at: KeyPath) -> None:
        self.places[at] = place_of(self.own_places, own_at)
        inner = own.items() if isinstance(own, dict) else enumerate(own) if isinstance(own, list) else ()
        for key, value in inner:
            self._place(value, (*at, key), (*own_at, key))


def _have_names(entries: list[Any]) -> bool:
    return bool(entries) and all(isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries)
