"""Graded spikes: a neuron that sends how far its membrane got."""

from functools import lru_cache

from ranvier.compiler.ir.neuron_base import Compare
from ranvier.compiler.ir.neuron_steps.arithmetic import Arithmetic, equality
from ranvier.compiler.ir.steps import Domain, StepProgram


@lru_cache
def graded_lif(domain: Domain, compare: Compare, shift: int = 0, bits: int = 0, gained: bool = False) -> StepProgram:
    """:class:`~ranvier.compiler.ir.neurons.GradedLif`.

    ``gained``: in integers what arrives is multiplied by ``gain``; else that is in the weights.
    In integers a message is the size without its last ``shift`` bits, to the nearest (halves up), saturated at ``bits``
    bits with sign: at most half a step is lost where it does not saturate. ``y - floor(y / 2)`` is y / 2, rounded up.
    """
    message = (f"shift{shift}", f"bits{bits}", *(["gained"] if gained else [])) if domain == "int" else ()
    n = Arithmetic("graded_lif", domain, equality(compare), *message)
    t = n.trace
    kept = n.scaled(n.state("v"), "keep_membrane")
    x = n.arriving()
    h = n.settled(kept + (n.scaled(x, "gain") if gained else x) + n.param("drive"))
    fire = n.reaches(h, n.param("threshold"), compare)
    sent = t.where(fire, h - n.param("offset"), 0)
    if n.exact and shift:
        doubled = sent >> (shift - 1)
        sent = doubled - (doubled >> 1)
    if n.exact:
        top = 2 ** (bits - 1) - 1
        sent = t.op("clip", sent, -top, top)
    return n.finish({"v": t.where(fire, 0, h)}, sent, h, graded=True)
