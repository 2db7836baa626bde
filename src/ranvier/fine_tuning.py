"""Fine-tuning of a deployed network: by the float network in it, or in the user's own training loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ranvier.app import App
from ranvier.compiler.diagnostics import Figure, error
from ranvier.compiler.ir.coding import frames_of

if TYPE_CHECKING:
    from ranvier.compiler.ir.chip import ChipNetwork
    from ranvier.runtimes.trainable import TrainableNetwork
    from ranvier.runtimes.trainable.training import Judged

TRAINED = ("weight", "threshold", "bias")
TAUGHT = ("threshold", "bias")
SLOPE = 5.0
EPOCHS = 16
RATE = 0.01
BATCH = 32
HELD_OUT = 0.2


@dataclass(frozen=True, eq=False)
class FineTuned:
    """The fine-tuned ``app``, and how it came about.

    ``history`` has one entry from before training and one after each epoch; ``epoch`` is that of the app, 0 where
    nothing that was learnt did better. ``learnt_from`` samples taught, ``kept_apart`` others judged.
    """

    app: App
    history: "tuple[Judged, ...]"
    epoch: int
    learnt_from: int
    kept_apart: int

    def to_json(self) -> dict[str, object]:
        """What was learnt, without the app."""
        history = [{"loss": judged.loss, "right": judged.right} for judged in self.history]
        counts = {"learnt_from": self.learnt_from, "kept_apart": self.kept_apart}
        return {"epoch": self.epoch, "history": history, **counts}


def fine_tune(  # noqa: PLR0913 one keyword per choice
    app: App,
    inputs: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    epochs: int = EPOCHS,
    rate: float = RATE,
    batch: int = BATCH,
    held_out: float = HELD_OUT,
    trained: Sequence[str] = TAUGHT,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FineTuned:
    """``app`` after some ``epochs`` of learning, on ``inputs``, to answer as the float network in it does.

    ``inputs`` are what ``App.run`` takes; with ``labels`` (samples,) it also learns these. A share ``held_out`` of the
    samples, drawn by ``seed``, judges the integers after every epoch and chooses among them, so that what fitting kept
    is not lost: on those samples the result never has fewer right answers, nor a larger loss, than ``app``. ``rate`` is
    how far one step on ``batch`` samples moves a parameter at first, as a share of its layer's size; ``trained`` as in
    :func:`trainable`. The loss is told at ``runtimes.trainable.training``. The same arguments give the same integers.
    ``progress(done, epochs)`` is called as it goes. Raises ``RanvierError`` RV410 to RV413, RV862 without torch, and
    for data and labels that do not fit.
    """
    from ranvier.runtimes.verify.labels import check_labels  # noqa: PLC0415 starts faster

    chip, teacher = app.program.chip, app.program.source
    if teacher is None:
        text = "it holds no float network to learn from"
        raise error("RV413", f"program {chip.name}", text, "compile it again, or train it in your own loop")
    network = trainable(app, trained)
    from ranvier.runtimes.trainable.training import Recipe, train  # noqa: PLC0415 torch is an extra

    recipe = Recipe(epochs, rate, batch, held_out, seed)
    frames = frames_of(chip.ports[0], np.asarray(inputs))
    answers = None if labels is None else check_labels(labels, chip, len(frames))
    found = train(network, teacher, frames, answers, recipe, progress)
    tuned = app if found.epoch == 0 else _with(app, found.chip)
    return FineTuned(tuned, found.history, found.epoch, found.learnt_from, found.kept_apart)


def trainable(app: App, trained: Sequence[str] = TRAINED, slope: float = SLOPE) -> "TrainableNetwork":
    """The deployed network of ``app`` as a torch module: forward gives its very integers, backward trains it.

    ``forward`` takes frames (samples, steps, *shape) and returns what the readout sent, or its membrane in the
    source's units. Weights, thresholds, biases and decays (``trained`` names which) are real parameters that round to
    the chip's grids in every forward pass; gradients pass straight through the rounding and through spikes by a fast
    sigmoid of steepness ``slope``. Of a pruned network, weights that are zero stay zero. Raises ``RanvierError`` RV860
    to RV862.
    """
    try:
        from ranvier.runtimes.trainable import TrainableNetwork  # noqa: PLC0415 torch is an extra
    except ModuleNotFoundError as missing:
        fix = "install ranvier[torch]"
        raise error("RV862", "trainable", f"fine-tuning needs {missing.name}", fix) from missing
    return TrainableNetwork(app.program.chip, trained, slope, keep_zeros=bool(app.provenance.get("prune")))


def retrained(app: App, network: "TrainableNetwork") -> App:
    """``app`` with the weights and registers that ``network``, which :func:`trainable` made of it, has now.

    The float network that the app was compiled from stays in it: what ``verify`` compares is the network before
    quantization with the one after fine-tuning. Raises ``RanvierError`` RV863 for a network of another app, and what
    the verifier finds.
    """
    if _outline(network.chip) != _outline(app.program.chip):
        text = f"the module was made from another network ({network.chip.name})"
        raise error("RV863", "retrained", text, "give the app that trainable() was called with")
    return _with(app, network.deployed())


def _with(app: App, trained: "ChipNetwork") -> App:
    """``app`` with the integers of ``trained``, placed anew."""
    from ranvier.compiler.ir.verify import check_chip  # noqa: PLC0415 starts faster
    from ranvier.compiler.pipeline import mapped  # noqa: PLC0415 starts faster

    chip = check_chip(trained)
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
