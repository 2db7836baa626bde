"""Makes target files into targets; whatever is wrong with one is a diagnostic with its line, and all come at once."""

import difflib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.targets import chips, cores, costs, hierarchies, neurons, other_cores, quantity, schema, synapses
from ranvier.targets.extends import Merged, merged, merged_texts
from ranvier.targets.files import FOLDER, MAX_BYTES, SOURCES, Files, Places, Table, place_of, read, target_names
from ranvier.targets.lines import KeyPath
from ranvier.targets.schema import KINDS, AnyTarget, HierarchyTarget, Target

__all__ = ["MAX_BYTES", "load_any", "load_hierarchy", "load_target", "load_texts", "meshes", "target_names"]
_ALTERNATIVES: Final = ("value", "missing")
_OURS: Final = ("file", "places", "sha256", "files")


def load_target(name_or_path: str | Path) -> Target:
    """The mesh of neurosynaptic cores that ``load_any`` finds; RV512 for chips of another kind."""
    found = load_any(name_or_path)
    if not isinstance(found, Target):
        text = f"it is no mesh of neurosynaptic cores (core.kind = {found.core.kind!r})"
        raise error("RV512", found.name, text, f"choose one that is: {', '.join(meshes())}")
    return found


def load_hierarchy(name_or_path: str | Path) -> HierarchyTarget:
    """The chip with a hierarchy of memories that ``load_any`` finds; RV530 for chips of another kind."""
    found = load_any(name_or_path)
    if not isinstance(found, HierarchyTarget):
        text = f"it has no hierarchy of memories to schedule for (core.kind = {found.core.kind!r})"
        raise error("RV530", found.name, text, "choose one that has: stems_1mb, or a file that extends it")
    return found


def load_any(name_or_path: str | Path) -> AnyTarget:
    """The target of a shipped chip's name (``loihi2``) or of a TOML file's path.

    ``RanvierError`` lists everything that is wrong with the file: RV501 unreadable, RV502 not TOML, RV503
    unknown key, RV504 missing key, RV505 bad value, RV506 keys that contradict each other, RV507 unknown
    source, RV510 and RV511 a bad ``extends``; each names the file and the line.
    """
    text = str(name_or_path)
    if not text.endswith(".toml"):
        if text not in target_names():
            raise error("RV501", text[:80], "no such target", _suggestion(text, target_names()))
        return _shipped(text)
    found = merged(Path(name_or_path))
    return _built(found, found.files)


@lru_cache(maxsize=1)
def meshes() -> tuple[str, ...]:
    """The shipped chips that ``load_target`` takes."""
    return tuple(name for name in target_names() if isinstance(load_any(name), Target))


@lru_cache(maxsize=16)
def _shipped(name: str) -> AnyTarget:
    return _built(merged(FOLDER / f"{name}.toml"), ())


def load_texts(files: Files) -> AnyTarget:
    """The target whose :attr:`files` these are; nothing but what ships with Ranvier is read. Raises as ``load_any``."""
    return _built(merged_texts(files), files)


def _built(found: Merged, files: Files) -> AnyTarget:
    data, places = found.data, found.places
    sources, _, _ = read(FOLDER / SOURCES)
    own = data.get("sources", {})
    problems = [
        Diagnostic("RV503", str(place_of(places, (key,))), f"unknown key {key}", _suggestion(key, _legal_keys()))
        for key in _OURS
        if key in data
    ]
    problems += _clashes(own, sources, places)
    data["sources"] = sources | (own if isinstance(own, dict) else {})
    problems += _fill(data, data["sources"], places)
    problems += _stand_in(data, places)
    data |= {
        "file": found.files[0][0],
        "files": [list(file) for file in files],
        "places": {dotted(key): str(place) for key, place in places.items() if key},
        "sha256": found.sha256,
    }
    return _validated(data, places, problems)


def _clashes(own: object, shared: Table, places: Places) -> Iterator[Diagnostic]:
    for name in own if isinstance(own, dict) else ():
        if name in shared:
            place = str(place_of(places, ("sources", name)))
            yield Diagnostic("RV506", place, f"sources.{name} is in {SOURCES} already", "rename it")


def tables(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Table]]:
    """All tables within ``value``, itself first, each with the keys that lead to it."""
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from tables(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from tables(inner, (*path, number))


def _fill(data: Table, sources: Table, places: Places) -> list[Diagnostic]:
    """Give each sourced table the basis and confidence of its source; the tables whose source is unknown."""
    problems: list[Diagnostic] = []
    for path, table in list(tables({k: v for k, v in data.items() if k != "sources"})):
        if "src" not in table:
            continue
        source = sources.get(table["src"]) if isinstance(table["src"], str) else {}
        if source is None:
            place = str(place_of(places, (*path, "src")))
            message = f"{dotted(path)}: unknown source {table['src']!r:.80}"
            problems.append(Diagnostic("RV507", place, message, _suggestion(table["src"], tuple(sources))))
        defaults = source if isinstance(source, dict) else {}
        table.setdefault("basis", defaults.get("basis", "estimate"))
        table.setdefault("conf", defaults.get("conf", "low"))
    return problems


def _stand_in(data: Table, places: Places) -> list[Diagnostic]:
    """Copy the energy constants that stand in for missing ones from their chip's file, as estimates."""
    energy = data.get("energy")
    stand_in = energy.get("stand_in") if isinstance(energy, dict) else None
    names = stand_in.get("v") if isinstance(stand_in, dict) else None
    if not isinstance(names, dict) or not all(isinstance(names.get(k), str) for k in ("target", "basis")):
        return []  # absent, or malformed and reported by the schema
    chip, basis = names["target"], names["basis"]
    other = read(FOLDER / f"{chip}.toml")[0] if chip in target_names() else {}
    costs = other.get("energy", {}).get("bases", {}).get(basis)
    if costs is None or not isinstance(energy, dict) or not isinstance(energy.setdefault("bases", {}), dict):
        place = str(place_of(places, ("energy", "stand_in")))
        fix = f"name a shipped target ({', '.join(target_names())}) and a basis in its file"
        return [Diagnostic("RV506", place, f"energy.stand_in: there is no basis {basis!r} in {chip!r}", fix)]
    for _, table in tables(costs):
        if "src" in table:
            table |= {"basis": "estimate", "conf": "low", "note": f"{chip} constant standing in"}
    energy["bases"][f"{chip}.{basis}"] = costs
    return []


def _validated(data: Table, places: Places, problems: list[Diagnostic]) -> AnyTarget:
    try:
        target = _model(data).model_validate(_frozen(data))
    except ValidationError as refused:
        problems += [p for e in refused.errors() if (p := _diagnostic(e, places)) is not None]
    if problems:
        raise RanvierError(sorted(problems, key=_order))
    return target


def _model(data: Table) -> type[AnyTarget]:
    core = data.get("core")
    kind = core.get("kind") if isinstance(core, dict) else None
    return KINDS.get(kind, Target) if isinstance(kind, str) else Target


def _order(problem: Diagnostic) -> tuple[str, int, str]:
    file, _, line = problem.place.rpartition(":")
    return file, int(line), problem.message


def _frozen(value: object) -> object:
    """The same data with tuples for lists, as the frozen models hold them."""
    if isinstance(value, dict):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value


def _diagnostic(problem: ErrorDetails, places: Places) -> Diagnostic | None:
    path, kind = problem["loc"], problem["type"]
    if kind == "missing" and path[-1] in {"basis", "conf"}:
        return None  # only a value without a source lacks them, and that is reported
    # Between keys, pydantic names the alternative of a union it tried.
    path = tuple(p for n, p in enumerate(path) if not (n and path[n - 1] == "v" and p in _ALTERNATIVES))
    place, key = str(place_of(places, path)), dotted(path) or "the file"
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


def dotted(path: KeyPath) -> str:
    """A path in the data as text: ``core.resources[0].cap``."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def _suggestion(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word[:80], known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"


@lru_cache(maxsize=1)
def _legal_keys() -> tuple[str, ...]:
    models = [
        m
        for module in (chips, cores, costs, hierarchies, neurons, other_cores, quantity, schema, synapses)
        for m in vars(module).values()
    ]
    tables = [m for m in models if isinstance(m, type) and issubclass(m, quantity.Strict)]
    found = {field.alias or name for m in tables for name, field in m.model_fields.items()}
    return tuple(sorted({"extends", *found} - set(_OURS)))
