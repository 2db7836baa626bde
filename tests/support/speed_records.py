"""Made-up benchmark records for the tests; no number in them was measured."""

from typing import Any

from benchmarks.speed.record import Record, empty


def row(peer: str, microseconds: float, workload: str = "mlp 10%", batch: int = 256, **more: Any) -> dict[str, Any]:
    """A row whose median is ``microseconds`` a sample and step."""
    seconds = microseconds * 1e-6 * batch * 100
    found = {"workload": workload, "peer": peer, "batch": batch, "threads": 1, "samples": batch, "steps": 100}
    found |= {"seconds": [seconds, 0.9 * seconds, 1.1 * seconds], "first_s": seconds, "extrapolated": False}
    return found | {"peak_mb": 100.0} | more


def check(peer: str, differing: int = 0, workload: str = "mlp 10%") -> dict[str, Any]:
    """A check that is passed when nothing differs."""
    found = {"workload": workload, "peer": peer, "against": "oracle", "samples": 2, "steps": 100}
    return found | {"compared": 1000, "differing": differing, "passed": differing == 0}


def record(*rows: dict[str, Any], wrong: tuple[str, ...] = ()) -> Record:
    """A record with ``rows``, whose peers gave right answers unless they are ``wrong``."""
    made = empty(quick=False, gpu="")
    made["rows"] = list(rows)
    pairs = dict.fromkeys((r["workload"], r["peer"]) for r in rows)
    made["checks"] = [check(peer, int(peer in wrong), workload) for workload, peer in pairs]
    for name in dict.fromkeys(r["workload"] for r in rows):
        made["workloads"].append({"name": name, "neurons": 522, "synapses": 9, "steps": 100, "activity": 0.1})
    return made
