"""Programs for chips that are no meshes of neurosynaptic cores: each kind has one fit and one mapping."""

from collections.abc import Mapping

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network, Observed
from ranvier.compiler.ir.program import CoreSite, Piece, Placement, Program
from ranvier.compiler.ir.verify import check_chip, check_network
from ranvier.compiler.passes.calibrate import Calibrate
from ranvier.compiler.passes.fit_crossbar import check_crossbar
from ranvier.compiler.passes.fit_speck import FitSpeck
from ranvier.compiler.passes.fit_xylo import FitXylo
from ranvier.compiler.passes.match_layers import matched
from ranvier.targets.schema import CrossbarTarget, LayerTarget, SingleTarget

Device = SingleTarget | LayerTarget | CrossbarTarget


def build_device(prepared: Network, target: Device, observed: Mapping[str, Observed] | None = None) -> Program:
    """The program of a prepared network; raises ``RanvierError`` with everything that stands in the way.

    ``observed``: what calibration data did to each population.
    """
    calibrated = check_network(Calibrate(observed)(prepared), "retimed")
    if isinstance(target, LayerTarget):
        chip = check_chip(FitSpeck(target)(calibrated))
        return Program(chip, matched(chip, target), target.name, prepared)
    if isinstance(target, CrossbarTarget):
        check_crossbar(calibrated, target)
    chip = check_chip(FitXylo(target)(calibrated))
    return Program(chip, _together(chip), target.name, prepared)


def _together(chip: ChipNetwork) -> Placement:
    """Everything on one core."""
    pieces = tuple(Piece(p.name, 0, p.size, 0, {"neurons": p.size}) for p in chip.populations)
    return Placement(pieces, (CoreSite(0, 0, -1, -1),))
