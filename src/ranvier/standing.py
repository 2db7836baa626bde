"""How each kind of neuron stands on each target, asked of the compiler itself: docs/support.md shows exactly this."""

from collections.abc import Mapping

import numpy as np

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import (
    AdaptiveLif,
    FeedbackLif,
    Lif,
    NeuronModel,
    SigmaDelta,
    lm_h,
    resonator,
    tc_lif,
)
from ranvier.compiler.ir.programs import CUBA_LIF
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_target, target_names

HALF = np.array(0.5)
EXAMPLES: Mapping[str, NeuronModel] = {
    "integrate and fire, reset to zero": Lif(),
    "leaky, synaptic current, reset to zero": Lif(keep_current=HALF, keep_membrane=HALF),
    "comparison >= instead of >": Lif(compare=">="),
    "soft reset (subtract)": Lif(reset="subtract"),
    "reset to another value": Lif(reset_value=np.array(-0.25)),
    "no reset (readout)": Lif(reset="none", keep_membrane=HALF),
    "several spikes a step": Lif(reset="subtract", max_spikes=4),
    "refractory steps": Lif(refractory=2),
    "lower bound of the membrane": Lif(floor=-1.0),
    "membrane that starts above zero": Lif(initial=HALF),
    "current used one step late (Alpha)": Lif(keep_current=HALF, keep_membrane=HALF, late_current=True),
    "adaptive threshold": AdaptiveLif(keep_adaptation=HALF, adaptation=HALF),
    "adaptation by a feedback current (lpRNN)": FeedbackLif(keep_feedback=HALF, feedback=HALF),
    "two compartments (TC-LIF)": tc_lif(0.0, 0.0),
    "two compartments (LM-H)": lm_h(0.0, 0.0, 0.0, 0.0),
    "resonate and fire": resonator(8.0, 0.1),
    "sigma-delta": SigmaDelta(threshold=HALF),
}


def standing(model: NeuronModel, target: str) -> str:
    """What ``target`` makes of ``model``: its own neuron, a step program, or a refusal with the way out."""
    nodes = (Input("input", (2,), "spikes"), Dense("dense", np.array([[0.5, -0.25]])), Neurons("neurons", (1,), model))
    edges = (Edge("input", "dense"), Edge("dense", "neurons"))
    prepared = prepare(Network("standing", nodes, edges, Readout("neurons")))
    frames = (np.arange(32).reshape(1, 16, 2) % 3 == 0).astype(np.int8)
    try:
        chip = lower(prepared, load_target(target), observe(prepared, frames), Options())
    except RanvierError as refused:
        found = refused.diagnostics[0]
        return f"refused, {found.code}: {found.fix}"
    own = chip.populations[0].program.semantics == CUBA_LIF
    return "the chip's own neuron" if own else "step program"


def standing_table() -> str:
    """The Markdown table of all examples on all shipped targets."""
    header = ["neuron", *target_names()]
    rows = [[words, *(standing(model, target) for target in target_names())] for words, model in EXAMPLES.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]) + "\n"
