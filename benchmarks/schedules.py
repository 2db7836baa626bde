"""Off-chip traffic and energy of the published STEMS workloads under uniform and found schedules.

Run with ``python -m benchmarks.schedules [--prove NAME | --execute | --picture FILE]``. The tables are the model's on
``stems_1mb``; the paper claims up to 12 times less off-chip movement and 5 times less energy (arXiv 2502.03287).
``--prove`` looks at every schedule of one workload that could be better than what the search finds; ``--execute``
carries schedules of a smaller SEW-7PLIF out (``PYTHONPATH=tests``); ``--picture`` draws the found one of SEW-7PLIF.
But for the seconds of ``--execute`` the figures do not depend on the machine.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
from benchmarks.schedule_mappings import mapping_floor
from benchmarks.schedule_workloads import RATES, WORKLOADS, sew, with_rates

from ranvier.compiler.pipeline import prepare
from ranvier.compiler.schedule.choices import CHOICES, OWN, PUBLISHED, Rules, describe, uniform
from ranvier.compiler.schedule.cost import MEMORIES, costs
from ranvier.compiler.schedule.networks import network_workload
from ranvier.compiler.schedule.plan import planned
from ranvier.compiler.schedule.search import Evaluator, Point, search
from ranvier.exploration import Exploration, Wish
from ranvier.exploration.density import Density
from ranvier.exploration.execution import execute
from ranvier.exploration.picture import draw
from ranvier.targets.load import load_hierarchy

MIB, MILLIJOULE = 8 * 2**20, 1e9
CORE = load_hierarchy("stems_1mb").core
STORE = CORE.store.size_bits.model_copy(update={"v": CORE.store.size_bits.v // 16})
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


def operands() -> Iterator[Row]:
    """Where the energy of the plain and of the found schedules goes: every operand in every memory."""
    for name, made in WORKLOADS.items():
        workload = made()
        found = search(Evaluator(workload, CORE))
        for how, schedule in (("ST-LBL", uniform(workload, CHOICES[0])), ("found", found.best.schedule)):
            cost = costs(planned(workload, schedule, CORE))
            for operand, levels in cost.operands().items():
                pj = [levels[level] for level in MEMORIES]
                yield name, how, operand, *(value / MILLIJOULE for value in (*pj, sum(pj)))
            yield name, how, "operations", *[""] * len(MEMORIES), cost.level_pj("compute") / MILLIJOULE


def densities() -> Iterator[Row]:
    """The energy with all inputs non-zero and with the shares that are known."""
    for name, rates in RATES.items():
        dense = WORKLOADS[name]()
        for how, workload in (("dense", dense), ("known rates", with_rates(dense, rates))):
            found = search(Evaluator(workload, CORE))
            plain = next(iter(found.uniform.values()))
            products = costs(planned(workload, found.best.schedule, CORE)).level_pj("compute")
            energies = (products, plain.energy_pj, found.best.energy_pj)
            yield name, how, *(pj / MILLIJOULE for pj in energies), plain.energy_pj / found.best.energy_pj


def on_chip() -> Iterator[Row]:
    """What buffers and store cost at the array in the found schedules, beside the least that any mapping could."""
    for name, made in WORKLOADS.items():
        workload = made()
        found = search(Evaluator(workload, CORE)).best
        pj = (found.energy_pj, *mapping_floor(workload, found.schedule, CORE))
        yield name, *(value / MILLIJOULE for value in pj)


def prove(name: str) -> Iterator[Row]:
    """The search's schedule beside the best of all."""
    workload = WORKLOADS[name]()
    for how, proof in (("search", False), ("proof", True)):
        found = search(Evaluator(workload, CORE), prove=proof)
        best = found.best
        costing = (best.dram_bits / MIB, best.energy_pj / MILLIJOULE, found.bound / MILLIJOULE)
        yield how, found.tried, found.exact, describe(best.schedule), *costing


def executed() -> Iterator[Row]:
    """SEW-7PLIF with half the pixels a side, a quarter of the channels and a sixteenth of the store, carried out."""
    from support.sew import sew as sew_network  # noqa: PLC0415 - of the tests

    network, steps = prepare(sew_network(7, side=64, channels=16, seed=1)), 16
    core = CORE.model_copy(update={"store": CORE.store.model_copy(update={"size_bits": STORE})})
    workload = network_workload(network, steps, core.bits.v)
    found = search(Evaluator(workload, core))
    inputs = np.random.default_rng(0).random((1, steps, 2, 64, 64))
    for point in (*found.uniform.values(), found.best):
        plan, begin = planned(workload, point.schedule, core), perf_counter()
        (run,) = execute(network, [plan], inputs)
        seconds = perf_counter() - begin
        shown = (run.modelled_bits, run.counted_bits, run.compared, run.differing, run.agrees)
        yield run.schedule, len(plan.sequence), *shown, seconds


def picture(path: Path) -> None:
    """The found schedule of SEW-7PLIF, drawn."""
    workload = sew()
    found = search(Evaluator(workload, CORE))
    plan = planned(workload, found.best.schedule, CORE)
    draw(Exploration("stems_1mb", workload, Wish(), found, found.best, plan, costs(plan),
                     Density("assumed", 0, {})), path)  # fmt: skip


def main() -> None:
    """The tables on standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prove", choices=list(WORKLOADS), help="look at all schedules that could be better")
    parser.add_argument("--execute", action="store_true", help="carry schedules of a smaller SEW-7PLIF out")
    parser.add_argument("--picture", type=Path, help="draw the found schedule of SEW-7PLIF into this file")
    given = parser.parse_args()
    name = given.prove
    if given.picture is not None:
        picture(given.picture)
        return
    if name is not None:
        columns = "how,tried,proved,schedule,off chip [MiB],energy [mJ],bound [mJ]"
        table(f"{name}: what is found, and whether anything is better", columns, prove(name))
        return
    if given.execute:
        columns = "schedule,computations,modelled bits,counted bits,values,differ,agrees,seconds"
        table("SEW-7PLIF from 64 by 64 pixels with 16 channels, store of 64 KiB", columns, executed())
        return
    columns = (
        "network,schedule,W [MiB],V [MiB],A [MiB],off chip [MiB],times less,energy [mJ],times less,Mcycles,store [KiB]"
    )
    table("Ranvier's rules, state_io = dead", columns, schedules(OWN))
    table("The published rules, state_io = charged", columns, schedules(PUBLISHED))
    columns = "stateful blocks,states [KiB],ST-LBL [MiB],ST-LBL [mJ],found [MiB],found [mJ]"
    table("SEW with fewer stateful blocks", columns, elision())
    columns = "network,schedule,operand,registers [mJ],buffers [mJ],store [mJ],DRAM [mJ],all [mJ]"
    table("Energy by operand and memory, state_io = dead", columns, operands())
    columns = "network,inputs,products [mJ],ST-LBL [mJ],found [mJ],times less"
    table("Energy by density of inputs, state_io = dead", columns, densities())
    columns = "network,found [mJ],registers buffers and store [mJ],least of any mapping [mJ]"
    table("Mappings on the array, found schedules", columns, on_chip())


if __name__ == "__main__":
    main()
