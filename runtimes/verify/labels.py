"""Labels as a user gives them: checked before anything runs."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork

Labels = NDArray[np.int64]


def check_labels(labels: ArrayLike, chip: ChipNetwork, samples: int) -> Labels:
    """``labels`` as (samples,) class numbers of the readout; raises ``RanvierError`` where they are none."""
    return class_numbers(labels, samples, chip.readout.node, size(chip.by_name[chip.readout.node].shape))


def class_numbers(labels: ArrayLike, samples: int, readout: str, classes: int) -> Labels:
    """``labels`` as (samples,) numbers of the ``classes`` of ``readout``; raises ``RanvierError`` RV811 to RV813."""
    given: NDArray[Any] = np.asarray(labels)
    if given.shape != (samples,):
        raise error("RV811", "labels", f"they have shape {given.shape}, the data hold {samples} samples",
                    f"give one class number per sample: shape ({samples},)")  # fmt: skip
    if given.dtype.kind not in "iuf" or not bool(np.all(np.isfinite(given) & (given == np.rint(given)))):
        raise error("RV812", "labels", f"they are no whole numbers (type {given.dtype})",
                    "give class numbers counted from 0, not names or one-hot rows")  # fmt: skip
    low, high = int(given.min()), int(given.max())
    if low < 0 or high >= classes:
        text = f"they run from {low} to {high}, the readout {readout} has classes 0 to {classes - 1}"
        fix = "count classes from 0, or check that data and network belong together"
        raise error("RV813", "labels", text, fix, low=low, high=high, classes=classes)
    return given.astype(np.int64)
