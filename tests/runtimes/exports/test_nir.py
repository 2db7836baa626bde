"""NIR files that Ranvier writes: read back they are the same network; without metadata, the same spikes."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Conv, Dense, Pool, Reshape, Scale, Sparse
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Note, Readout
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.compiler.ir.text import equal
from ranvier.compiler.pipeline import prepare
from ranvier.frontends.nir import load_nir
from ranvier.runtimes import reference
from ranvier.runtimes.exports.nir import READERS, export_nir
from support.data import test_data
from support.float_networks import dyadic_inputs, float_networks

DYADIC = 2.0**-13
"""A time step that makes every division by it exact."""
SHARED = settings(
    max_examples=settings.default.max_examples // 2, deadline=None, suppress_health_check=list(HealthCheck)
)


def chain(*nodes: Node) -> Network:
    """The nodes one after the other, read at the last."""
    edges = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    return Network("chain", nodes, edges, Readout(nodes[-1].name))


def one(model: Any, n: int = 3, name: str = "lif") -> Network:
    """An input of ``n`` spikes, a matrix, and a population of ``model``."""
    return chain(Input("x", (n,), "spikes"), Dense("fc", np.eye(n) * 0.75), Neurons(name, (n,), model))


def stripped(path: Path) -> Path:
    """The file without what only Ranvier reads: the text of its nodes."""
    with h5py.File(path, "r+") as file:
        for group in (file["node"], *file["node/nodes"].values()):
            for name in [n for n in group.get("metadata", ()) if n.startswith("ranvier.")]:
                del group["metadata"][name]
    return path


def codes(found: Any) -> list[str]:
    return [d.code for d in found.value.diagnostics]


@SHARED
@given(net=float_networks(), reader=st.sampled_from(sorted(READERS)), prepared=st.booleans())
def test_a_file_holds_the_very_network(net: Network, reader: Any, prepared: bool, tmp_path: Path) -> None:
    named = replace(net, name="a name", notes=(Note("RV120", "place", 'ein "Text" mit Ü' * 90),))
    network = prepare(named) if prepared else named
    export_nir(network, tmp_path / "n.nir", reader=reader)
    assert equal(load_nir(tmp_path / "n.nir"), network)


@SHARED
@given(net=float_networks(chip_like=True))
def test_the_program_is_the_same_byte_for_byte(net: Network, tmp_path: Path) -> None:
    samples = dyadic_inputs(net, 0)
    paths = (tmp_path / "a.rnv", tmp_path / "b.rnv")
    try:
        ranvier.compile(net, calibrate=samples).save(paths[0])
    except RanvierError:
        assume(False)
    ranvier.export_nir(net, tmp_path / "n.nir")
    ranvier.compile(ranvier.load(tmp_path / "n.nir"), calibrate=samples).save(paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def expressible(net: Network) -> Network:
    """``net`` with neurons that NIR defines: strictly above, one spike, reset to a value, from 0."""
    nodes = [
        replace(n, model=replace(n.model, compare=">", max_spikes=1, reset="value", refractory=0, floor=None,
                                 initial=np.zeros(()), drive=n.model.drive * (n.model.keep_membrane < 1)))
        if isinstance(n, Neurons) else n for n in net.nodes
    ]  # fmt: skip
    return replace(net, nodes=tuple(nodes))


@SHARED
@given(net=float_networks(), seed=st.integers(0, 99))
def test_the_equations_alone_give_the_same_spikes(net: Network, seed: int, tmp_path: Path) -> None:
    net = expressible(net)
    losses = export_nir(net, tmp_path / "n.nir", dt=DYADIC)
    assume(not losses)
    export_nir(net, tmp_path / "n.nir", dt=DYADIC, portable=True)
    read = load_nir(stripped(tmp_path / "n.nir"), preset="spec", coding=net.inputs[0].coding, readout="spike_count")
    x = dyadic_inputs(net, seed)
    np.testing.assert_array_equal(
        reference.run(read, x).outputs.reshape(len(x), x.shape[1], -1),
        reference.run(replace(net, readout=Readout(net.readout.node)), x).outputs.reshape(len(x), x.shape[1], -1),
    )


@pytest.mark.parametrize("reader", ["spec", "sinabs", "snntorch", "norse", "spikingjelly"])
def test_layers_that_nir_does_not_have_are_written_as_what_they_do(reader: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    image = (2, 5, 4)
    lone: tuple[Any, ...] = (
        Conv("c", rng.normal(size=(2, 1, 3, 2)), image, None, (2, 1), ((1, 0), (0, 1)), (1, 1), 2),
        Conv("c", rng.normal(size=(2, 2, 2, 2)), image, np.ones(2), (1, 1), ((2, 0), (0, 1)), (2, 1)),
        Pool("p", "average", image, (2, 3), (2, 1), ((1, 1), (0, 1))),
        Pool("p", "sum", image, (2, 2), (1, 2), ((0, 0), (1, 1))),
        Scale("s", image, np.array([2.0, 3.0]), np.array([0.5, -0.5])),
        Scale("s", image, rng.normal(size=40), np.zeros(())),
        Sparse("m", np.array([1.0, 2.0]), np.array([3, 7]), np.array([0, 1, 2]), 40, (2,)),
        Reshape("r", image, (2, 20)),
        Reshape("r", image, (40,)),
    )
    for op in lone:
        net = chain(Input("x", image, "current"), op, Neurons("n", op.out_shape, Lif(threshold=np.array(np.inf))))
        net = replace(net, readout=Readout("n", "sum_membrane"))
        export_nir(net, tmp_path / "n.nir", reader=reader)
        x = rng.normal(size=(1, 1, *image))
        read = load_nir(stripped(tmp_path / "n.nir"), coding="current", preset="spec", readout="sum_membrane")
        unit = float(np.max(read.populations[0].model.gain))
        ours, theirs = (reference.run(n, x, record=("membrane",)).membrane["n"].ravel() for n in (net, read))
        np.testing.assert_allclose(theirs / unit, ours, rtol=1e-5, atol=1e-5)


def test_delays_and_loops_travel_in_the_equations_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    nodes = (
        Input("x", (4,), "spikes"), Dense("a", rng.normal(1, 1, (4, 4))), Neurons("n", (4,), Lif(keep_membrane=0.5)),
        Dense("rec", rng.normal(-0.2, 1, (4, 4)), np.full(4, 0.25)), Dense("late", rng.normal(size=(4, 4))),
        Neurons("m", (4,), Lif(keep_membrane=0.5)),
    )  # fmt: skip
    pairs = [("x", "a", 0), ("a", "n", 0), ("n", "rec", 1), ("rec", "n", 0), ("n", "late", 3), ("late", "m", 0)]
    net = Network("loop", nodes, tuple(Edge(*p) for p in [*pairs, ("x", "m", 2)]), Readout("m"))
    assert export_nir(net, tmp_path / "n.nir", dt=DYADIC, portable=True) == ()
    graph = nir.read(tmp_path / "n.nir", type_check=False)
    assert {n for n, node in graph.nodes.items() if isinstance(node, nir.Delay)} == {"n_delay3", "x_delay2"}
    x = (rng.random((2, 30, 4)) < 0.5).astype(float)
    read = load_nir(stripped(tmp_path / "n.nir"), preset="spec")
    np.testing.assert_array_equal(reference.run(read, x).outputs, reference.run(net, x).outputs)
    assert reference.run(net, x).outputs.any()


LOSSES: dict[str, tuple[str, Any, str]] = {
    "compare": ("spec", Lif(compare=">="), "membrane is > the threshold"),
    "count": ("spec", Lif(max_spikes=0), "fires 1 spikes in a step, not any number of"),
    "soft": ("spec", Lif(reset="subtract"), "its reset is value, not subtract"),
    "none": ("spec", Lif(reset="none"), "its reset is value, not none"),
    "refractory": ("spec", Lif(refractory=2), "no refractory steps, not 2"),
    "floor": ("spec", Lif(floor=-1.0), "above -1"),
    "guard": ("spec", Lif(late_guard=True), "double the threshold"),
    "start": ("spec", Lif(initial=np.array(0.5)), "starts from 0, not from 0.5"),
    "drive": ("spec", Lif(drive=np.array(0.5)), "constant input to a neuron without leak"),
    "current": ("spec", Lif(keep_current=0.5, current_drive=np.array(0.5)), "synaptic current has no place"),
    "value": ("norse", Lif(reset_value=np.array(-0.5)), "resets to 0"),
    "leak": ("snntorch", Lif(keep_membrane=0.5, drive=np.array(0.25)), "towards 0 only"),
    "uniform": ("snntorch", Lif(keep_membrane=0.5, threshold=np.array([1.0, 2, 3])), "one v_threshold"),
    "reset-leak": ("spikingjelly", Lif(keep_membrane=0.5, reset_value=np.array(-1.0), compare=">="), "reset value"),
    "amount": ("sinabs", Lif(compare=">=", max_spikes=0, reset="subtract", reset_amount=np.array(0.5)), "subtracts"),
    "synapse": ("sinabs", Lif(keep_current=0.5), "does not read CubaLIF"),
    "integrator": ("norse", Lif(keep_membrane=0.5, threshold=np.array(np.inf)), "has no integrator"),
}


@pytest.mark.parametrize("case", sorted(LOSSES))
def test_what_a_reader_makes_different_is_a_note_and_refused_where_portable(case: str, tmp_path: Path) -> None:
    reader, model, words = LOSSES[case]
    net, path = one(model), tmp_path / "n.nir"
    with pytest.raises(RanvierError) as found:
        export_nir(net, path, reader=reader, portable=True)
    assert set(codes(found)) == {"RV686"}
    assert words in " ".join(d.message for d in found.value.diagnostics)
    assert {d.place for d in found.value.diagnostics} == {"lif"}
    assert not list(tmp_path.iterdir())
    notes = export_nir(net, path, reader=reader)
    assert words in " ".join(n.text for n in notes)
    assert equal(load_nir(path), net)


def test_everything_that_nir_cannot_hold_is_said_at_once(tmp_path: Path) -> None:
    register = Neurons("reg", (3,), RegisterLif(np.array(4095), np.array(0), np.array(64)))
    bad = Neurons("odd", (3,), Lif(keep_membrane=np.array(-0.5)))
    net = chain(Input("x", (3,), "spikes"), Dense("a", np.eye(3)), bad, Dense("b", np.eye(3)), register)
    with pytest.raises(RanvierError) as found:
        export_nir(net, tmp_path / "n.nir")
    assert codes(found) == ["RV683", "RV682"]
    wide = chain(
        Input("x", (5000,), "spikes"), Scale("s", (5000,), np.ones(()), np.ones(())), Neurons("n", (5000,), Lif())
    )
    with pytest.raises(RanvierError) as found:
        export_nir(wide, tmp_path / "n.nir")
    assert codes(found) == ["RV684"]
    gain = one(Lif(keep_membrane=0.5, gain=np.array(-1.0)))
    with pytest.raises(RanvierError) as found:
        export_nir(gain, tmp_path / "n.nir", reader="snntorch")
    assert codes(found) == ["RV683"]
    double = one(Lif())
    double = replace(double, edges=(*double.edges, double.edges[-1]))
    with pytest.raises(RanvierError) as found:
        export_nir(double, tmp_path / "n.nir")
    assert codes(found) == ["RV685"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("n.h5", {}, "RV680"),
        ("absent/n.nir", {}, "RV680"),
        ("n.nir", {"dt": 0.0}, "RV681"),
        ("n.nir", {"dt": float("nan")}, "RV681"),
        ("n.nir", {"dt": 1e-3, "reader": "sinabs"}, "RV681"),
        ("n.nir", {"reader": "brian"}, "RV681"),
    ],
)
def test_bad_requests(name: str, options: Any, code: str, tmp_path: Path) -> None:
    with pytest.raises(RanvierError) as found:
        export_nir(one(Lif()), tmp_path / name, **options)
    assert codes(found) == [code]


def test_a_file_changed_by_another_program_is_not_taken_for_the_network_it_was(tmp_path: Path) -> None:
    path = tmp_path / "n.nir"
    export_nir(one(Lif(keep_membrane=0.5)), path)
    with h5py.File(path, "r+") as file:
        file["node/nodes/lif/v_threshold"][...] = 2.0
    with pytest.raises(RanvierError) as found:
        load_nir(path)
    assert codes(found) == ["RV698"]
    model = load_nir(path, preset="spec").populations[0].model
    assert (float(model.threshold), float(model.keep_membrane)) == (2.0, 0.5)


@pytest.mark.parametrize("damage", ["text", "tensors", "float64", "node"])
def test_damaged_metadata_are_a_diagnostic(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "n.nir"
    export_nir(one(Lif(keep_membrane=0.5)), path)
    with h5py.File(path, "r+") as file:
        held = file["node/nodes/lif/metadata"]
        if damage == "node":
            del held["ranvier.text"]
        else:
            values = held[f"ranvier.{damage}"][()]
            del held[f"ranvier.{damage}"]
            held[f"ranvier.{damage}"] = values[:1]
    with pytest.raises(RanvierError) as found:
        load_nir(path)
    assert codes(found) == ["RV699"]


def test_what_is_said_is_read_from_the_equations(tmp_path: Path) -> None:
    export_nir(one(Lif(keep_membrane=0.5, reset="subtract", compare=">=", max_spikes=0)), tmp_path / "n.nir")
    read = load_nir(tmp_path / "n.nir", readout="spike_count")
    model = read.populations[0].model
    assert (model.compare, model.max_spikes, model.reset) == (">=", 0, "subtract")
    assert {n.code for n in read.notes} <= {"RV120"}


def test_nir_itself_reads_the_file_with_its_types_checked(tmp_path: Path) -> None:
    image = (2, 6, 6)
    net = chain(
        Input("in.put", image, "spikes"), Conv("conv/1", np.ones((3, 2, 3, 3)), image), Neurons("a", (3, 4, 4), Lif()),
        Pool("p", "sum", (3, 4, 4), (2, 2), (2, 2), ((0, 0), (0, 0))), Dense("fc", np.ones((2, 12))),
        Neurons("output", (2,), Lif(keep_membrane=0.5)),
    )  # fmt: skip
    export_nir(net, tmp_path / "n.nir")
    graph = nir.read(tmp_path / "n.nir")
    assert set(graph.nodes) == {"in_put", "conv_1", "a", "p", "p_flat", "fc", "output", "output_2"}
    assert graph.nodes["output"].metadata["reset"] == "value"
    assert graph.nodes["output"].metadata["dt"] == 1e-4
    first = (tmp_path / "n.nir").read_bytes()
    export_nir(net, tmp_path / "n.nir")
    assert (tmp_path / "n.nir").read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["n.nir"]


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("cnn_sinabs.nir", {"preset": "sinabs", "reset": "value", "max_spikes": 1}),
        ("braille/braille_noDelay_bias_zero.nir", {"preset": "snntorch", "reset": "value"}),
        ("braille/braille_noDelay_noBias_subtract.nir", {"preset": "snntorch", "reset": "subtract"}),
    ],
)
def test_published_networks_come_back_as_the_same_program(file: str, options: Any, tmp_path: Path) -> None:
    net = load_nir(test_data("nir_paper", *file.split("/")), **options)
    saved = []
    for index, reader in enumerate((None, "spec", "norse")):
        network = net
        if reader is not None:
            export_nir(net, tmp_path / "n.nir", reader=reader)
            network = load_nir(tmp_path / "n.nir")
        ranvier.compile(network).save(tmp_path / f"{index}.rnv")
        saved.append((tmp_path / f"{index}.rnv").read_bytes())
    assert saved[0] == saved[1] == saved[2]
