"""Neurons that tire: a threshold that rises with each spike, and a feedback current (lpRNN)."""

from functools import lru_cache

from ranvier.compiler.ir.neuron_base import Compare, Reset
from ranvier.compiler.ir.neuron_steps.arithmetic import Arithmetic, equality
from ranvier.compiler.ir.steps import Domain, StepProgram
from ranvier.compiler.ir.trace import Value


@lru_cache
def adaptive_lif(domain: Domain, compare: Compare, reset: Reset, current: bool, refractory: bool) -> StepProgram:
    """:class:`~ranvier.compiler.ir.neurons.AdaptiveLif`, with or without a synaptic current and a refractory part."""
    features = (reset, equality(compare), "current" if current else "", "refractory" if refractory else "")
    n = Arithmetic("adaptive_lif", domain, *features)
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
    updates["z"] = n.trace.where(fire, n.settled(kept + n.param("adaptation")), kept)
    updates["v"] = n.reset(reset, h, fire, level)
    return n.finish(updates, fire, h)


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
