"""What a schedule moves: the layers of a network as operands with bits, and the columns that each layer reads.

A layer computes ``O[t][k][oy][ox] = sum over c, fy, fx of W[k][c][fy][fx] I[t][c][s oy + fy][s ox + fx]`` and, if it is
stateful, updates its state ``V[k][oy][ox]`` from it in every step. Maps are cut into tiles of columns ``ox``; a layer
without a map has one column. The state takes the loops of the output except time: it is reused along time, and its
size has no factor for steps, ``|V| = K OY OX b_V`` bits. Method: STEMS (Eissa et al., arXiv 2502.03287).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import frozen_mapping

Columns = tuple[tuple[int, int], ...]
"""For each column of a layer the half-open range of columns of its source that it reads."""


@dataclass(frozen=True)
class Kernel:
    """One linear map into a layer as a loop nest: sizes of K, C, OY, FY, FX; ``stride`` along columns.

    ``input_bits`` per element that it reads. ``unit``: "array" for products, "vector" for sums and pools. ``density``:
    the share of the elements that it reads that are not zero, 1 where nothing is known of them.
    """

    outputs: int
    inputs: int
    rows: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    input_bits: int = 1
    unit: Literal["array", "vector"] = "array"
    density: float = 1.0

    def operations(self, columns: int) -> int:
        """Operations for ``columns`` columns of the output in one step."""
        return self.outputs * self.inputs * self.rows * self.kernel[0] * self.kernel[1] * columns


@dataclass(frozen=True)
class Operand:
    """What a layer reads: ``source`` ``delay`` steps ago, the columns ``columns[x]`` of it for the layer's column x."""

    source: str
    columns: Columns
    delay: int = 0


@dataclass(frozen=True)
class Source:
    """Data that enter from outside: ``width`` columns of ``column`` elements of ``bits`` each, in every step."""

    name: str
    width: int
    column: int
    bits: int

    @property
    def step_bits(self) -> int:
        """Bits of one step."""
        return self.width * self.column * self.bits


@dataclass(frozen=True)
class Layer:
    """One layer: ``width`` columns of ``column`` elements, each sends ``bits`` and keeps ``state_bits`` (0: none).

    ``weight_bits`` of all its weights together, ``weight_width`` of one; ``partial_bits`` of a sum that is not
    finished; ``kernels``: the loop nests of its operands, for the array.
    """

    name: str
    width: int
    column: int
    bits: int
    state_bits: int
    weight_bits: int
    operands: tuple[Operand, ...]
    kernels: tuple[Kernel, ...] = ()
    weight_width: int = 8
    partial_bits: int = 12

    @property
    def stateful(self) -> bool:
        """Whether a state is kept from step to step."""
        return self.state_bits > 0

    @property
    def total_state_bits(self) -> int:
        """``|V|`` in bits."""
        return self.width * self.column * self.state_bits

    @property
    def step_bits(self) -> int:
        """``|O|`` in bits: what one step sends."""
        return self.width * self.column * self.bits

    def operations(self, steps: int) -> int:
        """Operations over ``steps`` steps."""
        return steps * sum(kernel.operations(self.width) for kernel in self.kernels)

    @property
    def density(self) -> float:
        """The share of its operations whose input is not zero; 1 without operations."""
        made = self.operations(1)
        return sum(k.operations(self.width) * k.density for k in self.kernels) / made if made else 1.0


@dataclass(frozen=True)
class Workload:
    """A network to schedule over ``steps`` steps: its ``layers`` so that operands without delay come first.

    ``blocks`` are runs of layers that are scheduled alike; ``columns`` into how many tiles a fused block's maps are cut
    (narrower maps into single columns); ``answers`` names the layers whose outputs leave the chip.
    """

    name: str
    steps: int
    sources: tuple[Source, ...]
    layers: tuple[Layer, ...]
    blocks: tuple[tuple[str, ...], ...]
    columns: tuple[int, ...]
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        found = tuple(_problems(self))
        if found:
            raise RanvierError(found)

    @property
    def nodes(self) -> tuple[Source | Layer, ...]:
        """The sources, then the layers: as they are numbered in a plan."""
        return (*self.sources, *self.layers)

    @cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """The layers by name."""
        return frozen_mapping({layer.name: layer for layer in self.layers})

    @cached_property
    def block_of(self) -> Mapping[str, int]:
        """The block of every layer."""
        return frozen_mapping({name: b for b, names in enumerate(self.blocks) for name in names})

    @property
    def state_bits(self) -> int:
        """State memory of all layers."""
        return sum(layer.total_state_bits for layer in self.layers)

    @property
    def weight_bits(self) -> int:
        """Weights of all layers."""
        return sum(layer.weight_bits for layer in self.layers)


def whole(width: int, source_width: int) -> Columns:
    """Every column reads every column."""
    return ((0, source_width),) * width


def same(width: int) -> Columns:
    """Every column reads its own."""
    return tuple((x, x + 1) for x in range(width))


def window(width: int, source_width: int, kernel: int, stride: int, before: int, dilation: int = 1) -> Columns:
    """The columns under a sliding kernel: ``stride x - before`` to ``stride x - before + dilation (kernel - 1)``."""
    reach = dilation * (kernel - 1) + 1
    starts = (stride * x - before for x in range(width))
    return tuple((min(max(s, 0), source_width), min(max(s + reach, 0), source_width)) for s in starts)


def tile_starts(width: int, tiles: int) -> tuple[int, ...]:
    """The first columns of ``tiles`` tiles of a map, and its end: ``floor(j width / tiles)``."""
    return tuple(j * width // tiles for j in range(tiles + 1))


def _problems(workload: Workload) -> list[Diagnostic]:
    fix = "give every layer a block, and layers in an order in which what they read comes first"
    names = [layer.name for layer in workload.layers]
    ordered = [name for block in workload.blocks for name in block]
    found = []
    if workload.steps < 1 or not names:
        text = f"{len(names)} layers over {workload.steps} steps leave nothing to schedule"
        found.append(Diagnostic("RV532", workload.name, text, "give a network with neurons and at least one step"))
    if ordered != names or len(workload.columns) != len(workload.blocks) or not all(workload.blocks):
        found.append(Diagnostic("RV533", workload.name, "the blocks are not the layers in their order", fix))
    known = {source.name: source.width for source in workload.sources}
    everything = known | {layer.name: layer.width for layer in workload.layers}
    for layer in workload.layers:
        for operand in layer.operands:
            at_hand = known if operand.delay == 0 else everything
            if operand.source not in at_hand or len(operand.columns) != layer.width:
                text = f"what it reads of {operand.source} {operand.delay} steps late is not there"
                found.append(Diagnostic("RV533", layer.name, text, fix))
        known[layer.name] = layer.width
    return found
