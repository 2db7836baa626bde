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
from ranvier.compiler.ir.network import Note
from ranvier.compiler.ir.program import Program
from ranvier.runtimes.recording import Recording, Records

if TYPE_CHECKING:
    from ranvier.proof import Proof
    from ranvier.summary import Report
    from ranvier.targets.schema import Target

Runtime = Literal["simulator", "gpu", "oracle", "lava"]


@dataclass(frozen=True, eq=False)
class App:
    """A compiled network: the ``program``, its ``target`` (None if no mesh, or not known here), its ``provenance``.

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
        artifact.save(
            self.program,
            path,
            provenance=self.provenance,
            target_sha256=self.target_sha256,
            target_files=self._target_files,
        )

    @property
    def _target_files(self) -> tuple[tuple[str, str], ...]:
        return () if self.target is None else self.target.files

    def emit_lava(self, folder: str | Path) -> Path:
        """Write a Lava project that runs by itself into ``folder``, and return that folder."""
        from ranvier.runtimes.lava.emit import emit

        emit(self.program.chip, Path(folder))
        return Path(folder)

    def export_nir(self, path: str | Path) -> tuple[Note, ...]:
        """Write the placed program as a NIR file with integer weights, registers and placement (``docs/exports.md``).

        The notes say what NIR's equations do otherwise than the chip; ``ranvier.open`` reads the file back as this
        program. Raises ``RanvierError`` RV680, and RV464 for neurons that NIR has no equation for.
        """
        from ranvier.runtimes.exports.nir import export_nir_program

        return export_nir_program(
            self.program,
            path,
            provenance=self.provenance,
            target_sha256=self.target_sha256,
            target_files=self._target_files,
        )

    def export_xylo(self, path: str | Path) -> None:
        """Write a program for ``xylo_a2`` as the specification that Rockpool takes (.json); RV460, RV461."""
        from ranvier.runtimes.exports.xylo import export_xylo

        export_xylo(self.program, path)

    def export_dynapcnn(self, path: str | Path) -> tuple[Note, ...]:
        """Write a program for ``speck2f`` as a DynapCNN layer table (.json); RV460, RV461, and notes RV463."""
        from ranvier.runtimes.exports.dynapcnn import export_dynapcnn

        return export_dynapcnn(self.program, path)

    def export_sanafe(self, folder: str | Path, x: ArrayLike | None = None) -> tuple[Note, ...]:
        """Write ``architecture.yaml`` and ``network.yaml`` for SANA-FE 2.x; the sample ``x`` (1, steps, *shape) enters.

        The notes say where SANA-FE's spikes may differ (RV448, RV449). Raises ``RanvierError`` RV440 to RV447 with
        everything that it cannot express.
        """
        from ranvier.sanafe import export

        return export(self.program, self.target, folder, x)

    def report(self, recording: Recording | None = None, x: ArrayLike | None = None) -> "Report":
        """Layers, cores, memory, roundings and notes; with a ``recording`` also firing rates, energy and time.

        Where ``x``, which was run, is given and the recording has the spikes, each of them is followed to the cores
        and steps where it costs something; else only their numbers are known. :meth:`measure` does all that.
        """
        from ranvier.summary import report

        frames = None if x is None else frames_of(self.program.chip.ports[0], np.asarray(x))
        return report(self.program, self.target, recording, frames)

    def measure(self, x: ArrayLike, runtime: Runtime = "simulator") -> tuple[Recording, "Report"]:
        """Run on ``x``, and report what that costs, as precisely as its size allows."""
        from ranvier.summary import followed

        frames = frames_of(self.program.chip.ports[0], np.asarray(x))
        recording = self.run(frames, followed(self.program.chip, *frames.shape[:2]), runtime)
        return recording, self.report(recording, frames)

    def prove(self, seconds: float = 20.0, seed: int = 0) -> "Proof":
        """Whether any input can overflow a register: each proved, refuted by an input, or open after the search.

        The search takes about ``seconds`` at most; the same ``seed`` tries the same inputs in the same order.
        """
        from ranvier.proof import prove

        return prove(self.program.chip, seconds, seed)
