"""One live neuron of each class and option that a framework's adapters know, for docs/support.md."""

import warnings
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import sinabs.layers as sl
import snntorch as snn
import torch
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from sinabs.layers.alif import ALIFSqueeze
from spikingjelly.activation_based import neuron as sj

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Norse compiles with torch.jit when it is imported
    import norse.torch as norse
    from norse.torch.functional.iaf import IAFParameters
    from norse.torch.functional.lif import LIFParameters
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.functional.lif_refrac import LIFRefracParameters
    from norse.torch.functional.reset import reset_subtract
    from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell

from ranvier import EventQuantizer

NEURONS = 3
Examples = Mapping[str, Callable[[], Any]]
"""A class's options in words, and a module of it with them; a word in front of ``:`` names the class."""

SNNTORCH: Examples = {
    "Leaky: default (subtract, delayed)": lambda: snn.Leaky(beta=0.9),
    "Leaky: subtract, immediate": lambda: snn.Leaky(beta=0.9, reset_delay=False),
    "Leaky: zero": lambda: snn.Leaky(beta=0.9, reset_mechanism="zero"),
    "Leaky: none": lambda: snn.Leaky(beta=0.9, reset_mechanism="none"),
    "Leaky: beta 1, zero": lambda: snn.Leaky(beta=1.0, reset_mechanism="zero"),
    "Leaky: inhibition": lambda: snn.Leaky(beta=0.9, inhibition=True),
    "Leaky: state_quant": lambda: snn.Leaky(beta=0.9, state_quant=lambda x: x),
    "Synaptic: default (subtract, delayed)": lambda: snn.Synaptic(alpha=0.7, beta=0.9),
    "Synaptic: zero": lambda: snn.Synaptic(alpha=0.7, beta=0.9, reset_mechanism="zero"),
    "Synaptic: zero, immediate": lambda: snn.Synaptic(alpha=0.7, beta=0.9, reset_mechanism="zero", reset_delay=False),
    "RLeaky: all to all": lambda: snn.RLeaky(beta=0.9, linear_features=NEURONS),
    "RLeaky: zero, immediate": lambda: snn.RLeaky(
        beta=0.9, linear_features=NEURONS, reset_mechanism="zero", reset_delay=False
    ),
    "RLeaky: one to one": lambda: snn.RLeaky(beta=0.9, all_to_all=False, V=0.4),
    "RSynaptic: all to all": lambda: snn.RSynaptic(alpha=0.7, beta=0.9, linear_features=NEURONS),
    "Lapicque: default (subtract)": lambda: snn.Lapicque(beta=0.9),
    "Lapicque: zero": lambda: snn.Lapicque(beta=0.9, reset_mechanism="zero"),
    "Alpha: zero": lambda: snn.Alpha(alpha=0.9, beta=0.7, reset_mechanism="zero"),
    "Alpha: subtract": lambda: snn.Alpha(alpha=0.9, beta=0.7, reset_mechanism="subtract"),
}
RANVIER: Examples = {
    "EventQuantizer: scale 0.25": lambda: EventQuantizer(0.25),
    "EventQuantizer: scale 0.1, 4 bits": lambda: EventQuantizer(0.1, 4),
}
SPIKINGJELLY: Examples = {
    "IFNode: default (hard reset)": sj.IFNode,
    "IFNode: soft reset": lambda: sj.IFNode(v_reset=None),
    "IFNode: v_reset -0.25": lambda: sj.IFNode(v_reset=-0.25),
    "LIFNode: default (hard reset)": lambda: sj.LIFNode(tau=3.0),
    "LIFNode: soft reset": lambda: sj.LIFNode(tau=3.0, v_reset=None),
    "LIFNode: decay_input=False": lambda: sj.LIFNode(tau=3.0, decay_input=False),
    "ParametricLIFNode: default (hard reset)": lambda: sj.ParametricLIFNode(init_tau=3.0),
    "ParametricLIFNode: soft reset": lambda: sj.ParametricLIFNode(init_tau=3.0, v_reset=None),
    "CUBALIFNode: hard reset": lambda: sj.CUBALIFNode(c_decay=0.7, v_decay=0.9, v_reset=0.0),
    "CUBALIFNode: soft reset": lambda: sj.CUBALIFNode(c_decay=0.7, v_decay=0.9, v_reset=None),
    "ILIFNode: default (up to 4 spikes)": lambda: sj.ILIFNode(tau=3.0),
}


def _lif(**more: float) -> LIFParameters:
    return LIFParameters(
        tau_syn_inv=torch.tensor(300.0),
        tau_mem_inv=torch.tensor(100.0),
        **{k: torch.tensor(v) for k, v in more.items()},
    )


def _rest() -> LIFRefracParameters:
    return LIFRefracParameters(_lif(), torch.tensor(3.0))


NORSE: Examples = {
    "LIFCell: default": lambda: norse.LIFCell(_lif()),
    "LIFCell: v_leak 0.1": lambda: norse.LIFCell(_lif(v_leak=0.1)),
    "LIFCell: v_reset -0.25": lambda: norse.LIFCell(_lif(v_reset=-0.25)),
    "LIF: default": lambda: norse.LIF(_lif()),
    "LIFRecurrentCell: default": lambda: norse.LIFRecurrentCell(2, NEURONS, _lif()),
    "LIFRecurrent: default": lambda: norse.LIFRecurrent(2, NEURONS, _lif()),
    "LIFBoxCell: reset_value": lambda: norse.LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(100.0))),
    "LIFBoxCell: reset_subtract": lambda: norse.LIFBoxCell(
        LIFBoxParameters(tau_mem_inv=torch.tensor(100.0), reset_method=reset_subtract)
    ),
    "LIFRefracCell: rho_reset 3": lambda: norse.LIFRefracCell(_rest()),
    "LIFRefracRecurrentCell: rho_reset 3": lambda: norse.LIFRefracRecurrentCell(2, NEURONS, _rest()),
    "LIFRefracRecurrent: rho_reset 3": lambda: norse.LIFRefracRecurrent(2, NEURONS, _rest()),
    "IAFCell: default": lambda: norse.IAFCell(IAFParameters()),
    "IAF: v_reset -0.25": lambda: norse.IAF(IAFParameters(v_reset=torch.tensor(-0.25))),
    "LICell: default": norse.LICell,
    "LI: default": norse.LI,
    "LIBoxCell: default": norse.LIBoxCell,
}


def _back() -> torch.nn.Module:
    return torch.nn.Linear(NEURONS, NEURONS, bias=False)


SINABS: Examples = {
    "IAF: default (MultiSpike)": sl.IAF,
    "IAF: SingleSpike": lambda: sl.IAF(spike_fn=SingleSpike),
    "IAF: MaxSpike(4), min_v_mem -1": lambda: sl.IAF(spike_fn=MaxSpike(4), min_v_mem=-1.0),
    "IAF: SingleSpike, MembraneReset": lambda: sl.IAF(spike_fn=SingleSpike, reset_fn=MembraneReset()),
    "IAF: MembraneSubtract(0.5)": lambda: sl.IAF(reset_fn=MembraneSubtract(0.5)),
    "IAFRecurrent: SingleSpike": lambda: sl.IAFRecurrent(rec_connect=_back(), spike_fn=SingleSpike),
    "IAFSqueeze: default (MultiSpike)": lambda: sl.IAFSqueeze(batch_size=1),
    "LIF: default (MultiSpike)": lambda: sl.LIF(tau_mem=10.0),
    "LIF: SingleSpike, tau_syn": lambda: sl.LIF(tau_mem=10.0, tau_syn=5.0, spike_fn=SingleSpike),
    "LIF: SingleSpike, MembraneReset": lambda: sl.LIF(tau_mem=10.0, spike_fn=SingleSpike, reset_fn=MembraneReset()),
    "LIF: norm_input=False, SingleSpike": lambda: sl.LIF(tau_mem=10.0, norm_input=False, spike_fn=SingleSpike),
    "LIFRecurrent: SingleSpike": lambda: sl.LIFRecurrent(tau_mem=10.0, rec_connect=_back(), spike_fn=SingleSpike),
    "LIFSqueeze: default (MultiSpike)": lambda: sl.LIFSqueeze(tau_mem=10.0, batch_size=1),
    "ALIF: default (SingleSpike)": lambda: sl.ALIF(tau_mem=10.0, tau_adapt=20.0),
    "ALIF: MultiSpike, min_v_mem -1": lambda: sl.ALIF(
        tau_mem=10.0, tau_adapt=20.0, spike_fn=MultiSpike, min_v_mem=-1.0
    ),
    "ALIF: MembraneSubtract(0.5)": lambda: sl.ALIF(tau_mem=10.0, tau_adapt=20.0, reset_fn=MembraneSubtract(0.5)),
    "ALIFRecurrent: default (SingleSpike)": lambda: sl.ALIFRecurrent(tau_mem=10.0, tau_adapt=20.0, rec_connect=_back()),
    "ALIFSqueeze: default (SingleSpike)": lambda: ALIFSqueeze(tau_mem=10.0, tau_adapt=20.0, batch_size=1),
    "ExpLeak: default": lambda: sl.ExpLeak(tau_mem=10.0),
    "ExpLeakSqueeze: default": lambda: sl.ExpLeakSqueeze(tau_mem=10.0, batch_size=1),
}


def _lif_torch(spikes: int, back: float) -> Any:
    """The attributes that Rockpool's LIFTorch shows; Rockpool itself lives in an environment of its own."""
    return SimpleNamespace(
        alpha=torch.full((NEURONS,), 0.9), beta=torch.full((NEURONS, 1), 0.7), threshold=torch.ones(NEURONS),
        bias=torch.zeros(NEURONS), max_spikes_per_dt=spikes, w_rec=torch.full((NEURONS, NEURONS), back),
        n_synapses=1, noise_std=0.0, learning_window=0.5,
        spike_generation_fn=lambda x, level, _window, most: ((x >= level) * torch.floor(x / level)).clamp(max=most),
    )  # fmt: skip


ROCKPOOL: Examples = {
    "LIFTorch: one spike a step": lambda: _lif_torch(1, 0.0),
    "LIFTorch: up to 31 spikes": lambda: _lif_torch(31, 0.0),
    "LIFTorch: recurrent weights": lambda: _lif_torch(1, 0.25),
}

NAMESPACES: Mapping[str, Mapping[str, Any]] = {
    "snnTorch": vars(snn),
    "SpikingJelly": vars(sj),
    "Norse": vars(norse),
    "Sinabs": vars(sl),
}
"""Where each framework shows its classes."""
STATEFUL = (snn.SpikingNeuron, sj.BaseNode, sl.StatefulLayer, SNN, SNNCell, SNNRecurrent, SNNRecurrentCell)
"""The frameworks' own base classes of neurons."""
