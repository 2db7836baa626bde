"""Synaptic memory by format: what the target's formula gives; zeros cost less where a format leaves them out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis.formats import connection_memory
from ranvier.compiler.analysis.memory import memory
from ranvier.compiler.analysis.resources_blocks import Block
from ranvier.compiler.analysis.resources_synapses import by_format, lists
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import Connection, DenseSynapse, SparseSynapse
from ranvier.compiler.pipeline import mapped
from ranvier.targets.load import load_target
from support.networks import chip_networks

RUNS = """extends = "generic"
sources.mine = { cite = "test", basis = "policy", conf = "high" }
[synapse]
formats = ["dense", "sparse", "runlength"]
run_bits = { v = 3, src = "mine" }
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    path = tmp_path_factory.mktemp("targets") / "runs.toml"
    path.write_text(RUNS)
    return load_target(path)


def dense(seed: int, targets: int, sources: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-127, 128, (targets, sources)) * 2
    return np.where(rng.random((targets, sources)) < share, weights, 0).astype(np.int32)


def as_sparse(weight: np.ndarray) -> SparseSynapse:
    rows, columns = np.nonzero(weight)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(weight)))])
    return SparseSynapse(weight[rows, columns], columns, indptr, weight.shape[1])


def connection(synapse: DenseSynapse | SparseSynapse) -> Connection:
    return Connection("c", "in", "out", synapse, 0, "mixed", 0)


def padded(count: int, each: int) -> int:
    """Bits of one list: blocks of 64 synapses, a header of 10, words of 64."""
    return sum(-(-(min(64, count - start) * each + 10) // 64) * 64 for start in range(0, count, 64))


@given(st.integers(0, 2**32 - 1), st.integers(2, 90), st.integers(1, 12), st.sampled_from([0.02, 0.2, 0.9]))
def test_every_format_takes_what_its_lists_do_one_by_one(target, seed, targets, sources, share):
    weight = dense(seed, targets, sources, share)
    block = Block("out", (targets,), ((0, targets),))
    expected = {"dense": 0, "sparse": 0, "runlength": 0}
    index = next(b for b in (0, 4, 6, 8, 10) if 2**b >= targets)
    for column in weight.T:
        places = np.flatnonzero(column)
        if not places.size:
            continue
        fillers = sum((here - before - 1) // 8 for before, here in zip([-1, *places], places, strict=False))
        expected["dense"] += padded(targets, 8)
        expected["sparse"] += padded(places.size, 8 + index)
        expected["runlength"] += padded(places.size + int(fillers), 8 + 3)
    for synapse in (DenseSynapse(weight), as_sparse(weight)):
        found = by_format(connection(synapse), block, target, 8)
        assert {kind: held.bits for kind, held in found.items()} == expected
        assert lists(connection(synapse), block, target, 8).bits == min(expected.values())


def test_runs_are_counted_within_a_block_of_several_ranges(target):
    weight = dense(1, 60, 7, 0.1)
    block = Block("out", (60,), ((5, 50),), ((5, 20), (31, 50)))
    kept = weight[np.r_[5:20, 31:50]]
    whole = Block("out", (34,), ((0, 34),))
    found = by_format(connection(DenseSynapse(weight)), block, target, 8)["runlength"].bits
    assert found == by_format(connection(DenseSynapse(kept)), whole, target, 8)["runlength"].bits > 0


@given(chip_networks())
def test_what_is_taken_is_the_synaptic_memory_of_the_report(chip):
    target = load_target("loihi2")
    try:
        placement = mapped(replace(chip, target="loihi2"), target, None).placement
    except RanvierError:
        return
    found = connection_memory(chip, placement, target)
    layers = {layer.name: layer.weight_bytes for layer in memory(chip, placement, target).layers}
    for name, taken in layers.items():
        own = [f for f, c in zip(found, chip.connections, strict=True) if c.target == name]
        assert abs(sum(f.bytes for f in own) - taken) <= 8 * len(own)
    for f in found:
        assert f.bytes <= min(f.by_format.values())
        assert set(f.taken) <= set(f.by_format)


def test_zeros_cost_nothing_in_sparse_formats_and_all_in_dense_ones(target):
    block = Block("out", (256,), ((0, 256),))
    full, pruned = (by_format(connection(DenseSynapse(dense(3, 256, 32, s))), block, target, 8) for s in (1.0, 0.25))
    assert full["dense"].bits == pruned["dense"].bits
    assert pruned["sparse"].bits < 0.4 * full["sparse"].bits
    assert pruned["runlength"].bits < pruned["sparse"].bits < pruned["dense"].bits


def test_run_length_lists_need_the_width_of_a_run(tmp_path):
    (tmp_path / "bad.toml").write_text(RUNS.replace('run_bits = { v = 3, src = "mine" }\n', ""))
    with pytest.raises(RanvierError, match="run_bits"):
        load_target(tmp_path / "bad.toml")
