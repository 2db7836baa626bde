"""Small workloads and networks to schedule, and chips with small stores."""

import numpy as np
from hypothesis import strategies as st

from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.schedule.choices import Rules
from ranvier.compiler.schedule.workload import Kernel, Layer, Operand, Source, Workload, window
from ranvier.targets.hierarchies import HierarchyCore
from ranvier.targets.load import load_hierarchy

RULES = st.builds(
    Rules, st.sampled_from(["dead", "charged"]), st.booleans(), st.sampled_from(["uses", "farthest"]), st.booleans()
)


def small_core(store_bits: int) -> HierarchyCore:
    """The shipped chip with another size of its shared store."""
    core = load_hierarchy("stems_1mb").core
    size = core.store.size_bits.model_copy(update={"v": store_bits})
    return core.model_copy(update={"store": core.store.model_copy(update={"size_bits": size})})


def conv_layer(name: str, source: str, widths: tuple[int, int], **sizes: int) -> Layer:
    """A convolution from a map of ``widths[0]`` columns to one of ``widths[1]``.

    ``sizes``: column, bits, state, weights, kernel, by default 4 elements of 1 bit, 12 bits of state, 400 bits, 3.
    """
    given = {"column": 4, "bits": 1, "state": 12, "weights": 400, "kernel": 3} | sizes
    stride, kernel = widths[0] // widths[1], given["kernel"]
    columns = window(widths[1], widths[0], kernel, stride, kernel // 2)
    nest = Kernel(given["column"], 2, 1, (kernel, kernel), stride)
    return Layer(name, widths[1], given["column"], given["bits"], given["state"], given["weights"],
                 (Operand(source, columns),), (nest,), 4)  # fmt: skip


@st.composite
def workloads(draw: st.DrawFn, blocks: int = 3) -> Workload:
    """Chains of convolutions in blocks whose maps shrink; a layer may also read the layer before its source."""
    layers: list[Layer] = []
    names: list[tuple[str, ...]] = []
    source, width = "in", draw(st.sampled_from([4, 6, 8]))
    first, cuts = width, []
    for _ in range(blocks):
        block: list[str] = []
        for _ in range(draw(st.integers(1, 2))):
            sizes = {
                "column": draw(st.integers(1, 6)),
                "bits": draw(st.sampled_from([1, 4])),
                "state": draw(st.sampled_from([0, 12])),
                "weights": draw(st.integers(1, 60)) * 16,
                "kernel": draw(st.sampled_from([1, 3])),
            }
            shrinks = not block and width % 2 == 0 and bool(layers)
            layer = conv_layer(f"l{len(layers)}", source, (width, width // 2 if shrinks else width), **sizes)
            width = layer.width
            layers.append(layer)
            block.append(layer.name)
            source = layer.name
        names.append(tuple(block))
        cuts.append(width)
    entry = Source("in", first, draw(st.integers(1, 4)), 4)
    steps = draw(st.integers(1, 4))
    return Workload("random", steps, (entry,), tuple(layers), tuple(names), tuple(cuts), (source,))


def conv_network(seed: int, widths: tuple[int, ...] = (8, 8, 4, 2), loop: bool = False) -> ChipNetwork:
    """Convolutions between maps of these widths, the last two joined by a branch, perhaps with a loop at the end."""
    rng = np.random.default_rng(seed)
    populations, connections = [], []
    shape, source = (2, 3, widths[0]), "in"
    for index, width in enumerate(widths[1:]):
        name, out = f"p{index}", (3, 3, width)
        kernel, stride = (3, 3), (1, shape[2] // width)
        weight = rng.integers(-60, 90, (out[0], shape[0], *kernel)) & ~1
        synapse = ConvSynapse(weight.astype(np.int32), shape, out, stride, ((1, 1), (1, 1)), (1, 1), 1)
        connections.append(Connection(f"{source}_{name}", source, name, synapse, 0, "mixed", 0))
        params = {"du": np.array(2000), "dv": np.array(int(rng.integers(100, 900))), "bias": np.array(0),
                  "vth": np.array(int(rng.integers(40, 90)))}  # fmt: skip
        program = chip_lif(Features())
        initial = {s.name: np.zeros((), np.int64) for s in program.states}
        populations.append(Population(name, out, program, {n: params[n] for n in program.params}, initial, index + 1))
        shape, source = out, name
    first, last = populations[0], populations[-1]
    branch = DenseSynapse((rng.integers(-20, 21, (last.size, first.size)) & ~1).astype(np.int32))
    connections.append(Connection("branch", first.name, last.name, branch, 0, "mixed", last.latency - 2))
    if loop:
        again = DenseSynapse((rng.integers(-40, 41, (last.size, last.size)) & ~1).astype(np.int32))
        connections.append(Connection("again", last.name, last.name, again, 0, "mixed", 0))
    port = Port("in", (2, 3, widths[0]))
    return ChipNetwork("convs", "loihi2", (port,), tuple(populations), tuple(connections), Readout(last.name))


def events(chip: ChipNetwork, steps: int, samples: int = 2, seed: int = 0) -> np.ndarray:
    """Random spikes for ``chip``."""
    rng = np.random.default_rng(seed)
    return (rng.random((samples, steps, *chip.ports[0].shape)) < 0.4).astype(np.int32)
