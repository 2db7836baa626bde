"""Neurons of chips with signed 8-bit weights and 16-bit states: Xylo and DYNAP-CNN.

Their weights -128 .. 127 stand doubled on the mixed grid of chip networks (-256, -254 .. 254), so that what arrives is
even and is halved here, without loss.
"""

from functools import lru_cache

from ranvier.compiler.ir.steps import StepProgram
from ranvier.compiler.ir.trace import Trace, Value

XYLO_LIF = "xylo.lif"
DYNAPCNN_IAF = "dynapcnn.iaf"
WORD_BITS = 16
WORD_MAX = 2 ** (WORD_BITS - 1) - 1


@lru_cache
def xylo_lif(most: int) -> StepProgram:
    """Xylo's neuron, which sends up to ``most`` spikes a step (31 inside, 1 at an output).

    Per step, ``clip`` to -32768 .. 32767::

        u = clip(u + x);  u = u - leak(u, dash_syn)
        h = clip(v - leak(v, dash_mem) + u + bias)
        n = min(h // threshold, most) where h >= threshold else 0
        v = h - n * threshold
        leak(x, k) = x >> k, or 1 where that is 0 and x > 0 (it never is for x < 0)

    ``divisor_syn`` and ``divisor_mem`` are ``2**dash``: flooring division is the arithmetic shift. Source: xylosim
    0.1.3, v2 layer, which clips u after each source in turn; that differs where u saturates within a step and returns.
    """
    t = Trace(f"{XYLO_LIF}.v2.most{most}", "int")
    u, v = t.state("u", WORD_BITS), t.state("v", WORD_BITS)
    charged = _word(t, u + (t.input >> 1))
    new_u = charged - _leak(t, charged, t.param("divisor_syn"))
    kept = v - _leak(t, v, t.param("divisor_mem"))
    h = _word(t, kept + new_u + t.param("bias"))
    n, left = _fire(t, h, "subtract", most)
    return t.finish({"u": new_u, "v": left}, spikes=n, membrane=h, graded=most != 1)


@lru_cache
def dynapcnn_iaf(reset: str, most: int, floored: bool) -> StepProgram:
    """DYNAP-CNN's integrate-and-fire neuron step by step, as sinabs computes it.

    Per step, ``clip`` to -32768 .. 32767::

        h = clip(v + x + bias)
        n = h // threshold where h >= threshold else 0, at most ``most`` (0: without limit)
        v = h - n * threshold (reset "subtract") | 0 where n (reset "zero")
        v = max(v, floor)                                            (floored)

    The chip itself works event by event within a step, which is public only as a binary.
    """
    words = [DYNAPCNN_IAF, reset, f"most{most}" if most else "", "floor" if floored else ""]
    t = Trace(".".join(filter(None, words)), "int")
    v = t.state("v", WORD_BITS)
    h = _word(t, v + (t.input >> 1) + t.param("bias"))
    n, left = _fire(t, h, reset, most)
    left = t.op("maximum", left, t.param("floor")) if floored else left
    return t.finish({"v": left}, spikes=n, membrane=h, graded=most != 1)


def _word(t: Trace, value: Value) -> Value:
    return t.op("clip", value, -WORD_MAX - 1, WORD_MAX)


def _leak(t: Trace, value: Value, divisor: Value) -> Value:
    part = value // divisor
    return t.where((value > 0) & ~(part > 0), 1, part)


def _fire(t: Trace, h: Value, reset: str, most: int) -> tuple[Value, Value]:
    """What is sent, and what is left of the membrane."""
    threshold = t.param("threshold")
    fire = h >= threshold
    if most == 1:
        return fire, t.where(fire, 0 if reset == "zero" else h - threshold, h)
    count = h // threshold
    n = t.where(fire, t.op("minimum", count, most) if most else count, 0)
    return n, t.where(fire, 0, h) if reset == "zero" else h - n * threshold
