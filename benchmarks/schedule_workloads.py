"""The published workloads of STEMS (arXiv 2502.03287): SEW-ResNet with parametric LIF neurons, and RED with LIF ones.

Shapes, bits, blocks and column cuts are facts of the public workload files; batch 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from ranvier.compiler.schedule.workload import Kernel, Layer, Operand, Source, Workload, same, window

WEIGHT_BITS: Final = 4
STATE_BITS: Final = 12
PARTIAL_BITS: Final = 12


@dataclass(frozen=True)
class _Conv:
    sources: Sequence[str]
    channels: tuple[int, int]
    rows: int
    width: int
    kernel: int
    stride: int = 1


def sew(stateful: int = 7, channels: int = 64, side: int = 128, steps: int = 16) -> Workload:
    """SEW-ResNet whose last ``stateful`` of seven blocks keep a state: 7 is SEW-7PLIF, 5 is SEW-5PLIF.

    A block is convolutions, the sum of its last two, and a pool by two; blocks 0 and 4 begin with a 1x1 convolution
    into other channels.
    """
    layers: list[Layer] = []
    blocks: list[tuple[str, ...]] = []
    before, held = "events", 2
    for block in range(7):
        wide, size = channels * (1 if block < 4 else 2), side >> block
        kernels = (1, 3, 3) if block in {0, 4} else (3, 3)
        first, last = len(layers), list[str]()
        for kernel in kernels:
            entering = 4 if before == "events" else 1
            name = f"conv{len(layers)}"
            conv = _Conv((before,), (wide, held), size, size, kernel)
            layers.append(_layer(name, conv, entering, 1, STATE_BITS if block >= 7 - stateful else 0, size))
            before, held, last = name, wide, [*last[-1:], name]
        layers.append(_vector(f"add{len(layers)}", last[::-1], wide, size, size, 1))
        layers.append(_pool(f"pool{len(layers)}", layers[-1].name, wide, size))
        before = layers[-1].name
        blocks.append(tuple(layer.name for layer in layers[first:]))
    cuts = tuple(max(side >> block, 1) for block in range(7))
    source = Source("events", side, 2 * side, 4)
    return Workload(f"SEW-{stateful}PLIF", steps, (source,), tuple(layers), tuple(blocks), cuts, (before,))


def red(steps: int = 12) -> Workload:
    """RED-LIF (file RED_LIF_T): a stateless backbone with 4-bit activations, then five LIF layers with binary ones."""
    conv = {
        0: _Conv(("frames",), (32, 6), 180, 320, 7, 2), 1: _Conv(("0",), (64, 32), 180, 320, 3),
        2: _Conv(("1",), (64, 64), 90, 160, 3, 2), 3: _Conv(("0",), (64, 32), 90, 160, 3, 2),
        5: _Conv(("4",), (64, 64), 90, 160, 3), 6: _Conv(("5",), (64, 64), 90, 160, 3),
        8: _Conv(("7",), (128, 64), 90, 160, 3), 9: _Conv(("8",), (128, 128), 90, 160, 3),
        10: _Conv(("7",), (128, 64), 90, 160, 3), 12: _Conv(("11",), (256, 128), 45, 80, 3, 2),
        13: _Conv(("12",), (256, 256), 23, 40, 3, 2), 14: _Conv(("13",), (256, 256), 12, 20, 3, 2),
        15: _Conv(("14",), (256, 256), 6, 10, 3, 2), 16: _Conv(("15",), (256, 256), 3, 5, 3, 2),
    }  # fmt: skip
    sums = {4: (("2", "3"), 64), 7: (("4", "6"), 64), 11: (("9", "10"), 128)}
    widths = {"frames": 640} | {str(n): c.width for n, c in conv.items()}
    layers = []
    for number in range(17):
        if number in sums:
            sources, wide = sums[number]
            layers.append(_vector(str(number), sources, wide, 90, 160, 4))
            widths[str(number)] = 160
            continue
        spiking = number >= 12
        layers.append(_layer(str(number), conv[number], 1 if number > 12 else 4, 1 if spiking else 4,
                             STATE_BITS if spiking else 0, widths[conv[number].sources[0]]))  # fmt: skip
    ends = (0, 5, 8, 12, 13, 14, 15, 16, 17)
    blocks = tuple(tuple(str(n) for n in range(a, b)) for a, b in pairwise(ends))
    source = Source("frames", 640, 6 * 360, 4)
    return Workload("RED-LIF", steps, (source,), tuple(layers), blocks, (320, 160, 160, 80, 40, 20, 10, 5), ("16",))


def _layer(name: str, conv: _Conv, entering: int, bits: int, state: int, source_width: int) -> Layer:
    outputs, inputs = conv.channels
    columns = window(conv.width, source_width, conv.kernel, conv.stride, conv.kernel // 2)
    kernel = Kernel(outputs, inputs, conv.rows, (conv.kernel, conv.kernel), conv.stride, entering)
    weights = outputs * inputs * conv.kernel**2 * WEIGHT_BITS
    operands = tuple(Operand(source, columns) for source in conv.sources)
    return Layer(name, conv.width, outputs * conv.rows, bits, state, weights, operands, (kernel,),
                 WEIGHT_BITS, PARTIAL_BITS)  # fmt: skip


def _vector(name: str, sources: Sequence[str], channels: int, rows: int, width: int, bits: int) -> Layer:
    """A sum of maps."""
    operands = tuple(Operand(source, same(width)) for source in sources)
    kernel = Kernel(channels, 1, rows, input_bits=bits, unit="vector")
    return Layer(name, width, channels * rows, bits, 0, 0, operands, (kernel,))


def _pool(name: str, source: str, channels: int, side: int) -> Layer:
    half = side // 2
    columns = window(half, side, 2, 2, 0)
    kernel = Kernel(channels, 1, half, (2, 2), 2, unit="vector")
    return Layer(name, half, channels * half, 1, 0, 0, (Operand(source, columns),), (kernel,))


RATES: Final[Mapping[str, Mapping[str, float]]] = {
    "SEW-7PLIF": {"conv0": 0.29, "conv1": 0.124, "conv2": 0.19},
    "RED-LIF": {
        "0": 0.6075, "1": 0.6562, "2": 0.364794, "3": 0.6562, "5": 0.71646, "6": 0.39674, "8": 0.822366, "9": 0.26089,
        "10": 0.822367, "12": 0.295345, "13": 0.103109, "14": 0.10533288, "15": 0.0871419, "16": 0.084635,
    },
}  # fmt: skip
"""Shares of inputs that are not zero, as far as comments in the public workload files name them."""


def with_rates(workload: Workload, rates: Mapping[str, float]) -> Workload:
    """``workload`` whose layers read as few non-zero inputs as ``rates`` says by layer; the others stay dense."""

    def sparser(layer: Layer) -> Layer:
        kernels = (replace(kernel, density=rates.get(layer.name, 1.0)) for kernel in layer.kernels)
        return replace(layer, kernels=tuple(kernels))

    return replace(workload, layers=tuple(map(sparser, workload.layers)))


WORKLOADS: Final[Mapping[str, Callable[[], Workload]]] = {"SEW-7PLIF": sew, "SEW-5PLIF": lambda: sew(5), "RED-LIF": red}
