# ruff: noqa: PLC0415 - an executor may be heavy or absent: each is imported when it is used
"""The executors of a program by name; each is imported when it is used."""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.runtimes.recording import Recording, Records

Executor = Callable[[ChipNetwork, NDArray[Any], Records], Recording]
FloatExecutor = Callable[[Network, NDArray[Any], Records], Recording]


def _oracle() -> Executor:
    from ranvier.runtimes import oracle

    return oracle.run


def _simulator() -> Executor:
    from ranvier.runtimes import simulator

    return simulator.run


def _gpu() -> Executor:
    from ranvier.runtimes import gpu

    return gpu.run


def _lava() -> Executor:
    from ranvier.runtimes.lava import driver

    return driver.run


RUNTIMES: Mapping[str, Callable[[], Executor]] = {
    "oracle": _oracle,
    "simulator": _simulator,
    "gpu": _gpu,
    "lava": _lava,
}


def executor(name: str) -> Executor:
    """The run function of the executor ``name``; refuses other names, listing what there is."""
    if name not in RUNTIMES:
        raise error("RV810", f"runtime {name!r}", "there is no such runtime", f"choose among {', '.join(RUNTIMES)}")
    return RUNTIMES[name]()


def float_executor(folded: bool) -> FloatExecutor:
    """What runs a float network: the simulator where it is ``folded``, the literal reference otherwise."""
    if folded:
        from ranvier.runtimes import simulator

        return simulator.run
    from ranvier.runtimes import reference

    return reference.run
