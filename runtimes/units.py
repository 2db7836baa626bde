"""What the integers that chip populations send stand for, in units of the source network."""

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.chip import Population
from ranvier.compiler.ir.neurons import NUMERIC, NeuronModel
from ranvier.compiler.ir.steps import INPUT


def message_scale(p: Population) -> float:
    """Integers per unit of what ``p``, which sends numbers, sends: its scale without the shifts in its program."""
    shifts = [op.args[1] for op in p.program.ops if op.kind.startswith("shift_") and op.args[0] != INPUT]
    return float(p.scale / 2.0 ** sum(map(float, shifts)))


def sent_units(p: Population, model: NeuronModel) -> FloatArray:
    """Integers on the wire per unit that neurons of ``model`` send, () or (neurons,); 1 for spikes and their counts."""
    if not isinstance(model, NUMERIC):
        return np.ones(())
    return np.asarray((model.message_scale or message_scale(p)) * p.gain)
