"""Which modules are neurons, which are layers, and which are refused by name."""

from collections.abc import Iterator

from torch import nn

from ranvier.compiler.diagnostics import Diagnostic
from ranvier.frontends.torch import snntorch
from ranvier.frontends.torch.capture import Kind, Trace
from ranvier.frontends.torch.isolate import class_path
from ranvier.frontends.torch.layers import is_layer, refusal
from ranvier.frontends.torch.snntorch import Adapter

NEURONS = snntorch.TABLE
BASE = "snntorch._neurons.neurons.SpikingNeuron"
FOREIGN = {
    "norse": "Norse",
    "spikingjelly": "SpikingJelly",
    "sinabs": "Sinabs",
    "rockpool": "Rockpool",
    "lava": "lava-dl",
    "bindsnet": "BindsNET",
}


def kind(module: nn.Module) -> Kind:
    """Whether a module is taken as a neuron, as a layer, or looked into."""
    if class_path(type(module)) in NEURONS:
        return "neuron"
    return "layer" if is_layer(module) or _unknown_neuron(module) else "function"


def adapter(module: nn.Module) -> Adapter:
    """The adapter of a neuron module."""
    return NEURONS[class_path(type(module))]


def refusals(trace: Trace) -> list[Diagnostic]:
    """Everything that was called and cannot be part of a network, all at once."""
    return [d for name in trace.called for d in _refusals(trace.modules[name], name or "the module")]


def _refusals(module: nn.Module, name: str) -> Iterator[Diagnostic]:
    path, kind_name = class_path(type(module)), type(module).__name__
    framework = FOREIGN.get(path.partition(".")[0])
    if path in NEURONS:
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
        found = refusal(module, name)
        yield from found.diagnostics if found else ()


def _refused_neuron(module: nn.Module, name: str) -> Diagnostic:
    parent = next((c for c in type(module).__mro__[1:] if class_path(c) in NEURONS), None)
    kind_name = type(module).__name__
    if parent is not None:
        return Diagnostic(
            "RV191",
            name,
            f"{kind_name} is a subclass of snntorch.{parent.__name__}; what it changes cannot be seen from outside.",
            f"Use snntorch.{parent.__name__} itself.",
        )
    return Diagnostic(
        "RV192",
        name,
        f"there is no adapter for the neuron {kind_name}.",
        "Use one of snntorch's Leaky, Synaptic, RLeaky, RSynaptic, Lapicque and train again.",
    )


def _unknown_neuron(module: nn.Module) -> bool:
    mro = [class_path(cls) for cls in type(module).__mro__]
    known_parent = any(path in NEURONS or path == BASE for path in mro)
    return (known_parent or mro[0].startswith("snntorch._neurons.")) and mro[0] not in NEURONS
