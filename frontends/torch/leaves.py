"""Which modules are neurons, which are layers, and which are refused by name."""

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.linear import Linear
from ranvier.frontends.torch import layers, norse, own, rockpool, sinabs, slayer, snntorch, spikingjelly
from ranvier.frontends.torch.adapters import Adapter
from ranvier.frontends.torch.capture import Kind, Trace
from ranvier.frontends.torch.isolate import class_path
from ranvier.frontends.torch.layers import is_layer, refusal
from ranvier.frontends.torch.modules import IncrementalMatMul
from ranvier.frontends.torch.register import registered

NEURONS: Mapping[str, Adapter] = {
    **snntorch.TABLE,
    **spikingjelly.TABLE,
    **sinabs.TABLE,
    **rockpool.TABLE,
    **norse.TABLE,
    **slayer.TABLE,
    **own.TABLE,
}
BASES = frozenset(
    {
        "snntorch._neurons.neurons.SpikingNeuron",
        "spikingjelly.activation_based.neuron.base_node.BaseNode",
        "sinabs.layers.stateful_layer.StatefulLayer",
    }
)
SAME_LAYERS: Mapping[str, str] = spikingjelly.LAYERS
OWN_LAYERS: Mapping[str, Callable[[nn.Module, str, Shape], tuple[Linear, ...]]] = {
    **sinabs.LAYERS,
    **rockpool.LAYERS,
    **slayer.LAYERS,
}
RESHAPES = layers.RESHAPES | sinabs.RESHAPES | slayer.RESHAPES
PARTLY: Mapping[str, tuple[tuple[str, ...], Callable[[str, str], RanvierError]]] = {
    "spikingjelly": (spikingjelly.TRANSPARENT, spikingjelly.refusal),
    "sinabs": (sinabs.TRANSPARENT, sinabs.refusal),
    "rockpool": (rockpool.TRANSPARENT, rockpool.refusal),
    "norse": (norse.TRANSPARENT, norse.refusal),
    "lava": ((), slayer.refusal),
}
FOREIGN = {"bindsnet": "BindsNET"}


def kind(module: nn.Module) -> Kind:
    """Whether a module is taken as a neuron, as a layer, as a product over time, or looked into."""
    if type(module) is IncrementalMatMul:
        return "product"
    if registered(type(module)) or class_path(type(module)) in NEURONS:
        return "neuron"
    path = class_path(type(module))
    own = path in {*SAME_LAYERS, *OWN_LAYERS, *RESHAPES} or path.startswith(slayer.ROOT)
    return "layer" if own or is_layer(module) or _unknown_neuron(module) else "function"


def kind_for_host(module: nn.Module) -> Kind:
    """``kind``, where the layers that the host computes are looked into: their functions are what is recorded."""
    return "function" if class_path(type(module)) in layers.HOSTED else kind(module)


def layer_path(module: nn.Module) -> str:
    """The class of a layer, or of the torch.nn layer that it is."""
    path = class_path(type(module))
    return SAME_LAYERS.get(path, path)


def takes(module: nn.Module, lead: str, behind: str = "") -> bool:
    """Whether a layer works on every frame of a tensor with these axes before and ``behind`` the features."""
    if behind or layer_path(module) in slayer.LAYERS:
        return lead == "B" and behind == "T" and layer_path(module) in slayer.LAYERS
    if isinstance(module, nn.Linear) or layer_path(module) in rockpool.LAYERS:
        return True
    return len(lead) == (2 if getattr(module, "step_mode", "s") == "m" else 1)


def adapter(module: nn.Module) -> Adapter:
    """The adapter of a neuron module."""
    return registered(type(module)) or NEURONS[class_path(type(module))]


def refusals(trace: Trace, host: bool = False) -> list[Diagnostic]:
    """Everything that was called and cannot be part of a network, nor with ``host`` computed by it, all at once."""
    called = {name: trace.modules[name] for name in trace.called}
    asked = {n: m for n, m in called.items() if not (host and class_path(type(m)) in layers.HOSTED)}
    return [d for name, module in asked.items() for d in _refusals(module, name or "the module")]


def _refusals(module: nn.Module, name: str) -> Iterator[Diagnostic]:
    path, kind_name = class_path(type(module)), type(module).__name__
    framework = FOREIGN.get(path.partition(".")[0])
    if registered(type(module)) or path in NEURONS or path in OWN_LAYERS or path in RESHAPES:
        return
    if path.partition(".")[0] in PARTLY:
        yield from _refused_part(module, path, name)
        return
    if framework is not None:
        yield Diagnostic(
            "RV187",
            name,
            f"{kind_name} belongs to {framework}, for which there is no adapter.",
            "Export the network to a NIR file with the framework's own exporter and load that.",
        )
    elif _unknown_neuron(module):
        yield _refused_neuron(module, name)
    elif is_layer(module):
        found = refusal(module, name, path)
        yield from found.diagnostics if found else ()


def _refused_part(module: nn.Module, path: str, name: str) -> Iterator[Diagnostic]:
    """A class of a framework that has adapters for some of its classes."""
    transparent, refused = PARTLY[path.partition(".")[0]]
    if path in SAME_LAYERS:
        found = refusal(module, name, layer_path(module))
        yield from found.diagnostics if found else ()
    elif not path.startswith(transparent):
        yield from refused(path, name).diagnostics


def _refused_neuron(module: nn.Module, name: str) -> Diagnostic:
    parent = next((c for c in type(module).__mro__[1:] if class_path(c) in NEURONS), None)
    kind_name, path = type(module).__name__, class_path(type(module))
    if parent is not None:
        return Diagnostic(
            "RV191",
            name,
            f"{kind_name} is a subclass of {_spelled(parent)}; what it changes cannot be seen from outside.",
            f"Use {_spelled(parent)} itself.",
        )
    return Diagnostic(
        "RV192",
        name,
        f"there is no adapter for the neuron {kind_name}.",
        f"Use one of {_known(path)} and train again, or describe the class with ranvier.register_neuron.",
    )


def _known(path: str) -> str:
    """The neurons with an adapter of the framework that ``path`` is of; of snnTorch where it is the user's own."""
    root = path.partition(".")[0]
    table = next(
        (t for t in (spikingjelly.TABLE, sinabs.TABLE, snntorch.TABLE) if any(p.startswith(f"{root}.") for p in t)),
        None,
    )
    listed = dict.fromkeys(p.rpartition(".")[2] for p in table or snntorch.TABLE)
    return f"{'snnTorch' if table is None else root}'s {', '.join(listed)}"


def _spelled(cls: type) -> str:
    return f"{cls.__module__.partition('.')[0]}.{cls.__name__}"


def _unknown_neuron(module: nn.Module) -> bool:
    mro = [class_path(cls) for cls in type(module).__mro__]
    known_parent = any(path in NEURONS or path in BASES for path in mro)
    return (known_parent or mro[0].startswith("snntorch._neurons.")) and mro[0] not in NEURONS
