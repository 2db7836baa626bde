"""A compiled hosted network as a folder: a program for each chip part, and one file for what the host does.

``hosted.rnv`` is framed, hashed and checked as every artifact (``compiler/artifact.py``); it holds the plan: the parts
in their order, those of the host in full, of a chip part the hash of its program ``partN.rnv``.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ranvier.app import App
from ranvier.compiler import artifact
from ranvier.compiler.diagnostics import Figure, RanvierError, error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.hosted import ChipPart, HostFunction, HostPart, Part, Parts
from ranvier.compiler.ir.hosted_plan import ChipSlot, HostedPlan
from ranvier.compiler.ir.hosted_verify import check_parts

PLAN = "hosted.rnv"
AGAIN = "compile the network again, or get the folder again"
CHUNK = 2**20


def save(parts: Parts, apps: Sequence[App], provenance: Mapping[str, Figure], folder: Path) -> None:
    """Write programs and plan into ``folder``, the plan last; RV743 if it cannot be made, RV409 for a file."""
    _make(folder)
    left, slots = iter(apps), list[ChipSlot | HostPart]()
    for name, part in parts.named:
        if isinstance(part, HostPart):
            slots.append(part)
            continue
        path = folder / f"{name}.rnv"
        next(left).save(path)
        slots.append(ChipSlot(_digest(path), part.takes, part.gives))
    target = apps[0].program.target
    plan = HostedPlan(parts.name, target, parts.source, tuple(slots), parts.readout, parts.notes)
    artifact.save(plan, folder / PLAN, provenance=provenance, target_sha256=apps[0].target_sha256)


def read(folder: Path, apps: Callable[[Path], App]) -> tuple[Parts, tuple[App, ...], Mapping[str, Figure]]:
    """Parts, programs and provenance of the compiled network in ``folder``, its programs opened by ``apps``.

    Raises ``RanvierError`` RV401 to RV408 for its files, RV744 where they do not belong together, RV741 where the parts
    mean nothing.
    """
    plan, provenance = artifact.read_plan(folder / PLAN)
    opened: list[App] = []
    held: list[Part] = []
    for number, slot in enumerate(plan.parts, 1):
        if isinstance(slot, HostPart):
            held.append(slot)
            continue
        path = folder / f"part{number}.rnv"
        opened.append(apps(path))
        held.append(_chip_part(opened[-1], slot, plan, path))
    if not opened:
        raise error("RV744", str(folder / PLAN), "it has no part that runs on a chip", AGAIN)
    parts = Parts(plan.name, plan.source, tuple(held), plan.readout, plan.notes)
    try:
        check_parts(parts)
    except artifact.MALFORMED as problem:
        raise error("RV744", str(folder / PLAN), f"the plan is malformed ({problem!r:.100})", AGAIN) from problem
    return parts, tuple(opened), provenance


def emit_lava(parts: Parts, apps: Sequence[App], folder: Path) -> Path:
    """A Lava project for each chip part in ``folder/partN``, and ``PARTS.md`` with what lies between."""
    _make(folder)
    left = iter(apps)
    for name, part in parts.named:
        if isinstance(part, ChipPart):
            next(left).emit_lava(folder / name)
    try:
        (folder / "PARTS.md").write_text("\n".join(_told(parts, apps)) + "\n", encoding="utf-8")
    except OSError as problem:
        raise _unwritable(folder, problem) from problem
    return folder


def _chip_part(app: App, slot: ChipSlot, plan: HostedPlan, path: Path) -> ChipPart:
    """The chip part that ``app``, opened from ``path``, runs, once it is the one that the plan was made with."""
    program = app.program
    source, chip = program.source, program.chip
    if _digest(path) != slot.sha256 or program.target != plan.target or source is None:
        raise error("RV744", str(path), f"it is not the program that {PLAN} was written with", AGAIN)
    shapes = {p.name: p.shape for p in chip.populations}
    given = {p.name: p.shape for p in source.populations}
    fits = all(shapes.get(name) == given.get(name) for name in slot.gives) and chip.readout == source.readout
    if not fits or chip.ports[0].shape != source.inputs[0].shape:
        raise error("RV744", str(path), "its integer network and its float network do not belong together", AGAIN)
    return ChipPart(source, slot.takes, slot.gives)


def _told(parts: Parts, apps: Sequence[App]) -> Iterator[str]:
    """What every part takes, computes and gives, in words."""
    left = iter(apps)
    yield f"# {parts.name}: {len(parts.parts)} parts, one after the other, each on whole trains"
    yield f"\nThe input {parts.source.name} has the shape {parts.source.shape}; the answer is read from "
    yield f"{parts.readout.node} ({parts.readout.kind}). Every part sees in step t what the others sent in step t."
    for name, part in parts.named:
        if isinstance(part, HostPart):
            yield f"\n## {name}: on the host\n"
            yield from (f"* takes {c.source} {c.shape}" for c in part.takes)
            yield from (_node_told(part, node.name) for node in part.nodes)
        else:
            yield f"\n## {name}: on the chip, the Lava project in `{name}/`\n"
            port, at = next(left).program.chip.ports[0], 0
            for c in part.takes:
                by = "" if c.scale == 1.0 else f", each value divided by {c.scale!r}"
                yield f"* takes {c.source} {c.shape}: values {at} to {at + size(c.shape) - 1} of the input{by}"
                at += size(c.shape)
            if port.bits:
                yield f"* its input carries integers of {port.bits} bits, round(x * {port.scale!r})"
        yield f"* gives {', '.join(part.gives)}"


def _node_told(part: HostPart, name: str) -> str:
    """One computation of the host, with what enters it."""
    node = next(n for n in part.nodes if n.name == name)
    ways = [f"{e.source}{f' ({e.delay} steps late)' if e.delay else ''}" for e in part.edges if e.target == name]
    what, options = type(node).__name__, ""
    if isinstance(node, HostFunction):
        what = node.kind
        options = "".join(f", {key} {value:g}" for key, value in node.options.items())
        options += f", arguments {', '.join(map(str, node.in_shapes))}, one after the other"
    return f"* computes {name} {node.out_shape} = {what} of {' + '.join(ways)}{options}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as problem:
        raise _unwritable(folder, problem) from problem


def _unwritable(folder: Path, problem: OSError) -> RanvierError:
    text = f"the folder cannot be written: {problem.strerror or problem}"
    return error("RV743", str(folder), text, "name a folder that can be made or written")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
