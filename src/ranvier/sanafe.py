"""Compiled programs as files of SANA-FE, the simulator of neuromorphic chips' energy and time."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ranvier.compiler.analysis.events import layer_format
from ranvier.compiler.analysis.overflow import overflows
from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.coding import frames_of
from ranvier.compiler.ir.network import Note
from ranvier.compiler.ir.program import Program
from ranvier.runtimes.exports.sanafe import export_sanafe

if TYPE_CHECKING:
    from ranvier.targets.schema import Target


def export(
    program: Program, target: "Target | None", folder: str | Path, x: ArrayLike | None = None
) -> tuple[Note, ...]:
    """Write ``program`` into ``folder`` as ``architecture.yaml`` and ``network.yaml`` for SANA-FE 2.x.

    ``x``, one sample as ``App.run`` takes them (1, steps, *shape), enters there; without it the input is silent. The
    notes say where spikes may differ: RV448 (currents that are not rounded), RV449 (overflow that is not excluded).
    Raises ``RanvierError`` RV440 to RV447 with everything that SANA-FE cannot express.
    """
    chip = program.chip
    if target is None:
        text = f"what operations cost on {program.target} is not known here"
        raise error(
            "RV440", f"target {program.target}", text, "compile for loihi1, or for a target file that extends it"
        )
    frames = None if x is None else frames_of(chip.ports[0], np.asarray(x))[0]
    formats = {p.name: layer_format(chip, p.name) for p in chip.populations}
    found = export_sanafe(program, target, folder, formats, frames)
    doubtful = sorted({bound.population for bound in overflows(chip).open})
    text = "some input may make its registers wrap or saturate, which SANA-FE's do not"
    return (*found, *(Note("RV449", name, text) for name in doubtful))
