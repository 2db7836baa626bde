"""Calls of machine code by its address, so that the time loop runs without the interpreter.

Every call takes four pointers (64-bit fields, weights, sums, what was sent) and returns whether Python has to look.
The first two fields are the first step of the block and the step after its last.
"""

# ruff: noqa: ARG001 -- Numba calls these functions with more than each of them needs

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types

from ranvier.runtimes.simulator.compiled import compiled
from ranvier.runtimes.simulator.layouts import Ints
from ranvier.runtimes.simulator.vectors import LONG, instruction

_pointer: Any = types.CPointer
PARTS = 5  # numbers of a call: address of the code, then its pointers


@dataclass(frozen=True, eq=False)
class Call:
    """A call of the time loop: ``numbers`` as ``run_blocks`` takes them, ``fields`` as its code does.

    ``held`` owns everything that the numbers and fields are addresses of: what several threads compute and cache at
    once is not there for longer than one of them holds it.
    """

    numbers: list[int]
    fields: Ints
    held: tuple[Any, ...]


@instruction
def ints_at(typing: Any, address: Any) -> Any:
    """The pointer to the 64-bit integers at ``address``."""
    pointer = _pointer(types.int64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64), generate


@instruction
def masks_at(typing: Any, address: Any) -> Any:
    """The pointer to the 64-bit masks at ``address``."""
    pointer = _pointer(types.uint64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64), generate


@instruction
def shorts_at(typing: Any, address: Any) -> Any:
    """The pointer to the 16-bit integers at ``address``."""
    pointer = _pointer(types.int16)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64), generate


@instruction
def call(typing: Any, code: Any, fields: Any, weight: Any, sums: Any, sent: Any, first: Any, last: Any) -> Any:
    """What the code at an address returns for steps ``first`` to ``last - 1``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = LONG.as_pointer()
        fields, *others = (builder.inttoptr(value, pointer) for value in args[1:5])
        for place, value in enumerate(args[5:]):
            builder.store(value, builder.gep(fields, [LONG(place)]))
        function = builder.inttoptr(args[0], ir.FunctionType(LONG, [pointer] * 4).as_pointer())
        return builder.call(function, [fields, *others])

    return types.int64(*[types.int64] * 7), generate


@instruction
def cycles(typing: Any) -> Any:
    """What the processor's counter of time stands at."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(LONG, [])
        return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", (), kind), [])

    return types.int64(), generate


@compiled
def run_blocks(calls: Ints, first: int, steps: int, block: int, at: int, spent: Ints) -> tuple[int, int]:
    """Run ``calls`` (calls, PARTS) in their order for every block of steps, beginning with call ``at``.

    Returns where it stopped, as the first step of the block and the number of the call that returned something
    other than 0; ``steps`` and 0 at the end. ``spent`` (calls) is raised by the cycles of each call, where it is not
    empty.
    """
    while first < steps:
        last = min(first + block, steps)
        for k in range(at, calls.shape[0]):
            started = cycles() if spent.size > 0 else 0
            stop = call(calls[k, 0], calls[k, 1], calls[k, 2], calls[k, 3], calls[k, 4], first, last)
            if spent.size > 0:
                spent[k] += cycles() - started
            if stop != 0:
                return first, k
        first, at = last, 0
    return steps, 0
