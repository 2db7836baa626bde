# ruff: noqa: PLC0415 - a frontend needs libraries that may be absent: each is imported when it is used
"""From what a user has, a file or a live module, to a network: the frontend is chosen by suffix or type."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.coding import Encoder, checked, sends
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.ir.network import Coding, Network, ReadoutKind
from ranvier.compiler.ir.neurons import Compare
from ranvier.encode import with_encoder

Values = Mapping[str, Any]
TorchModule = Callable[..., object]
"""What a ``torch.nn.Module`` is to who does not import torch."""


@dataclass(frozen=True)
class LoadOptions:
    """What a source leaves open, None where nothing was said; ``load`` says what each one means."""

    dt: float | None = None
    method: str | None = None
    reset: str | None = None
    compare: str | None = None
    max_spikes: int | None = None
    floor: float | None = None
    preset: str | None = None
    coding: str | None = None
    readout: str | None = None
    input_shape: Shape | None = None
    sample: object | None = None
    steps: int | None = None
    encode: Encoder | None = None
    host: bool | None = None

    def given(self) -> dict[str, Any]:
        """The options that were said."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


class LoadKeywords(TypedDict, total=False):
    """The keywords of ``load`` but for ``host``."""

    dt: float | None
    method: str | None
    reset: str | None
    compare: Compare | None
    max_spikes: int | None
    floor: float | None
    preset: str | None
    coding: Coding | None
    readout: ReadoutKind | None
    input_shape: Shape | None
    sample: object | None
    steps: int | None
    encode: Encoder | None


@dataclass(frozen=True)
class Kind:
    """One kind of source: what users call it, the options it takes, and how it is read."""

    name: str
    options: tuple[str, ...]
    read: Callable[[Any, Values], Network | HostedNetwork]


def _nir(path: Path, options: Values) -> Network:
    from ranvier.frontends.nir import load_nir

    return load_nir(path, **options)


def _netx(path: Path, options: Values) -> Network:
    from ranvier.frontends.netx import load_netx

    return load_netx(path, **options)


def _onnx(path: Path, options: Values) -> Network:
    from ranvier.frontends.onnx import load_onnx

    return load_onnx(path, **options)


def _torch(module: Any, options: Values) -> Network | HostedNetwork:
    from ranvier.frontends.torch.load import load_torch

    if "sample" not in options:
        fix = "give one input as the module's forward takes it: sample=..., or --sample"
        raise error("RV601", type(module).__name__, "a torch module is captured by running it once", fix)
    return load_torch(module, **options)


FILES: Mapping[str, Kind] = {
    ".nir": Kind(
        "NIR file",
        ("dt", "method", "reset", "compare", "max_spikes", "floor", "preset", "coding", "readout"),
        _nir,
    ),
    ".net": Kind("lava-dl file", ("input_shape", "readout"), _netx),
    ".onnx": Kind("ONNX file", ("coding", "readout"), _onnx),
}
MODULE = Kind("torch module", ("sample", "steps", "coding", "readout", "host"), _torch)
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    ".rnv": ("is a compiled program, not a network", "use ranvier.open(path), or the verbs that take a program"),
    ".pt": ("a checkpoint holds weights, not a network", "build the module, load the weights into it, give that"),
    ".pth": ("a checkpoint holds weights, not a network", "build the module, load the weights into it, give that"),
    ".py": ("a Python file is not a network", "give the module object; on the command line file.py:object"),
}


def load_network(source: object, options: LoadOptions) -> Network:
    """The float network of ``source``; raises ``RanvierError`` for what it cannot be, RV601 to RV604, RV355."""
    found = load_hosted(source, replace(options, host=None))
    assert isinstance(found, Network), "functions for the host are found where they are asked for"
    return found


def load_hosted(source: object, options: LoadOptions) -> Network | HostedNetwork:
    """The float network of ``source``, with functions for the host among its nodes where ``options.host`` lets them.

    Raises as ``load_network`` does.
    """
    kind, place = _kind(source)
    given = options.given()
    encoder = given.pop("encode", None)
    strangers = [name for name in given if name not in kind.options]
    if strangers:
        raise RanvierError(
            Diagnostic(
                "RV602",
                f"option {name}",
                f"means nothing for a {kind.name} ({place})",
                f"leave it out; a {kind.name} takes {', '.join(kind.options)}",
            )
            for name in strangers
        )
    path = Path(source) if isinstance(source, str) else source
    if encoder is None:
        return kind.read(path, given)
    if "coding" in kind.options and sends(checked(encoder)) == "current":
        given.setdefault("coding", "current")
    return with_encoder(kind.read(path, given), encoder)


def is_module(source: object) -> bool:
    """Whether ``source`` is a torch module, told without importing torch."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


def _kind(source: object) -> tuple[Kind, str]:
    if is_module(source):
        return MODULE, type(source).__name__
    if not isinstance(source, str | Path):
        message = f"a {type(source).__name__} is no network"
        raise error("RV603", "source", message, "give a path (.nir, .net, .onnx) or a torch module")
    suffix = Path(source).suffix.lower()
    if suffix not in FILES:
        unknown = (f"files ending in {suffix or 'nothing'} are not known", "give a .nir, .net or .onnx file")
        message, fix = ELSEWHERE.get(suffix, unknown)
        raise error("RV604", str(source), message, fix)
    return FILES[suffix], str(source)
