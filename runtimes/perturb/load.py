"""Makes device files into devices; whatever is wrong with one comes at once, each with its line."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.runtimes.perturb.device import Device
from ranvier.targets.files import Places, Table, place_of, read
from ranvier.targets.load import dotted, tables

FOLDER: Final = Path(__file__).parent / "presets"
MOST_SHOWN: Final = 60


def device_names() -> tuple[str, ...]:
    """The devices that ship with Ranvier."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_device(name_or_path: str | Path) -> Device:
    """The device of a shipped name (``pcm``) or of a TOML file's path.

    Raises ``RanvierError`` RV550 for a name that does not ship, RV501 and RV502 for a file that cannot be read, RV551
    for everything that is wrong in it.
    """
    text = str(name_or_path)
    if text.endswith(".toml"):
        return _load(Path(name_or_path))
    if text not in device_names():
        fix = f"choose one of {', '.join(device_names())}, or give the path of a .toml file"
        raise error("RV550", text[:MOST_SHOWN], "there is no such device", fix)
    return _shipped(text)


@lru_cache(maxsize=8)
def _shipped(name: str) -> Device:
    return _load(FOLDER / f"{name}.toml")


def _load(path: Path) -> Device:
    data, places, _ = read(path)
    problems = list(_filled(data, places))
    try:
        device = Device.model_validate(_frozen({**data, "file": path.name}))
    except ValidationError as refused:
        problems += [_diagnostic(found, places) for found in refused.errors()]
    if problems:
        raise RanvierError(problems)
    return device


def _filled(data: Table, places: Places) -> Iterator[Diagnostic]:
    """Give each sourced table the basis and confidence of its source; what is wrong with its source."""
    sources = data.get("sources")
    sources = sources if isinstance(sources, dict) else {}
    for path, table in list(tables({k: v for k, v in data.items() if k != "sources"})):
        if "src" not in table:
            continue
        source = sources.get(str(table["src"]))
        if not isinstance(source, dict):
            text = f"{dotted(path)}: unknown source {table['src']!r:.{MOST_SHOWN}}"
            yield Diagnostic("RV551", str(place_of(places, path)), text, f"known are {', '.join(sources)}")
            source = {"basis": "estimate", "conf": "low"}
        for name in ("basis", "conf"):
            if name in source:
                table.setdefault(name, source[name])


def _frozen(value: Any) -> Any:
    """The same data with tuples for lists, as the frozen models hold them."""
    if isinstance(value, dict):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _diagnostic(problem: ErrorDetails, places: Places) -> Diagnostic:
    path = problem["loc"]
    what = problem["msg"].removeprefix("Value error, ")
    shown = "" if problem["type"] in {"missing", "value_error"} else f" (it is {problem['input']!r:.{MOST_SHOWN}})"
    text = f"{dotted(path) or 'the file'}: {what}{shown}"
    return Diagnostic("RV551", str(place_of(places, path)), text, "the shipped files show the form: see pcm.toml")
