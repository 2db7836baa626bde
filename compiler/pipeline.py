"""The way from a float network to a program: the passes, in order, with the verifier between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network, Note, Observed
from ranvier.compiler.ir.program import Program
from ranvier.compiler.ir.verify import Level, check_chip, check_network
from ranvier.compiler.passes.calibrate import Calibrate
from ranvier.compiler.passes.canonicalize import Canonicalize
from ranvier.compiler.passes.fit import Fit
from ranvier.compiler.passes.fold import Fold
from ranvier.compiler.passes.partition import Partition
from ranvier.compiler.passes.place import Place
from ranvier.compiler.passes.quantize import Quantize
from ranvier.compiler.passes.retime import Retime
from ranvier.targets.schema import Target

NetworkPass = Callable[[Network], Network]

PREPARE: tuple[tuple[NetworkPass, Level], ...] = (
    (Canonicalize(), "imported"),
    (Fold(), "folded"),
    (Retime(), "retimed"),
)


@dataclass(frozen=True)
class Options:
    """What a user may choose: ``input_bits``, the signed payload width of real-valued inputs."""

    input_bits: int = 8


def prepare(network: Network) -> Network:
    """``network`` in the form a chip can mean: folded and retimed, still float; values as imported."""
    check_network(network, "imported")
    for step, level in PREPARE:
        network = check_network(step(network), level)
    return network


def lower(prepared: Network, target: Target, observed: Mapping[str, Observed] | None, options: Options) -> ChipNetwork:
    """The integer network for ``target``, fitted with what calibration ``observed``.

    A network that cannot be quantized is looked through for what would not fit either: all problems come at once.
    """
    calibrated = check_network(Calibrate(observed)(prepared), "retimed")
    try:
        quantized = check_network(Quantize(target, options.input_bits)(calibrated), "quantized")
    except RanvierError as refused:
        found = [*refused.diagnostics, *Fit(target).problems(calibrated)]
        raise RanvierError(_distinct(found)) from refused
    return check_chip(Fit(target)(quantized))


def _distinct(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """``found`` without repetitions, in order."""
    return list({(d.code, d.place, d.message): d for d in found}.values())


def build(
    prepared: Network,
    target: Target,
    observed: Mapping[str, Observed] | None = None,
    options: Options = Options(),
) -> Program:
    """The whole program of a prepared network: integers, cores, places.

    Raises ``RanvierError`` with everything that stands in the way at the first stage that fails.
    """
    chip = lower(prepared, target, observed, options)
    parts = Partition(target)(chip)
    notes = tuple(Note(w.code, w.place, w.message) for w in parts.warnings)
    return Program(chip, Place(target)(parts.pieces), target.name, prepared, notes)
