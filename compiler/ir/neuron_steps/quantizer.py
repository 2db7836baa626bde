"""Quantized events: a neuron that sends how many steps its input is high."""

from functools import lru_cache

from ranvier.compiler.ir.neuron_steps.arithmetic import Arithmetic
from ranvier.compiler.ir.steps import Domain, StepProgram


@lru_cache
def quantizer(domain: Domain, bits: int, shift: int = 0) -> StepProgram:
    """:class:`~ranvier.compiler.ir.neurons.Quantizer`.

    In integers the step is ``2**shift`` membrane units, and what is sent is the level. With y whole halves of a step,
    ``y - floor(y / 2)`` is ``floor(y / 2 + 1/2)``, without a sum that floats could round up. Floats multiply by the
    levels in a unit, so that 1/4 in steps of 0.1 are 2.5 levels, and not a little less.
    """
    message = (f"shift{shift}", f"bits{bits}") if domain == "int" else (f"bits{bits}",)
    n = Arithmetic("quantizer", domain, *message)
    t = n.trace
    h = n.settled(n.arriving() + n.param("drive"))
    size = t.op("maximum", h, t.op("sub", 0, h))
    if n.exact:
        halves = size >> (shift - 1) if shift else size << 1
        count = halves - (halves >> 1)
    else:
        step = n.param("step")
        halves = (size + size) * n.param("message_scale") // 1.0
        count = halves - halves // 2.0
    count = t.op("minimum", count, 2 ** (bits - 1) - 1)
    level = t.where(h >= 0, count, t.op("sub", 0, count))
    return n.finish({}, level if n.exact else level * step, h, graded=True)
