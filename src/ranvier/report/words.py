"""What the report says in words: verdict, figures at a glance, differences, provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ranvier.app import App
from ranvier.cli.tables import NOT_MODELLED, break_even, bytes_text, energy_text, percent, plural
from ranvier.summary import Report

SIGNIFICANT = 0.05
NOTABLE = 0.01
"""A loss of accuracy that is worth a word even where it could be chance."""


@dataclass(frozen=True)
class Verdict:
    """One sentence and its mood: good, doubtful or bad."""

    mood: str
    text: str


def verdict(verification: Mapping[str, Any] | None) -> Verdict:
    """What the reader should take away."""
    if verification is None:
        return Verdict("doubtful", "Compiled, not verified: no run was compared with the float network.")
    if not verification.get("agrees", True):
        return Verdict("bad", "Executors disagree: the deployed network would not behave as simulated.")
    wrapped = [d for d in verification["diagnostics"] if d["severity"] == "error"]
    if wrapped:
        return Verdict("bad", f"{len(wrapped)} errors were found: first {wrapped[0]['code']}, {wrapped[0]['message']}")
    accuracy, source, paired = (verification.get(k) for k in ("accuracy", "float_accuracy", "paired"))
    if accuracy is None or source is None or paired is None:
        return Verdict("good", "No errors; without labels and a float network no accuracy can be compared.")
    change = f"{percent(accuracy)} deployed against {percent(source)} in floats on {verification['samples']} samples"
    if paired["p_value"] < SIGNIFICANT and accuracy < source:
        return Verdict("bad", f"Deployment costs accuracy: {change}, more than chance (p = {paired['p_value']:.2g}).")
    if source - accuracy > NOTABLE:
        text = f"{change}, {100 * (source - accuracy):.2f} points less; on so few samples that could be chance"
        return Verdict("doubtful", f"{text} (p = {paired['p_value']:.2g}): verify on more.")
    return Verdict("good", f"Deployment keeps the accuracy: {change} (paired p = {paired['p_value']:.2g}).")


def cards(report: Report, verification: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """Figures at a glance: name, value, what to know about it."""
    found = []
    v = verification or {}
    if v.get("accuracy") is not None:
        low, high = v["interval"]
        found.append(("accuracy, deployed", percent(v["accuracy"]), f"95 %: {100 * low:.2f} to {100 * high:.2f}"))
    if v.get("float_accuracy") is not None:
        found.append(("accuracy, float", percent(v["float_accuracy"]), f"{v['samples']} samples of {v['steps']} steps"))
    if v.get("same_predictions") is not None:
        found.append(("same answers", percent(v["same_predictions"]), "float against deployed"))
    if v.get("comparisons"):
        runtimes = ", ".join(c["runtime"] for c in v["comparisons"])
        found.append(("values that differ", f"{v['disagreements']:,}", f"{v['runtime']} against {runtimes}"))
    proved = sum(bound.proved for bound in report.registers)
    found.append(("registers proved", f"{proved} of {len(report.registers)}", "overflow impossible for every input"))
    taken = NOT_MODELLED if report.memory_bytes is None else bytes_text(report.memory_bytes)
    found.append(
        ("memory", taken, f"{plural(report.cores, 'core')}, {plural(report.chips, 'chip')} of {report.target}")
    )
    if report.energy is not None:
        found.append(
            ("energy", energy_text(report.energy).split(" per ")[0], f"a sample; constants of {report.energy.basis}")
        )
        twin = report.energy.equivalent
        if twin is not None:
            hint = f"a sample; spike rate {percent(twin.rate)}, break-even {break_even(twin)}"
            found.append(("as a conventional network", f"{twin.ann.energy_nj.value / 1e3:.3g} uJ", hint))
    elif report.ran:
        found.append(("energy", NOT_MODELLED, f"no cost of operations on {report.target} is known here"))
    return found


def differences(verification: Mapping[str, Any] | None, explained: Mapping[str, Any]) -> list[dict[str, str]]:
    """The first differing spikes in words, each with its cause."""
    causes: Sequence[Any] = explained.get("causes") or []
    if causes:
        return [
            {
                "mode": "free running" if cause["mode"] == "free" else "forced",
                "place": _place(cause["difference"]),
                "values": _values(cause["difference"]),
                "cause": ", ".join(cause["approximations"]) or "no single one",
            }
            for cause in causes
        ]
    first = (verification or {}).get("first_deviation")
    if first is None:
        return []
    return [
        {"mode": "free running", "place": _place(first), "values": _values(first), "cause": "not asked for (--explain)"}
    ]


def provenance(app: App) -> list[tuple[str, str]]:
    """Where the program comes from, hashes included."""
    found = [(name.replace("_", " "), str(value)) for name, value in app.provenance.items() if str(value)]
    return [*found, ("target", app.program.target), ("target file sha256", app.target_sha256 or "not known")]


def _place(d: Mapping[str, Any]) -> str:
    return f"{d['layer']}, neuron {', '.join(map(str, d['neuron']))}; step {d['step']}, sample {d['sample']}"


def _values(d: Mapping[str, Any]) -> str:
    text = f"{d['values'][0]:g} float, {d['values'][1]:g} deployed"
    if None not in d["membranes"]:
        text += f"; membranes {d['membranes'][0]:.6g} and {d['membranes'][1]:.6g}"
    if None not in d["distances"]:
        text += f", {d['distances'][0]:+.3g} and {d['distances'][1]:+.3g} from the threshold"
    return text
