"""A dendrite and a soma that drive each other: TC-LIF and LM-H."""

from functools import lru_cache

from ranvier.compiler.ir.neuron_base import Compare, Reset
from ranvier.compiler.ir.neuron_steps.arithmetic import Arithmetic, equality
from ranvier.compiler.ir.steps import Domain, StepProgram


@lru_cache
def two_compartment(domain: Domain, compare: Compare, reset: Reset) -> StepProgram:
    """:class:`~ranvier.compiler.ir.neurons.TwoCompartment`; the soma reads the dendrite of the same step."""
    n = Arithmetic("two_compartment", domain, reset, equality(compare))
    u, v = n.state("u"), n.state("v")
    dendrite = n.settled(n.scaled(u, "keep_dendrite") + n.scaled(v, "from_soma") + n.arriving() + n.param("drive"))
    h = n.settled(n.scaled(v, "keep_soma") + n.scaled(dendrite, "from_dendrite"))
    fire = n.reaches(h, n.param("threshold"), compare)
    new_u = n.trace.where(fire, n.settled(dendrite - n.param("dendrite_reset")), dendrite)
    return n.finish({"u": new_u, "v": n.reset(reset, h, fire)}, fire, h)
