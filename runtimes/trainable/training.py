"""Fine-tuning without a loop of one's own: the float network teaches the deployed one, samples kept apart judge.

Loss: the Kullback-Leibler divergence of what the chip network answers from what the float network does, as softmax of
their scores over a temperature (knowledge distillation: Hinton et al., arXiv 1503.02531); with labels, plus
``LABELS_SHARE`` of the cross entropy. The temperature is the float network's own: its answers are ``exp(SURENESS)``
times as likely as the next best, in the median, whatever the scores count. A step of Adam (Kingma, Ba, arXiv 1412.6980)
moves each parameter by a share of its tensor's size, less and less along a cosine. What is deployed are the parameters'
running means over about an epoch (Polyak, Juditsky, SIAM J. Control Optim. 1992), since spikes make single steps noisy.
After every epoch their integers are judged on samples that nothing is learnt from. Those with the least loss are taken,
of those with no fewer right answers than before.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network, ReadoutKind
from ranvier.runtimes import simulator
from ranvier.runtimes.recording import check_inputs, predict
from ranvier.runtimes.trainable.network import TrainableNetwork

SURENESS = 4.0
LABELS_SHARE = 0.3

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recipe:
    """``epochs`` over the samples in batches of ``batch``; ``rate``: how far a step moves a parameter at first, as a
    share of its tensor's root mean square; ``held_out``: the share of the samples that judge; ``seed`` draws them.

    Raises ``RanvierError`` RV410 for settings out of range.
    """

    epochs: int
    rate: float
    batch: int
    held_out: float
    seed: int

    def __post_init__(self) -> None:
        ranges = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "rate": (0 < self.rate < 1, "between 0 and 1"),
            "batch": (self.batch >= 1, "at least 1"),
            "held_out": (0 < self.held_out < 1, "between 0 and 1"),
            "seed": (0 <= self.seed < 2**63, "a whole number from 0"),
        }
        for name, (holds, wanted) in ranges.items():
            if not holds:
                text = f"{name} is {getattr(self, name)}"
                raise error("RV410", f"fine-tuning {name}", text, f"give a value {wanted}")


@dataclass(frozen=True)
class Judged:
    """The integers of one moment on the samples that were kept apart: mean loss, and right answers.

    Without labels the float network's answers are the right ones.
    """

    loss: float
    right: int


@dataclass(frozen=True, eq=False)
class Trained:
    """``chip`` as it was after ``history[epoch]``, the best; ``history[0]`` is before training.

    ``kept_apart`` samples judged, the ``learnt_from`` others taught.
    """

    chip: ChipNetwork
    history: tuple[Judged, ...]
    epoch: int
    learnt_from: int
    kept_apart: int


def train(
    network: TrainableNetwork,
    teacher: Network,
    inputs: NDArray[Any],
    labels: NDArray[np.int64] | None,
    recipe: Recipe,
    progress: Progress | None = None,
) -> Trained:
    """Train ``network`` in place on frames ``inputs`` (samples, steps, *shape) by what the float ``teacher`` answers.

    ``labels`` (samples,) are class numbers or None. The same arguments give the same integers. Raises ``RanvierError``
    RV411 for too few samples, RV412 for a teacher whose answers say nothing, and what the data do wrong.
    """
    check_inputs(inputs, network.chip)
    generator = torch.Generator().manual_seed(recipe.seed)
    kept, used = _parts(len(inputs), recipe, generator)
    lesson = Lesson.of(network, teacher, inputs, labels)
    batches = math.ceil(len(used) / recipe.batch)
    optimizer = torch.optim.Adam(_groups(network, recipe.rate))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * batches)
    means = _Means.of(network, 1.0 / batches)
    history, chip = [lesson.judged(kept, recipe.batch)], network.chip
    for epoch in range(recipe.epochs):
        for batch in used[torch.randperm(len(used), generator=generator)].split(recipe.batch):  # type: ignore[no-untyped-call]
            loss, _ = lesson.loss(batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            means.add()
        with means.taken():
            history.append(lesson.judged(kept, recipe.batch))
            chip = network.deployed() if best_epoch(history) == epoch + 1 else chip
        if progress is not None:
            progress(epoch + 1, recipe.epochs)
    return Trained(chip, tuple(history), best_epoch(history), len(used), len(kept))


@dataclass(frozen=True, eq=False)
class Lesson:
    """What ``network`` learns: frames, the float network's scores for them, and the right answers.

    ``with_labels`` tells whether these are labels, which count in the loss, or the float network's answers.
    """

    network: TrainableNetwork
    frames: Tensor
    scores: Tensor
    right: Tensor
    with_labels: bool
    temperature: float

    @classmethod
    def of(
        cls, network: TrainableNetwork, teacher: Network, inputs: NDArray[Any], labels: NDArray[np.int64] | None
    ) -> "Lesson":
        """The lesson of ``teacher`` on ``inputs``; raises ``RanvierError`` RV412."""
        ran = simulator.run(teacher, inputs)
        wanted = scores(teacher.readout.kind, torch.from_numpy(np.asarray(ran.outputs, np.float64)))
        right = torch.from_numpy(np.asarray(ran.predictions if labels is None else labels, np.int64))
        frames = torch.from_numpy(np.ascontiguousarray(inputs))
        return cls(network, frames, wanted, right, labels is not None, _temperature(wanted))

    def loss(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss over ``samples``, and what the readout saw of them: (samples, steps, *shape)."""
        outputs = self.network(self.frames[samples])
        found = functional.log_softmax(scores(self.network.chip.readout.kind, outputs) / self.temperature, 1)
        wanted = functional.log_softmax(self.scores[samples] / self.temperature, 1)
        loss = functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
        if self.with_labels:
            loss = loss + LABELS_SHARE * functional.nll_loss(found, self.right[samples])
        return loss, outputs

    def judged(self, samples: Tensor, batch: int) -> Judged:
        """The integers of now on ``samples``."""
        loss, right = 0.0, 0
        with torch.no_grad():
            for part in samples.split(batch):  # type: ignore[no-untyped-call]
                found, outputs = self.loss(part)
                answers = predict(self.network.chip.readout, outputs.numpy())
                loss += found.item() * len(part) / len(samples)
                right += int((answers == self.right[part].numpy()).sum())
        return Judged(loss, right)


@dataclass(frozen=True, eq=False)
class _Means:
    """Running means of the ``parameters``: a ``share`` of each comes from the newest step."""

    parameters: tuple[Tensor, ...]
    means: tuple[Tensor, ...]
    share: float

    @classmethod
    def of(cls, network: TrainableNetwork, share: float) -> "_Means":
        parameters = tuple(p for p in network.parameters() if p.requires_grad)
        return cls(parameters, tuple(p.detach().clone() for p in parameters), share)

    def add(self) -> None:
        """Count the parameters of now."""
        for mean, parameter in zip(self.means, self.parameters, strict=True):
            mean.lerp_(parameter.detach(), self.share)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Meanwhile the network has the means for parameters."""
        held = [p.detach().clone() for p in self.parameters]
        self._put(self.means)
        yield
        self._put(held)

    def _put(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)


def scores(kind: ReadoutKind, outputs: Tensor) -> Tensor:
    """(samples, classes) what a readout of ``kind`` compares, from what it saw: ``outputs`` (samples, steps, *shape).

    Of a first spike, the number of steps since.
    """
    x = outputs.flatten(2)
    if kind == "first_spike":
        return x.cummax(1).values.sum(1)
    if kind == "last_membrane":
        return x[:, -1]
    return x.amax(1) if kind == "max_membrane" else x.sum(1)


def _temperature(wanted: Tensor) -> float:
    if wanted.shape[1] < 2:
        raise error("RV412", "fine-tuning", "the readout has one class only: there is nothing to choose between",
                    "train it in your own loop, on what its output means: ranvier.trainable(app)")  # fmt: skip
    first, second = wanted.topk(2, dim=1).values.unbind(1)
    margin = float((first - second).median())
    if not margin > 0:
        raise error("RV412", "fine-tuning", "the float network is undecided on most of the samples",
                    "give the data that it was trained for, with as many steps")  # fmt: skip
    return margin / SURENESS


def _parts(samples: int, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The numbers of the samples that judge, and of those that teach."""
    apart = round(samples * recipe.held_out)
    if not 0 < apart < samples:
        text = f"of {samples} samples {apart} would be kept apart"
        raise error("RV411", "fine-tuning", text, "give more samples", samples=samples, held_out=recipe.held_out)
    drawn = torch.randperm(samples, generator=generator)
    return drawn[:apart], drawn[apart:]


def _groups(network: TrainableNetwork, rate: float) -> Iterator[dict[str, Any]]:
    """Every trained tensor with its own rate; biases, which may be zero, are in units of the threshold."""
    for name, tensor in network.named_parameters():
        if tensor.requires_grad:
            size = 1.0 if ".bias." in name else float(tensor.detach().square().mean().sqrt())
            yield {"params": [tensor], "lr": rate * size}


def best_epoch(history: Sequence[Judged]) -> int:
    """Which of ``history`` has the least loss, among those with no fewer right answers than the first."""
    allowed = [i for i, judged in enumerate(history) if judged.right >= history[0].right]
    return min(allowed, key=lambda i: history[i].loss)
