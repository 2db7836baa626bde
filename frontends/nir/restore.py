"""NIR files that Ranvier wrote: the network or the compiled program itself, exactly, out of their metadata.

Such a file holds equations like any other, and beside them, in metadata whose names start with
``ranvier.``, the text form of every node; tensors that a field of the node holds are taken from there. A
fingerprint of all fields shows whether another program changed them.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import Figure, RanvierError, error
from ranvier.compiler.ir.chip import Connection, Population, Port
from ranvier.compiler.ir.fingerprint import fingerprint
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.program import Program
from ranvier.compiler.ir.text import parse
from ranvier.compiler.ir.verify import check_network
from ranvier.frontends.hdf5 import Group, Value

MARK = "ranvier.sha256"
PREFIX = "ranvier."


@dataclass(frozen=True, eq=False)
class Restored:
    """A compiled program out of a file, with the provenance, the target's hash and files of its artifact."""

    program: Program
    provenance: Mapping[str, Figure]
    target_sha256: str
    target_files: tuple[tuple[str, str], ...] = ()


def restored(root: Group, place: str) -> Network | None:
    """The network that Ranvier wrote into the file at ``place``, or None if something else wrote it.

    Raises ``RanvierError``: RV466 if it wrote a compiled program, RV698 if the fields were changed since, RV699 if the
    metadata are damaged.
    """
    top = root.groups.get("node")
    if top is None or _metadata(top).text(MARK) is None:
        return None
    if _is_program(top):
        text = "it holds a compiled program, with the integers of a chip"
        fix = "use ranvier.open(path), or the verbs that take a program; options such as dt=... read its equations"
        raise error("RV466", place, text, fix)
    with _described(top, place, "a network"):
        return _network(top)


def restored_program(root: Group, place: str) -> Restored:
    """The compiled program in the file at ``place``.

    Raises ``RanvierError``: RV467 if it holds none, RV698 if the fields were changed since, RV699 if the metadata are
    damaged.
    """
    top = root.groups.get("node")
    if top is None or _metadata(top).text(MARK) is None or not _is_program(top):
        text = "it holds no compiled program: Ranvier did not write it, or wrote a network into it"
        raise error("RV467", place, text, "compile the network (ranvier compile), or load it (ranvier.load)")
    with _described(top, place, "a program"):
        return _program(top)


@contextmanager
def _described(top: Group, place: str, what: str) -> Iterator[None]:
    """Raises RV698 unless the fields are those that were written, and RV699 for what the body cannot make of them."""
    if _metadata(top).text(MARK) != fingerprint(dict(_fields(top, ""))):
        text = f"its fields were changed after Ranvier wrote it, and its metadata hold {what} as it was"
        fix = "say how to read the fields (dt=..., reset=..., or a preset), or export again"
        raise error("RV698", place, text, fix)
    try:
        yield
    except (RanvierError, AssertionError, LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as wrong:
        why = wrong.diagnostics[0].message if isinstance(wrong, RanvierError) else str(wrong)
        text = f"its metadata do not describe {what}: {why[:200]}"
        raise error("RV699", place, text, "export again, or say how to read the fields") from None


def _is_program(top: Group) -> bool:
    return bool(_texts(_metadata(top), "order"))


def _fields(group: Group, path: str) -> Iterator[tuple[str, Value]]:
    """Every value outside metadata, by its path."""
    for name, value in group.values.items():
        yield f"{path}{name}", value
    for name, inner in group.groups.items():
        if name != "metadata":
            yield from _fields(inner, f"{path}{name}/")


def _network(top: Group) -> Network:
    outline = _value(top)
    assert isinstance(outline, Network), "the outline is missing"
    members = top.groups["nodes"].groups.values()
    found = [_value(member) for member in members if f"{PREFIX}text" in _metadata(member).values]
    by_name = {node.name: node for node in found}
    assert len(by_name) == len(found) == len(outline.nodes), "nodes are missing"
    network = replace(outline, nodes=tuple(by_name[node.name] for node in outline.nodes))
    latent = any(population.latency >= 0 for population in network.populations)
    return check_network(network, "retimed" if latent else "imported")


def _program(top: Group) -> Restored:
    outline = _value(top)
    assert isinstance(outline, Program), "the outline is missing"
    members = [_value(m) for m in top.groups["nodes"].groups.values() if f"{PREFIX}text" in _metadata(m).values]
    named = {f"{type(member).__name__}\t{member.name}": member for member in members}
    held = _metadata(top)
    order = _texts(held, "order")
    assert len(named) == len(members) == len(order), "parts are missing"
    found = [named[name] for name in order]
    chip = replace(
        outline.chip,
        ports=tuple(m for m in found if isinstance(m, Port)),
        populations=tuple(m for m in found if isinstance(m, Population)),
        connections=tuple(m for m in found if isinstance(m, Connection)),
    )
    provenance = json.loads("".join(_texts(held, "provenance")))
    assert isinstance(provenance, dict), "the provenance is a table"
    assert all(v is None or isinstance(v, str | int | float) for v in provenance.values()), "it holds plain values"
    files = json.loads("".join(_texts(held, "target_files")) or "[]")
    assert isinstance(files, list), "the target's files are a list"
    assert all(isinstance(f, list) and len(f) == 2 and all(isinstance(t, str) for t in f) for f in files), "of texts"
    texts = tuple((name, text) for name, text in files)
    return Restored(replace(outline, chip=chip), provenance, held.text(f"{PREFIX}target_sha256") or "", texts)


def _value(group: Group) -> Any:
    """The IR object in the metadata of ``group``."""
    held = _metadata(group)
    at = {"float64": 0, "int64": 0, "int32": 0}
    tensors: dict[str, NDArray[Any]] = {}
    for row in _texts(held, "tensors"):
        kind, numbers, field, path = row.split("\t", 3)
        shape = tuple(int(n) for n in numbers.split(",") if n)
        count = int(np.prod(shape, dtype=np.int64))
        source = group.values[field] if field else held.values[f"{PREFIX}{kind}"]
        assert isinstance(source, np.ndarray), "tensors are numbers"
        assert min(shape, default=0) >= 0, "no axis is negative"
        start = 0 if field else at[kind]
        values = source.ravel()[start : start + count]
        tensors[path] = values.astype(kind).reshape(shape)
        at[kind] += 0 if field else count
    return parse("".join(_texts(held, "text")), tensors)


def _metadata(group: Group) -> Group:
    return group.groups.get("metadata", Group(group.place))


def _texts(held: Group, name: str) -> tuple[str, ...]:
    found = held.values.get(f"{PREFIX}{name}", ())
    return (found,) if isinstance(found, str) else found if isinstance(found, tuple) else ()
