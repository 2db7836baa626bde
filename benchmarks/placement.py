"""How well networks are mapped to cores: core counts, messages, hops, time and memory, next to other mappers.

Run with ``python -m benchmarks.placement [--table NAME] [--plot FILE]``. METIS and Mt-KaHyPar take part where pymetis
and mtkahypar are installed, KaHyPar with ``--kahypar PYTHON CONFIG``: an interpreter that has the ``kahypar`` package,
and its configuration file.
Times are processor time: all of these are one thread, and what else the machine does is not measured.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from benchmarks.placement_contenders import (
    SWAPS,
    axons_from,
    greedy_swaps,
    kahypar,
    layered_flows,
    metis,
    mt_kahypar,
    packets,
    straight_columns,
)
from benchmarks.placement_networks import mnist_cnn, mobilenet, ring_pairs, rings, synapses

from ranvier.compiler.analysis.flows import homes_of, mesh_load
from ranvier.compiler.analysis.resources import Mapper
from ranvier.compiler.analysis.traffic import load
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import CoreSite
from ranvier.compiler.passes.mapping.curve import hilbert
from ranvier.compiler.passes.mapping.effort import Effort, silent
from ranvier.compiler.passes.mapping.fusion import Fusion
from ranvier.compiler.passes.mapping.loads import Loads
from ranvier.compiler.passes.mapping.packing import Packer
from ranvier.compiler.passes.mapping.swaps import Costs, Swaps
from ranvier.compiler.passes.partition import Partition
from ranvier.compiler.passes.place import Place
from ranvier.targets.load import load_target

Row = tuple[object, ...]
# Half the compartments: a soft reset takes two for each neuron.
_SOFT = 512
# (layers, neurons a layer, fan, parts) of the synthetic layered nets.
_RINGS = ((8, 2048, 64, 64), (16, 4096, 32, 128))
_LAYERS = (4, 16, 24, 24, 20, 16, 12, 8, 4)
# (side, width, most neurons per core) of MobileNet-like networks.
_SCALES = ((32, 1.0, None), (64, 1.0, None), (128, 1.0, None), (192, 1.0, None), (256, 1.0, None), (48, 6.0, None))
_WHOLE_SYSTEM = (48, 6.0, 13)


def table(title: str, columns: str, rows: Iterator[Row]) -> None:
    """Prints a Markdown table, each row as soon as it is there."""
    names = columns.split(",")
    print(f"\n{title}\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)
    for row in rows:
        print("| " + " | ".join(f"{v:,.2f}" if isinstance(v, float) else str(v) for v in row) + " |", flush=True)


def core_counts() -> Iterator[Row]:
    """Networks whose core counts were published, on loihi1, with both resets."""
    cases: tuple[tuple[str, str, Callable[[], ChipNetwork], int | None], ...] = (
        ("MNIST CNN 14-20-12-10 (7,006 parameters)", "14 cores", lambda: mnist_cnn((14, 20, 12, 10)), None),
        ("the same, soft reset", "14 cores", lambda: mnist_cnn((14, 20, 12, 10)), _SOFT),
        ("MNIST CNN 16-32-64-10 of the tutorial", "none", lambda: mnist_cnn((16, 32, 64, 10)), None),
        ("the same, soft reset", "none", lambda: mnist_cnn((16, 32, 64, 10)), _SOFT),
        ("CIFAR-10 MobileNet", "861 cores, 7 chips", lambda: mobilenet(32, 1.0, 10, 1), None),
        ("the same, soft reset", "861 cores, 7 chips", lambda: mobilenet(32, 1.0, 10, 1), _SOFT),
        ("MobileNet, 128 x 128", "16 chips, 80 % used", lambda: mobilenet(128), None),
    )
    for name, published, make, most in cases:
        chip, begin = make(), time.process_time()
        parts = Partition(load_target("loihi1"), max_neurons=most)(chip)
        seconds, cores = time.process_time() - begin, len({p.core for p in parts.pieces})
        neurons = sum(p.size for p in chip.populations)
        used = 100.0 * neurons / (cores * (most or 1024))
        yield name, f"{neurons:,}", published, cores, -(-cores // 128), f"{used:.0f} %", seconds


def partitions(kahypar_with: tuple[str, Path] | None) -> Iterator[Row]:
    """Packets of the synthetic layered nets by all partitioners that are there; then with the neurons shuffled."""
    for ring in _RINGS:
        yield from _partitioned(*ring, kahypar_with, shuffled=False)
    for ring in _RINGS:
        yield from _partitioned(*ring, None, shuffled=True)


def _partitioned(
    layers: int, size: int, fan: int, parts: int, kahypar_with: tuple[str, Path] | None, *, shuffled: bool
) -> Iterator[Row]:
    sources, targets = ring_pairs(layers, size, fan, shuffled=shuffled)
    neurons, order = layers * size, ", shuffled" if shuffled else ""
    name = f"{neurons:,} neurons, {sources.size:,} synapses, {parts} cores{order}"

    def row(how: str, core: IntArray, seconds: float) -> Row:
        largest = 100.0 * np.bincount(core).max() * parts / neurons - 100
        return name, how, packets(sources, targets, core), f"{largest:.1f} %", seconds

    axons = axons_from(sources, targets, neurons, layers)
    yield row("random", np.random.default_rng(0).permutation(neurons) * parts // neurons, 0.0)
    yield row("sequential", np.arange(neurons) * parts // neurons, 0.0)
    if (found := metis(sources, targets, neurons, parts)) is not None:
        yield row("METIS (pymetis)", *found)
    if (found := mt_kahypar(axons, parts)) is not None:
        yield row("Mt-KaHyPar km1, deterministic", *found)
    if kahypar_with:
        yield row("KaHyPar km1", *kahypar(*kahypar_with, sources, targets, neurons, parts))
    yield row("ranvier, straight columns alone", *straight_columns(axons, parts))
    chip, most = rings(layers, size, fan, shuffled=shuffled), int(1.03 * neurons / parts)
    for effort in ("quick", "normal", "thorough"):
        mapper = Partition(load_target("loihi1"), max_neurons=most, effort=Effort.named(effort))
        begin = time.process_time()
        pieces = mapper(chip).pieces
        seconds = time.process_time() - begin
        homes = homes_of(chip, pieces)
        yield row(f"ranvier {effort}", np.concatenate([homes[p.name] for p in chip.populations]), seconds)


def fusions() -> Iterator[Row]:
    """Messages of convolutional networks before and after layers share cores."""
    cases: tuple[tuple[str, Callable[[], ChipNetwork]], ...] = (
        ("MNIST CNN 16-32-64-10 of the tutorial", lambda: mnist_cnn((16, 32, 64, 10))),
        ("CIFAR-10 MobileNet", lambda: mobilenet(32, 1.0, 10, 1)),
        ("MobileNet, 128 x 128", lambda: mobilenet(128)),
    )
    for name, make in cases:
        for target in ("loihi1", "loihi2"):
            chip = make()
            loads = Loads(Mapper(chip, load_target(target)))
            begin = time.process_time()
            packed, slots = Packer(loads).run()
            between = time.process_time()
            fusion = Fusion(loads, slots, silent)
            fused = fusion(packed)
            seconds = (between - begin, time.process_time() - between)
            yield name, target, len(packed), len(fused), *map(int, map(fusion.messages, (packed, fused))), *seconds


def placements() -> Iterator[Row]:
    """Hops of 128 cores in layers on a mesh of 16 x 8."""
    flow, grid = layered_flows(_LAYERS), [(x, y) for y in range(8) for x in range(16)]
    snake = [(x if y % 2 == 0 else 15 - x, y) for x, y in grid]
    curve, straight = list(hilbert(16, 8)), np.arange(flow.cores)

    def row(how: str, points: list[tuple[int, int]], order: IntArray, seconds: float) -> Row:
        found = mesh_load(flow, [CoreSite(i, 0, *points[int(p)]) for i, p in enumerate(order)])
        return how, int(found.hops), int(found.busiest_link), seconds

    yield row("random", grid, np.random.default_rng(0).permutation(flow.cores), 0.0)
    yield row("row by row", grid, straight, 0.0)
    yield row("snake", snake, straight, 0.0)
    yield row("Hilbert", curve, straight, 0.0)
    yield row(f"Hilbert + {SWAPS:,} greedy swaps", curve, *greedy_swaps(flow, np.array(curve), straight))
    for effort in ("quick", "normal", "thorough"):
        swaps = Swaps(Costs(), Effort.named(effort), 0, silent)
        begin = time.process_time()
        order = swaps(flow, [(0, *point) for point in curve])
        yield row(f"ranvier {effort}", curve, order, time.process_time() - begin)


def scaled(side: int, width: float, most: int | None) -> dict[str, float]:
    """Figures of mapping one MobileNet-like network on loihi2, the largest system; measured in this process."""
    chip, target = mobilenet(side, width), load_target("loihi2")
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    pieces = Partition(target, max_neurons=most)(chip).pieces
    between = time.process_time()
    placement = Place(target)(pieces, chip)
    end = time.process_time()
    return {
        "neurons": sum(p.size for p in chip.populations),
        "synapses": synapses(chip),
        "cores": placement.cores,
        "chips": placement.chips,
        "partition": between - begin,
        "place": end - between,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "before": held / 1024,
        "crossing": load(chip, placement).between_chips,
    }


def scales(plot: Path | None) -> Iterator[Row]:
    """Time and memory of growing networks, each in a process of its own; the last fills the largest system."""
    points = []
    for side, width, most in (*_SCALES, _WHOLE_SYSTEM):
        call = [sys.executable, "-m", "benchmarks.placement", "--one", str(side), str(width), str(most or 0)]
        done = subprocess.run(call, check=True, capture_output=True, text=True, timeout=1800)
        f = json.loads(done.stdout)
        if most is None and width == 1.0:
            points.append((f["neurons"], f["partition"] + f["place"], f["memory"]))
        name = f"{side} x {side}, width {width:g}" + (f", {most} neurons a core" if most else "")
        sizes = (f"{f['neurons'] / 1e6:.2f} M", f"{f['synapses'] / 1e9:.3f} G", f"{f['cores']:,}", f"{f['chips']:,}")
        yield name, *sizes, f["partition"], f["place"], f"{f['memory']:,.0f} MB", f"{f['before']:,.0f} MB"
        if plot and len(points) > 1:
            draw(points, plot)


def draw(points: list[tuple[float, float, float]], plot: Path) -> None:
    """Seconds and megabytes over neurons, both axes logarithmic, beside a straight line of slope 1."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 -- only for --plot

    neurons, seconds, memory = (np.array(column) for column in zip(*points, strict=True))
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, values, name in zip(axes, (seconds, memory), ("CPU seconds", "peak MB"), strict=True):
        axis.loglog(neurons, values, "o-", label="measured")
        axis.loglog(neurons, values[0] * neurons / neurons[0], "--", label="linear growth")
        axis.set(xlabel="neurons", ylabel=name)
        axis.legend()
    figure.savefig(plot)


def refusals() -> Iterator[Row]:
    """Seconds until a network that cannot fit is refused."""
    chip = mobilenet(128)
    for target, chips, most in (("loihi1", 4, None), ("loihi2", 1, None), ("loihi2", None, 8)):
        begin = time.process_time()
        try:
            Partition(load_target(target), max_neurons=most, chips=chips)(chip)
        except RanvierError as refused:
            yield target, chips or "all", most or "all", time.process_time() - begin, str(refused).split(". ")[0]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", choices=("cores", "partition", "fuse", "place", "scale", "refuse"))
    parser.add_argument("--kahypar", nargs=2, metavar=("PYTHON", "CONFIG"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("SIDE", "WIDTH", "NEURONS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(scaled(int(asked.one[0]), float(asked.one[1]), int(asked.one[2]) or None)))
        return
    other = (asked.kahypar[0], Path(asked.kahypar[1])) if asked.kahypar else None
    Partition(load_target("loihi1"), max_neurons=40)(rings(4, 64, 4))  # compiles the kernels
    Swaps(Costs(), Effort.named("quick"), 0, silent)(layered_flows((2, 2)), [(0, i, 0) for i in range(4)])
    axons_from(*ring_pairs(2, 64, 4), 128, 2)
    tables = {
        "cores": ("Cores on loihi1", "network,neurons,published,cores,chips,neurons used,CPU s", core_counts),
        "partition": (
            "Packets when every neuron spikes once",
            "network,partitioner,packets,over the mean load,CPU s",
            lambda: partitions(other),
        ),
        "fuse": (
            "Convolutions before and after layers share cores",
            "network,target,cores packed,cores fused,messages packed,messages fused,pack CPU s,fuse CPU s",
            fusions,
        ),
        "place": ("128 cores in layers on 16 x 8", "placement,spike-hops,busiest link,CPU s", placements),
        "scale": (
            "MobileNet-like networks on loihi2",
            "images,neurons,synapses,cores,chips,partition CPU s,place CPU s,peak memory,before mapping",
            lambda: scales(asked.plot),
        ),
        "refuse": ("Networks that cannot fit", "target,chips,neurons a core,CPU s,refusal", refusals),
    }
    for name, (title, columns, rows) in tables.items():
        if asked.table in (None, name):
            table(title, columns, rows())


if __name__ == "__main__":
    main()
