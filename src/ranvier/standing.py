"""How neurons, layers and whole networks stand on each target, asked of the compiler itself.

A thing is *exact* on a target where none of its numbers is rounded, *approximate* where some are (which ones, the
compiler records), *refused* where the compiler says so. ``docs/support.md`` shows exactly this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import floats
from ranvier.compiler.ir.chip import ChipNetwork, Connection
from ranvier.compiler.ir.linear import Conv, Dense, Sparse
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import (
    AdaptiveLif,
    FeedbackLif,
    GradedLif,
    Lif,
    NeuronModel,
    Quantizer,
    RegisterLif,
    SigmaDelta,
    lm_h,
    resonator,
    tc_lif,
)
from ranvier.compiler.ir.programs import CUBA_LIF, CUBA_REFRACTORY
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_target, meshes

STEPS = 16
CLOSE = 1e-12
UNIT = 64.0
"""Units of the membrane in which a chip counts weights."""
WORDS: Mapping[str, str] = {"du": "current decay", "dv": "membrane decay", "vth": "threshold", "bias": "constant input"}
"""Registers in words; all others are named as the neuron's parameters are."""
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
    "graded spikes (EM-PF)": GradedLif(keep_membrane=HALF),
    "quantized events (EI_IF)": Quantizer(step=np.array(0.25)),
}
"""One neuron of each kind, with parameters that registers hold."""


@dataclass(frozen=True)
class Standing:
    """What a target makes of a network: ``lost`` names what it rounds, ``refused`` says why it does not take it.

    ``own``: all neurons are the chip's own, none a step program. ``synapses``: kinds of the connections.
    """

    own: bool = False
    lost: tuple[str, ...] = ()
    synapses: tuple[str, ...] = ()
    refused: Diagnostic | None = None

    @property
    def verdict(self) -> str:
        """exact, approximate or refused, with what is lost or why."""
        if self.refused is not None:
            return f"refused, {self.refused.code}: {self.reason}"
        return f"approximate: {', '.join(self.lost)}" if self.lost else "exact"

    @property
    def reason(self) -> str:
        """Why it is refused, without the target's name."""
        assert self.refused is not None
        return self.refused.message.partition(" has no neuron with ")[2] or self.refused.message


def standing(network: Network, target: str) -> Standing:
    """What ``target`` makes of ``network``, observed on a fixed stimulus."""
    try:
        prepared = prepare(network)
        chip = lower(prepared, load_target(target), observe(prepared, stimulus(network)), Options())
    except RanvierError as refused:
        return Standing(refused=refused.diagnostics[0])
    fitted = [r for r in chip.roundings if r.parameter != "weight" and r.worst > CLOSE]
    lost = [WORDS.get(r.parameter, r.parameter.replace("_", " ")) for r in fitted]
    lost += ["weights"] * any(_rounded(prepared, chip, c) for c in chip.connections)
    own = all(p.program.semantics in (CUBA_LIF, CUBA_REFRACTORY) for p in chip.populations)
    kinds = dict.fromkeys(c.synapse.kind for c in chip.connections)
    return Standing(own, tuple(dict.fromkeys(lost)), tuple(kinds))


def stimulus(network: Network) -> NDArray[np.float64]:
    """Frames (2, steps, *shape) for the input of ``network``: spikes, or numbers from -1 to 1 in 15 levels."""
    port, rng = network.inputs[0], np.random.default_rng(8)
    shape = (2, STEPS, *port.shape)
    if port.coding == "spikes":
        return (rng.random(shape) < 0.4).astype(np.float64)
    return rng.integers(-7, 8, shape) / 7.0


def alone(model: NeuronModel, weight: float = 0.5) -> Network:
    """One neuron of ``model`` behind ``weight`` and minus half of it, which every grid holds."""
    weights = weight * np.array([[1.0, -0.5]])
    nodes = (Input("input", (2,), "spikes"), Dense("dense", weights), Neurons("neurons", (1,), model))
    edges = (Edge("input", "dense"), Edge("dense", "neurons"))
    return Network("standing", nodes, edges, Readout("neurons"))


def cell(found: Standing) -> str:
    """The standing of neurons in a table: whose neuron it becomes, and what is lost."""
    if found.refused is not None:
        return found.verdict
    return f"{found.verdict} ({'own neuron' if found.own else 'step program'})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]) + "\n"


def standing_table() -> str:
    """The Markdown table of all examples on all shipped targets."""
    targets = meshes()
    rows = [[words, *(cell(standing(alone(model), t)) for t in targets)] for words, model in EXAMPLES.items()]
    return table(["neuron", *targets], rows)


def _rounded(prepared: Network, chip: ChipNetwork, connection: Connection) -> bool:
    """Whether an integer weight is not exactly the number that it stands for; beside registers weights are whole."""
    wanted, got = prepared.by_name[connection.name], connection.synapse
    assert isinstance(wanted, Dense | Conv | Sparse)
    receiver = prepared.by_name[connection.target]
    assert isinstance(receiver, Neurons)
    if isinstance(receiver.model, RegisterLif):
        return False
    numbers = wanted.data if isinstance(wanted, Sparse) else wanted.weight
    whole = got.data if got.kind == "sparse" else got.weight
    target = next(p for p in chip.populations if p.name == connection.target)
    payload = next((port.scale for port in chip.ports if port.name == connection.source), 1.0)
    real = floats(whole) * UNIT * 2.0**connection.exponent * payload / target.scale
    return bool(np.any(np.abs(real - numbers) > CLOSE * np.abs(numbers).max(initial=1.0)))
