# ruff: noqa: PLC0415 - torch is an extra, imported when a network is made
"""From an architecture to a program: trained on the user's images, compiled, verified, and weighed again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier import api
from ranvier.app import App
from ranvier.compiler.diagnostics import error
from ranvier.search.memory import EFFORT, metrics, network
from ranvier.search.run import checked_images
from ranvier.search.space import Architecture
from ranvier.tuning.budget import Budget
from ranvier.tuning.points import Metrics

if TYPE_CHECKING:
    from ranvier.runtimes.verify import Verification
    from ranvier.search.modules import CellNet

CALIBRATION = 256
IMAGE_AXES = 4
JUDGED = 5
"""Every fifth sample judges and does not teach."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Deployed:
    """The trained ``module``, its ``app``, what that takes (``used``), and how it fares on the samples kept apart:
    ``accuracy`` of the module, ``verification`` of the program against it.
    """

    module: "CellNet"
    app: App
    used: Metrics
    accuracy: float
    verification: "Verification"
    taught: int
    judged: int

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "memory_bytes": self.used.memory,
            "cores": self.used.cores,
            "module_accuracy": self.accuracy,
            "taught": self.taught,
            "judged": self.judged,
            "verification": self.verification.to_json(),
        }


def deploy(  # noqa: PLR0913 one keyword per choice
    architecture: Architecture,
    images: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    target: str | Path = "loihi2",
    *,
    epochs: int = 0,
    seed: int = 0,
    weight_bits: int = 8,
    progress: Progress = lambda _done, _total: None,
) -> Deployed:
    """Train ``architecture`` on four fifths of ``images``, compile it for ``target``, and verify it on the rest.

    ``images`` are images or frames as the search takes them, ``labels`` (samples,) from 0 to the classes less one.
    Raises ``RanvierError`` RV583 for other images, RV584 for other labels, RV590 where the program is over ``budget``
    after all, and what ``ranvier.compile`` raises.
    """
    from ranvier.search.training import accuracy, trained

    y = checked_labels(labels, len(np.asarray(images)))
    x = checked_images(images, architecture.skeleton)
    if y.max() >= architecture.skeleton.classes:
        text = f"the largest is {y.max()}, the network has {architecture.skeleton.classes} classes"
        raise error("RV584", "labels", text, "search with all classes that the data have")
    judged = np.arange(len(x)) % JUDGED == JUDGED - 1
    module = trained(architecture, x[~judged], y[~judged], epochs, seed=seed, progress=progress)
    net = network(module, architecture)
    shown = _frames(x[~judged][:CALIBRATION], architecture.skeleton.steps)
    app = api.compile(net, target, shown, weight_bits=weight_bits, effort=EFFORT)
    used = metrics(app, architecture)
    if not budget.keeps(used):
        text = f"the program takes {used.memory:,.0f} bytes on {used.cores} cores: over the budget after all"
        raise error("RV590", "budget", text, "search again under this target and these weight bits, or allow more")
    held = _frames(x[judged], architecture.skeleton.steps)
    verification = api.verify(app, net, (held, y[judged]))
    right = accuracy(module, x[judged], y[judged])
    return Deployed(module, app, used, right, verification, int((~judged).sum()), int(judged.sum()))


def checked_labels(labels: ArrayLike | None, samples: int) -> NDArray[np.int64]:
    """``labels`` as integers; raises ``RanvierError`` RV584 where they are none for ``samples`` samples."""
    fix = "save them beside the inputs: labels=..., one whole number from 0 per sample"
    found = np.asarray(() if labels is None else labels)
    if found.shape != (samples,) or found.dtype.kind not in "iu" or (samples and found.min() < 0) or samples < JUDGED:
        text = "there are none" if labels is None else f"shape {found.shape}, type {found.dtype}"
        raise error("RV584", "labels", f"{text}, for {samples} samples (at least {JUDGED})", fix)
    return found.astype(np.int64)


def save_module(module: "CellNet", path: Path) -> None:
    """The weights of ``module`` as ``torch.save`` writes them; raises ``RanvierError`` RV587."""
    import torch

    try:
        torch.save(module.state_dict(), path)
    except (OSError, RuntimeError) as problem:
        raise error(
            "RV587", str(path), f"it cannot be written: {problem}", "give a path in a folder of yours"
        ) from problem


def _frames(images: NDArray[Any], steps: int) -> NDArray[Any]:
    """What a program is given: the frames as they are, an image in every step."""
    return np.repeat(images[:, None], steps, axis=1) if images.ndim == IMAGE_AXES else images
