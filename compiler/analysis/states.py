"""State memory: what each population keeps from step to step, and how many bits of it are needed.

The memory of a layer is ``neurons * sum of the widths of its states`` bits, with no factor for time steps: a state is
overwritten in place. Definition after STEMS (Stems and states, arXiv 2502.03287): |V| = K OY OX b_V bits of a layer.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.carried import carried
from ranvier.compiler.analysis.overflow import overflows
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neuron_steps.arithmetic import DECAY_UNITY

Widths = Mapping[str, Mapping[str, int]]
"""Bits by population and state, sign included; 0 where nothing is kept."""

Column = Literal["register", "proved", "measured", "fitted"]
COLUMNS: tuple[Column, ...] = get_args(Column)
Field = Column | Literal["dropped"]


@dataclass(frozen=True)
class StateWidth:
    """The widths of one state in bits, sign included; 0 where the state need not be kept at all.

    ``register`` as it is stored, ``proved`` what suffices for all inputs. On the user's data: ``measured`` holds every
    value that occurred, ``fitted`` is what has to be stored for all spikes to stay as they were, if the state saturates
    and its ``dropped`` low bits are cleared; None where there were no data.
    """

    name: str
    register: int
    proved: int
    measured: int | None = None
    fitted: int | None = None
    dropped: int | None = None


@dataclass(frozen=True)
class LayerStates:
    """The states of one population; ``keep``: the largest fraction of its membrane that a neuron keeps in a step.

    ``keep`` is None where the neurons have no such register.
    """

    name: str
    neurons: int
    states: tuple[StateWidth, ...]
    keep: float | None = None

    @property
    def elided(self) -> bool:
        """Whether no state of the layer is carried from step to step, which is proved."""
        return all(state.proved == 0 for state in self.states)

    def bits(self, column: Column) -> int | None:
        """State memory with the widths in ``column``; None where they are not known."""
        widths = [getattr(state, column) for state in self.states]
        return None if None in widths else self.neurons * sum(widths)


@dataclass(frozen=True)
class StateMemory:
    """The states of a network, layer by layer."""

    network: str
    layers: tuple[LayerStates, ...]

    def bits(self, column: Column) -> int | None:
        """State memory of all layers with the widths in ``column`` (register, proved, measured, fitted)."""
        found = [layer.bits(column) for layer in self.layers]
        return None if None in found else sum(bits for bits in found if bits is not None)

    def kib(self, column: Column) -> float | None:
        """The same in KiB."""
        bits = self.bits(column)
        return None if bits is None else bits / 8 / 1024

    def widths(self, column: Field) -> Widths:
        """The bits in ``column``, which must be known."""
        return {layer.name: {s.name: int(getattr(s, column)) for s in layer.states} for layer in self.layers}

    def with_column(self, column: Field, widths: Widths) -> "StateMemory":
        """The same with ``widths`` in ``column``."""
        return replace(self, layers=tuple(_with_column(layer, column, widths[layer.name]) for layer in self.layers))

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "network": self.network,
            "kib": {column: self.kib(column) for column in COLUMNS},
            "layers": [{**asdict(layer), "elided": layer.elided} for layer in self.layers],
        }


def _with_column(layer: LayerStates, column: Field, widths: Mapping[str, int]) -> LayerStates:
    values: dict[str, dict[str, Any]] = {name: {column: bits} for name, bits in widths.items()}
    return replace(layer, states=tuple(replace(state, **values[state.name]) for state in layer.states))


def width(low: int, high: int) -> int:
    """Bits of the narrowest two's complement register that holds ``low`` to ``high``; 0 if that is 0 alone."""
    assert low <= high, (low, high)
    if low == high == 0:
        return 0
    return max(high.bit_length() if high >= 0 else 0, (~low).bit_length() if low < 0 else 0) + 1


def chip_states(chip: ChipNetwork) -> StateMemory:
    """The states of ``chip``: their registers, and the widths that are proved to suffice for all inputs."""
    boxes = overflows(chip).states
    layers = []
    for p in chip.populations:
        kept = carried(p.program, p.params, membrane_read(chip, p.name))
        found = []
        for state in p.program.states:
            box = boxes[p.name][state.name]
            needed = min(state.bits, width(int(box.low.min()), int(box.high.max()))) if state.name in kept else 0
            found.append(StateWidth(state.name, state.bits, needed))
        layers.append(LayerStates(p.name, p.size, tuple(found), keep_share(p)))
    return StateMemory(chip.name, tuple(layers))


def network_states(network: Network, bits: int) -> StateMemory:
    """The states of a float ``network`` if every state were stored in ``bits`` bits, and without those not carried."""
    layers = []
    for node in network.populations:
        made = realised(node.model)
        kept = carried(made.program, made.params, membrane_read(network, node.name))
        states = (StateWidth(s.name, bits, bits if s.name in kept else 0) for s in made.program.states)
        keep = made.params.get("keep_membrane")
        layers.append(LayerStates(node.name, size(node.shape), tuple(states), None if keep is None else _top(keep)))
    return StateMemory(network.name, tuple(layers))


def keep_share(population: Population) -> float | None:
    """The largest fraction of its membrane that a neuron of ``population`` keeps in a step, from its registers."""
    for name, share in _KEPT.items():
        if name in population.params:
            return _top(share(population.params[name].astype(np.float64)))
    return None


Floats = NDArray[np.float64]
_KEPT: Mapping[str, Callable[[Floats], Floats]] = {
    "dv": lambda register: 1.0 - register / DECAY_UNITY,
    "keep_membrane": lambda register: register / DECAY_UNITY,
}


def _top(values: NDArray[np.float64]) -> float:
    return float(np.max(values))


def membrane_read(network: ChipNetwork | Network, population: str) -> bool:
    """Whether the answer is read from the membrane of ``population``."""
    return population == network.readout.node and not network.readout.reads_spikes
