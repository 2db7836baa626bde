# ruff: noqa: PLC0415 - torch may be absent, and is imported when a module is run
"""The user's own module as the first stage of a verification."""

from typing import Any

from numpy.typing import ArrayLike, NDArray

from ranvier.loading import TorchModule
from ranvier.runtimes.verify.asked import Framework


def framework(module: TorchModule, sample: ArrayLike, steps: int | None = None) -> Framework:
    """What ``verify`` takes as ``Asked.framework``: runs the torch ``module`` and gives its spikes, layer by layer.

    ``sample`` and ``steps`` are as ``load`` takes them; they tell how the module wants its data.
    """

    def spikes(inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        from ranvier.frontends.torch.spikes import recorded_spikes

        live: Any = module
        return recorded_spikes(live, inputs, sample=sample, steps=steps)

    return spikes
