"""An explanation as tables for people."""

from collections.abc import Iterable

from rich.console import RenderableType
from rich.text import Text

from ranvier.cli.output import clean
from ranvier.cli.tables import percent, row, table
from ranvier.runtimes.verify.explain.results import (
    Cause,
    Effect,
    ExecutorFault,
    Explanation,
    LayerError,
    Stage,
    Step,
    Suspect,
)
from ranvier.runtimes.verify.findings import described


def explanation_tables(e: Explanation, verbose: bool) -> tuple[RenderableType, ...]:
    """The stages, the layers, what each approximation does, and causes; with ``verbose`` per layer as well."""
    head = f"explained on {e.samples} samples of {e.steps} steps"
    parts: list[RenderableType] = [_stages(head, e.stages, e.chain), _layers(e.layers), _network(e.effects)]
    if verbose:
        parts.append(_in_layers(e.effects))
    parts += [_fault(f) for f in e.faults]
    return (*parts, *(_cause(c) for c in e.causes if verbose or c.mode == "free"), *_suspects(e.suspects, verbose))


def _stages(head: str, stages: Iterable[Stage], chain: Iterable[Step]) -> RenderableType:
    """Every stage, and how much of its spikes it shares with the one before."""
    made = table(head, "stage", "accuracy#", "equal spikes#", "forced#", "same answers#")
    steps = {step.after: step for step in chain}
    for stage in stages:
        accuracy = "" if stage.accuracy is None else percent(stage.accuracy)
        step = steps.get(stage.name)
        if step is None:
            row(made, stage.name, accuracy, "", "", "")
            continue
        least = [min((c.agreement for c in found.values()), default=1.0) for found in (step.free, step.forced)]
        row(made, stage.name, accuracy, *(f"{100 * share:.3f} %" for share in least), percent(step.same_predictions))
    return made


def _layers(rows: Iterable[LayerError]) -> RenderableType:
    columns = ("layer", "equal spikes#", "forced#", "rate error#", "membrane error#", "if exact#", "if only this#")
    made = table("layers, deployed against float", *columns)
    for r in rows:
        error = r.forced.membrane_rms
        row(
            made,
            r.layer,
            f"{100 * r.free.agreement:.3f} %",
            f"{100 * r.forced.agreement:.3f} %",
            f"{r.free.rates[1] - r.free.rates[0]:+.5f}",
            "" if error is None else f"{error:.2g}",
            "" if r.accuracy_if_exact is None else percent(r.accuracy_if_exact),
            "" if r.accuracy_if_only_deployed is None else percent(r.accuracy_if_only_deployed),
        )
    return made


def _network(effects: Iterable[Effect]) -> RenderableType:
    columns = ("approximation", "spikes if exact#", "accuracy#", "spikes if alone#", "accuracy#")
    made = table("one approximation at a time, in all layers", *columns)
    for e in effects:
        if e.layer is None:
            accuracies = ["" if a is None else percent(a) for a in (e.accuracy_if_exact, e.accuracy_alone)]
            shares = [f"{100 * share:.3f} %" for share in (e.agreement_if_exact, e.agreement_alone)]
            row(made, e.approximation, shares[0], accuracies[0], shares[1], accuracies[1])
    return made


def _in_layers(effects: Iterable[Effect]) -> RenderableType:
    columns = ("layer", "approximation", "spikes if exact#", "spikes if alone#", "membrane error alone#")
    made = table("one approximation at a time, layer by layer, forced", *columns)
    for e in effects:
        if e.layer is not None:
            error = "" if e.membrane_rms_alone is None else f"{e.membrane_rms_alone:.2g}"
            shares = [f"{100 * share:.3f} %" for share in (e.agreement_if_exact, e.agreement_alone)]
            row(made, e.layer, e.approximation, *shares, error)
    return made


def _cause(cause: Cause) -> Text:
    """The first differing spike in words, and what each approximation does to it."""
    d = cause.difference
    why = " with ".join(cause.approximations) or "the order in which the float network adds up"
    kind = "free running" if cause.mode == "free" else "given the float network's spikes"
    lines = [f"first differing spike of {clean(d.layer)}, {kind}: {described(d)}", f"  cause: {why}"]
    moving = [(s.approximation, s.shift) for s in cause.shares if s.shift]
    lines += [f"  {name} moves the membrane there by {shift:+.2g} of the threshold" for name, shift in moving]
    return Text("\n".join(lines))


def _fault(fault: ExecutorFault) -> Text:
    """Where an executor is not what the chip network says."""
    why = (
        "nothing that was tried gives its values"
        if fault.cause is None
        else f"{fault.cause} ({clean(fault.change or '')})"
    )
    text = f"{fault.runtime} is wrong in {clean(fault.layer)}, first {described(fault.first)}\n  cause: {why}"
    return Text(text, style="bold red")


def _suspects(suspects: Iterable[Suspect], verbose: bool) -> list[RenderableType]:
    """Registers that are not the nearest to their exact values; with ``verbose`` also those one step off."""
    found = [(s, d) for s in suspects for d in s.departures if d.beyond or verbose]
    if not found:
        return []
    made = table("registers that are not the nearest", "layer", "approximation", "registers#", "steps off#", "e.g.")
    for s, d in found:
        row(made, s.layer, d.approximation, str(d.registers), f"{d.worst:.3g}", d.examples[0] if d.examples else "")
    return [made]
