"""Resonate-and-fire: a damped rotation that fires at a phase or at a level."""

from functools import lru_cache

from ranvier.compiler.ir.neuron_base import Compare
from ranvier.compiler.ir.neuron_kinds import ResonatorFires, ResonatorReset
from ranvier.compiler.ir.neuron_steps.arithmetic import Arithmetic, equality
from ranvier.compiler.ir.steps import Domain, StepProgram


@lru_cache
def resonate(domain: Domain, compare: Compare, fires: ResonatorFires, reset: ResonatorReset) -> StepProgram:
    """:class:`~ranvier.compiler.ir.neurons.Resonator`; each of the four products is rounded by itself."""
    n = Arithmetic("resonator", domain, fires, "" if reset == "none" else f"reset_{reset}", equality(compare))
    u, v = n.state("u"), n.state("v")
    real, imag = n.param("rotate_real"), n.param("rotate_imag")
    re = n.settled(n.times(u, real) - n.times(v, imag) + n.arriving() + n.param("drive"))
    im = n.settled(n.times(u, imag) + n.times(v, real))
    membrane = re if fires == "phase" else im
    fire = n.reaches(membrane, n.param("threshold"), compare)
    if fires == "phase":
        fire = fire & (im >= 0) & n.trace.op("gt", 0, v)
    updates = {"u": n.trace.where(fire, 0, re) if reset == "both" else re}
    updates["v"] = im if reset == "none" else n.trace.where(fire, n.param("reset_value"), im)
    return n.finish(updates, fire, membrane)
