"""Ranvier compiles trained spiking networks for Loihi-class chips and runs the programs bit for bit.

>>> net = ranvier.load("cnn.nir", dt=1e-3, reset="subtract")
>>> app = ranvier.compile(net, target="loihi2", calibrate=samples)
>>> rec = app.run(x)
>>> rep = ranvier.verify(app, net, data=(x, y), runtimes=("simulator", "lava"))
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ranvier import encode
    from ranvier.api import check, compile, load, open, target_names, verify  # noqa: A004 the names of the verbs
    from ranvier.app import App
    from ranvier.compiler.diagnostics import Diagnostic, RanvierError
    from ranvier.compiler.ir.hosted import HostedNetwork
    from ranvier.compiler.ir.neurons import GradedLif, Lif
    from ranvier.conversion import accuracy_by_steps, convert, convert_first_spike, fewest_steps
    from ranvier.data import Samples, load_data
    from ranvier.fine_tuning import fine_tune, retrained, trainable
    from ranvier.frontends.torch.modules import EventQuantizer, IncrementalMatMul
    from ranvier.frontends.torch.register import register_neuron
    from ranvier.hosted import HostedApp
    from ranvier.runtimes.exports.nir import export_nir

__version__ = "0.1.0"
__all__ = [
    "App",
    "Diagnostic",
    "EventQuantizer",
    "GradedLif",
    "HostedApp",
    "HostedNetwork",
    "IncrementalMatMul",
    "Lif",
    "RanvierError",
    "Samples",
    "accuracy_by_steps",
    "check",
    "compile",
    "convert",
    "convert_first_spike",
    "encode",
    "export_nir",
    "fewest_steps",
    "fine_tune",
    "load",
    "load_data",
    "open",
    "register_neuron",
    "retrained",
    "target_names",
    "trainable",
    "verify",
]

_HOMES = {
    "App": "ranvier.app",
    "Diagnostic": "ranvier.compiler.diagnostics",
    "EventQuantizer": "ranvier.frontends.torch.modules",
    "GradedLif": "ranvier.compiler.ir.neurons",
    "HostedApp": "ranvier.hosted",
    "HostedNetwork": "ranvier.compiler.ir.hosted",
    "IncrementalMatMul": "ranvier.frontends.torch.modules",
    "Lif": "ranvier.compiler.ir.neurons",
    "RanvierError": "ranvier.compiler.diagnostics",
    "Samples": "ranvier.data",
    "accuracy_by_steps": "ranvier.conversion",
    "convert": "ranvier.conversion",
    "convert_first_spike": "ranvier.conversion",
    "export_nir": "ranvier.runtimes.exports.nir",
    "fewest_steps": "ranvier.conversion",
    "fine_tune": "ranvier.fine_tuning",
    "load_data": "ranvier.data",
    "register_neuron": "ranvier.frontends.torch.register",
    "retrained": "ranvier.fine_tuning",
    "trainable": "ranvier.fine_tuning",
}


def __getattr__(name: str) -> object:
    """A public name, its module imported at the first use, so that ``import ranvier`` stays fast."""
    if name not in __all__:
        raise AttributeError(f"module 'ranvier' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - spares the start what a script may not need

    if name == "encode":
        return import_module("ranvier.encode")
    return getattr(import_module(_HOMES.get(name, "ranvier.api")), name)


def __dir__() -> list[str]:
    return sorted((*__all__, "__version__"))
