"""Neurons that tire: a threshold that rises with each spike, and a feedback current (lpRNN)."""

from functools import lru_cache

from ranvier.compiler.ir.neuron_base import Compare, Reset
from ranvier.compiler.ir.neuron_steps.arithmetic import Arithmetic, equality
from ranvier.compiler.ir.steps import Domain, StepProgram
from ranvier.compiler.ir.trace import Value


@lru_cache
def adaptive_lif(
    domain: Domain,
    compare: Compare,
    reset: Reset,
    current: bool,
    refractory: bool,
    max_spikes: int = 1,
    floored: bool = False,
) -> StepProgram:
    """:class:`~ranvier.compiler.ir.neurons.AdaptiveLif`, with or without a synaptic current and a refractory part."""
    several = "" if max_spikes == 1 else f"counts{max_spikes}"
    words = ("current" if current else "", "refractory" if refractory else "", several, "floored" if floored else "")
    n = Arithmetic("adaptive_lif", domain, reset, equality(compare), *words)
    v, z = n.state("v"), n.state("z")
    updates: dict[str, Value] = {}
    x = n.arriving()
    if current:
        x = n.settled(n.scaled(n.state("u"), "keep_current") + x + n.param("current_drive"))
        updates["u"] = x
    h = n.settled(n.scaled(v, "keep_membrane") + x + n.param("drive"))
    level = raised = n.param("threshold") + z
    if refractory:
        r = n.state("r")
        level = raised + r
    fire = n.reaches(h, level, compare)
    if refractory:
        rested = n.scaled(r, "keep_refractory")
        updates["r"] = n.trace.where(fire, n.settled(rested + n.scaled(raised, "refractory")), rested)
    kept = n.scaled(z, "keep_adaptation")
    sent, taken, risen = fire, level, n.param("adaptation")
    if several:
        sent = _counted(n, h, level, fire, max_spikes)
        taken, risen = sent * level, sent * risen
    updates["z"] = n.trace.where(fire, n.settled(kept + risen), kept)
    left = n.reset(reset, h, fire, taken)
    updates["v"] = n.trace.op("maximum", left, n.param("floor")) if floored else left
    return n.finish(updates, sent, h, graded=bool(several))


def _counted(n: Arithmetic, h: Value, level: Value, fire: Value, most: int) -> Value:
    """How often ``level`` goes into ``h`` where a neuron fires, up to ``most`` (0: without limit)."""
    count = h // (n.trace.op("maximum", level, 1) if n.exact else level)
    return n.trace.where(fire, n.trace.op("minimum", count, most) if most else count, 0)


@lru_cache
def feedback_lif(domain: Domain, compare: Compare, rectify: bool) -> StepProgram:
    """:class:`~ranvier.compiler.ir.neurons.FeedbackLif`."""
    n = Arithmetic("feedback_lif", domain, equality(compare), "rectified" if rectify else "")
    s, u, v, w = (n.state(name) for name in ("s", "u", "v", "w"))
    new_u = n.settled(n.scaled(u, "keep_current") + s + n.param("drive"))
    h = n.settled(n.scaled(v, "keep_membrane") + u + w)
    if rectify:
        new_u, h = n.trace.op("maximum", new_u, 0), n.trace.op("maximum", h, 0)
    new_s = n.settled(n.scaled(s, "keep_input") + n.arriving() + n.param("current_drive"))
    fire = n.reaches(h, n.param("threshold"), compare)
    kept = n.scaled(w, "keep_feedback")
    new_w = n.trace.where(fire, n.settled(kept + n.param("feedback")), kept)
    return n.finish({"s": new_s, "u": new_u, "v": n.reset("value", h, fire), "w": new_w}, fire, h)
