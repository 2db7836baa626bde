"""Off-chip traffic and energy of the published STEMS workloads under uniform and found schedules.

Run with ``python -m benchmarks.schedules [--exact NAME | --picture FILE]``. The tables are the model's on
``stems_1mb``; the paper claims up to 12 times less off-chip movement and 5 times less energy (arXiv 2502.03287).
``--exact`` looks at every schedule of one workload instead and compares the search with that; ``--picture`` draws the
found schedule of SEW-7PLIF. Nothing here is a time: the figures do not depend on the machine.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.schedule_workloads import WORKLOADS, sew

from ranvier.compiler.schedule.choices import OWN, PUBLISHED, Rules, describe
from ranvier.compiler.schedule.cost import costs
from ranvier.compiler.schedule.plan import planned
from ranvier.compiler.schedule.search import Evaluator, Point, search
from ranvier.exploration import Exploration, Wish
from ranvier.exploration.picture import draw
from ranvier.targets.load import load_hierarchy

MIB, MILLIJOULE = 8 * 2**20, 1e9
CORE = load_hierarchy("stems_1mb").core
Row = tuple[object, ...]


def table(title: str, columns: str, rows: Iterator[Row]) -> None:
    """Prints a Markdown table, each row as soon as it is there."""
    names = columns.split(",")
    print(f"\n{title}\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)
    for row in rows:
        print("| " + " | ".join(f"{v:,.2f}" if isinstance(v, float) else str(v) for v in row) + " |", flush=True)


def schedules(rules: Rules) -> Iterator[Row]:
    """Every workload under the uniform schedules and the one that the search finds for least energy."""
    for name, made in WORKLOADS.items():
        found = search(Evaluator(made(), CORE, rules))
        plain = next(iter(found.uniform.values()))
        for choice, point in found.uniform.items():
            yield _row(name, str(choice), point, plain)
        yield _row(name, f"found: {describe(found.best.schedule)}", found.best, plain)


def _row(name: str, schedule: str, point: Point, plain: Point) -> Row:
    return (
        name,
        schedule,
        *(bits / MIB for bits in point.bits.values()),
        point.dram_bits / MIB,
        plain.dram_bits / point.dram_bits,
        point.energy_pj / MILLIJOULE,
        plain.energy_pj / point.energy_pj,
        point.cycles / 1e6,
        point.peak_bits / 8192,
    )


def elision() -> Iterator[Row]:
    """SEW with ever fewer stateful blocks: its states, and the best schedule's traffic and energy."""
    for stateful in range(7, -1, -1):
        workload = sew(stateful)
        found = search(Evaluator(workload, CORE))
        plain = next(iter(found.uniform.values()))
        yield (
            stateful,
            workload.state_bits / 8192,
            plain.dram_bits / MIB,
            plain.energy_pj / MILLIJOULE,
            found.best.dram_bits / MIB,
            found.best.energy_pj / MILLIJOULE,
        )


def exact(name: str) -> Iterator[Row]:
    """The search's schedule beside the best of all."""
    workload = WORKLOADS[name]()
    for how, limit in (("search", 0), ("all", 4 ** len(workload.blocks))):
        found = search(Evaluator(workload, CORE), exact_up_to=limit)
        best = found.best
        yield how, found.tried, describe(best.schedule), best.dram_bits / MIB, best.energy_pj / MILLIJOULE


def picture(path: Path) -> None:
    """The found schedule of SEW-7PLIF, drawn."""
    workload = sew()
    found = search(Evaluator(workload, CORE))
    plan = planned(workload, found.best.schedule, CORE)
    draw(Exploration("stems_1mb", workload, Wish(), found, found.best, plan, costs(plan)), path)


def main() -> None:
    """The tables on standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exact", choices=list(WORKLOADS), help="look at every schedule of this workload")
    parser.add_argument("--picture", type=Path, help="draw the found schedule of SEW-7PLIF into this file")
    given = parser.parse_args()
    name = given.exact
    if given.picture is not None:
        picture(given.picture)
        return
    if name is not None:
        table(f"{name}: search and all schedules", "how,tried,schedule,off chip [MiB],energy [mJ]", exact(name))
        return
    columns = (
        "network,schedule,W [MiB],V [MiB],A [MiB],off chip [MiB],times less,energy [mJ],times less,Mcycles,store [KiB]"
    )
    table("Ranvier's rules, state_io = dead", columns, schedules(OWN))
    table("The published rules, state_io = charged", columns, schedules(PUBLISHED))
    columns = "stateful blocks,states [KiB],ST-LBL [MiB],ST-LBL [mJ],found [MiB],found [mJ]"
    table("SEW with fewer stateful blocks", columns, elision())


if __name__ == "__main__":
    main()
