"""Fine-tuning of a deployed network in the user's own training loop."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ranvier.app import App
from ranvier.compiler.diagnostics import Figure, error

if TYPE_CHECKING:
    from ranvier.compiler.ir.chip import ChipNetwork
    from ranvier.runtimes.trainable import TrainableNetwork

TRAINED = ("weight", "threshold", "bias")
SLOPE = 5.0


def trainable(app: App, trained: Sequence[str] = TRAINED, slope: float = SLOPE) -> "TrainableNetwork":
    """The deployed network of ``app`` as a torch module: forward gives its very integers, backward trains it.

    ``forward`` takes frames (samples, steps, *shape) and returns what the readout sent, or its membrane in the
    source's units. Weights, thresholds, biases and decays (``trained`` names which) are real parameters that round to
    the chip's grids in every forward pass; gradients pass straight through the rounding and through spikes by a fast
    sigmoid of steepness ``slope``. Raises ``RanvierError`` RV860 to RV862.
    """
    try:
        from ranvier.runtimes.trainable import TrainableNetwork  # noqa: PLC0415 torch is an extra
    except ModuleNotFoundError as missing:
        fix = "install ranvier[torch]"
        raise error("RV862", "trainable", f"fine-tuning needs {missing.name}", fix) from missing
    return TrainableNetwork(app.program.chip, trained, slope)


def retrained(app: App, network: "TrainableNetwork") -> App:
    """``app`` with the weights and registers that ``network``, which :func:`trainable` made of it, has now.

    The float network that the app was compiled from stays in it: what ``verify`` compares is the network before
    quantization with the one after fine-tuning. Raises ``RanvierError`` RV863 for a network of another app, and what
    the verifier finds.
    """
    from ranvier.compiler.ir.verify import check_chip  # noqa: PLC0415 starts faster
    from ranvier.compiler.pipeline import mapped  # noqa: PLC0415 starts faster

    if _outline(network.chip) != _outline(app.program.chip):
        text = f"the module was made from another network ({network.chip.name})"
        raise error("RV863", "retrained", text, "give the app that trainable() was called with")
    chip = check_chip(network.deployed())
    program = replace(app.program, chip=chip)
    if app.target is not None:
        program = mapped(chip, app.target, app.program.source)
    return replace(app, program=program, provenance={**app.provenance, **_provenance(chip)})


def _outline(chip: "ChipNetwork") -> tuple[object, ...]:
    """What training leaves as it is."""
    populations = tuple((p.name, p.shape, p.program) for p in chip.populations)
    return chip.ports, populations, tuple((c.name, c.source, c.target, c.delay) for c in chip.connections)


def _provenance(chip: "ChipNetwork") -> Mapping[str, Figure]:
    """A fingerprint of the trained integers: the options alone do not give them back."""
    from ranvier.compiler.ir.fingerprint import fingerprint  # noqa: PLC0415 starts faster
    from ranvier.compiler.ir.text import dump  # noqa: PLC0415 starts faster

    text, tensors = dump(chip)
    return {"fine_tuned_sha256": fingerprint({"text": text, **tensors})}
