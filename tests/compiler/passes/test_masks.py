"""Masks of pruned networks are the same before and after: through all options, the artifact, and what Lava is given."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from ranvier.compiler import artifact
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, DenseSynapse
from ranvier.compiler.ir.linear import Conv, Dense, Sparse
from ranvier.compiler.ir.matrix import conv_matrix, linear_matrix, synapse_matrix
from ranvier.compiler.ir.network import Network, Node
from ranvier.compiler.options import Options
from ranvier.compiler.passes.arrivals import incoming
from ranvier.compiler.passes.prune import Prune
from ranvier.compiler.pipeline import build, prepare
from ranvier.runtimes.lava.emit import emit
from ranvier.runtimes.lava.names import identifier
from ranvier.runtimes.observe import calibrate
from ranvier.targets.load import load_target
from support.float_networks import dyadic_inputs, float_networks

PATTERNS = ["magnitude:0.3", "magnitude:0.8", "1:2", "2:4", "2:2:5", "16:1:6"]
Mask = NDArray[np.bool_]


def distinct(network: Network, seed: int) -> Network:
    """``network`` with weights that differ from each other in size, by up to 2 in a wire and by up to 4 between wires:
    no two are equal, and none that stays is near to zero.
    """
    rng, nodes = np.random.default_rng(seed), list[Node]()
    for node in network.nodes:
        if isinstance(node, Dense):
            wires = 2.0 ** -rng.integers(0, 3, node.in_size)
            nodes.append(replace(node, weight=drawn(rng, node.weight) * wires))
        elif isinstance(node, Sparse):
            wires = 2.0 ** -rng.integers(0, 3, node.in_size)
            nodes.append(replace(node, data=drawn(rng, node.data) * wires[node.indices]))
        elif isinstance(node, Conv):
            nodes.append(replace(node, weight=drawn(rng, node.weight)))
        else:
            nodes.append(node)
    return replace(network, nodes=tuple(nodes))


def drawn(rng: np.random.Generator, weights: NDArray[Any]) -> NDArray[np.float64]:
    sizes = rng.uniform(0.5, 1.0, weights.shape) * rng.choice([-1.0, 1.0], weights.shape)
    return np.where(weights == 0, 0.0, sizes)


def wanted(prepared: Network, pattern: str) -> dict[str, Mask]:
    """By layer, which weights a prepared network keeps, as (targets, sources)."""
    pruned = Prune(pattern)(prepared) if pattern else prepared
    return {s.name: linear_matrix(s).toarray() != 0 for p in pruned.populations for s in incoming(pruned, p.name)}


def masks(chip: ChipNetwork, matrices: Mapping[str, NDArray[Any]]) -> dict[str, Mask]:
    """By layer, which weights are not zero; connections of one layer with several exponents share no weight."""
    found: dict[str, NDArray[np.int64]] = {}
    for c in chip.connections:
        used = (matrices[c.name] != 0).astype(np.int64)
        found[c.layer] = found.get(c.layer, np.zeros_like(used)) + used
    assert all(count.max(initial=0) <= 1 for count in found.values())
    return {layer: count > 0 for layer, count in found.items()}


def of_chip(chip: ChipNetwork) -> dict[str, Mask]:
    return masks(chip, {c.name: synapse_matrix(c.synapse).toarray() for c in chip.connections})


def of_lava(chip: ChipNetwork, folder: Path) -> dict[str, Mask]:
    """Masks of the arrays that an emitted project holds, which stand as Lava reads them."""
    with np.load(folder / f"{identifier(chip.name)}_net" / "weights.npz") as arrays:
        held = {name: arrays[name] for name in arrays.files}
    return masks(chip, {c.name: lava_matrix(c, held) for c in chip.connections})


def lava_matrix(c: Connection, held: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """(targets, sources) of one connection: a Lava kernel is (outputs, x, y, inputs), and flipped."""
    name, s = identifier(c.name), c.synapse
    if f"{name}.data" in held:
        parts = (held[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
        return np.asarray(sparse.csr_array(tuple(parts), shape=(s.out_size, s.in_size)).toarray())
    if isinstance(s, DenseSynapse):
        return held[name]
    assert isinstance(s, ConvSynapse)
    kernel = np.moveaxis(held[name], -1, 1)[:, :, ::-1, ::-1].swapaxes(2, 3)
    return np.asarray(conv_matrix(kernel, s.in_shape, s.out_shape, s.stride, s.padding, s.dilation, s.groups).toarray())


def same(found: Mapping[str, Mask], expected: Mapping[str, Mask], *, exactly: bool) -> None:
    """The masks of all layers; unless ``exactly``, a weight that was kept may have been rounded to zero."""
    assert found.keys() == expected.keys()
    for layer, mask in found.items():
        assert not np.any(mask & ~expected[layer]), layer
        assert not exactly or np.array_equal(mask, expected[layer]), layer


choices = st.builds(
    Options,
    exponent_groups=st.integers(1, 4),
    per_channel=st.booleans(),
    rounding=st.sampled_from(["nearest", "nearest", "output"]),
    correct_bias=st.booleans(),
    prune=st.sampled_from(PATTERNS),
)


@settings(max_examples=12)
@given(float_networks(), st.integers(0, 2**32 - 1), st.sampled_from(["loihi2", "generic"]), choices, st.data())
def test_masks_are_identical_through_options_artifact_and_lava(network, seed, target, options, data):
    prepared, inputs = distinct(prepare(network), seed), dyadic_inputs(network, seed)
    expected = wanted(prepared, options.prune)
    bits = {layer: data.draw(st.integers(6, 8), layer) for layer in sorted(expected)}
    options = replace(options, layer_bits=tuple(bits.items()))
    try:
        program = build(prepared, load_target(target), calibrate(prepared, inputs), options)
    except RanvierError:
        assume(False)
    same(of_chip(program.chip), expected, exactly=options.rounding == "nearest")
    with TemporaryDirectory() as name:
        folder = Path(name)
        artifact.save(program, folder / "pruned.rnv")
        opened = artifact.load(folder / "pruned.rnv").chip
        same(of_chip(opened), of_chip(program.chip), exactly=True)
        emit(opened, folder / "lava")
        same(of_lava(opened, folder / "lava"), of_chip(program.chip), exactly=True)
