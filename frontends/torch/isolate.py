"""Private copies and guarded randomness: a user's module is looked at, never changed."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from ranvier.frontends.torch.modules import IncrementalMatMul
from ranvier.frontends.torch.register import reset_registered

STATES = {
    "snntorch": ("mem", "syn", "spk", "syn_exc", "syn_inh"),
    "sinabs": ("v_mem", "i_syn", "b"),
    "rockpool": ("vmem", "isyn", "spikes"),
}
KEPT = ("current_state", "voltage_state", "spike_state")
OWN_COPY = "sinabs.layers.stateful_layer.StatefulLayer"
SHARED_LIST = "snntorch._neurons.neurons.SpikingNeuron"


def class_path(cls: type) -> str:
    """The full dotted path of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def unwrap(module: nn.Module) -> nn.Module:
    """The user's module inside ``torch.compile`` and data-parallel wrappers."""
    inner = getattr(module, "_orig_mod", None)
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        inner = module.module
    return unwrap(inner) if isinstance(inner, nn.Module) else module


def private_copy(module: nn.Module) -> nn.Module:
    """A copy on the CPU, in evaluation mode, with all neuron states forgotten.

    States left over from training hang on an autograd graph, which ``deepcopy`` refuses to copy: they are
    handed over detached.
    """
    memo: dict[int, object] = {}
    for part in parts(module):
        for value in (*vars(part).values(), *part._buffers.values()):
            for tensor in _tensors(value):
                if not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    for part in parts(module):
        if any(class_path(base) == OWN_COPY for base in type(part).__mro__):
            _copied_plainly(part, memo)
    twin: nn.Module = copy.deepcopy(module, memo).cpu().eval()
    for part in parts(twin):
        forget(part)
        if parametrize.is_parametrized(part):
            _settle(part)
    return twin


def parts(module: nn.Module) -> list[nn.Module]:
    """All modules in ``module``, itself included (Rockpool gives ``modules`` another meaning)."""
    return list(nn.Module.modules(module))


def _copied_plainly(part: nn.Module, memo: dict[int, object]) -> None:
    """Sinabs copies its layers by calling their constructors, which shares recurrent weights or fails on them."""
    twin: Any = part.__class__.__new__(part.__class__)
    memo[id(part)] = twin
    twin.__setstate__(copy.deepcopy(vars(part), memo))


def _settle(part: nn.Module) -> None:
    """Parametrized weights as plain ones; torch's own removal would change the class that the user's module shares."""
    names = [name for name, _ in part.get_submodule("parametrizations").named_children()]
    weights = {name: getattr(part, name).detach().clone() for name in names}
    part.__class__ = type(part).__bases__[0]
    del part._modules["parametrizations"]
    for name, weight in weights.items():
        part.register_parameter(name, nn.Parameter(weight))


def forget(module: nn.Module) -> None:
    """Set the hidden states of one neuron module, or product over time, to what they are after construction."""
    reset_registered(module)
    if isinstance(module, IncrementalMatMul):
        module.reset()
    live: Any = module
    roots = {base.__module__.partition(".")[0] for base in type(module).__mro__}
    if "spikingjelly" in roots and isinstance(getattr(module, "_memories_rv", None), dict):
        live.reset()
    if "lava" in roots:
        for inner in parts(module):
            _forget_sequence(inner)
    for root in roots & set(STATES):
        for name in STATES[root]:
            state = module._buffers.get(name)
            if state is not None and (root != "snntorch" or name in module._non_persistent_buffers_set):
                module._buffers[name] = torch.zeros_like(state) if root == "rockpool" else state.new_zeros(0)


def _forget_sequence(module: nn.Module) -> None:
    """SLAYER: a neuron's states start as one zero, and a block keeps the last spikes of a call."""
    for name in KEPT:
        if name in module._buffers:
            module._buffers[name] = torch.zeros(1)
    if hasattr(module, "delay_buffer"):
        live: Any = module
        live.delay_buffer = None


@contextmanager
def undisturbed(twin: nn.Module) -> Iterator[None]:
    """No gradients, no change of any random generator, and no access to other modules' states.

    snnTorch keeps a list of all its neurons in the process, through which ``snntorch.utils.reset`` inside a
    ``forward`` would clear the user's modules: for the time of a run the list holds the copies only.
    """
    held = (random.getstate(), np.random.get_state())  # noqa: NPY002 the global generator is the user's
    owner = _list_owner(twin)
    instances = getattr(owner, "instances", None)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            if owner is not None:
                setattr(owner, "instances", [m for m in parts(twin) if isinstance(m, owner)])  # noqa: B010
            yield
        finally:
            if owner is not None:
                setattr(owner, "instances", instances)  # noqa: B010
            random.setstate(held[0])
            np.random.set_state(held[1])  # noqa: NPY002


def _list_owner(twin: nn.Module) -> type | None:
    parents = (base for part in parts(twin) for base in type(part).__mro__)
    return next((base for base in parents if class_path(base) == SHARED_LIST), None)


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
