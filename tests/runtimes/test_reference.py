"""The float reference against the documented equations, neuron by neuron, and integers against the oracle."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.linear import Conv, Dense, Pool, Reshape, Scale, Sparse
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import oracle, reference

ALL = ("spikes", "states", "membrane")
INTEGRATOR = {"threshold": math.inf}


def lif_step(m: Lif, u: float, v: float, rest: int, x: float) -> tuple[float, float, float, float, int]:
    """(spikes, membrane before reset, u, v, rest) by the equations of ``Lif``; scalar parameters."""
    u = float(m.keep_current) * u + x + float(m.current_drive)
    h = float(m.keep_membrane) * v + float(m.gain) * u + float(m.drive)
    threshold = float(m.threshold)
    if m.late_guard and v > threshold:
        threshold *= 2
    if rest > 0:
        h = v
    fires = rest == 0 and (h >= threshold if m.compare == ">=" else h > threshold)
    n = 0.0
    if fires:
        n = 1.0 if m.max_spikes == 1 else float(math.floor(h / threshold))
        n = n if m.max_spikes == 0 else min(n, float(m.max_spikes))
    v = h
    if m.reset == "value" and fires:
        v = float(m.reset_value)
    if m.reset == "subtract":
        v = h - n * float(m.reset_amount)
    if m.floor is not None:
        v = max(v, m.floor)
    return n, h, u, v, m.refractory if fires else max(rest - 1, 0)


def eighths(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers whose products over a few steps are exact in float64."""
    return st.integers(int(low * 8), int(high * 8)).map(lambda n: n / 8)


def models() -> st.SearchStrategy[Lif]:
    return st.builds(
        Lif,
        keep_current=st.sampled_from([0.0, 0.5, 0.75]),
        keep_membrane=st.sampled_from([0.0, 0.5, 0.75, 1.0]),
        gain=st.sampled_from([0.5, 1.0]),
        drive=eighths(-1, 1),
        current_drive=st.sampled_from([0.0, 0.25]),
        threshold=st.sampled_from([0.5, 1.0, 2.0]),
        compare=st.sampled_from([">", ">="]),
        max_spikes=st.sampled_from([0, 1, 3]),
        reset=st.sampled_from(["none", "value", "subtract"]),
        reset_value=eighths(-1, 1),
        reset_amount=eighths(0, 2),
        late_guard=st.booleans(),
        refractory=st.integers(0, 2),
        floor=st.sampled_from([None, -1.0, 0.0]),
        initial=eighths(-1, 1),
    )


def single(model: Lif, n: int = 1) -> Network:
    nodes = (Input("x", (n,), "current"), Neurons("n", (n,), model))
    return Network("single", nodes, (Edge("x", "n"),), Readout("n"))


@given(models(), st.lists(eighths(-4, 8), min_size=1, max_size=8))
def test_every_neuron_follows_the_documented_equations(model, inputs):
    recording = reference.run(single(model), np.array(inputs)[None, :, None], ALL)
    u, v, rest = 0.0, float(model.initial), 0
    for step, x in enumerate(inputs):
        n, h, u, v, rest = lif_step(model, u, v, rest, x)
        assert recording.spikes["n"][0, step, 0] == n
        assert recording.membrane["n"][0, step, 0] == h
        assert recording.states["n"]["v"][0, step, 0] == v


def test_membrane_follows_the_closed_form_of_a_leaky_integrator():
    model = Lif(keep_membrane=0.9, **INTEGRATOR)
    membrane = reference.run(single(model), np.ones((1, 50, 1)), ALL).membrane["n"].ravel()
    assert np.allclose(membrane, (1 - 0.9 ** np.arange(1, 51)) / 0.1, rtol=1e-12)


def chain(*nodes, edges=(), neurons=None):
    """Input x, the given nodes in a row, then an integrator n."""
    first = nodes[0]
    out = nodes[-1].out_shape
    shape = getattr(first, "in_shape", None) or getattr(first, "shape", None) or (first.in_size,)
    every = (Input("x", shape, "current"), *nodes, neurons or Neurons("n", out, Lif(keep_membrane=0.0, **INTEGRATOR)))
    row = tuple(Edge(a.name, b.name) for a, b in pairwise(every))
    return Network("chain", every, (*row, *edges), Readout("n", "last_membrane"))


def test_linear_layers_compute_what_torch_would():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 1, 2, 5, 4))
    conv = Conv("c", rng.normal(size=(4, 1, 3, 2)), (2, 5, 4), rng.normal(size=4), (2, 1), ((1, 0), (0, 1)), (1, 2), 2)
    pool = Pool("p", "average", conv.out_shape, (2, 2), (1, 1), ((0, 0), (0, 0)))
    scale = Scale("s", pool.out_shape, np.arange(4.0), np.ones(4))
    dense = Dense("d", rng.normal(size=(3, scale.in_size)), rng.normal(size=3))
    flat = Reshape("f", scale.shape, (scale.in_size,))
    got = reference.run(chain(conv, pool, scale, flat, dense), x).outputs
    for sample in range(2):
        y = _conv_by_loops(x[sample, 0], conv)
        y = sum(y[:, i : i + y.shape[1] - 1, j : j + y.shape[2] - 1] for i in (0, 1) for j in (0, 1)) / 4
        y = y * np.arange(4.0)[:, None, None] + 1
        assert np.allclose(got[sample, 0], dense.weight @ y.ravel() + dense.bias)


def _conv_by_loops(x, c):
    padded = np.pad(x, ((0, 0), *c.padding))
    out = np.zeros(c.out_shape)
    inside, per_group = c.weight.shape[1], c.weight.shape[0] // c.groups
    for o, i, j in np.ndindex(*c.out_shape):
        first = o // per_group * inside
        rows = i * c.stride[0] + c.dilation[0] * np.arange(c.kernel[0])
        columns = j * c.stride[1] + c.dilation[1] * np.arange(c.kernel[1])
        window = padded[first : first + inside][:, rows][:, :, columns]
        out[o, i, j] = (window * c.weight[o]).sum() + c.bias[o]
    return out


def test_sparse_rows_and_parallel_edges_add_up():
    sparse = Sparse("m", np.array([2.0, 3.0]), np.array([1, 0]), np.array([0, 1, 2]), 2, (2,))
    network = chain(sparse, edges=(Edge("x", "n"),))
    assert reference.run(network, np.array([[[5.0, 7.0]]])).outputs.tolist() == [[[14.0 + 5, 15.0 + 7]]]


def test_spikes_cross_all_layers_within_a_step_and_delays_count_steps():
    neurons = [Neurons(name, (1,), Lif(keep_membrane=0.0, threshold=0.5)) for name in "abc"]
    edges = (Edge("x", "a"), Edge("a", "b"), Edge("b", "c", 2), Edge("b", "b", 1))
    network = Network("t", (Input("x", (1,), "spikes"), *reversed(neurons)), edges, Readout("c"))
    spikes = reference.run(network, np.eye(5)[:1, :, None], ("spikes",)).spikes
    assert spikes["a"].ravel().tolist() == [1, 0, 0, 0, 0]
    assert spikes["b"].ravel().tolist() == [1, 1, 1, 1, 1]
    assert spikes["c"].ravel().tolist() == [0, 0, 1, 1, 1]


def test_a_recurrent_layer_gives_its_bias_in_the_first_step_too():
    loop = Dense("loop", np.zeros((1, 1)), np.array([0.25]))
    nodes = (Input("x", (1,), "spikes"), loop, Neurons("n", (1,), Lif(**INTEGRATOR)))
    network = Network("r", nodes, (Edge("x", "n"), Edge("n", "loop", 1), Edge("loop", "n")), Readout("n"))
    assert reference.run(network, np.zeros((1, 2, 1)), ALL).membrane["n"].ravel().tolist() == [0.25, 0.5]


def test_register_neurons_run_in_integers_like_the_oracle():
    rng = np.random.default_rng(3)
    weight = (rng.integers(-128, 128, (6, 5)) * 2).astype(np.int32)
    registers = {"du": 300, "dv": 200, "vth": 120, "bias": 7}
    model = RegisterLif(**{k: np.array(v) for k, v in registers.items()})
    nodes = (Input("x", (5,), "spikes"), Dense("w", weight), Neurons("n", (6,), model))
    network = Network("r", nodes, (Edge("x", "w"), Edge("w", "n")), Readout("n"))
    layer = Population("n", (6,), chip_lif(Features()), registers, {"u": 0, "v": 0}, 1)
    synapses = Connection("w", "x", "n", DenseSynapse(weight), 0, "mixed", 0)
    chip = ChipNetwork("r", "loihi2", (Port("x", (5,)),), (layer,), (synapses,), Readout("n"))
    inputs = rng.integers(0, 2, (3, 20, 5))
    ours, theirs = reference.run(network, inputs, ALL), oracle.run(chip, inputs, ALL)
    assert theirs.stats["n"].spikes > 0
    assert np.array_equal(ours.spikes["n"], theirs.spikes["n"])
    assert np.array_equal(ours.membrane["n"], theirs.membrane["n"])
    assert np.array_equal(ours.states["n"]["u"], theirs.states["n"]["u"])
    assert ours.stats["n"].spikes == theirs.stats["n"].spikes


def test_only_what_was_asked_for_is_recorded():
    recording = reference.run(single(Lif()), np.ones((1, 2, 1)))
    assert (recording.spikes, recording.membrane, recording.states) == ({}, {}, {})
    assert recording.outputs.shape == (1, 2, 1)


def test_wrong_data_are_refused():
    with pytest.raises(RanvierError, match="RV824"):
        reference.run(single(Lif()), np.full((1, 2, 1), np.nan))
