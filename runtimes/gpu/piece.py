"""Some samples on the device: buffers, the kernels launched over blocks of steps, and what came out.

On a CUDA device the launches of a short net can be recorded once as a CUDA graph and replayed for every further piece
of as many samples: a recurrent network launches a few kernels for every single step, and the host cannot keep up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import triton.language as tl

from ranvier.runtimes.gpu import kernels
from ranvier.runtimes.gpu.network import Population, Synapses, Tensor, Uploaded
from ranvier.runtimes.gpu.routes import SECTION, Arithmetic, Window
from ranvier.runtimes.recording import Records

GRAPH_LAUNCHES = 4096  # a graph of more launches gains nothing: the device has enough to do
NEVER = 2**63 - 1
NUMBER_BYTES = 8
TYPES = {"int32": tl.int32, "int64": tl.int64}
DEPTHS = {"int8": (32, 64), "float16": (16, 32)}  # terms that tensor cores take together: fewest, most
PLAIN = {"enable_fp_fusion": False}  # there are no floats to fuse, and Triton wants to be told
LISTED = 1024  # wires that ``listing`` looks at together


@dataclass(frozen=True)
class Size:
    """Samples of a piece, steps of the run, steps of a block."""

    samples: int
    steps: int
    block: int


class Piece:
    """``size.samples`` samples of ``network``; ``listed`` names the sources whose senders are listed and scattered."""

    def __init__(self, network: Uploaded, size: Size, record: Records, listed: frozenset[str]) -> None:
        self.network, self.size, self.listed = network, size, listed
        plan, populations = network.plan, network.populations
        lead = (size.samples, size.steps)
        reads = () if plan.readout.reads_spikes else (plan.readout.node,)
        self.frames = self._new((*lead, _wires(plan.source.shape)), network.port)
        self.sent = {plan.source.name: self.frames}
        self.sent |= {n: self._new((*lead, p.layer.size), p.sends) for n, p in populations.items()}
        self.membrane = {
            n: self._new((*lead, p.layer.size)) for n, p in populations.items() if "membrane" in record or n in reads
        }
        self.kept = {
            n: self._new((len(p.initial), *lead, p.layer.size)) for n, p in populations.items() if "states" in record
        }
        self.states = {n: self._new((len(p.initial), size.samples, p.layer.size)) for n, p in populations.items()}
        self.fired = {n: self._new((size.samples, p.layer.size), torch.int32) for n, p in populations.items()}
        self.events = {n: self._new((len(p.places), 2)) for n, p in populations.items()}
        widest = max(p.layer.size * p.sums.itemsize for p in populations.values())
        self.current = self._new((-(-size.samples * size.block * widest // NUMBER_BYTES),))
        self.senders = {n: self._new(self.sent[n].shape, torch.int32) for n in listed}
        self.counts = {n: self._new(lead, torch.int32) for n in listed}
        self.graph: Any = None

    def _new(self, shape: tuple[int, ...], kind: Tensor = torch.int64) -> Tensor:
        return torch.zeros(shape, dtype=kind, device=self.network.device)

    @property
    def launches(self) -> int:
        """Kernels launched by a run."""
        plan = self.network.plan
        return -(-self.size.steps // self.size.block) * (len(plan.layers) + len(plan.links) + len(self.listed))

    def run(self, frames: Any) -> None:
        """Run ``frames`` (samples, steps, wires), a numpy array of integers."""
        self.frames.copy_(torch.from_numpy(frames))
        self._reset()
        if self.graph is None:
            self._launch()
        else:
            self.graph.replay()

    def record_graph(self) -> None:
        """Keep the launches as a CUDA graph; the piece must have run before, so that its kernels are compiled."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._launch()
        self.graph = graph

    def _reset(self) -> None:
        for name, population in self.network.populations.items():
            self.states[name].copy_(population.initial[:, None, :].expand_as(self.states[name]))
            self.fired[name].zero_()
            self.events[name][:, 0] = 0
            self.events[name][:, 1] = NEVER

    def _launch(self) -> None:
        for first in range(0, self.size.steps, self.size.block):
            last = min(first + self.size.block, self.size.steps)
            self._list(self.network.plan.source.name, first, last)
            for population in self.network.populations.values():
                self._advance(population, first, last)
                self._list(population.layer.name, first, last)

    def _advance(self, population: Population, first: int, last: int) -> None:
        layer, plan = population.layer, self.network.plan
        rows = self.size.samples * (last - first)
        current = self.current.view(population.sums)[: rows * layer.size]
        events = self.events[layer.name]
        before = len(population.places) - len(plan.into[layer.name]) - 1
        if not plan.into[layer.name]:
            current.zero_()
        for k, link in enumerate(plan.into[layer.name]):
            self.deliver(self.network.synapses[link.name], current, events[before + k], (first, last), k == 0)
        self.scan(population, current, first, last)

    def scan(self, population: Population, current: Tensor, first: int, last: int) -> None:
        """Run the neurons of ``population`` over steps first..last-1 of their input ``current``."""
        layer = population.layer
        kept, membrane = self.kept.get(layer.name), self.membrane.get(layer.name)
        population.kernel[(self.size.samples, -(-layer.size // SECTION))](
            current, self.states[layer.name], self.sent[layer.name], current if membrane is None else membrane,
            current if kept is None else kept, self.fired[layer.name], self.events[layer.name], population.params,
            first, last, self.size.samples, self.size.steps, layer.size, MEMBRANE=membrane is not None,
            KEPT=kept is not None, BLOCK=SECTION, num_warps=1, **PLAIN,
        )  # fmt: skip

    def _list(self, source: str, first: int, last: int) -> None:
        if source not in self.listed:
            return
        wires = self.sent[source].shape[2]
        kernels.listing[(self.size.samples * (last - first),)](
            self.sent[source],
            self.senders[source],
            self.counts[source],
            self.size.steps,
            first,
            last,
            wires,
            LISTED,
            **PLAIN,
        )

    def deliver(
        self, synapses: Synapses, current: Tensor, events: Tensor, span: tuple[int, int], is_first: bool
    ) -> None:
        """Add what a connection brings in steps ``span`` to ``current``; the first connection stores instead."""
        route = synapses.route
        link, arrays, sent = route.link, synapses.arrays, self.sent[route.link.source]
        registers = (route.shift, *link.rule[1:], route.careful, is_first)
        where = (self.size.steps, *span, link.delay, route.sources, route.targets)
        rows, total = self.size.samples * (span[1] - span[0]), TYPES[route.exact_sum]
        sections = (rows, -(-route.targets // SECTION))
        if route.window is None:
            rows_of = (arrays[key] for key in ("data", "indices", "start", "longest"))
            kernels.gather[sections](
                sent, *rows_of, current, events, *where, total, SECTION, registers, num_warps=1, **PLAIN
            )
        elif link.source in self.listed and route.scatters:
            lists = self.senders[link.source], self.counts[link.source]
            kernels.scatter[sections](
                sent, *lists, arrays["weight"], current, events, *where, total, SECTION, registers, num_warps=1, **PLAIN
            )
        else:
            tile, warps = tiling(route.window, route.arithmetic)
            grid = (-(-rows * route.window.pixels // tile[0]), -(-route.window.outputs // tile[1]))
            kernels.product[(*grid, route.window.groups)](
                sent, arrays["weight"], current, events, self.size.samples, *where, geometry(route.window),
                *numbers(route.arithmetic), tile, registers, num_warps=warps, **PLAIN,
            )  # fmt: skip

    def shares(self) -> Iterator[tuple[str, float]]:
        """(name, share of its neurons and steps that sent something) of every population."""
        for name, fired in self.fired.items():
            yield name, float(fired.sum()) / (fired.numel() * self.size.steps)


def geometry(window: Window) -> tuple[int, ...]:
    """What ``kernels.product`` takes of ``window``, in its order."""
    w = window
    return (w.channels, w.outputs, *w.frame, w.pixels, w.across, *w.kernel, *w.stride, *w.before, *w.spread)


def numbers(arithmetic: Arithmetic) -> tuple[Any, Any, bool]:
    """SUM, FACTOR and DOT of ``kernels.product``."""
    if arithmetic == "int8":
        return tl.int32, tl.int8, True
    if arithmetic == "float16":
        return tl.float32, tl.float16, True
    return TYPES[arithmetic], TYPES[arithmetic], False


def tiling(window: Window, arithmetic: Arithmetic) -> tuple[tuple[int, int, int], int]:
    """TILE of ``kernels.product``, and the warps of a program instance."""
    if arithmetic in DEPTHS:
        least, most = DEPTHS[arithmetic]
        columns = min(128, max(16, _power(window.outputs)))
        return (128, columns, min(most, max(least, _power(window.inner)))), 4 if columns < 128 else 8
    return (64, min(32, _power(window.outputs)), 1), 4


def _power(count: int) -> int:
    """The least power of two that is not below ``count``."""
    return 1 << max(0, count - 1).bit_length()


def _wires(shape: tuple[int, ...]) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total
