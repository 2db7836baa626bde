"""Small networks of every kind of neuron beyond the leaky integrate-and-fire family, with data for them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Coding, Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import (
    AdaptiveLif,
    FeedbackLif,
    GradedLif,
    Lif,
    NeuronModel,
    Quantizer,
    Resonator,
    SigmaDelta,
    lm_h,
    resonator,
    tc_lif,
)
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_target

Floats = NDArray[np.float64]
INPUTS, HIDDEN, OUTPUTS = 12, 10, 4

MODELS: Mapping[str, NeuronModel] = {
    "sinabs_alif": AdaptiveLif(keep_membrane=0.9, keep_adaptation=0.95, adaptation=1.8 * 0.05, gain=0.5),
    "sinabs_alif_counts": AdaptiveLif(
        keep_membrane=0.9, keep_adaptation=0.8, adaptation=0.1, threshold=0.2, max_spikes=2, floor=-0.3, floored=True
    ),
    "slayer_alif": AdaptiveLif(
        keep_current=0.5,
        keep_membrane=0.8,
        keep_adaptation=0.9,
        adaptation=0.9 * 0.25,
        keep_refractory=0.7,
        refractory=2 * 0.7,
        reset="none",
    ),
    "lprnn": FeedbackLif(
        keep_input=0.8, keep_current=0.8, keep_feedback=0.9, keep_membrane=0.9, feedback=-0.4, drive=0.01, gain=0.3
    ),
    "tc_lif": tc_lif(np.linspace(-1, 1, HIDDEN), 0.3),
    "lm_h": lm_h(0.2, -0.3, 0.8, 0.1),
    "resonator": resonator(np.linspace(6, 14, HIDDEN), 0.05, threshold=0.9),
    "izhikevich": Resonator(0.85, 0.4, threshold=0.8, reset_value=0.75, fires="imaginary", reset="both"),
    "sigma_delta": SigmaDelta(bias=0.1, threshold=0.05, integrate=False),
    "graded": GradedLif(keep_membrane=0.8, threshold=0.55),
    "quantizer": Quantizer(gain=0.3, drive=0.02, step=0.4, message_bits=3),
    "alpha": Lif(
        keep_current=0.8,
        keep_membrane=0.9,
        gain=0.4,
        late_current=True,
        reset_current=True,
        block_input=True,
        refractory=1,
    ),
}


def network(kind: str, seed: int = 1) -> Network:
    """Input, dense weights with a bias, recurrent neurons of ``kind``, dense weights, a readout.

    Behind sigma-delta neurons the readout is a sigma-delta neuron too, so that its membrane is an activation.
    """
    rng, model = np.random.default_rng(seed), MODELS[kind]
    coded = isinstance(model, SigmaDelta)
    last: NeuronModel = SigmaDelta(activation="unit") if coded else Lif(keep_membrane=0.9, reset="none")
    coding: Coding = "current" if coded else "spikes"
    nodes = (
        Input("in", (INPUTS,), coding),
        Dense("w", rng.normal(0.1, 0.5, (HIDDEN, INPUTS)), None if kind == "alpha" else rng.normal(0, 0.02, HIDDEN)),
        Neurons("hidden", (HIDDEN,), model),
        Dense("loop", rng.normal(0, 0.02 if coded else 0.1, (HIDDEN, HIDDEN))),
        Dense("out_w", rng.normal(0, 0.4, (OUTPUTS, HIDDEN))),
        Neurons("out", (OUTPUTS,), last),
    )
    edges = (
        Edge("in", "w"),
        Edge("w", "hidden"),
        Edge("hidden", "loop", 1),
        Edge("loop", "hidden"),
        Edge("hidden", "out_w"),
        Edge("out_w", "out"),
    )
    return Network(kind, nodes, edges, Readout("out", "last_membrane"))


def data(kind: str, samples: int = 3, steps: int = 30, seed: int = 2) -> Floats:
    """Spikes; for sigma-delta neurons a slow signal in 16 levels."""
    rng = np.random.default_rng(seed)
    if isinstance(MODELS[kind], SigmaDelta):
        phase = rng.uniform(0, 6, (samples, 1, INPUTS)) + np.arange(steps)[None, :, None] / 5
        wave: Floats = np.rint(np.sin(phase) * 15) / 15
        return wave
    return (rng.random((samples, steps, INPUTS)) < 0.3).astype(np.float64)


def lowered(kind: str, target: str = "loihi2") -> tuple[Network, ChipNetwork, Floats]:
    """The prepared float network of ``kind``, its chip network calibrated on its data, and the data."""
    prepared, inputs = prepare(network(kind)), data(kind)
    return prepared, lower(prepared, load_target(target), observe(prepared, inputs), Options()), inputs
