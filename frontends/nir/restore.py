"""NIR files that Ranvier wrote: the network itself, exactly, out of their metadata.

Such a file holds equations like any other, and beside them, in metadata whose names start with
``ranvier.``, the text form of every node; tensors that a field of the node holds are taken from there. A
fingerprint of all fields shows whether another program changed them.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.fingerprint import fingerprint
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.text import parse
from ranvier.compiler.ir.verify import check_network
from ranvier.frontends.hdf5 import Group, Value

MARK = "ranvier.sha256"
PREFIX = "ranvier."


def restored(root: Group, place: str) -> Network | None:
    """The network that Ranvier wrote into the file at ``place``, or None if something else wrote it.

    Raises ``RanvierError``: RV698 if the fields were changed since, RV699 if the metadata are damaged.
    """
    top = root.groups.get("node")
    if top is None or _metadata(top).text(MARK) is None:
        return None
    if _metadata(top).text(MARK) != fingerprint(dict(_fields(top, ""))):
        text = "its fields were changed after Ranvier wrote it, and its metadata hold the network as it was"
        fix = "say how to read the fields (dt=..., reset=..., or a preset), or export the network again"
        raise error("RV698", place, text, fix)
    try:
        return _network(top)
    except (RanvierError, AssertionError, LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as wrong:
        why = wrong.diagnostics[0].message if isinstance(wrong, RanvierError) else str(wrong)
        text = f"its metadata do not describe a network: {why[:200]}"
        raise error("RV699", place, text, "export the network again, or say how to read the fields") from None


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


def _value(group: Group) -> Any:
    """The IR object in the metadata of ``group``."""
    held = _metadata(group)
    at = {"float64": 0, "int64": 0}
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
