"""Gradients reach what is trained, steps change the deployed integers, and those stay on the chip's grids."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.verify import check_chip
from ranvier.runtimes import oracle
from ranvier.runtimes.trainable import KINDS, TrainableNetwork
from ranvier.runtimes.trainable.training import Judged, best_epoch
from support.networks import chip_networks, inputs_for


def small(vth: int = 100, decay: int = 200) -> ChipNetwork:
    """Four inputs, three leaky neurons."""
    weight = np.array([[40, -20, 60, 10], [-30, 50, 20, 40], [10, 30, -50, 70]], np.int32) * 2
    params = {"du": np.array(4095), "dv": np.array(decay), "vth": np.array(vth), "bias": np.array(128)}
    cells = Population("cells", (3,), chip_lif(Features()), params, {"u": np.array(0), "v": np.array(0)}, 1, 0, 6400.0)
    synapses = Connection("w", "in", "cells", DenseSynapse(weight), 0, "mixed", 0)
    return ChipNetwork("small", "loihi2", (Port("in", (4,)),), (cells,), (synapses,), Readout("cells"))


def frames(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((8, 10, 4)) < 0.4).astype(np.int32)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gets_a_gradient_and_moves(kind: str) -> None:
    network = TrainableNetwork(small(), [kind])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    network(torch.from_numpy(frames())).sum().backward()
    gradients = [p.grad for p in network.parameters() if p.requires_grad]
    assert gradients
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in gradients)
    assert any(bool((g != 0).any()) for g in gradients if g is not None)
    optimizer.param_groups[0]["lr"] = 0.5 / max(float(g.abs().max()) for g in gradients if g is not None)
    optimizer.step()
    before, after = small(), network.deployed()
    changed = [
        not np.array_equal(before.connections[0].synapse.weight, after.connections[0].synapse.weight),
        *(
            not np.array_equal(before.populations[0].params[n], after.populations[0].params[n])
            for n in ("vth", "bias", "du", "dv")
        ),
    ]
    assert any(changed)


def test_training_reaches_a_goal_that_the_deployed_network_keeps() -> None:
    """Rates of a teacher with other weights are learnt; the integers, run by the oracle, give them too."""
    x = frames()
    weight = np.roll(small().connections[0].synapse.weight, 1, axis=1)
    teacher = replace(small(), connections=(replace(small().connections[0], synapse=DenseSynapse(weight)),))
    wanted = torch.from_numpy(oracle.run(teacher, x).outputs.sum(1)).double()
    network = TrainableNetwork(small(), ["weight"])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)

    def loss() -> torch.Tensor:
        counts: torch.Tensor = network(torch.from_numpy(x)).sum(1)
        return ((counts - wanted) ** 2).mean()

    first = loss().item()
    for _ in range(60):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    deployed = oracle.run(check_chip(network.deployed()), x).outputs.sum(1)
    assert loss().item() < 0.5 * first
    assert float(((deployed - wanted.numpy()) ** 2).mean()) == loss().item()


@given(st.data())
def test_after_any_step_the_chip_network_is_legal_and_equal_to_the_module(data: st.DataObject) -> None:
    chip = data.draw(chip_networks())
    network = TrainableNetwork(chip, KINDS)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(parameter.abs().mean() * noise)
    inputs = data.draw(inputs_for(chip))
    expected = oracle.run(network.deployed(), inputs, ("membrane",)).membrane
    _, membrane = network.traces(torch.from_numpy(inputs))
    for p in chip.populations:
        np.testing.assert_array_equal(membrane[p.name].detach().reshape(expected[p.name].shape), expected[p.name])
    for before, after in zip(chip.connections, network.deployed().connections, strict=True):
        assert before.sign == after.sign


def test_a_bias_behind_a_current_moves_with_the_start_of_the_current() -> None:
    """Together they are a constant in front of the current: where one grows, the other falls."""
    started = {"u": np.array([-130, -120, -128]), "v": np.array(0)}
    before = replace(small(), populations=(replace(small().populations[0], initial=started),))
    network = TrainableNetwork(before, ["bias"])
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    after = network.deployed()
    cells, were = after.populations[0], before.populations[0]
    assert np.all(cells.params["bias"] > were.params["bias"])
    moved = cells.initial["u"] + cells.params["bias"]
    np.testing.assert_array_equal(moved, were.initial["u"] + were.params["bias"])
    _, membrane = network.traces(torch.from_numpy(frames()))
    expected = oracle.run(check_chip(after), frames(), ("membrane",)).membrane["cells"]
    np.testing.assert_array_equal(membrane["cells"].detach(), expected)


def test_the_epoch_with_the_least_loss_is_best_among_those_that_answer_no_fewer_rightly() -> None:
    history = [Judged(1.0, 10), Judged(0.2, 9), Judged(0.8, 10), Judged(0.9, 11)]
    assert best_epoch(history) == 2
    assert best_epoch(history[:2]) == 0


@pytest.mark.parametrize(
    ("trained", "slope", "code"), [(["weights"], 5.0, "RV860"), ([], 5.0, "RV860"), (["bias"], 0.0, "RV861")]
)
def test_unknown_choices_are_refused(trained: list[str], slope: float, code: str) -> None:
    with pytest.raises(RanvierError) as refused:
        TrainableNetwork(small(), trained, slope)
    assert refused.value.diagnostics[0].code == code
