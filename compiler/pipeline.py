"""The way from a float network to a program: the passes, in order, with the verifier between them."""

from collections.abc import Callable, Mapping, Sequence

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.moments import Calibration
from ranvier.compiler.ir.network import Network, Note, Observed
from ranvier.compiler.ir.program import Program
from ranvier.compiler.ir.verify import Level, check_chip, check_network
from ranvier.compiler.options import DEFAULTS, Options
from ranvier.compiler.passes.calibrate import Calibrate
from ranvier.compiler.passes.canonicalize import Canonicalize
from ranvier.compiler.passes.equalize import Equalize, behind_equalized
from ranvier.compiler.passes.fit import Fit
from ranvier.compiler.passes.fold import Fold
from ranvier.compiler.passes.mapping.effort import NORMAL, Effort, Progress, silent
from ranvier.compiler.passes.partition import Partition
from ranvier.compiler.passes.place import Place
from ranvier.compiler.passes.prune import Prune
from ranvier.compiler.passes.quantize import Quantize
from ranvier.compiler.passes.retime import Retime
from ranvier.targets.schema import Target

__all__ = ["Options", "build", "lower", "mapped", "prepare"]
NetworkPass = Callable[[Network], Network]

PREPARE: tuple[tuple[NetworkPass, Level], ...] = (
    (Canonicalize(), "imported"),
    (Fold(), "folded"),
    (Retime(), "retimed"),
)


def prepare(network: Network) -> Network:
    """``network`` in the form a chip can mean: folded and retimed, still float; values as imported."""
    check_network(network, "imported")
    for step, level in PREPARE:
        network = check_network(step(network), level)
    return network


def lower(
    prepared: Network,
    target: Target,
    known: Mapping[str, Observed] | Calibration | None,
    options: Options,
    rank: int = 0,
) -> ChipNetwork:
    """The integer network for ``target``, fitted with what calibration data say: all of it, or peaks and rates alone.

    ``rank``: how many better scales are passed over (``passes.quantize.Quantize``).
    A network that cannot be quantized is looked through for what would not fit either: all problems come at once.
    """
    found = known if isinstance(known, Calibration) or known is None else Calibration(known)
    calibrated = check_network(Calibrate(None if found is None else found.observed)(prepared), "retimed")
    moments, joint = ({}, {}) if found is None else (found.moments, found.joint)
    if options.equalize:
        moments = {name: m for name, m in moments.items() if name not in behind_equalized(calibrated)}
        calibrated = check_network(Equalize()(calibrated), "retimed")
    pruned, whole = calibrated, None
    if options.prune:
        pruned, whole = check_network(Prune(options.prune)(calibrated), "retimed"), calibrated
    try:
        quantized = check_network(Quantize(target, options, moments, rank, joint, whole)(pruned), "quantized")
    except RanvierError as refused:
        problems = [*refused.diagnostics, *Fit(target).problems(pruned)]
        raise RanvierError(_distinct(problems)) from refused
    return check_chip(Fit(target, pruned)(quantized))


def _distinct(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """``found`` without repetitions, in order."""
    return list({(d.code, d.place, d.message): d for d in found}.values())


def build(
    prepared: Network,
    target: Target,
    known: Mapping[str, Observed] | Calibration | None = None,
    options: Options = DEFAULTS,
) -> Program:
    """The whole program of a prepared network: integers, cores, places.

    ``known``: what ``runtimes.observe.calibrate`` (or ``observe``) found on calibration data.

    Raises ``RanvierError`` with everything that stands in the way at the first stage that fails.
    """
    return mapped(lower(prepared, target, known, options), target, prepared)


def mapped(
    chip: ChipNetwork,
    target: Target,
    prepared: Network | None,
    effort: Effort = NORMAL,
    seed: int = 0,
    progress: Progress = silent,
) -> Program:
    """The program of ``chip``, which came from ``prepared``: cut into pieces, each on a core.

    ``effort`` says how long to search for fewer messages and hops, ``seed`` decides what is random in it.
    """
    parts = Partition(target, effort=effort, seed=seed, progress=progress)(chip)
    notes = tuple(Note(w.code, w.place, w.message) for w in parts.warnings)
    placement = Place(target, effort, seed, progress)(parts.pieces, chip)
    return Program(chip, placement, target.name, prepared, notes)
