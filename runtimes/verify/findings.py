"""What a verification found, told as diagnostics."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, Severity
from ranvier.runtimes.recording import Recording
from ranvier.runtimes.verify.compare import first_spot
from ranvier.runtimes.verify.explain.groups import BIAS
from ranvier.runtimes.verify.explain.results import Departure, Explanation, Suspect
from ranvier.runtimes.verify.results import Agreement, Comparison, Difference
from ranvier.runtimes.verify.statistics import Paired

SIGNIFICANT = 0.05
SERIOUSNESS = {"error": 0, "warning": 1, "note": 2}


def by_seriousness(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Errors first, in a stable order."""
    return tuple(sorted(diagnostics, key=lambda d: SERIOUSNESS[d.severity]))


def of_comparison(comparison: Comparison) -> list[Diagnostic]:
    """Findings about two executors that must agree."""
    names = f"{comparison.runtime} and {comparison.against}"
    found = []
    first = comparison.first_difference
    if first is not None:
        compared = comparison.spikes + comparison.states
        text = f"{names} differ in {comparison.disagreements} of {compared} values, first {described(first)}"
        fix = "keep the program and the data and report it: every executor has to give the same values"
        figures = {"disagreements": comparison.disagreements, "step": first.step, "sample": first.sample}
        found.append(Diagnostic("RV802", first.layer, text, fix, "error", figures))
    for missing in comparison.missing:
        text = f"{names} did not both record it in one shape, so that nothing shows their agreement"
        found.append(Diagnostic("RV803", missing, text, f"report it with what the {comparison.runtime} run printed"))
    return found


def described(difference: Difference) -> str:
    """A difference in words: where, both values, both membranes against their thresholds."""
    d = difference
    text = f"in {d.quantity} of neuron {d.neuron} in step {d.step} of sample {d.sample}: "
    text += f"{d.values[1]:g} against {d.values[0]:g}"
    if d.membranes[0] is not None and d.membranes[1] is not None:
        text += f"; membranes {d.membranes[1]:g} and {d.membranes[0]:g}"
    if d.distances[0] is not None and d.distances[1] is not None:
        text += f", {d.distances[1]:+g} and {d.distances[0]:+g} from the threshold"
    return text


def of_accuracy(paired: Paired | None, agreement: Mapping[str, Agreement]) -> list[Diagnostic]:
    """A warning where the deployed network is worse by more than chance, with the layer that suffers most."""
    if paired is None or paired.only_float <= paired.only_deployed or paired.p_value >= SIGNIFICANT:
        return []
    text = f"deployment loses {paired.only_float} right answers and gains {paired.only_deployed}, "
    text += f"which is more than chance (McNemar p = {paired.p_value:.2g})"
    place = "network"
    if agreement:
        place = min(agreement, key=lambda name: agreement[name].fraction)
        worst = agreement[place]
        text += f"; least equal are the spikes of {place}: {worst.fraction:.2%}, "
        text += f"rate {worst.float_rate:.4g} float, {worst.rate:.4g} deployed"
    fix = "look at the overflows and at how this layer's weights were rounded; calibrate with real data"
    return [Diagnostic("RV805", place, text, fix, "warning", {"p_value": paired.p_value})]


def of_explanation(explanation: Explanation | None) -> list[Diagnostic]:
    """Registers that no rounding explains as warnings, and the cause of the first differing spike as a note."""
    if explanation is None:
        return []
    found = [_of_departure(s, d) for s in explanation.suspects for d in s.departures if d.beyond]
    first = next((c for c in explanation.causes if c.mode == "free"), None)
    if first is not None:
        d = first.difference
        why = " with ".join(first.approximations) or "the order in which the float network adds up"
        text = f"the first spike that differs from the float network's is {described(d)}; its cause: {why}"
        fix = "nothing has to be done; the table of effects says what each approximation costs"
        found.append(Diagnostic("RV807", d.layer, text, fix, "note", {"step": d.step, "sample": d.sample}))
    return found


def _of_departure(suspect: Suspect, departure: Departure) -> Diagnostic:
    """A warning; a note for biases, which bias correction moves on purpose."""
    d = departure
    text = f"{d.approximation}: {d.beyond} of its registers are not what rounding gives ({'; '.join(d.examples)})"
    if suspect.first is not None:
        shown = f"it shows first {described(suspect.first)}"
        text += f"; {shown}" if d.approximation in suspect.cause else ""
    else:
        text += "; nothing of it shows on these samples"
    fix = "compile the program again; it is as intended if weights were rounded by output or the bias corrected"
    severity: Severity = "note" if d.approximation == BIAS else "warning"
    figures = {"registers": d.registers, "beyond": d.beyond}
    return Diagnostic("RV806", suspect.layer, text, fix, severity, figures)


def of_float_run(recording: Recording, layers: Sequence[str], offset: int) -> list[Diagnostic]:
    """An error for the first layer of the float network whose membrane is no number."""
    for layer in layers:
        membrane = recording.membrane.get(layer)
        spot = None if membrane is None else first_spot(~np.isfinite(membrane))
        if spot is not None:
            sample, step, neuron = spot
            figures = {"sample": offset + sample, "step": step, "neuron": neuron}
            place = ", ".join(f"{name} {number}" for name, number in figures.items())
            text = f"the float network's membrane is NaN or infinite, first in {place}"
            return [Diagnostic("RV804", layer, text, "check the training: it diverges", "error", figures)]
    return []
