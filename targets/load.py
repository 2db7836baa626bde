"""Reads target files; whatever is wrong with one is a diagnostic with its line, and all come at once."""

import difflib
import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.targets import chips, cores, costs, neurons, quantity, schema, synapses
from ranvier.targets.lines import KeyPath, key_lines, line_of
from ranvier.targets.schema import Target

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 16
MAX_DOTS: Final = 200
_FOLDER: Final = Path(__file__).parent
_SOURCES: Final = "sources.toml"
_ALTERNATIVES: Final = ("value", "missing")
_Table = dict[str, Any]


def target_names() -> tuple[str, ...]:
    """The chips that ship with Ranvier."""
    return tuple(sorted(p.stem for p in _FOLDER.glob("*.toml") if p.name != _SOURCES))


def load_target(name_or_path: str | Path) -> Target:
    """The target of a shipped chip's name (``loihi2``) or of a TOML file's path.

    ``RanvierError`` lists everything that is wrong with the file: RV501 unreadable, RV502 not TOML, RV503
    unknown key, RV504 missing key, RV505 bad value, RV506 keys that contradict each other, RV507 unknown
    source; each names the file and the line.
    """
    text = str(name_or_path)
    if not text.endswith(".toml"):
        if text not in target_names():
            raise error("RV501", text[:80], "no such target", _suggestion(text, target_names()))
        return _shipped(text)
    return _load(Path(name_or_path))


@lru_cache(maxsize=16)
def _shipped(name: str) -> Target:
    return _load(_FOLDER / f"{name}.toml")


def _load(path: Path) -> Target:
    data, lines = _read(path)
    sources, _ = _read(_FOLDER / _SOURCES)
    own = data.get("sources", {})
    problems = list(_clashes(own, sources, lines, path.name))
    data["sources"] = sources | (own if isinstance(own, dict) else {})
    problems += _fill(data, data["sources"], lines, path.name)
    problems += _stand_in(data, lines, path.name)
    return _validated(data | {"file": path.name}, lines, path.name, problems)


def _read(path: Path) -> tuple[_Table, dict[KeyPath, int]]:
    """The parsed file and the lines of its keys."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as problem:
        message = f"cannot be read: {problem.strerror}"
        raise error("RV501", path.name, message, "give the path of a TOML file") from None
    if len(raw) > MAX_BYTES:
        raise error("RV501", path.name, f"more than {MAX_BYTES} bytes", "a target file is a few kilobytes")
    try:
        text = raw.decode("utf-8")
        _refuse_long_keys(text, path.name)
        data = tomllib.loads(text)
        lines = key_lines(text)
    except RecursionError:
        raise error("RV502", path.name, "nested too deeply", "write flat tables") from None
    except ValueError as problem:
        found = re.search(r"at line (\d+)", str(problem))
        place = f"{path.name}:{found[1] if found else 1}"
        raise error("RV502", place, f"not TOML: {problem}", "see toml.io for the syntax") from None
    if deep := next((p for p in lines if len(p) > MAX_DEPTH), None):
        raise error("RV502", f"{path.name}:{lines[deep]}", "nested too deeply", "write flat tables")
    return data, lines


def _refuse_long_keys(text: str, file: str) -> None:
    """``tomllib`` takes quadratic time for dotted keys, which stand on one line."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MAX_DOTS:
            raise error("RV502", f"{file}:{number}", f"more than {MAX_DOTS} dots in a line", "write flat tables")


def _clashes(own: object, shared: _Table, lines: dict[KeyPath, int], file: str) -> Iterator[Diagnostic]:
    for name in own if isinstance(own, dict) else ():
        if name in shared:
            place = f"{file}:{line_of(lines, ('sources', name))}"
            yield Diagnostic("RV506", place, f"sources.{name} is in {_SOURCES} already", "rename it")


def _tables(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, _Table]]:
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from _tables(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _tables(inner, (*path, number))


def _fill(data: _Table, sources: _Table, lines: dict[KeyPath, int], file: str) -> list[Diagnostic]:
    """Give each sourced table the basis and confidence of its source; the tables whose source is unknown."""
    problems: list[Diagnostic] = []
    for path, table in list(_tables({k: v for k, v in data.items() if k != "sources"})):
        if "src" not in table:
            continue
        source = sources.get(table["src"]) if isinstance(table["src"], str) else {}
        if source is None:
            place = f"{file}:{line_of(lines, (*path, 'src'))}"
            message = f"{_dotted(path)}: unknown source {table['src']!r:.80}"
            problems.append(Diagnostic("RV507", place, message, _suggestion(table["src"], tuple(sources))))
        defaults = source if isinstance(source, dict) else {}
        table.setdefault("basis", defaults.get("basis", "estimate"))
        table.setdefault("conf", defaults.get("conf", "low"))
    return problems


def _stand_in(data: _Table, lines: dict[KeyPath, int], file: str) -> list[Diagnostic]:
    """Copy the energy constants that stand in for missing ones from their chip's file, as estimates."""
    energy = data.get("energy")
    stand_in = energy.get("stand_in") if isinstance(energy, dict) else None
    names = stand_in.get("v") if isinstance(stand_in, dict) else None
    if not isinstance(names, dict) or not all(isinstance(names.get(k), str) for k in ("target", "basis")):
        return []  # absent, or malformed and reported by the schema
    chip, basis = names["target"], names["basis"]
    other = _read(_FOLDER / f"{chip}.toml")[0] if chip in target_names() else {}
    costs = other.get("energy", {}).get("bases", {}).get(basis)
    if costs is None or not isinstance(energy, dict) or not isinstance(energy.setdefault("bases", {}), dict):
        place = f"{file}:{line_of(lines, ('energy', 'stand_in'))}"
        fix = f"name a shipped target ({', '.join(target_names())}) and a basis in its file"
        return [Diagnostic("RV506", place, f"energy.stand_in: there is no basis {basis!r} in {chip!r}", fix)]
    for _, table in _tables(costs):
        if "src" in table:
            table |= {"basis": "estimate", "conf": "low", "note": f"{chip} constant standing in"}
    energy["bases"][f"{chip}.{basis}"] = costs
    return []


def _validated(data: _Table, lines: dict[KeyPath, int], file: str, problems: list[Diagnostic]) -> Target:
    try:
        target = Target.model_validate(_frozen(data))
    except ValidationError as refused:
        problems += [p for e in refused.errors() if (p := _diagnostic(e, lines, file)) is not None]
    if problems:
        raise RanvierError(sorted(problems, key=lambda p: (int(p.place.rpartition(":")[2]), p.message)))
    return target


def _frozen(value: object) -> object:
    """The same data with tuples for lists, as the frozen models hold them."""
    if isinstance(value, dict):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value


def _diagnostic(problem: ErrorDetails, lines: dict[KeyPath, int], file: str) -> Diagnostic | None:
    path, kind = problem["loc"], problem["type"]
    if kind == "missing" and path[-1] in {"basis", "conf"}:
        return None  # only a value without a source lacks them, and that is reported
    # Between keys, pydantic names the alternative of a union it tried.
    path = tuple(p for n, p in enumerate(path) if not (n and path[n - 1] == "v" and p in _ALTERNATIVES))
    place, key = f"{file}:{line_of(lines, path)}", _dotted(path) or "the file"
    match kind:
        case "extra_forbidden":
            return Diagnostic("RV503", place, f"unknown key {key}", _suggestion(str(path[-1]), _legal_keys()))
        case "missing":
            return Diagnostic("RV504", place, f"{key} is missing", f"add {path[-1]}; shipped files show how")
        case "value_error":
            reason = problem["msg"].removeprefix("Value error, ")
            code = "RV505" if path and path[-1] in {"use", "use_bits", "use_bytes"} else "RV506"
            return Diagnostic(code, place, f"{key}: {reason}", "correct the value")
        case _:
            shown = f"{problem['input']!r:.60}"
            return Diagnostic("RV505", place, f"{key} = {shown}: {problem['msg']}", "correct the value")


def _dotted(path: KeyPath) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def _suggestion(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word[:80], known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"


@lru_cache(maxsize=1)
def _legal_keys() -> tuple[str, ...]:
    models = [m for module in (chips, cores, costs, neurons, quantity, schema, synapses) for m in vars(module).values()]
    tables = [m for m in models if isinstance(m, type) and issubclass(m, quantity.Strict)]
    return tuple(sorted({field.alias or name for m in tables for name, field in m.model_fields.items()}))
