"""The artifact: a compiled program as one ``.rnv`` file, the same bytes for the same program, safe to open.

It holds exactly two entries, framed as ``archive`` says:

* ``manifest.json``: canonical JSON (sorted keys, no spaces, UTF-8) with ``format``, ``ranvier`` (the version
  that wrote it), ``ir`` (the program's text form), ``target`` (name, sha256 of its files, and ``files``, their names
  and texts, where it is no shipped one), ``provenance`` (given by the caller) and ``sha256`` of both entries, that of
  the manifest taken with its own hash empty;
* ``tensors.safetensors``: the arrays that the text refers to, integers of few levels packed (``packing``).

Both hashes are checked before anything is used, and the tensors' before they are held in memory.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from ranvier.compiler.archive import AGAIN, MANIFEST, TENSORS, Layout, layout, pack
from ranvier.compiler.diagnostics import Figure, error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.hosted_plan import HostedPlan
from ranvier.compiler.ir.program import Program
from ranvier.compiler.ir.text import dump, parse
from ranvier.compiler.ir.verify import check_chip, check_network
from ranvier.compiler.packing import packed, unpacked
from ranvier.targets.files import Files

FORMAT: Final = 1
MAX_HEADER: Final = 4 * 2**20
MAX_NEURONS: Final = 2**28
MAX_NAME: Final = 255
CHUNK: Final = 2**20
MALFORMED: Final = (
    AssertionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
    MemoryError,
)
_Held = TypeVar("_Held", Program, HostedPlan)
_WORDS: Final = {Program: ("program", "compile the network first"), HostedPlan: ("plan of a hosted network", AGAIN)}


class _Manifest(NamedTuple):
    ir: str
    version: str
    target_sha256: str
    target_files: Files
    provenance: Mapping[str, Figure]
    tensors_sha256: str


@dataclass(frozen=True, eq=False)
class Artifact:
    """What an ``.rnv`` file holds: the program, the version of Ranvier that wrote it, and its ``provenance``.

    ``target_sha256`` is the hash of the target file that the program was compiled for, empty if unknown;
    ``target_files`` are names and texts, of any content, of that file and those that it extends, where the artifact has
    them.
    """

    program: Program
    provenance: Mapping[str, Figure] = field(default_factory=dict)
    target_sha256: str = ""
    version: str = ""
    target_files: Files = ()


def save(
    program: Program | HostedPlan,
    path: str | Path,
    *,
    provenance: Mapping[str, Figure] | None = None,
    target_sha256: str = "",
    target_files: Files = (),
) -> None:
    """Write ``program`` (or the plan of a hosted network) to ``path``, whole or not at all, the same bytes each time.

    ``provenance`` holds plain values about where the program comes from (source file, options), ``target_files`` the
    target where it is the user's own (``Target.files``).
    Raises ``RanvierError`` RV409 when the file cannot be written, RV402 when it would be too large to open.
    """
    text, tensors = dump(program)
    stored = packed(tensors)
    data = write_tensors({key: np.asarray(stored[key], order="C") for key in sorted(stored)})
    digest = hashlib.sha256(data).hexdigest()
    manifest = _Manifest(text, version("ranvier"), target_sha256, target_files, provenance or {}, digest)
    pack(Path(path), _encoded(manifest, program.target), data)


def load(path: str | Path) -> Program:
    """The program in the artifact at ``path``, after all checks; raises ``RanvierError`` RV401 to RV408."""
    return read(path).program


def read(path: str | Path) -> Artifact:
    """The artifact at ``path`` with its provenance, after all checks; raises as ``load`` does."""
    manifest, data = _opened(Path(path))
    program = checked(_parsed(manifest.ir, _tensors(data, Path(path)), Path(path), Program), path)
    return Artifact(program, manifest.provenance, manifest.target_sha256, manifest.version, manifest.target_files)


def read_plan(path: str | Path) -> tuple[HostedPlan, Mapping[str, Figure]]:
    """The plan of a hosted network at ``path`` and its provenance; raises as ``load`` does.

    What its parts mean is checked once the programs are there (``ir.hosted_verify.check_parts``).
    """
    manifest, data = _opened(Path(path))
    return _parsed(manifest.ir, _tensors(data, Path(path)), Path(path), HostedPlan), manifest.provenance


def _opened(place: Path) -> tuple[_Manifest, bytes]:
    """The manifest of the file at ``place`` and the bytes of its tensors, whose hashes are right."""
    try:
        # Without blocking, so that a named pipe is refused instead of waited for.
        with os.fdopen(os.open(place, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            parts = layout(file, place)
            file.seek(parts.manifest_at)
            manifest = _decoded(file.read(parts.manifest.size), place)
            data = _hashed(file, parts, manifest.tensors_sha256, place)
    except OSError as problem:
        message = f"cannot be read: {problem.strerror or problem}"
        raise error("RV401", str(place), message, "give the path of an .rnv file") from problem
    return manifest, data


def _encoded(manifest: _Manifest, target: str) -> bytes:
    """Canonical JSON with its own hash filled in."""
    hashes = {MANIFEST: "", TENSORS: manifest.tensors_sha256}
    values = {
        "format": FORMAT,
        "ranvier": manifest.version,
        "ir": manifest.ir,
        "target": {"name": target, "sha256": manifest.target_sha256} | _files_entry(manifest.target_files),
        "provenance": dict(manifest.provenance),
        "sha256": hashes,
    }
    hashes[MANIFEST] = hashlib.sha256(_canonical(values)).hexdigest()
    return _canonical(values)


def _files_entry(files: Files) -> dict[str, list[list[str]]]:
    return {"files": [list(file) for file in files]} if files else {}


def _canonical(values: object) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _decoded(raw: bytes, path: Path) -> _Manifest:
    """The manifest, its own hash and the types of its values checked."""
    try:
        values = json.loads(raw)
        own, tensors_sha256 = values["sha256"][MANIFEST], values["sha256"][TENSORS]
        unsigned = values | {"sha256": {MANIFEST: "", TENSORS: tensors_sha256}}
        intact = hashlib.sha256(_canonical(unsigned)).hexdigest() == own and _canonical(values) == raw
    except MALFORMED as problem:
        message = f"the manifest is malformed ({type(problem).__name__})"
        raise error("RV405", str(path), message, AGAIN) from problem
    if not intact:
        raise error("RV404", str(path), f"{MANIFEST} does not have the hash it states", AGAIN)
    if values.get("format") != FORMAT:
        found = f"format version {values.get('format')!r:.20}"
        message = f"{found}, Ranvier {version('ranvier')} reads version {FORMAT}"
        raise error("RV406", str(path), message, "open it with the Ranvier that wrote it, or compile again")
    target, provenance = values.get("target"), values.get("provenance")
    files = target.get("files", []) if isinstance(target, dict) else []
    texts = (
        values.get("ir"),
        values.get("ranvier"),
        target.get("sha256") if isinstance(target, dict) else None,
    )
    plain = isinstance(provenance, dict) and all(_is_plain(value) for value in provenance.values())
    if not plain or not all(isinstance(text, str) for text in texts) or not are_files(files):
        raise error("RV405", str(path), "the manifest lacks entries, or they have other types", AGAIN)
    named = tuple((name, text) for name, text in files)
    return _Manifest(values["ir"], values["ranvier"], values["target"]["sha256"], named, provenance, tensors_sha256)


def are_files(value: object) -> bool:
    """Whether ``value`` is a list of pairs of a name and a text, as target files are stored."""
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        return False
    return all(isinstance(name, str) and len(name) <= MAX_NAME and isinstance(text, str) for name, text in value)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _hashed(file: BinaryIO, parts: Layout, wanted: str, path: Path) -> bytes:
    """The tensors' bytes, read into memory only after their hash was found to be the wanted one."""
    file.seek(parts.tensors_at)
    digest, left = hashlib.sha256(), parts.tensors.size
    while left and (chunk := file.read(min(CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    if digest.hexdigest() != wanted:
        raise error("RV404", str(path), f"{TENSORS} does not have the hash that the manifest states", AGAIN)
    file.seek(parts.tensors_at)
    return file.read(parts.tensors.size)


def _tensors(data: bytes, path: Path) -> dict[str, NDArray[Any]]:
    if len(data) < 8 or int.from_bytes(data[:8], "little") > MAX_HEADER:
        raise error("RV407", str(path), f"the header of {TENSORS} is missing or too large", AGAIN)
    try:
        return unpacked(read_tensors(data))
    except (*MALFORMED, SafetensorError) as problem:
        raise error("RV407", str(path), f"{TENSORS} is malformed ({problem!r:.100})", AGAIN) from problem


def _parsed(text: str, tensors: Mapping[str, NDArray[Any]], path: Path, kind: type[_Held]) -> _Held:
    """The program, or what else ``kind`` is, that a text and its tensors describe."""
    try:
        value = parse(text, tensors)
        if not isinstance(value, kind):
            word, fix = _WORDS[kind]
            raise error("RV408", str(path), f"holds a {type(value).__name__}, no {word}", fix)
        if set(tensors) != set(dump(value)[1]):
            raise error("RV408", str(path), "it holds arrays that the program does not use", AGAIN)
    except MALFORMED as problem:
        message = f"the program is malformed ({problem!r:.100})"
        raise error("RV408", str(path), message, AGAIN) from problem
    return value


def checked(program: Program, path: str | Path) -> Program:
    """``program``, which came from the file ``path``, if it is legal in every respect; raises ``RanvierError``."""
    try:
        if problem := _inconsistent(program):
            raise error("RV408", str(path), problem, AGAIN)
        check_chip(program.chip)
        if program.source is not None:
            check_network(program.source, "folded")
    except MALFORMED as problem:
        message = f"the program is malformed ({problem!r:.100})"
        raise error("RV408", str(path), message, AGAIN) from problem
    return program


def _inconsistent(program: Program) -> str | None:
    """What neither the text's parser nor the verifier asks for, as a sentence; None when all is well."""
    chip, placement = program.chip, program.placement
    shapes = [*(port.shape for port in chip.ports), *(p.shape for p in chip.populations)]
    shapes += [node.out_shape for node in program.source.nodes] if program.source is not None else []
    if not all(map(_sensible, shapes)):
        return f"a layer has no neuron, or more than {MAX_NEURONS:,}"
    sites = {site.core for site in placement.sites}
    for population in chip.populations:
        cuts = sorted((p.start, p.stop) for p in placement.pieces if p.population == population.name)
        ends = [0, *(stop for _, stop in cuts)]
        if [start for start, _ in cuts] != ends[:-1] or ends[-1] != population.size:
            return f"the pieces on the cores do not make up population {population.name}"
    strangers = [p for p in placement.pieces if p.core not in sites or p.population not in chip.by_name]
    return f"a piece of {strangers[0].population} lies nowhere" if strangers else None


def _sensible(shape: Shape) -> bool:
    neurons = 1
    for extent in shape:
        neurons *= extent
    return all(extent >= 1 for extent in shape) and neurons <= MAX_NEURONS
