"""``make accuracy``: what weights of few bits cost on published networks, written to docs/accuracy.md.

For every width: the float network, a plain conversion (*naive*), and Ranvier without retraining. All numbers come
from this run. ``python -m benchmarks.accuracy digits`` prints one network; ``--bits 4`` one width.
"""

import argparse
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from benchmarks.figures import percent, table

import ranvier
from ranvier import fine_tuning
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.linear import Synapse
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.verify import check_chip
from ranvier.compiler.options import Options
from ranvier.compiler.passes.arrivals import UNIT, arrival, incoming
from ranvier.compiler.passes.bounds import register_bound, weight_bound
from ranvier.compiler.passes.calibrate import Calibrate
from ranvier.compiler.passes.fit import Fit
from ranvier.compiler.passes.payloads import Payloads
from ranvier.compiler.pipeline import prepare
from ranvier.fitting import fit
from ranvier.runtimes import simulator
from ranvier.runtimes.observe import Measured, measure
from ranvier.runtimes.verify.statistics import wilson
from ranvier.targets.load import load_target
from support import cases
from support.data import test_data

TARGET = load_target("loihi2")
FILE = Path(__file__).parents[1] / "docs" / "accuracy.md"
BITS = (8, 6, 4, 3, 2)
TUNED_BITS = 4
LOSING = "braille_bias"
RECURRENT, GROUPED_BITS, GROUPS = ("braille_bias", "braille_no_bias"), (4, 3, 2), 4
SEED = 0
CHOSEN = Options(rounding="output", per_channel=True, correct_bias=True)
HEADER = (
    "bits", "float %", "naive %", "Ranvier %", "interval", "loss, points", "same as float %", "fine-tuned %", "s",
)  # fmt: skip


def naive(prepared: Network, measured: Measured, bits: int) -> ChipNetwork:
    """The plain conversion: per population the scale at which the largest weight just fits; all rounded apart.

    Weights go to the nearest level of ``bits``, thresholds, decays and biases to the nearest register; no exponents, no
    clipping. Payloads and the treatment of constants behind a synaptic current are Ranvier's own.
    """
    network = Payloads(TARGET)(Calibrate(measured.observed)(prepared))
    replaced: dict[str, Neurons | Synapse] = {}
    for population in network.populations:
        arrivals = [arrival(network, s, bits, {}) for s in incoming(network, population.name)]
        top = register_bound(TARGET, population, network.observed.get(population.name))
        scale = min(top, *(weight_bound([a]) for a in arrivals if a.peak > 0))
        replaced[population.name] = replace(population, scale=scale)
        for a in arrivals:
            replaced[a.synapse.name] = a.quantized(a.levels.nearest(a.source * scale / UNIT), scale, 0)
    rounded = replace(network, nodes=tuple(replaced.get(n.name, n) for n in network.nodes))
    return check_chip(Fit(TARGET)(rounded))


@dataclass(frozen=True, eq=False)
class Part:
    """Samples (samples, steps, *shape) and their labels (samples,)."""

    inputs: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Split:
    """A network with its data in parts that share no sample.

    ``calibration`` is what ``compile`` sees, without labels. ``development`` may be looked at while methods and their
    constants are chosen, ``test`` may not. ``tuning``: what fine-tuning learns from, with labels; None for no such row.
    """

    network: Network
    calibration: np.ndarray
    development: Part
    test: Part
    tuning: Part | None = None


def digits() -> Split:
    """The convolutional example that ships with Ranvier. Calibration: 128 training images; development: 360 others;
    test: the test set. Fine-tuning: the 949 training images that remain.
    """
    from ranvier.examples.digits.model import STEPS  # noqa: PLC0415 - needs torch
    from ranvier.examples.digits.train import CALIBRATION, split  # noqa: PLC0415 - needs torch

    case = cases.digits()
    images, _, labels, _ = split()
    shown = np.repeat(images[:, None], STEPS, axis=1)
    parts = [Part(shown[at], labels[at]) for at in (slice(CALIBRATION, 488), slice(488, None))]
    return Split(case.network, shown[:CALIBRATION], parts[0], Part(case.inputs, case.labels), parts[1])


def braille_bias() -> Split:
    """Recurrent, with biases. 1158 samples in thirds by lot: calibration (fine-tuning too), development, test."""
    return _thirds(cases.braille("bias, reset to zero"))


def braille_no_bias() -> Split:
    """Recurrent, without biases. 1158 samples in thirds by lot: calibration (fine-tuning too), development, test."""
    return _thirds(cases.braille("no bias, subtract"))


def nmnist() -> Split:
    """Convolutional, read with reset to zero. Calibration: 20 training samples by lot; development: 200 others; test:
    the 100 test samples.
    """
    case = cases.nmnist("reset to zero")
    training = ranvier.load_data(test_data("nmnist", "nmnist_train1000.npz"), bin_us=1000, steps=300)
    assert training.labels is not None
    drawn = np.random.default_rng(SEED).permutation(len(training))
    others = Part(training.inputs[drawn[20:220]], training.labels[drawn[20:220]])
    return Split(case.network, training.inputs[drawn[:20]], others, Part(case.inputs, case.labels))


def converted() -> Split:
    """A ReLU network with max pools, converted, 32 steps. MNIST images 1000 to 1256 normalise it, 32 of them calibrate;
    development: 2000 to 2500; test: 5000 to 6000.
    """
    from support.converted import STEPS, germanov  # noqa: PLC0415 - needs onnx

    images = germanov(6000)
    net = ranvier.convert(images.path, calibrate=images.calibration)
    development, test = (
        Part(ranvier.encode.direct(images.inputs[at], STEPS), images.labels[at])
        for at in (slice(2000, 2500), slice(5000, 6000))
    )
    return Split(net, ranvier.encode.direct(images.calibration[:32], STEPS), development, test)


def _thirds(case: cases.Case) -> Split:
    drawn = np.random.default_rng(SEED).permutation(len(case.labels))
    first, second, third = (Part(case.inputs[at], case.labels[at]) for at in np.split(drawn, 3))
    return Split(case.network, first.inputs, second, third, first)


CASES: Mapping[str, Callable[[], Split]] = {
    "digits": digits,
    "braille_bias": braille_bias,
    "braille_no_bias": braille_no_bias,
    "converted": converted,
    "nmnist": nmnist,
}


@dataclass(frozen=True)
class Row:
    """One network at one width: numbers of right answers, and of answers that the float network gives too."""

    bits: int
    samples: int
    source: int
    naive: int
    fitted: int
    same: int
    tuned: int | None
    seconds: float

    def cells(self) -> list[object]:
        """The row as the table shows it."""
        lost = f"{100 * (self.source - self.fitted) / self.samples:+.2f}"
        low, high = wilson(self.fitted, self.samples)
        first = [percent(n / self.samples) for n in (self.source, self.naive, self.fitted)]
        tuned = "" if self.tuned is None else percent(self.tuned / self.samples)
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        return [self.bits, *first, interval, lost, percent(self.same / self.samples), tuned, f"{self.seconds:.0f}"]


def _row(split: Split, judged: Part, prepared: Network, measured: Measured, wanted: np.ndarray, bits: int) -> Row:
    started = time.perf_counter()
    chip = fit(prepared, TARGET, measured, replace(CHOSEN, weight_bits=bits))
    seconds = time.perf_counter() - started
    plain, found = (simulator.run(c, judged.inputs).predictions for c in (naive(prepared, measured, bits), chip))
    source, naively, fitted = (int((answers == judged.labels).sum()) for answers in (wanted, plain, found))
    tuned = None
    if bits == TUNED_BITS and split.tuning is not None:
        answers = simulator.run(fine_tuned(chip, prepared, split.tuning), judged.inputs).predictions
        tuned = int((answers == judged.labels).sum())
    same = int((found == wanted).sum())
    return Row(bits, len(judged.labels), source, naively, fitted, same, tuned, seconds)


def fine_tuned(chip: ChipNetwork, teacher: Network, part: Part) -> ChipNetwork:
    """``chip`` after ``ranvier.fine_tune`` with its own defaults, the same for every network."""
    from ranvier.runtimes.trainable import TrainableNetwork  # noqa: PLC0415 - needs torch, which takes seconds
    from ranvier.runtimes.trainable.training import Recipe, train  # noqa: PLC0415 - needs torch

    recipe = Recipe(fine_tuning.EPOCHS, fine_tuning.RATE, fine_tuning.BATCH, fine_tuning.HELD_OUT, SEED)
    module = TrainableNetwork(chip, fine_tuning.TAUGHT)
    return check_chip(train(module, teacher, part.inputs, part.labels, recipe).chip)


@dataclass(frozen=True)
class Asked:
    """One network at one width, counted on the development or the test samples."""

    name: str
    bits: int
    development: bool


def row(asked: Asked) -> Row:
    """What was asked for, measured."""
    split = CASES[asked.name]()
    judged = split.development if asked.development else split.test
    prepared = prepare(split.network)
    wanted = simulator.run(prepared, judged.inputs).predictions
    return _row(split, judged, prepared, measure(prepared, split.calibration), wanted, asked.bits)


def sections(asked: Sequence[Asked], jobs: int) -> Iterator[str]:
    """One section for every network, its rows measured by ``jobs`` processes at once, the slow ones first."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        started = {a: pool.submit(row, a) for a in reversed(asked)}
        for name in dict.fromkeys(a.name for a in asked):
            yield _section(name, [started[a].result() for a in asked if a.name == name])


def by_layer(name: str) -> str:
    """What each layer alone costs at ``TUNED_BITS``, all others at 8 bits, on the development samples."""
    split = CASES[name]()
    prepared, judged = prepare(split.network), split.development
    measured = measure(prepared, split.calibration)
    found: list[list[object]] = []
    for layer in measured.calibration().moments:
        chip = fit(prepared, TARGET, measured, replace(CHOSEN, layer_bits=((layer, TUNED_BITS),)))
        right = float((simulator.run(chip, judged.inputs).predictions == judged.labels).mean())
        found.append([layer, percent(right)])
    source = float((simulator.run(prepared, judged.inputs).predictions == judged.labels).mean())
    text = f"Layers of {name}, one at a time at {TUNED_BITS} bits and the others at 8; float: {percent(source)} %."
    command = f"PYTHONPATH=tests python -m benchmarks.accuracy {name} --layers"
    header = (f"{TUNED_BITS} bits in", "development %")
    return f"## Where {name} loses\n\n{text}\n\n{table(header, found)}\n\n`{command}`\n"


def by_groups() -> str:
    """What several exponents a layer change in the recurrent networks, on the development samples."""
    found: list[list[object]] = []
    for name in RECURRENT:
        split = CASES[name]()
        prepared, judged = prepare(split.network), split.development
        measured = measure(prepared, split.calibration)
        for bits in GROUPED_BITS:
            chips = [
                fit(prepared, TARGET, measured, replace(CHOSEN, weight_bits=bits, exponent_groups=groups))
                for groups in (1, GROUPS)
            ]
            right = [float((simulator.run(c, judged.inputs).predictions == judged.labels).mean()) for c in chips]
            found.append([name, bits, *map(percent, right)])
    text = "Development samples, `exponent_groups` 1 (as in all sections above) and 4."
    command = "PYTHONPATH=tests python -m benchmarks.accuracy --groups"
    header = ("network", "bits", "one exponent a layer, %", f"up to {GROUPS}, %")
    return f"## Several exponents a layer\n\n{text}\n\n{table(header, found)}\n\n`{command}`\n"


def _section(name: str, found: Sequence[Row]) -> str:
    about = " ".join((CASES[name].__doc__ or "").split())
    cells = [one.cells() for one in found]
    command = f"PYTHONPATH=tests python -m benchmarks.accuracy {name}"
    return f"## {name}\n\n{about} {found[0].samples} samples.\n\n{table(HEADER, cells)}\n\n`{command}`\n"


HEAD = """# Accuracy with few bits

What weights of 8 to 2 bits cost without any retraining, from one run of `make accuracy` ({made}).

*naive*: per population the scale at which the largest weight just fits; weights, thresholds, decays and biases each to
the nearest register. *Ranvier*: `compile(net, "loihi2", calibration, weight_bits=bits, rounding="output",
per_channel=True, correct_bias=True)`, the same options everywhere, without labels. *fine-tuned*: what was compiled with
{tuned} bits after `ranvier.fine_tune` with its own defaults, {epochs} epochs, labels given
([fine_tuning.md](fine_tuning.md)).

Every data set is cut into three parts that share no sample: *calibration*, which `compile` sees, without labels;
*development*, the rows that were looked at when the method's constants were chosen (`--development` prints them); and
*test*, whose answers are counted here. Constants that choose scales and gains were set earlier, with an eye on samples
of digits, Braille and N-MNIST that are test samples now: those rows may be a little better than new data would give.
The interval (Wilson, 95 %) is that of the *Ranvier* column. N-MNIST has 100 test samples, so that its interval is
several points wide. The Braille samples may overlap that network's training set, and the development samples of
digits and N-MNIST are of the networks' training sets: all rows say what quantizing costs, not how well the networks
generalize.
Times are wall clock on a shared two-core machine.

Goals: no loss beyond 0.3 points at 8 bits, within 1 point of float at 4 bits, within 0.5 after fine-tuning. Where the
Braille network with biases misses them, the last section shows which layer costs most of it; `layer_bits` widens that
layer alone. Where N-MNIST loses its points has not been isolated; at few bits its program depends on the number of
BLAS threads, that is on the last digits of sums: at 2 bits 55 % with two threads, 35 % with one. Fine-tuning trains
thresholds and biases and leaves the program as it is where samples kept apart do not speak for what was learnt: what
the weights' levels alone cost, it does not win back.
"""


def main(given: Sequence[str] | None = None) -> None:
    """Print the networks that are named, or write all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*CASES, []], help="networks; all, into docs/accuracy.md, if none")
    parser.add_argument("--bits", type=int, action="append", choices=range(1, 9), help="widths; all by default")
    parser.add_argument("--development", action="store_true", help="count on the development samples; print only")
    parser.add_argument("--layers", action="store_true", help="what each layer alone costs; print only")
    parser.add_argument("--jobs", type=int, default=1, help="rows measured at once, each by a process of its own")
    parser.add_argument("--groups", action="store_true", help="what several exponents a layer change; print only")
    chosen = parser.parse_args(given)
    if chosen.groups:
        print(by_groups())
        return
    if chosen.layers:
        print("\n".join(map(by_layer, chosen.names or CASES)))
        return
    names, whole = chosen.names or list(CASES), not (chosen.names or chosen.bits or chosen.development)
    widths: Sequence[int] = chosen.bits or BITS
    made = f"ranvier {ranvier.__version__}, Python {platform.python_version()}, numpy {np.__version__}"
    parts = [HEAD.format(made=made, tuned=TUNED_BITS, epochs=fine_tuning.EPOCHS)]
    for part in sections([Asked(n, bits, chosen.development) for n in names for bits in widths], chosen.jobs):
        print(part, flush=True)
        parts.append(part)
    if whole:
        parts += [by_layer(LOSING), by_groups()]
        FILE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
