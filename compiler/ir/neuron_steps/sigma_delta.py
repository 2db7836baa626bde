"""Sigma-delta: sends changes as numbers."""

from functools import lru_cache

from ranvier.compiler.ir.neuron_base import Compare
from ranvier.compiler.ir.neuron_kinds import Activation
from ranvier.compiler.ir.neuron_steps.arithmetic import Arithmetic, equality
from ranvier.compiler.ir.steps import Domain, StepProgram
from ranvier.compiler.ir.trace import Value


@lru_cache
def sigma_delta(
    domain: Domain, compare: Compare, activation: Activation, integrate: bool, shift: int = 0, bits: int = 0
) -> StepProgram:
    """:class:`~ranvier.compiler.ir.neurons.SigmaDelta`.

    In integers a message is the change without its last ``shift`` bits (toward zero), saturated at ``bits`` bits with
    sign; the sum of what was sent grows by exactly the message, so what is cut off now is sent later.
    """
    name = "sigma_delta" if integrate else "delta"
    message = (f"shift{shift}", f"bits{bits}") if domain == "int" else ()
    n = Arithmetic(name, domain, activation, equality(compare), *message)
    t, v = n.trace, n.state("v")
    x = n.arriving() + n.param("drive")
    if integrate:
        x = n.state("u") + x
    total = n.settled(x)
    a = n.settled(total + n.param("bias"))
    a = t.op("maximum", a, 0) if activation == "relu" else a
    change = a - v
    large = n.reaches(t.op("maximum", change, t.op("sub", 0, change)), n.param("threshold"), compare)
    if n.exact:
        top = 2 ** (bits - 1) - 1
        cut = t.op("mul_shift", change, 1, shift)
        sent = t.op("clip", t.where(large, cut, 0), -top, top)
        told = sent << shift
    else:
        sent = told = t.where(large, change, 0)
    updates: dict[str, Value] = {"u": total} if integrate else {}
    return n.finish(updates | {"v": n.settled(v + told)}, sent, a, graded=True)
