"""Compiling one network at many points: what does not depend on the options is done once."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ranvier.app import App
from ranvier.compiler.diagnostics import Figure
from ranvier.compiler.ir.coding import frames_of
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.sparsity import parse_pattern
from ranvier.compiler.options import Options
from ranvier.compiler.passes.mapping.effort import NORMAL, Effort, Progress, silent
from ranvier.compiler.pipeline import mapped, prepare
from ranvier.fitting import fit
from ranvier.runtimes.calibration_data import with_calibration_notes
from ranvier.runtimes.observe import Measured, measure
from ranvier.targets.load import load_target


class Compilation:
    """``net`` on ``target`` with the data ``calibrate``, of which ``app`` makes a program for any options."""

    def __init__(self, net: Network, target: str | Path, calibrate: ArrayLike | None) -> None:
        self.net, self.target = net, load_target(target)
        self.data = None if calibrate is None else np.asarray(calibrate)
        self._prepared = prepare(net)

    @cached_property
    def measured(self) -> Measured | None:
        """What the float network does on the calibration data."""
        if self.data is None:
            return None
        return measure(self._prepared, frames_of(self._prepared.inputs[0], self.data))

    @cached_property
    def prepared(self) -> Network:
        """The folded network, with what is doubtful about the calibration data as notes."""
        if self.data is None or self.measured is None:
            return self._prepared
        frames = frames_of(self._prepared.inputs[0], self.data)
        return with_calibration_notes(self._prepared, frames, self.measured.observed)

    def app(self, options: Options, effort: Effort = NORMAL, progress: Progress = silent) -> App:
        """The compiled network; raises ``RanvierError`` with everything that stands in the way.

        ``progress`` is told the stages of the mapping to cores.
        """
        if options.prune:
            parse_pattern(options.prune)
        chip = fit(self.prepared, self.target, self.measured, options)
        program = mapped(chip, self.target, self.prepared, effort, progress=progress)
        provenance = {"network": self.net.name, **options.provenance(), **self._calibration}
        return App(program, self.target, provenance, self.target.sha256)

    @cached_property
    def _calibration(self) -> Mapping[str, Figure]:
        if self.data is None:
            return {}
        content = hashlib.sha256(np.ascontiguousarray(self.data).tobytes()).hexdigest()
        return {"calibration_shape": str(self.data.shape), "calibration_sha256": content}
