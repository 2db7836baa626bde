"""The verdicts on neurons and networks: exact, approximate with what is lost, refused with why."""

from typing import Any

import numpy as np
import pytest

from ranvier.compiler.ir.arrays import integers
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import AdaptiveLif, Lif, NeuronModel, Quantizer, RegisterLif
from ranvier.standing import EXAMPLES, alone, cell, standing, standing_table, stimulus
from ranvier.words import words


def lif(**values: Any) -> Lif:
    return Lif(**values)


def weighted(*weights: float) -> Network:
    nodes = (Input("x", (len(weights),), "spikes"), Dense("w", np.array([weights])), Neurons("n", (1,), Lif()))
    return Network("net", nodes, (Edge("x", "w"), Edge("w", "n")), Readout("n"))


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (lif(), "exact (own neuron)"),
        (lif(keep_membrane=0.5), "exact (own neuron)"),
        (lif(keep_membrane=0.9), "approximate: membrane decay (own neuron)"),
        (lif(keep_membrane=0.9, keep_current=0.7), "approximate: current decay, membrane decay (own neuron)"),
        (lif(reset="subtract"), "exact (step program)"),
        (lif(reset="subtract", keep_membrane=0.9), "approximate: membrane decay (step program)"),
        (lif(floor=-0.3137), "approximate: floor (step program)"),
    ],
)
def test_neurons_on_loihi2(model: Lif, shown: str) -> None:
    assert cell(standing(alone(model), "loihi2")) == shown


def test_refused_neurons_say_why_without_the_target() -> None:
    found = standing(alone(lif(reset="subtract")), "loihi1")
    assert found.verdict == "refused, RV390: soft reset (subtract)"
    assert not found.own
    assert not found.lost
    assert standing(alone(AdaptiveLif()), "loihi1").verdict == "refused, RV620: an adaptive threshold"


def test_weights_are_exact_where_the_grid_holds_them() -> None:
    assert standing(weighted(0.5, 0.25, 0.75), "loihi2").verdict == "exact"
    found = standing(weighted(0.5, 0.123456, 0.9), "loihi2")
    assert "weights" in found.lost
    assert found.synapses == ("dense",)


def test_real_numbers_enter_with_their_payload() -> None:
    net = weighted(1.0, 0.5)
    real = Network("real", (Input("x", (2,), "current"), *net.nodes[1:]), net.edges, net.readout)
    assert standing(real, "loihi2").verdict == "exact"
    assert standing(real, "loihi1").verdict.startswith("refused, RV381: ")
    assert set(np.unique(stimulus(real) * 7)) <= set(range(-7, 8))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lif(), "integrate-and-fire, fires >, reset to 0"),
        (lif(keep_membrane=0.5, compare=">="), "leaky integrate-and-fire, fires >=, reset to 0"),
        (lif(reset_value=-0.5, keep_current=0.5), "integrate-and-fire with a current, fires >, reset to a value"),
        (lif(threshold=np.inf, keep_membrane=0.5), "leaky integrator"),
        (
            Lif(max_spikes=0, reset="subtract"),
            "integrate-and-fire, fires >, reset by subtraction, any number of spikes",
        ),
        (lif(refractory=2, floor=-1.0), "integrate-and-fire, fires >, reset to 0, silent steps, floor"),
        (lif(late_guard=True), "integrate-and-fire, fires >, reset to 0, late guard"),
        (AdaptiveLif(), "an adaptive threshold, fires >=, reset by subtraction"),
        (Quantizer(step=np.array(0.25)), "quantized events (EI_IF), steps of 0.25, 8 bits"),
        (RegisterLif(integers(0), integers(0), integers(1)), "leaky integrate-and-fire in registers"),
    ],
)
def test_neurons_in_words(model: NeuronModel, said: str) -> None:
    assert words(model) == said


def test_the_table_holds_every_kind() -> None:
    rows = standing_table().splitlines()
    assert len(rows) == 2 + len(EXAMPLES)
    assert rows[0] == "| neuron | generic | loihi1 | loihi2 |"
