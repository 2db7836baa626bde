"""What the parts of a hosted network take: which run on the chip, which on the host, and their shares."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ranvier.app import App
from ranvier.compiler.analysis.equivalent import MAC_FACTOR
from ranvier.compiler.analysis.host import operation_pj, operations
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.hosted import HostFunction, HostPart, Parts
from ranvier.compiler.ir.network import Note
from ranvier.runtimes.hosted import HostedRecording
from ranvier.summary import Report

PJ, NJ = 1e-12, 1e-9


@dataclass(frozen=True)
class PartReport:
    """One part: where it runs, the populations or functions it holds, its neurons; by the sample what it takes.

    ``operations``: of the chip the synaptic events that were measured, of the host multiply-adds and what its functions
    take; ``energy_j`` the dynamic energy. ``clipped``: the share of what entered a chip part that lay beyond its
    payload's range. None where it is not known.
    """

    name: str
    kind: str
    holds: tuple[str, ...]
    neurons: int
    operations: float | None
    energy_j: float | None
    clipped: float | None = None


@dataclass(frozen=True, eq=False)
class HostedReport:
    """All parts; ``basis`` says what the energy rests on, ``chips`` are the reports of the programs."""

    network: str
    target: str
    parts: tuple[PartReport, ...]
    basis: str
    chips: tuple[Report, ...]
    notes: tuple[Note, ...]

    @property
    def neurons(self) -> int:
        """Neurons of all chip parts."""
        return sum(part.neurons for part in self.parts)

    def operation_share(self, part: PartReport) -> float | None:
        """The share of all operations that ``part`` takes; None without a run."""
        return _share(part.operations, [p.operations for p in self.parts])

    def energy_share(self, part: PartReport) -> float | None:
        """The share of all energy; None where that of any part is not known."""
        return _share(part.energy_j, [p.energy_j for p in self.parts])

    def to_json(self) -> dict[str, object]:
        """The whole content as plain values."""
        shares = [
            {"operation_share": self.operation_share(part), "energy_share": self.energy_share(part)}
            for part in self.parts
        ]
        return {
            "network": self.network,
            "target": self.target,
            "neurons": self.neurons,
            "parts": [asdict(part) | share for part, share in zip(self.parts, shares, strict=True)],
            "basis": self.basis,
            "chips": [report.to_json() for report in self.chips],
            "notes": [asdict(note) for note in self.notes],
        }


def hosted_report(parts: Parts, apps: Sequence[App], recording: HostedRecording | None) -> HostedReport:
    """The report of a compiled hosted network, with what a run took where there is a ``recording``."""
    runs = [(None, None)] * len(apps) if recording is None else zip(recording.chips, recording.entered, strict=True)
    chips = tuple(app.report(run, frames) for app, (run, frames) in zip(apps, runs, strict=True))
    target = apps[0].target
    energies = [report.energy for report in chips if report.energy is not None]
    basis = energies[0].basis if energies else ""
    each, steps = operation_pj(target, basis), 0 if recording is None else recording.outputs.shape[1]
    rows, number = [], 0
    for name, part in parts.named:
        if isinstance(part, HostPart):
            rows.append(_host_row(name, part, steps, each))
        else:
            rows.append(_chip_row(name, apps[number], chips[number], recording, number))
            number += 1
    text = ""
    if energies and each is not None:
        own = "" if energies[0].own else ", those of another chip"
        text = (
            f"energy: constants {basis}{own}; an operation of the host counts as a MAC of the conventional twin, "
            f"{MAC_FACTOR:.3g} times a synaptic operation: {each:.3g} pJ"
        )
    notes = (*parts.notes, *(note for report in chips for note in report.notes))
    return HostedReport(parts.name, apps[0].program.target, tuple(rows), text, chips, tuple(dict.fromkeys(notes)))


def _host_row(name: str, part: HostPart, steps: int, each: float | None) -> PartReport:
    functions = [n for n in part.nodes if isinstance(n, HostFunction)]
    holds = tuple(n.name if n.kind in n.name else f"{n.kind} ({n.name})" for n in functions)
    if not steps:
        return PartReport(name, "host", holds, 0, None, None)
    done = float(operations(part) * steps)
    return PartReport(name, "host", holds, 0, done, None if each is None else done * each * PJ)


def _chip_row(name: str, app: App, report: Report, recording: HostedRecording | None, number: int) -> PartReport:
    chip = app.program.chip
    holds = tuple(p.name for p in chip.populations)
    neurons = sum(size(p.shape) for p in chip.populations)
    if recording is None:
        return PartReport(name, "chip", holds, neurons, None, None)
    run, frames = recording.chips[number], recording.entered[number]
    done = sum(stats.synaptic_operations for stats in run.stats.values()) / len(frames)
    dynamic = None if report.energy is None else report.energy.dynamic_nj
    port = chip.ports[0]
    limit = 2 ** (port.bits - 1) - 1
    beyond = float(np.mean(np.abs(np.rint(frames * port.scale)) > limit)) if port.bits else None
    return PartReport(name, "chip", holds, neurons, done, None if dynamic is None else dynamic.value * NJ, beyond)


def _share(own: float | None, all_: Sequence[float | None]) -> float | None:
    known = [value for value in all_ if value is not None]
    if own is None or len(known) < len(all_) or not sum(known):
        return None
    return own / sum(known)
