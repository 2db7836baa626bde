"""The values of a target one by one: for people who want to know where each comes from, and for comparisons."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from ranvier.targets.files import Place
from ranvier.targets.lines import KeyPath
from ranvier.targets.load import dotted
from ranvier.targets.quantity import Known, Quantity, Range, Sourced
from ranvier.targets.schema import Device

_UNITS: Final[Mapping[str, str]] = {
    "bits": "bit",
    "bytes": "B",
    "nm": "nm",
    "ns": "ns",
    "us": "us",
    "pJ": "pJ",
    "mW": "mW",
    "steps": "step",
}
_APART: Final = ("sources", "file", "places", "sha256", "files")


@dataclass(frozen=True)
class Value:
    """One value of a target: ``text`` in ``unit``, who says so (``cite``), on what basis, how sure that is, and where.

    Names and modes have no source; ``err`` is the known relative error against silicon.
    """

    key: str
    text: str
    unit: str = ""
    cite: str = ""
    basis: str = ""
    conf: str = ""
    err: float | None = None
    note: str = ""
    place: str = ""


def values(target: Device) -> tuple[Value, ...]:
    """Every value that the target's files give, in their order of tables; entries of lists go by their names."""
    return tuple(_values(target, target, "", ()))


def differences(one: Device, other: Device) -> tuple[tuple[str, Value | None, Value | None], ...]:
    """(key, value of ``one``, value of ``other``) where text, source, basis or confidence differ; None: not given."""
    ours, theirs = ({v.key: v for v in values(t)} for t in (one, other))
    keys = list(dict.fromkeys([*ours, *theirs]))
    pairs = [(key, ours.get(key), theirs.get(key)) for key in keys]
    return tuple(pair for pair in pairs if _said(pair[1]) != _said(pair[2]))


def _said(value: Value | None) -> tuple[str, ...] | None:
    return None if value is None else (value.text, value.cite, value.basis, value.conf)


def _values(target: Device, value: Any, key: str, path: KeyPath) -> Iterator[Value]:
    """``key`` names the value for people, ``path`` is where it is in the data."""
    if isinstance(value, Sourced):
        yield _sourced(target, value, key, path)
    elif isinstance(value, BaseModel) and not isinstance(value, Range):
        for name, info in type(value).model_fields.items():
            if name in value.model_fields_set and not (value is target and name in _APART):
                step = info.alias or name
                yield from _values(target, getattr(value, name), f"{key}.{step}".removeprefix("."), (*path, step))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _values(target, inner, f"{key}.{name}", (*path, name))
    elif isinstance(value, tuple) and any(isinstance(inner, BaseModel) for inner in value):
        for number, inner in enumerate(value):
            step = getattr(inner, "name", str(number))
            yield from _values(target, inner, f"{key}.{step}", (*path, number))
    elif (value is not None and not key.endswith(".name")) or key == "chip.name":
        yield Value(key, _text(value), place=_place(target, path))


def _sourced(target: Device, value: Sourced, key: str, path: KeyPath) -> Value:
    text = _text(value.v) if isinstance(value, Known | Quantity) else _use(value)
    unit = next((unit for suffix, unit in _UNITS.items() if suffix in key.rpartition(".")[2].split("_")), "")
    place = _place(target, (*path, "v") if dotted((*path, "v")) in target.places else path)
    return Value(
        key, text, unit, target.cite(value), value.basis, value.conf, value.err, value.note or "", place
    )  # fmt: skip


def _use(value: Sourced) -> str:
    """What a member of a pool takes."""
    given = {name: getattr(value, name) for name in ("use_bits", "use_bytes") if getattr(value, name, None) is not None}
    return ", ".join(f"{name} = {use}" for name, use in given.items())


def _text(value: Any) -> str:
    if isinstance(value, Range):
        return f"{value.low} to {value.high}"
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        given = [(fields[n].alias or n, getattr(value, n)) for n in fields if n in value.model_fields_set]
        return ", ".join(f"{name} {_text(inner)}" for name, inner in given if inner is not None)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items())
    if isinstance(value, tuple):
        return ", ".join(f"({_text(v)})" if isinstance(v, tuple) else _text(v) for v in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _place(target: Device, path: KeyPath) -> str:
    for length in range(len(path), 0, -1):
        if found := target.places.get(dotted(path[:length])):
            return found
    return str(Place(target.file))
