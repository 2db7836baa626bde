"""NIR's neurons in discrete time: each equation with its dialects, as parameters of the canonical neuron.

With ``k(tau)`` the part of a variable kept over one step, ``1 - dt/tau`` (euler) or ``exp(-dt/tau)`` (exp):

====================  ============  ===========================  ==========================================
NIR node              keep_current  keep_membrane                gain
====================  ============  ===========================  ==========================================
IF, I                 0             1                            r dt
LIF, LI               0             k(tau)                       r dt/tau  |  r (1 - k(tau))
CubaLIF, CubaLI       k(tau_syn)    k(tau_mem)                   w_in r dt/tau_syn dt/tau_mem  |  with 1 - k
Threshold             0             0                            1
====================  ============  ===========================  ==========================================

The synaptic current of this step is used after its update; ``drive = (1 - keep_membrane) v_leak``.
Integrators (I, LI, CubaLI) are neurons that never fire. The exporters' own gains: Norse ``dt/tau``; Sinabs
``1 - k(tau)``, times ``k(tau_syn)``; Rockpool 1, or ``k(tau_syn)``.
"""

from dataclasses import dataclass

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, floats, size
from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.neurons import Lif, Reset
from ranvier.frontends.fields import mismatch
from ranvier.frontends.nir.graph import INTEGRATORS, RawNode
from ranvier.frontends.nir.reading import Reading

SNAP = 1e-5
PLAUSIBLE_STEPS = 1000
Params = dict[str, FloatArray]

_FIELDS = {
    "IF": ("r", "v_threshold"),
    "I": ("r",),
    "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "LI": ("tau", "r", "v_leak"),
    "CubaLIF": ("tau_mem", "tau_syn", "r", "v_leak", "v_threshold"),
    "CubaLI": ("tau_mem", "tau_syn", "r", "v_leak"),
    "Threshold": ("threshold",),
}
_INFINITE = ("tau", "tau_mem", "tau_syn", "v_threshold", "threshold")


@dataclass(frozen=True)
class Kept:
    """Decay of one variable over a step: ``part`` kept, and ``entering``, the weight of its input."""

    part: FloatArray
    entering: FloatArray


def neurons(node: RawNode, arriving: Shape, reading: Reading, recurrent: bool) -> Neurons:
    """The population that ``node`` is under ``reading``; ``recurrent``: it lies on a loop.

    Raises ``RanvierError``.
    """
    found = _parameters(node)
    shape = _shape(node, found, arriving)
    params = {name: _spread(node, name, values, shape) for name, values in found.items()}
    reading = reading.for_node(node.metadata, node.place)
    dt = _time_step(node, params, reading)
    membrane, current, gain = _dynamics(node, params, reading, dt)
    leak = params.get("v_leak", floats(0.0))
    threshold = params.get("v_threshold", params.get("threshold", floats(np.inf)))
    reset, amount, rest = _reset(node, reading, threshold, membrane.part, recurrent)
    starts = {"zero": floats(0.0), "leak": leak, "reset": params["v_reset"]}
    spiking = node.type not in INTEGRATORS
    model = Lif(
        keep_current=current,
        keep_membrane=membrane.part,
        gain=_snapped(gain, reading),
        drive=(1.0 - membrane.part) * leak,
        threshold=threshold,
        compare=reading.compare,
        max_spikes=reading.max_spikes if spiking else 1,
        reset=reset,
        reset_value=params["v_reset"],
        reset_amount=amount,
        refractory=rest,
        floor=reading.floor if spiking else None,
        initial=starts[reading.initial],
    )
    return Neurons(node.name, shape, model)


def _parameters(node: RawNode) -> Params:
    params = {name: node.fields.array(name, infinite=name in _INFINITE) for name in _FIELDS[node.type]}
    params["v_reset"] = node.fields.array("v_reset", 0.0)
    if node.type.startswith("Cuba"):
        params["w_in"] = node.fields.array("w_in", 1.0)
    for name in ("tau", "tau_mem", "tau_syn"):
        if name in params and bool((params[name] <= 0).any()):
            raise error(
                "RV114",
                node.place,
                f"{name} is {params[name].min()}; a time constant is positive",
                "correct the time constant, or use an IF node for no leak",
            )
    return params


def _shape(node: RawNode, params: Params, arriving: Shape) -> Shape:
    """The population's shape: that of its parameters or of its input, whichever has more axes."""
    own: Shape = max((p.shape for p in params.values()), key=size)
    if size(own) == size(arriving):
        return own if len(own) > len(arriving) else arriving
    if any(p.size > 1 and not _broadcasts(p.shape, arriving) for p in params.values()):
        raise mismatch("RV107", node.place, f"{size(own)} values of shape {own}", arriving)
    return arriving


def _broadcasts(shape: Shape, onto: Shape) -> bool:
    """Whether parameters of ``shape`` are one per leading axis: equal to ``onto`` or 1 along each."""
    return len(shape) == len(onto) and all(a in (1, b) for a, b in zip(shape, onto, strict=True))


def _spread(node: RawNode, name: str, values: FloatArray, shape: Shape) -> FloatArray:
    if values.size == 1:
        return values.reshape(())
    if values.size == size(shape):
        return values.ravel()
    if not _broadcasts(values.shape, shape):
        raise mismatch("RV107", node.place, f"{name} of shape {values.shape}", shape)
    return np.broadcast_to(values, shape).ravel()


def _time_step(node: RawNode, params: Params, reading: Reading) -> float:
    if reading.dt is not None:
        return reading.dt
    if node.type == "Threshold":
        return 1.0
    tau = params.get("tau_mem", params.get("tau"))
    if tau is None:
        raise error(
            "RV115", node.place, "Rockpool's time step cannot be solved from a node without a time constant", "give dt"
        )
    solved = _rockpool_dt(tau, params["r"])
    if not np.isfinite(solved).all() or np.ptp(solved) > 1e-4 * np.max(solved):
        raise error(
            "RV115",
            node.place,
            f"no single dt follows from r: {np.min(solved):.6g} to {np.max(solved):.6g} s",
            "give dt, or another preset: the file may not be Rockpool's",
        )
    return float(np.median(solved))


def _rockpool_dt(tau: FloatArray, r: FloatArray) -> FloatArray:
    """The time step of ``r dt = tau exp(-dt / tau)`` by Newton's method in y = dt / tau: ``r y = exp(-y)``, y > 0."""
    y = np.zeros(np.broadcast_shapes(tau.shape, r.shape))
    for _ in range(60):
        y = y - (r * y - np.exp(-y)) / (r + np.exp(-y))
    return np.where(r > 0, y * tau, np.nan)


def _dynamics(node: RawNode, params: Params, reading: Reading, dt: float) -> tuple[Kept, FloatArray, FloatArray]:
    """The membrane's decay, the part of the current kept, and the gain."""
    one, zero = floats(1.0), floats(0.0)
    if node.type == "Threshold":
        return Kept(zero, one), zero, one
    r = params["r"]
    if node.type in ("IF", "I"):
        return Kept(one, one), zero, one if reading.gain == "norse" else r * dt
    if node.type in ("LIF", "LI"):
        membrane = _decay(node, "tau", params, reading, dt)
        rules = {"r": r * membrane.entering, "norse": membrane.entering, "sinabs": 1.0 - membrane.part}
        return membrane, zero, rules.get(reading.gain, one)
    membrane, synapse = _decay(node, "tau_mem", params, reading, dt), _decay(node, "tau_syn", params, reading, dt)
    rules = {
        "r": params["w_in"] * synapse.entering * r * membrane.entering,
        "norse": membrane.entering,
        "sinabs": (1.0 - membrane.part) * synapse.part,
    }
    return membrane, synapse.part, rules.get(reading.gain, synapse.part)


def _decay(node: RawNode, name: str, params: Params, reading: Reading, dt: float) -> Kept:
    tau = params[name]
    if reading.gain == "norse":
        tau = tau / dt
        if float(tau.max()) >= PLAUSIBLE_STEPS * dt:
            raise error(
                "RV115",
                node.place,
                f"read as Norse writes it, {name} would be {tau.max():.4g} s, over {PLAUSIBLE_STEPS} steps of {dt} s",
                "use preset='spec' with the dt of training",
                tau=float(tau.max()),
            )
    if reading.method == "exp":
        part = np.exp(-dt / tau)
        return Kept(part, 1.0 - part)
    if float(tau.min()) < dt * (1 - 1e-6):
        raise error(
            "RV114",
            node.place,
            f"{name} = {tau.min():.4g} s is shorter than dt = {dt:.4g} s: Euler's method would alternate in sign",
            "use method='exp' or the dt of training",
            tau=float(tau.min()),
            dt=dt,
        )
    return Kept(np.maximum(1.0 - dt / tau, 0.0), dt / tau)


def _snapped(gain: FloatArray, reading: Reading) -> FloatArray:
    """Gains that an exporter wrote to make 1, and that came out as 0.9999998, are 1."""
    return np.where(np.abs(gain - 1.0) < SNAP, 1.0, gain) if reading.snap else gain


def _reset(
    node: RawNode, reading: Reading, threshold: FloatArray, kept: FloatArray, recurrent: bool
) -> tuple[Reset, FloatArray, int]:
    """Reset kind, amount to subtract, and silent steps.

    A subtraction one step later is worth ``threshold / keep_membrane`` now. A reset to a value one step
    later is one now; where current is kept or comes back, the next step's input is lost with it, which
    is one silent step (snnTorch's Synaptic, RLeaky and RSynaptic).
    """
    if node.type in INTEGRATORS or node.type == "Threshold":
        return "none", floats(1.0), 0
    if reading.reset == "delayed_subtract":
        if float(kept.min()) <= 0.0:
            raise _no_memory(node)
        return "subtract", threshold / kept, 0
    if reading.reset == "delayed_value":
        return "value", threshold, int(recurrent or node.type == "CubaLIF")
    return reading.reset, threshold, 0


def _no_memory(node: RawNode) -> RanvierError:
    return error(
        "RV114",
        node.place,
        "a membrane that keeps nothing from step to step has no delayed reset",
        "use reset='value' for this network",
    )
