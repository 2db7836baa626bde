# ruff: noqa: PLC0415 - what one method needs alone is imported there, so that each verb starts fast
"""A compiled network, and what can be done with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from ranvier.compiler import artifact
from ranvier.compiler.diagnostics import Figure
from ranvier.compiler.ir.coding import frames_of
from ranvier.compiler.ir.program import Program
from ranvier.runtimes.recording import Recording, Records

if TYPE_CHECKING:
    from ranvier.proof import Proof
    from ranvier.summary import Report
    from ranvier.targets.schema import Target

Runtime = Literal["simulator", "gpu", "oracle", "lava"]


@dataclass(frozen=True, eq=False)
class App:
    """A compiled network: the ``program``, its ``target`` (None if that is not known here), its ``provenance``.

    ``target_sha256`` is the hash of the target file that it was compiled for.
    """

    program: Program
    target: "Target | None" = None
    provenance: Mapping[str, Figure] = field(default_factory=dict)
    target_sha256: str = ""

    def run(self, x: ArrayLike, record: Records = (), runtime: Runtime = "simulator") -> Recording:
        """Run on ``x`` (samples, steps, *shape): outputs, predictions, counts, overflows.

        Where the input has an encoder, ``x`` may be what it takes instead: samples (samples, *shape).
        ``record`` names what to keep of every layer: ``spikes``, ``membrane``, ``states``. All runtimes give
        the same values. Raises ``RanvierError`` when the data do not fit, or the runtime cannot run.
        """
        from ranvier.runtimes.verify.executors import executor

        chip = self.program.chip
        return executor(runtime)(chip, frames_of(chip.ports[0], np.asarray(x)), record)

    def save(self, path: str | Path) -> None:
        """Write the artifact (``.rnv``), the same bytes each time; raises ``RanvierError`` RV409 if it cannot."""
        artifact.save(self.program, path, provenance=self.provenance, target_sha256=self.target_sha256)

    def emit_lava(self, folder: str | Path) -> Path:
        """Write a Lava project that runs by itself into ``folder``, and return that folder."""
        from ranvier.runtimes.lava.emit import emit

        emit(self.program.chip, Path(folder))
        return Path(folder)

    def report(self, recording: Recording | None = None) -> "Report":
        """Layers, cores, memory, roundings and notes; with a ``recording`` also firing rates and energy."""
        from ranvier.summary import report

        return report(self.program, self.target, recording)

    def prove(self, seconds: float = 20.0, seed: int = 0) -> "Proof":
        """Whether any input can overflow a register: each proved, refuted by an input, or open after the search.

        The search takes about ``seconds`` at most; the same ``seed`` tries the same inputs in the same order.
        """
        from ranvier.proof import prove

        return prove(self.program.chip, seconds, seed)
