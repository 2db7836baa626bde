"""Loop orders of one computation on the array: which are legal, and what the best one costs.

A computation is the nest over K, C, OY, OX, FY, FX and, in a batched block, T. K and C are unrolled over the array; the
other loops are split into prime factors, at most ``MAX_FACTORS`` of them, and all their orders are looked at. Every
level of memory holds as many of the innermost loops as fit; what an operand moves over the boundary above is its size
there times the loops outside, but for those next to the boundary that do not change it.

Legality. A membrane may be compared with its threshold only when the sum is finished: in a layer with a state every
factor of T lies outside every loop over C, FX and FY. And a state that lives inside a computation must not leave the
local buffers, because the shared store has no room set aside for it.

Method: LOMA as in ZigZag, with the state of STEMS (arXiv 2502.03287): its loops are those of the output, and T reuses
it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Final

from ranvier.targets.hierarchies import HierarchyCore, Memory, OperandName, PerBit

MAX_FACTORS: Final = 6
REDUCTIONS: Final = frozenset({"C", "FX", "FY"})
RELEVANT: Final[dict[OperandName, frozenset[str]]] = {
    "input": frozenset({"C", "FX", "FY", "OX", "OY", "T"}),
    "weight": frozenset({"K", "C", "FX", "FY"}),
    "output": frozenset({"K", "OX", "OY", "T"}),
    "state": frozenset({"K", "OX", "OY"}),
}
Energies = Mapping[OperandName, float]
"""pJ by operand."""
Loop = tuple[str, int]
Order = tuple[Loop, ...]
"""Loops from the innermost to the outermost."""


@dataclass(frozen=True)
class Nest:
    """One kernel of one computation: its sizes, ``stride`` and the bits of its operands.

    ``stateful``: its sums are compared with a threshold; ``state_bits`` is 0 also where another kernel of the same
    layer brings the state. ``internal``: the state lives inside the computation, which holds all steps. ``density``:
    the share of inputs that are not zero; a product with a zero costs nothing but its cycle.
    """

    sizes: tuple[Loop, ...]
    stride: int
    input_bits: int
    weight_bits: int
    partial_bits: int
    output_bits: int
    state_bits: int
    stateful: bool
    internal: bool
    density: float = 1.0

    @property
    def operations(self) -> int:
        """Products in the nest."""
        return prod(size for _, size in self.sizes)


@dataclass(frozen=True)
class NestCost:
    """Energy in pJ of the products and, by level and operand, of the memories; cycles of the array, and the order that
    has them.
    """

    compute: float
    registers: Energies
    buffers: Energies
    store: Energies
    cycles: int
    order: Order

    @cached_property
    def energy(self) -> float:
        """All levels together."""
        return self.compute + sum(sum(level.values()) for level in (self.registers, self.buffers, self.store))


def legal(order: Sequence[Loop], stateful: bool) -> bool:
    """Whether the first factor of T comes after the last loop of a reduction, where there is a state."""
    if not stateful:
        return True
    dims = [dim for dim, size in order if size > 1]
    first = dims.index("T") if "T" in dims else len(dims)
    return not any(dim in REDUCTIONS for dim in dims[first:])


def factors(sizes: Sequence[Loop]) -> tuple[Loop, ...]:
    """``sizes`` as prime factors, at most ``MAX_FACTORS``: the two smallest of the dimension with most are merged."""
    split = {dim: _primes(size) for dim, size in sizes}
    while sum(map(len, split.values())) > MAX_FACTORS:
        most = max(split, key=lambda dim: len(split[dim]))
        if len(split[most]) < 2:
            break  # every dimension is one factor already
        first, second, *rest = sorted(split[most])
        split[most] = [first * second, *rest]
    return tuple((dim, factor) for dim, parts in split.items() for factor in sorted(parts))


def orders(loops: Sequence[Loop], stateful: bool) -> Iterator[Order]:
    """All legal orders of ``loops``, each once."""
    left = Counter(loops)

    def extend(order: Order) -> Iterator[Order]:
        if len(order) == len(loops):
            yield order
            return
        for loop in [loop for loop, count in left.items() if count]:
            if stateful and loop[0] in REDUCTIONS and any(dim == "T" for dim, _ in order):
                continue
            left[loop] -= 1
            yield from extend((*order, loop))
            left[loop] += 1

    return extend(())


@lru_cache(maxsize=4096)
def best(nest: Nest, core: HierarchyCore) -> NestCost:
    """The legal order of ``nest`` with the least energy on the array of ``core``."""
    grid = core.array.elements.v
    spatial = {"K": min(dict(nest.sizes)["K"], grid.outputs), "C": min(dict(nest.sizes)["C"], grid.inputs)}
    temporal = tuple((dim, -(-size // spatial.get(dim, 1))) for dim, size in nest.sizes)
    costs = _Costs(nest, core, spatial)
    found = (costs.of(order) for order in orders(factors(temporal), nest.stateful))
    return min((cost for cost in found if cost is not None), key=lambda cost: cost.energy)


class _Costs:
    """The cost of the orders of one nest."""

    def __init__(self, nest: Nest, core: HierarchyCore, spatial: dict[str, int]) -> None:
        self.nest, self.core, self.spatial = nest, core, spatial
        self.bits: dict[OperandName, int] = {
            "input": nest.input_bits, "weight": nest.weight_bits, "output": nest.partial_bits, "state": nest.state_bits
        }  # fmt: skip
        self.limits = dict(nest.sizes)
        wide = core.array.wide_input.v if core.array.wide_input is not None else None
        factor = wide.factor if wide is not None and nest.input_bits >= wide.bits else 1.0
        self.compute = nest.operations * nest.density * core.array.op_pj.v * factor

    def of(self, order: Order) -> NestCost | None:
        """The cost of ``order``; None if a state would leave the buffers that has nowhere to go."""
        extents = self._extents(order)
        in_registers = {name: self._register_prefix(name, extents) for name in self.bits}
        in_buffers = self._buffer_prefixes(extents, in_registers)
        cycles = prod(size for _, size in order)
        registers, buffers, store = self._elements(cycles), dict.fromkeys(self.bits, 0.0), dict.fromkeys(self.bits, 0.0)
        access = self.core.registers.access_pj_per_bit.v
        for name in self.bits:
            if not self.bits[name]:
                continue
            buffer = self.core.buffer(name)
            down, up = self._crossing(name, order, in_registers[name], extents)
            registers[name] += down * access.write + up * access.read
            buffers[name] = _ends(buffer, down, up)
            down, up = self._crossing(name, order, in_buffers[name], extents)
            if name == "state" and self.nest.internal and down:
                return None
            buffers[name] += down * _per_bit(buffer).write + up * _per_bit(buffer).read
            store[name] = _ends(self.core.store, down, up)
        return NestCost(self.compute, registers, buffers, store, cycles, order)

    def _extents(self, order: Order) -> list[dict[str, int]]:
        """By number of innermost loops, how far each dimension reaches in them, with what is unrolled."""
        found = [{dim: self.spatial.get(dim, 1) for dim, _ in self.nest.sizes}]
        for dim, size in order:
            found.append(found[-1] | {dim: min(found[-1][dim] * size, self.limits[dim])})
        return found

    def _held(self, name: OperandName, extent: dict[str, int]) -> int:
        """Bits of an operand within these extents."""
        e, s = extent, self.nest.stride
        match name:
            case "input":
                elements = e["C"] * (s * (e["OX"] - 1) + e["FX"]) * (s * (e["OY"] - 1) + e["FY"]) * e["T"]
            case "weight":
                elements = e["K"] * e["C"] * e["FX"] * e["FY"]
            case "output":
                elements = e["K"] * e["OX"] * e["OY"] * e["T"]
            case _:
                elements = e["K"] * e["OX"] * e["OY"]
        return elements * self.bits[name]

    def _register_prefix(self, name: OperandName, extents: list[dict[str, int]]) -> int:
        """How many of the innermost loops an operand's registers hold."""
        lanes = {"input": self.spatial["C"], "weight": self.spatial["C"] * self.spatial["K"]}
        room = lanes.get(name, self.spatial["K"]) * getattr(self.core.registers.size_bits.v, name)
        return _prefix([self._held(name, extent) for extent in extents], room)

    def _buffer_prefixes(
        self, extents: list[dict[str, int]], registers: dict[OperandName, int]
    ) -> dict[OperandName, int]:
        """The same of the local buffers, where operands that share one hold the same loops."""
        found: dict[OperandName, int] = {}
        for buffer in self.core.buffers:
            together = [sum(self._held(name, extent) for name in buffer.holds) for extent in extents]
            held = _prefix(together, buffer.size_bits.v)
            found |= {name: max(held, registers[name]) for name in buffer.holds}
        return found

    def _crossing(
        self, name: OperandName, order: Order, inside: int, extents: list[dict[str, int]]
    ) -> tuple[float, float]:
        """Bits that cross a boundary down and up, with the innermost ``inside`` loops below it."""
        held, relevant = self._held(name, extents[inside]), RELEVANT[name]
        changing = [n for n in range(inside, len(order)) if order[n][0] in relevant]
        outside = order[changing[0] :] if changing else ()
        distinct = prod(size for dim, size in outside if dim in relevant)
        if name in {"input", "weight"}:
            return held * prod(size for _, size in outside), 0
        if name == "output":
            partial = held * (prod(size for _, size in outside) - distinct)
            finished = held * distinct * self.nest.output_bits / self.nest.partial_bits
            return partial, partial + finished
        again = prod(size for dim, size in outside if dim == "T")
        if self.nest.internal and again == 1:
            return 0, 0
        return held * distinct * again, held * distinct * again

    def _elements(self, cycles: int) -> dict[OperandName, float]:
        """Energy of the registers at the array's own accesses."""
        access, bits, lanes = self.core.registers.access_pj_per_bit.v, self.bits, self.spatial
        finished = prod(size for dim, size in self.nest.sizes if dim not in REDUCTIONS)
        return {
            "input": cycles * bits["input"] * lanes["C"] * access.read,
            "weight": cycles * bits["weight"] * lanes["C"] * lanes["K"] * access.read,
            "output": cycles * bits["output"] * lanes["K"] * (access.read + access.write),
            "state": finished * bits["state"] * (access.read + access.write),
        }


def _prefix(held: Sequence[int], room: int) -> int:
    """The most loops whose data fit; the data grow with the loops."""
    return max((n for n, bits in enumerate(held) if bits <= room), default=0)


def _per_bit(memory: Memory) -> PerBit:
    return memory.access_pj_per_bit.v


def _ends(memory: Memory, down: float, up: float) -> float:
    """What ``memory`` pays for bits that are read from it and written to it, in whole words."""
    word, access = memory.word_bits.v, _per_bit(memory)
    return word * (-(-down // word) * access.read + -(-up // word) * access.write)


def _primes(number: int) -> list[int]:
    """Prime factors; none for 1."""
    found, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return [*found, number] if number > 1 else found
