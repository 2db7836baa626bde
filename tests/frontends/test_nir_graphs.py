"""Graphs of NIR files: loops, delays, nesting, branches, and what is wrong with them."""

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.pipeline import prepare
from ranvier.frontends.nir import load_nir
from ranvier.runtimes.reference import run
from support.nir_files import integrate_and_fire, lif, write_chain, write_nir

ENDS = {"in": nir.Input(np.array([2])), "out": nir.Output(np.array([2]))}
EYE = np.eye(2)


def load(path: Path, nodes: dict[str, Any], *edges: tuple[str, str]) -> Network:
    return check_network(load_nir(write_nir(path / "n.nir", ENDS | nodes, edges), dt=1.0, reset="value"), "imported")


def delays(network: Network) -> dict[tuple[str, str], int]:
    return {(e.source, e.target): e.delay for e in network.edges if e.delay}


def codes(path: Path, nodes: dict[str, Any], *edges: tuple[str, str]) -> list[str]:
    with pytest.raises(RanvierError) as found:
        load(path, nodes, *edges)
    return [d.code for d in found.value.diagnostics]


def test_a_recurrent_neuron_hears_itself_one_step_later(tmp_path: Path) -> None:
    nodes = {
        "fc": nir.Linear(EYE),
        "lif": integrate_and_fire(2, threshold=0.5),
        "w_rec": nir.Affine(-2 * EYE, np.zeros(2)),
    }
    network = load(tmp_path, nodes, ("w_rec", "lif"), ("in", "fc"), ("lif", "w_rec"), ("fc", "lif"), ("lif", "out"))
    assert delays(network) == {("lif", "w_rec"): 1}
    assert [n.text for n in network.notes if n.code == "RV122"] == [
        "it closes a loop: what it carries arrives one step later"
    ]
    spikes = run(network, np.ones((1, 8, 2)), record=("spikes",)).spikes["lif"][0, :, 0]
    v, last, wanted = 0.0, 0.0, []
    for _ in range(8):
        v = v + 1 - 2 * last
        last = float(v > 0.5)
        v = v * (1 - last)
        wanted.append(last)
    assert spikes.tolist() == wanted
    assert 0 < sum(wanted) < 8


def test_a_direct_loop_and_a_loop_through_two_populations(tmp_path: Path) -> None:
    own = load(tmp_path, {"a": integrate_and_fire(2)}, ("in", "a"), ("a", "a"), ("a", "out"))
    assert delays(own) == {("a", "a"): 1}
    nodes = {name: integrate_and_fire(2) for name in "ab"} | {f"w{i}": nir.Linear(EYE) for i in (1, 2)}
    edges = [("w2", "a"), ("b", "w2"), ("b", "out"), ("w1", "b"), ("a", "w1"), ("in", "a")]
    assert delays(load(tmp_path, nodes, *edges)) == {("b", "w2"): 1}


def test_a_shared_layer_is_delayed_only_on_its_way_back(tmp_path: Path) -> None:
    nodes = {"a": integrate_and_fire(2), "b": integrate_and_fire(2), "w": nir.Linear(EYE)}
    edges = [("in", "a"), ("a", "w"), ("w", "b"), ("w", "a"), ("b", "out")]
    assert delays(load(tmp_path, nodes, *edges)) == {("w", "a"): 1}


def test_delay_nodes_become_edge_delays_and_break_loops_by_themselves(tmp_path: Path) -> None:
    nodes = {"a": integrate_and_fire(2), "d": nir.Delay(np.full(2, 3.0))}
    network = load(tmp_path, nodes, ("in", "a"), ("a", "d"), ("d", "a"), ("a", "out"))
    assert delays(network) == {("d", "a"): 3}
    shifted = load(tmp_path, nodes, ("in", "d"), ("d", "a"), ("a", "out"))
    x = np.zeros((1, 6, 2))
    x[0, 1] = 2
    network_x = load_nir(tmp_path / "n.nir", dt=1.0, reset="value", coding="current")
    assert run(network_x, x, record=("spikes",)).spikes["a"][0, :, 0].tolist() == [0, 0, 0, 0, 1, 0]
    assert delays(shifted) == {("d", "a"): 3}


@pytest.mark.parametrize("steps", [[3, 1], [0, 2], [4, 4]])
def test_elements_of_a_delay_node_have_delays_of_their_own(tmp_path: Path, steps: list[int]) -> None:
    nodes = {
        "a": integrate_and_fire(2),
        "d": nir.Delay(np.array(steps, float)),
        "w": nir.Linear(2 * EYE),
        "b": integrate_and_fire(2),
    }
    network = load(tmp_path, nodes, ("in", "a"), ("a", "d"), ("d", "w"), ("w", "b"), ("b", "out"))
    x = np.random.default_rng(2).integers(0, 2, (1, 20, 2))
    for form in (network, prepare(network)):
        spikes = {name: found[0] for name, found in run(form, x, ("spikes",)).spikes.items()}
        assert spikes["a"].any()
        for element, delay in enumerate(steps):
            np.testing.assert_array_equal(spikes["b"][delay:, element], spikes["a"][: 20 - delay, element])
            assert not spikes["b"][:delay, element].any()


def test_a_delay_in_front_of_the_output_delays_what_is_read(tmp_path: Path) -> None:
    edges = ("in", "a"), ("a", "d"), ("d", "out")
    unequal = {"a": integrate_and_fire(2), "d": nir.Delay(np.array([2.0, 1.0]))}
    assert sorted(delays(load(tmp_path, unequal, *edges)).values()) == [1, 2]
    uniform = unequal | {"d": nir.Delay(np.full(2, 2.0))}
    assert delays(load(tmp_path, uniform, *edges)) == {("d", "out"): 2}


def test_as_many_delays_as_elements(tmp_path: Path) -> None:
    nodes = {"a": integrate_and_fire(2), "d": nir.Delay(np.array([1.0, 2.0, 3.0]))}
    assert codes(tmp_path, nodes, ("in", "d"), ("d", "a"), ("a", "out")) == ["RV107"]


@pytest.mark.parametrize("delay", [np.full(2, 0.5), np.full(2, -1.0)])
def test_delays_that_are_no_whole_steps_are_refused(tmp_path: Path, delay: np.ndarray) -> None:
    nodes = {"a": integrate_and_fire(2), "d": nir.Delay(delay)}
    assert codes(tmp_path, nodes, ("in", "d"), ("d", "a"), ("a", "out")) == ["RV112"]


def test_nested_graphs_are_flattened_to_dotted_names(tmp_path: Path) -> None:
    inner = nir.NIRGraph(
        {
            "i": nir.Input(np.array([2])),
            "fc": nir.Linear(2 * EYE),
            "lif": integrate_and_fire(2),
            "o": nir.Output(np.array([2])),
        },
        [("i", "fc"), ("fc", "lif"), ("lif", "o")],
        type_check=False,
    )
    outer = nir.NIRGraph(
        {"i": nir.Input(np.array([2])), "deep": inner, "o": nir.Output(np.array([2]))},
        [("i", "deep"), ("deep", "o")],
        type_check=False,
    )
    nodes = {"block": outer, "last": integrate_and_fire(2)}
    network = load(tmp_path, nodes, ("in", "block"), ("block", "last"), ("last", "out"))
    assert [p.name for p in network.populations] == ["block.deep.lif", "last"]
    assert [op.name for op in network.linears if op.name.endswith("fc")] == ["block.deep.fc"]


def test_branches_add_up_and_dead_ends_are_left_out(tmp_path: Path) -> None:
    nodes = {"a": nir.Linear(EYE), "b": nir.Linear(EYE), "n": integrate_and_fire(2, threshold=1.5), "dead": lif(2)}
    network = load(tmp_path, nodes, ("in", "a"), ("in", "b"), ("a", "n"), ("b", "n"), ("n", "out"), ("a", "dead"))
    assert "dead" not in network.by_name
    assert any(n.code == "RV123" and "dead" in n.place for n in network.notes)
    assert run(network, np.ones((1, 1, 2))).outputs.tolist() == [[[1, 1]]]


def test_a_network_that_ends_without_neurons_is_summed(tmp_path: Path) -> None:
    network = load(tmp_path, {"n": integrate_and_fire(2), "fc": nir.Linear(np.array([[1.0, 0], [3, 0]]))},
                   ("in", "n"), ("n", "fc"), ("fc", "out"))  # fmt: skip
    assert network.readout.kind == "sum_membrane"
    recording = run(network, np.full((1, 4, 2), 1.0))
    assert recording.outputs[0, :, 1].tolist() == [0, 3, 0, 3]


def test_wrong_graphs_are_refused_all_problems_at_once(tmp_path: Path) -> None:
    a = {"a": integrate_and_fire(2)}
    assert codes(tmp_path, a, ("in", "a"), ("a", "out"), ("a", "ghost"), ("ghost", "elf")) == ["RV104", "RV104"]
    assert codes(tmp_path, a, ("in", "a")) == ["RV116"]
    assert codes(tmp_path, a | {"b": lif(2)}, ("in", "a"), ("a", "out"), ("b", "a")) == ["RV116"]
    assert codes(tmp_path, a | {"b": nir.Linear(np.ones((3, 2)))}, ("in", "b"), ("b", "a"), ("a", "out")) == ["RV107"]
    assert codes(tmp_path, a | {"out2": nir.Output(np.array([2]))}, ("in", "a"), ("a", "out"), ("a", "out2")) == [
        "RV105"
    ]
    assert codes(tmp_path, a | {"s": nir.Scale(np.ones(2)), "r": nir.Scale(np.ones(2))},
                 ("in", "s"), ("s", "r"), ("r", "s"), ("s", "a"), ("a", "out")) == ["RV106"]  # fmt: skip
    both = {"a": nir.Linear(np.ones((2, 5))), "b": nir.Linear(np.ones((2, 7))), "n": integrate_and_fire(2)}
    assert codes(tmp_path, both, ("in", "a"), ("in", "b"), ("a", "n"), ("b", "n"), ("n", "out")) == ["RV107", "RV107"]
    added = {"a": nir.Linear(np.ones((3, 2))), "n": integrate_and_fire(2)}
    assert codes(tmp_path, added, ("in", "n"), ("in", "a"), ("a", "n"), ("n", "out")) == ["RV107"]


def test_unknown_nodes_are_named_with_what_can_be_read(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "n.nir", (2,), lif(2), nir.Linear(EYE), lif(2))
    with h5py.File(path, "r+") as file:
        for name in ("l0", "l1"):
            del file[f"node/nodes/{name}/type"]
            file[f"node/nodes/{name}/type"] = "MaxPool2d"
    with pytest.raises(RanvierError) as found:
        load_nir(path)
    assert [(d.code, d.place) for d in found.value.diagnostics] == [("RV102", f"node l{i} (MaxPool2d)") for i in (0, 1)]
    assert "AvgPool2d" in found.value.diagnostics[0].fix
