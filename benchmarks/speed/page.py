"""docs/performance.md from a record: every figure on the page stands in the JSON file beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import plots
from benchmarks.speed.goals import Outcome, evaluate
from benchmarks.speed.peers import OURS, PEERS
from benchmarks.speed.record import Record, microseconds, row_of
from benchmarks.speed.statistics import Law, number, spread

PAGE = "performance.md"
LIMITS = Path(__file__).with_name("limits.md")
"""What explains the goals that are not met: written by hand, part of the page where the file exists."""
INTRODUCTION = """\
# Performance

Every peer runs the same network on the same inputs in one run, each in a child process and, where its licence or its
pins ask for it, in an environment of its own. Before anything is timed, its answers on the first samples are compared:
integer peers bit for bit with the oracle (spikes and states; of SANA-FE, which computes in floats, the spikes), float
peers with Ranvier's float reference (share of neuron-steps in which both fire or both do not; below 99 % the row does
not count). `make bench` measures everything and writes this page; `make bench QUICK=1` is a rehearsal of three minutes
that leaves the page alone.
"""
HOW = """\
Times are medians of up to seven calls after a first one, in microseconds a sample and step. Ranvier's time is the whole
public call, from the input array to the recording; a framework's tensors are made beforehand, without gradients, its
layers run over all steps at once. Emulators have no batch: they run one sample after the other. Lava's time is that of
its steps alone, the difference of a long run and one of a single step. `~`: measured on fewer samples or steps than the
batch has, and put on that batch's scale. Spread: half the distance of the extremes of the repeats over their median.
"""


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _shown(outcome: Outcome) -> tuple[str, str]:
    goal, found = outcome.goal, outcome.found
    if goal.unit == "%":
        return f"{goal.wanted:.0%}", "-" if found is None else f"{found.value:.0%}"
    against = f" ({found.against})" if found is not None and found.against else ""
    return f"{goal.wanted:g}x", "-" if found is None else f"{number(found.value)}x{against}"


def goals_table(record: Record) -> str:
    """Goal, measured, met or not."""
    outcomes = evaluate(record)
    return table(("against", "goal", "measured", ""), [(o.goal.name, *_shown(o), o.verdict) for o in outcomes])


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    return f"{'~' if row['extrapolated'] else ''}{number(microseconds(row))}"


def _against_ours(record: Record, workload: str, row: Mapping[str, Any] | None) -> str:
    ours = None if row is None else row_of(record, workload, OURS, int(row["batch"]))
    return "-" if row is None or ours is None else f"{number(microseconds(row) / microseconds(ours))}x"


def speed_table(record: Record, workload: str) -> str:
    """All peers on one workload."""
    batches = sorted({r["batch"] for r in record["rows"] if r["workload"] == workload})
    checks = {c["peer"]: c for c in record["checks"] if c["workload"] == workload}
    rows: list[list[str]] = []
    for peer in PEERS:
        found = [row_of(record, workload, peer, batch) for batch in batches]
        if any(found):
            last = next(row for row in reversed(found) if row is not None)
            judged = _judged(checks[peer]) if peer in checks else "not checked"
            times = [text for row in found for text in (_cell(row), _against_ours(record, workload, row))]
            rows.append([peer, *times, f"{spread(last['seconds']):.0%}", judged])
    header = [text for batch in batches for text in (f"us, batch {batch}", "times ours")]
    return table(("", *header, "spread", "checked"), rows)


def _judged(check: Mapping[str, Any]) -> str:
    share = 1 - check["differing"] / max(check["compared"], 1)
    if check["against"] == "oracle":
        return f"{check['compared']:,} values equal" if check["passed"] else f"WRONG: {check['differing']:,} differ"
    exact = "100 %" if check["differing"] == 0 else f"{100 * share:.4f} %"
    return f"{exact} of {check['compared']:,}{'' if check['passed'] else ': NOT THE SAME NETWORK'}"


def _workload(record: Record, about: Mapping[str, Any]) -> str:
    name = about["name"]
    rate = f", {about['input_rate']:.2%} of the inputs active" if about.get("input_rate") is not None else ""
    compiled = f" Compiling took {about['compile_s']:.1f} s." if about.get("compile_s") is not None else ""
    facts = f"{about['neurons']:,} neurons, {about['synapses']:,} synapses, {about['steps']} steps{rate}, "
    facts += f"{about['activity']:.2%} of the neurons fire in a step.{compiled}"
    reasons: dict[str, list[str]] = {}
    for a in record["absent"]:
        if a["workload"] == name:
            reasons.setdefault(a["reason"], []).append(a["peer"])
    absent = [f"- {'; '.join(peers)}: {reason}" for reason, peers in reasons.items()]
    missing = "\n\nMissing or cut short:\n\n" + "\n".join(absent) if absent else ""
    return f"### {name}\n\n{facts}\n\n{speed_table(record, name)}{missing}"


def starts_table(record: Record) -> str:
    """Start-up, building, first call, memory."""
    rows = []
    for s in record["starts"]:
        last = row_of(record, s["workload"], s["peer"])
        if last is not None:
            times = [f"{s[key]:.2f}" for key in ("startup_s", "build_s", "first_call_s")]
            rows.append([s["workload"], s["peer"], *times, f"{last['peak_mb']:,.0f}"])
    return table(("network", "", "start s", "build s", "first call s", "peak MB"), rows)


def growth_table(record: Record) -> str:
    """The fitted laws."""
    rows = []
    for g in record["growth"]:
        law = Law(g["factor"], g["exponent"], g["r2"])
        scope = f"{g['x'][0]:g} to {g['x'][-1]:g} {g['unit']}"
        rows.append([g["law"], scope, f"{law.exponent:.2f}", f"{law.r2:.3f}", number(1000 * g["seconds"][-1])])
    return table(("time against", "range", "exponent", "R2", "ms at the end"), rows)


def _measures(record: Record) -> str:
    m = record["measures"]
    lines = []
    if "start_cold_s" in m:
        lines.append(f"- From starting Python to the first result (MLP): {m['start_cold_s']:.1f} s with empty caches.")
    if "start_warm_s" in m:
        lines.append(f"- The same once the kernels are cached: {m['start_warm_s']:.1f} s.")
    if "neuron_update_ns" in m:
        lines.append(
            f"- A neuron update takes {m['neuron_update_ns']:.2f} ns through the whole executor, with input, no spike. "
            f"Copying until the same 33 bits (input sum, spike) have been read and written takes {m['copy_ns']:.2f} ns."
        )
    return "\n".join(lines)


def _machine(record: Record) -> str:
    m = record["machine"]
    versions: dict[str, str] = {}
    for names in record["versions"].values():
        versions |= {name: value for name, value in names.items() if name != "python"}
    lent = ", ".join(f"{name} {value}" for name, value in sorted(versions.items(), key=lambda v: v[0].lower()))
    gpu = m["gpu"] or "no GPU"
    size = f"{m['processors']} processors, {m['memory_gb']:g} GB, {gpu}, {m['system']}, load {m['load']} at the start"
    return f"{m['processor']}, {size}; {record['date']}, {record['seconds'] / 60:.0f} minutes. {lent}."


def text(record: Record) -> str:
    """The whole page."""
    quick = "This is a rehearsal with small networks and few repeats.\n" if record["quick"] else ""
    workloads = "\n\n".join(_workload(record, w) for w in record["workloads"])
    there = {w["name"] for w in record["workloads"]}
    left = [f"- {a['workload']}: {a['reason']}" for a in record["absent"] if a["workload"] not in there]
    workloads += "\n\nNot measured at all:\n\n" + "\n".join(left) if left else ""
    wrong = [f"{c['peer']} on {c['workload']}" for c in record["checks"] if not c["passed"]]
    told = f"\nAnswers that were not right, whose times therefore do not count: {', '.join(wrong)}.\n" if wrong else ""
    parts = [
        INTRODUCTION + quick,
        _machine(record),
        f"## Goals\n\n{goals_table(record)}\n{told}",
        f"## Speed\n\n{HOW}\n![Time of a sample and step]({plots.SPEED})\n\n{workloads}",
        f"## Start-up and memory\n\n{_measures(record)}\n\n{starts_table(record)}",
    ]
    if record["growth"]:
        grown = f"Ranvier on one thread; each law is a line through the logarithms.\n\n![Growth]({plots.GROWTH})"
        parts.append(f"## Growth\n\n{grown}\n\n{growth_table(record)}")
    if LIMITS.is_file():
        parts.insert(3, LIMITS.read_text(encoding="utf-8"))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def write(record: Record, folder: Path) -> None:
    """The page and its plots into ``folder``."""
    plots.draw(record, folder)
    (folder / PAGE).write_text(text(record), encoding="utf-8")
