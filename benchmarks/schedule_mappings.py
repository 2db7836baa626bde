"""What no mapping of computations on the array can go below: the bound for what uneven mappings could still save."""

from math import prod

import numpy as np

from ranvier.compiler.schedule.choices import OWN, Schedule
from ranvier.compiler.schedule.cost import computation
from ranvier.compiler.schedule.workload import Kernel, Layer, Workload, tile_starts
from ranvier.targets.hierarchies import HierarchyCore, Memory, OperandName


def mapping_floor(workload: Workload, schedule: Schedule, core: HierarchyCore) -> tuple[float, float]:
    """PJ of registers, buffers and store at the array under ``schedule``, and the least of any mapping.

    Every operand that a computation needs has to come up or down each level at least once, in whatever order and
    however unevenly the loops are shared out among the memories: inputs and weights go from the store to the buffers to
    the registers, finished sums the other way, states both. The registers' own accesses at the array come with the
    products and are the same for all. Partial sums that are brought back are left out.
    """
    paid = least = 0.0
    for layer in workload.layers:
        block = workload.block_of[layer.name]
        choice = schedule[block]
        tiles = min(layer.width, workload.columns[block]) if choice.fused else 1
        steps, times = (workload.steps, 1) if choice.batched else (1, workload.steps)
        for width in np.diff(tile_starts(layer.width, tiles)).tolist():
            cost = computation(layer, width, choice.batched, workload.steps, OWN, core)
            paid += times * float(cost.memory.sum())
            least += times * sum(
                _kernel_floor(layer, kernel, width, steps, core, state=n == len(layer.kernels) - 1)
                for n, kernel in enumerate(layer.kernels)
                if kernel.unit == "array"
            )
    return paid, least


def _kernel_floor(layer: Layer, kernel: Kernel, width: int, steps: int, core: HierarchyCore, *, state: bool) -> float:
    rows, columns = ((n - 1) * kernel.stride + k for n, k in zip((kernel.rows, width), kernel.kernel, strict=True))
    # with a stride wider than the kernel some of the window is never read
    rows, columns = min(rows, kernel.rows * kernel.kernel[0]), min(columns, width * kernel.kernel[1])
    elements = steps * kernel.outputs * kernel.rows * width
    kept = layer.state_bits * kernel.outputs * kernel.rows * width if state and steps == 1 else 0
    down: dict[OperandName, int] = {
        "input": steps * kernel.inputs * rows * columns * kernel.input_bits,
        "weight": kernel.outputs * kernel.inputs * prod(kernel.kernel) * layer.weight_width,
        "state": kept,
    }
    up: dict[OperandName, int] = {"output": elements * layer.bits, "state": kept}
    access, total = core.registers.access_pj_per_bit.v, _at_the_array(layer, kernel, width, steps, core)
    for name, bits in down.items():
        buffer = core.buffer(name)
        total += bits * (access.write + _read(buffer) + _write(buffer) + _read(core.store))
    for name, bits in up.items():
        buffer = core.buffer(name)
        total += bits * (access.read + _write(buffer) + _read(buffer) + _write(core.store))
    return total


def _at_the_array(layer: Layer, kernel: Kernel, width: int, steps: int, core: HierarchyCore) -> float:
    """Registers at the products: inputs are shared along outputs, sums along inputs, each element has its weight."""
    grid, access = core.array.elements.v, core.registers.access_pj_per_bit.v
    lanes = {"K": min(kernel.outputs, grid.outputs), "C": min(kernel.inputs, grid.inputs)}
    turns = -(-kernel.outputs // lanes["K"]) * -(-kernel.inputs // lanes["C"])
    cycles = steps * turns * kernel.rows * width * prod(kernel.kernel)
    sums = layer.partial_bits * lanes["K"] * (access.read + access.write)
    return cycles * (
        kernel.input_bits * lanes["C"] * access.read + layer.weight_width * lanes["C"] * lanes["K"] * access.read + sums
    )


def _read(memory: Memory) -> float:
    return float(memory.access_pj_per_bit.v.read)


def _write(memory: Memory) -> float:
    return float(memory.access_pj_per_bit.v.write)
