"""What a benchmark run leaves: one JSON file, whose form is written down and checked here."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.speed.statistics import median

SCHEMA = 1
Record = dict[str, Any]

FORM: Mapping[str, Any] = {
    "schema": int,
    "date": str,
    "quick": bool,
    "seconds": float,
    "machine": {"processor": str, "processors": int, "memory_gb": float, "system": str, "load": float, "gpu": str},
    "versions": dict,
    "workloads": [{"name": str, "neurons": int, "synapses": int, "steps": int, "activity": float}],
    "checks": [
        {"workload": str, "peer": str, "against": str, "samples": int, "steps": int, "compared": int,
         "differing": int, "passed": bool}
    ],
    "rows": [
        {"workload": str, "peer": str, "batch": int, "threads": int, "samples": int, "steps": int,
         "seconds": list, "first_s": float, "extrapolated": bool, "peak_mb": float}
    ],
    "starts": [{"workload": str, "peer": str, "startup_s": float, "build_s": float, "first_call_s": float}],
    "absent": [{"workload": str, "peer": str, "reason": str}],
    "growth": [{"law": str, "unit": str, "x": list, "seconds": list, "exponent": float, "factor": float, "r2": float}],
    "measures": dict,
}  # fmt: skip
"""The keys that must be there and their types; a list holds any number of such objects. More keys are allowed."""


def empty(quick: bool, gpu: str) -> Record:
    """A record of this machine without results."""
    lists: Record = {name: [] for name in ("workloads", "checks", "rows", "starts", "absent", "growth")}
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    first: Record = {"schema": SCHEMA, "date": date, "quick": quick, "seconds": 0.0, "machine": machine(gpu)}
    return first | {"versions": {}} | lists | {"measures": {}}


def machine(gpu: str) -> dict[str, Any]:
    """What times depend on."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": _processor(),
        "processors": processors,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2),
        "gpu": gpu,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def problems(value: Any, form: Any = FORM, place: str = "record") -> list[str]:
    """Where ``value`` differs from ``form``."""
    if isinstance(form, type):
        number = isinstance(value, int) and not isinstance(value, bool) and form is float
        return [] if number or type(value) is form else [f"{place} is no {form.__name__}"]
    if isinstance(form, list):
        if not isinstance(value, list):
            return [f"{place} is no list"]
        return [text for i, item in enumerate(value) for text in problems(item, form[0], f"{place}[{i}]")]
    if not isinstance(value, dict):
        return [f"{place} is no object"]
    missing = [f"{place} has no {key}" for key in form if key not in value]
    return missing + [t for key, f in form.items() if key in value for t in problems(value[key], f, f"{place}.{key}")]


def save(record: Record, path: Path) -> None:
    """Write ``record`` whole or not at all."""
    found = problems(record)
    assert not found, found
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def load(path: Path) -> Record:
    """Read a record; ``ValueError`` names what is wrong with its form."""
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    found = problems(record)
    if record.get("schema") != SCHEMA:
        found.append(f"schema {record.get('schema')}, not {SCHEMA}")
    if found:
        raise ValueError(f"{path}: {'; '.join(found[:5])}")
    return record


def passed(record: Record, workload: str, peer: str) -> bool:
    """Whether the answers of ``peer`` on ``workload`` were checked and right."""
    found = [c["passed"] for c in record["checks"] if (c["workload"], c["peer"]) == (workload, peer)]
    return bool(found) and all(found)


def row_of(record: Record, workload: str, peer: str, batch: int | None = None) -> dict[str, Any] | None:
    """The row of ``peer`` at ``batch`` (None: the largest), None where it was not measured."""
    rows = [r for r in record["rows"] if (r["workload"], r["peer"]) == (workload, peer)]
    rows = [r for r in rows if batch is None or r["batch"] == batch]
    return max(rows, key=lambda r: int(r["batch"])) if rows else None


def microseconds(row: Mapping[str, Any]) -> float:
    """The median time of one sample and step."""
    return 1e6 * median(row["seconds"]) / float(row["samples"] * row["steps"])


def ratio(record: Record, workload: str, slow: str, fast: str, batch: int | None = None) -> float | None:
    """How many times longer ``slow`` takes; None unless both were measured and their answers right."""
    rows = [row_of(record, workload, peer, batch) for peer in (slow, fast)]
    if rows[0] is None or rows[1] is None or not all(passed(record, workload, p) for p in (slow, fast)):
        return None
    return microseconds(rows[0]) / microseconds(rows[1])


def fastest(record: Record, workload: str, peers: Sequence[str], batch: int) -> str | None:
    """The peer with the least time at ``batch`` among those whose answers were right."""
    rows = {p: row_of(record, workload, p, batch) for p in peers if passed(record, workload, p)}
    times = {p: microseconds(r) for p, r in rows.items() if r is not None}
    return min(times, key=lambda p: times[p]) if times else None
