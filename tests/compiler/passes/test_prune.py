"""Zeros stay zeros: through every pass, rounding, placement, artifact and emission; what pruning takes is made good."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, SparseSynapse
from ranvier.compiler.ir.linear import Conv, Dense, Sparse
from ranvier.compiler.ir.moments import Moments
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.sparsity import check_layout
from ranvier.compiler.ir.weight_levels import weight_levels
from ranvier.compiler.options import Options, RoundingMethod, options_from
from ranvier.compiler.passes.arrivals import incoming, weights_of
from ranvier.compiler.passes.prune import Prune
from ranvier.compiler.passes.rounding import membrane_error, round_jointly, round_output
from ranvier.compiler.pipeline import mapped, prepare
from ranvier.examples.digits import network as digits
from ranvier.fitting import fit
from ranvier.runtimes.lava.emit import emit
from ranvier.runtimes.observe import measure
from ranvier.targets.load import load_target
from support.float_networks import dyadic_inputs, float_networks

LOIHI2 = load_target("loihi2")
PATTERNS = ["", "", "magnitude:0.6", "2:4", "8:2:5"]


def holed(network: Network, seed: int, share: float) -> Network:
    """``network`` with a ``share`` of the weights of its layers zero."""
    rng = np.random.default_rng(seed)
    changed = {
        n.name: replace(n, weight=np.where(rng.random(n.weight.shape) < share, 0.0, n.weight))
        for n in network.nodes
        if isinstance(n, Dense | Conv)
    }
    return replace(network, nodes=tuple(changed.get(n.name, n) for n in network.nodes))


def zeros(network: Network) -> dict[str, np.ndarray]:
    """By synapse, which weights of a folded network are zero."""
    return {s.name: weights_of(s) == 0 for p in network.populations for s in incoming(network, p.name)}


def stored(chip: ChipNetwork) -> dict[str, np.ndarray]:
    """By connection, the weights in the form of ``weights_of``."""
    found = {}
    for c in chip.connections:
        sparse = isinstance(c.synapse, SparseSynapse)
        found[c.name] = c.synapse.data.reshape(1, -1) if sparse else c.synapse.weight.reshape(len(c.synapse.weight), -1)
    return found


def options() -> st.SearchStrategy[Options]:
    return st.builds(
        Options,
        weight_bits=st.integers(1, 8),
        per_channel=st.booleans(),
        rounding=st.sampled_from(["nearest", "output"]),
        equalize=st.booleans(),
        correct_bias=st.booleans(),
        prune=st.sampled_from(PATTERNS),
    )


@given(float_networks(), st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.9]))
def test_folding_moves_no_zero(network, seed, share):
    network = holed(network, seed, share)
    prepared = prepare(network)
    for node in prepared.linears:
        source = next((n for n in network.nodes if n.name == node.name), None)
        if isinstance(node, Dense | Conv) and type(source) is type(node):
            before = source.weight.reshape(node.weight.shape) if source.weight.size == node.weight.size else None
            alone = all(
                type(network.by_name[e.source]).__name__ in {"Input", "Neurons"} for e in network.into[node.name]
            )
            if before is not None and alone:
                np.testing.assert_array_equal(node.weight == 0, before == 0)


@settings(max_examples=15)
@given(float_networks(), st.integers(0, 2**32 - 1), options())
def test_no_zero_becomes_a_weight_on_the_way_to_cores(network, seed, chosen):
    network = holed(network, seed, 0.5)
    prepared, inputs = prepare(network), dyadic_inputs(network, seed)
    try:
        chip = fit(prepared, LOIHI2, measure(prepared, inputs), chosen)
        program = mapped(chip, LOIHI2, prepared)
    except RanvierError:
        assume(False)
    before = zeros(Prune(chosen.prune)(prepared) if chosen.prune and not chosen.equalize else prepared)
    for name, weights in stored(program.chip).items():
        assert not np.any(weights[before[name]]), name
        if ":" in chosen.prune and "magnitude" not in chosen.prune and not isinstance(prepared.by_name[name], Sparse):
            pruned = zeros(Prune(chosen.prune)(prepared))[name]
            unpruned = np.array_equal(pruned, zeros(prepared)[name])
            assert unpruned or check_layout(weights, chosen.prune) == []


def problem(seed: int, rows: int = 6, inputs: int = 9) -> tuple[np.ndarray, np.ndarray, Moments]:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(40, inputs)) @ rng.normal(size=(inputs, inputs))
    zero = np.zeros((1, inputs))
    wanted = rng.normal(0, 40, (rows, inputs))
    return wanted, rng.random((rows, inputs)) < 0.6, Moments(zero, zero, (mixed.T @ mixed / 40)[None], zero)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.sampled_from(["mixed", "excitatory"]))
def test_rounding_leaves_zeros_and_errs_no_more_than_the_nearest_levels(seed, bits, sign):
    wanted, kept, moments = problem(seed)
    levels = weight_levels(bits, sign)
    chosen = round_output(wanted, levels, moments, kept)
    assert not np.any(chosen[~kept])
    np.testing.assert_array_equal(chosen[kept], levels.nearest(chosen)[kept])
    plain = np.where(kept, levels.nearest(wanted), 0.0)
    ours, theirs = (membrane_error(x - wanted, moments) for x in (chosen, plain))
    assert np.all(ours <= theirs * (1 + 1e-9))


def test_weights_that_are_left_make_good_what_pruning_took():
    shares = []
    for seed in range(20):
        wanted, kept, moments = problem(seed)
        levels = weight_levels(8, "mixed")
        ours = membrane_error(round_output(wanted, levels, moments, kept) - wanted, moments).sum()
        shares.append(ours / membrane_error(np.where(kept, levels.nearest(wanted), 0.0) - wanted, moments).sum())
    assert np.median(shares) < 0.5


def test_joint_rounding_leaves_zeros():
    wanted, kept, moments = problem(1, inputs=8)
    levels = [weight_levels(4, "mixed"), weight_levels(8, "mixed")]
    second = np.repeat(moments.second, len(wanted), axis=0)
    parts = round_jointly([wanted[:, :3], wanted[:, 3:]], levels, [1.0, 1.0], second, [kept[:, :3], kept[:, 3:]])
    assert not np.any(np.concatenate(parts, axis=1)[~kept])
    assert np.any(np.concatenate(parts, axis=1))


def test_pools_and_single_weights_are_left():
    network = prepare(digits.network())
    ones = replace(network.by_name["conv1"], weight=np.ones_like(network.by_name["conv1"].weight))
    network = replace(network, nodes=tuple(ones if n.name == "conv1" else n for n in network.nodes))
    pruned = Prune("magnitude:0.5")(network)
    np.testing.assert_array_equal(pruned.by_name["conv1"].weight, ones.weight)
    notes = {n.place: n.text for n in pruned.notes if n.code == "RV561"}
    assert notes["conv1"] == "not pruned to magnitude:0.5"
    assert notes["fc"] == "1280 of 2560 weights are pruned to magnitude:0.5"


ROUNDED: Mapping[str, RoundingMethod] = {"": "nearest", "magnitude:0.5": "nearest", "2:4": "output"}


@pytest.fixture(scope="module")
def apps():
    calibration = np.repeat(digits.data("calibration")["inputs"][:64, None], 20, 1)
    return {
        prune: ranvier.compile(digits.network(), "loihi2", calibration, prune=prune, rounding=rounding)
        for prune, rounding in ROUNDED.items()
    }


def test_masks_are_identical_in_program_artifact_and_lava_project(apps, tmp_path):
    app = apps["2:4"]
    wanted = zeros(Prune("2:4")(prepare(digits.network())))
    app.save(tmp_path / "digits.rnv")
    opened = ranvier.open(tmp_path / "digits.rnv")
    emit(opened.program.chip, Path(tmp_path / "lava"))
    (path,) = (tmp_path / "lava").rglob("weights.npz")
    with np.load(path) as arrays:
        emitted = {name: arrays[name].reshape(len(arrays[name]), -1) for name in wanted}
    found = stored(opened.program.chip)
    for name, weights in stored(app.program.chip).items():
        assert not np.any(weights[wanted[name]])
        assert check_layout(weights, "2:4") == []
        np.testing.assert_array_equal(found[name], weights)
        counts = (np.count_nonzero(values, axis=1) for values in (emitted[name], weights))
        np.testing.assert_array_equal(*counts)
    np.testing.assert_array_equal(emitted["fc"] == 0, found["fc"] == 0)
    assert options_from(opened.provenance).prune == "2:4"


def test_pruned_digits_stay_useful_and_take_less_memory(apps):
    test = digits.data("test")
    inputs, labels = np.repeat(test["inputs"][:, None], 20, 1), test["labels"]
    accuracy = {key: float(np.mean(app.run(inputs).predictions == labels)) for key, app in apps.items()}
    assert accuracy[""] > 0.96
    assert min(accuracy["2:4"], accuracy["magnitude:0.5"]) > 0.93
    taken = {key: app.report().memory.weight_bytes for key, app in apps.items()}
    assert taken["magnitude:0.5"] < taken[""]


def test_thresholds_that_are_retuned_are_noted_and_weights_stay(apps):
    chip = apps["magnitude:0.5"].program.chip
    assert any(n.code == "RV563" and "threshold" in n.text for n in chip.notes)
    assert not any(n.code in {"RV561", "RV563"} for n in apps[""].program.chip.notes)


def test_a_pattern_that_is_none_is_refused_by_compile():
    with pytest.raises(RanvierError, match="RV560"):
        ranvier.compile(digits.network(), "loihi2", prune="2:1")


def test_fine_tuning_leaves_zeros(apps):
    torch = pytest.importorskip("torch")
    app = apps["2:4"]
    module = ranvier.trainable(app)
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=50.0)
    frames = torch.from_numpy(np.repeat(digits.data("test")["inputs"][:4, None], 20, 1))
    (module(frames).sum() * 1.0).backward()
    optimizer.step()
    before, after = stored(app.program.chip), stored(ranvier.retrained(app, module).program.chip)
    assert any(not np.array_equal(before[name], after[name]) for name in before)
    for name, weights in after.items():
        assert not np.any(weights[before[name] == 0])
