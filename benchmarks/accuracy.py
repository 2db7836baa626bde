"""``make accuracy``: what weights of few bits cost on published networks, written to docs/accuracy.md.

For every width: the float network, a plain conversion (*naive*), and Ranvier without retraining. All numbers come
from this run. ``python -m benchmarks.accuracy digits`` prints one network; ``--bits 4`` one width.
"""

import argparse
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.figures import percent, table

import ranvier
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
from ranvier.targets.load import load_target
from support import cases

TARGET = load_target("loihi2")
FILE = Path(__file__).parents[1] / "docs" / "accuracy.md"
BITS = (8, 6, 4, 3, 2)
CHOSEN = {"rounding": "output", "per_channel": True, "correct_bias": True}
HEADER = ("bits", "float %", "naive %", "Ranvier %", "loss, points", "same answer as float %", "fitted in s")


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


def digits() -> cases.Case:
    """The example that ships with Ranvier, on its test set; calibrated on images of its training set."""
    return cases.digits()


def braille_bias() -> cases.Case:
    """Recurrent, with biases; calibrated on every third sample, tested on the others."""
    return _split(cases.braille("bias, reset to zero"))


def braille_no_bias() -> cases.Case:
    """Recurrent, without biases; calibrated on every third sample, tested on the others."""
    return _split(cases.braille("no bias, subtract"))


def nmnist() -> cases.Case:
    """Convolutional, read with reset to zero; calibrated on 20 training samples, tested on 100."""
    return cases.nmnist("reset to zero")


def nmnist_multi() -> cases.Case:
    """The same file read as sinabs runs it, several spikes a step and soft reset, 300 steps without leak."""
    return cases.nmnist("multi-spike, subtract")


def converted() -> cases.Case:
    """A ReLU network with max pools, converted, 32 steps; calibrated on 32 images, tested on 1000 others."""
    from support.converted import STEPS, germanov  # noqa: PLC0415 - needs onnx

    images = germanov()
    net = ranvier.convert(images.path, calibrate=images.calibration)
    shown = [ranvier.encode.direct(x, STEPS) for x in (images.calibration[:32], images.inputs)]
    return cases.Case(net, shown[0], shown[1], images.labels)


def _split(case: cases.Case) -> cases.Case:
    tested = np.arange(len(case.inputs)) % 3 != 0
    return cases.Case(case.network, case.inputs[~tested], case.inputs[tested], case.labels[tested])


CASES: Mapping[str, Callable[[], cases.Case]] = {
    "digits": digits,
    "braille_bias": braille_bias,
    "braille_no_bias": braille_no_bias,
    "nmnist": nmnist,
    "nmnist_multi": nmnist_multi,
    "converted": converted,
}


@dataclass(frozen=True)
class Row:
    """One network at one width: shares of right answers, and of answers that the float network gives too."""

    bits: int
    source: float
    naive: float
    fitted: float
    same: float
    seconds: float

    def cells(self) -> list[object]:
        """The row as the table shows it."""
        lost = f"{100 * (self.source - self.fitted):+.2f}"
        shares = [percent(x) for x in (self.source, self.naive, self.fitted)]
        return [self.bits, *shares, lost, percent(self.same), f"{self.seconds:.1f}"]


def rows(case: cases.Case, widths: Sequence[int]) -> list[Row]:
    """One row for every width."""
    prepared = prepare(case.network)
    wanted = simulator.run(prepared, case.inputs).predictions
    measured = measure(prepared, case.calibration)
    return [_row(case, prepared, measured, wanted, bits) for bits in widths]


def _row(case: cases.Case, prepared: Network, measured: Measured, wanted: np.ndarray, bits: int) -> Row:
    started = time.perf_counter()
    chip = fit(prepared, TARGET, measured, Options(weight_bits=bits, **CHOSEN))
    seconds = time.perf_counter() - started
    plain, found = (simulator.run(c, case.inputs).predictions for c in (naive(prepared, measured, bits), chip))
    right = [float((answers == case.labels).mean()) for answers in (wanted, plain, found)]
    return Row(bits, *right, same=float((found == wanted).mean()), seconds=seconds)


def section(name: str, widths: Sequence[int]) -> str:
    """One network: what it is, how many samples, and its table."""
    case = CASES[name]()
    text = f"{CASES[name].__doc__} {len(case.labels)} samples tested."
    command = f"PYTHONPATH=tests python -m benchmarks.accuracy {name}"
    found = rows(case, widths)
    return f"## {name}\n\n{text}\n\n{table(HEADER, [row.cells() for row in found])}\n\n`{command}`\n"


HEAD = """# Accuracy with few bits

What weights of 8 to 2 bits cost without any retraining, from one run of `make accuracy` ({made}).

*naive*: per population the scale at which the largest weight just fits; weights, thresholds, decays and biases each to
the nearest register. *Ranvier*: `compile(net, "loihi2", calibration, weight_bits=bits, rounding="output",
per_channel=True, correct_bias=True)`, the same options everywhere. Calibration data have no labels and are none of the
tested samples. Times are wall clock on a shared two-core machine.

A difference of one answer is 0.28 points on digits, 0.13 on Braille, 1 on N-MNIST (whose 100 samples carry an
uncertainty of 2 to 4 points) and 0.1 on the converted network. The Braille samples may overlap that network's training
set: they say what quantizing costs, not how well it generalizes.
"""


def main(given: Sequence[str] | None = None) -> None:
    """Print the networks that are named, or write all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*CASES, []], help="networks; all, into docs/accuracy.md, if none")
    parser.add_argument("--bits", type=int, action="append", choices=range(1, 9), help="widths; all by default")
    chosen = parser.parse_args(given)
    widths = chosen.bits or BITS
    if chosen.names:
        print("\n".join(section(name, widths) for name in chosen.names))
        return
    made = f"ranvier {ranvier.__version__}, Python {platform.python_version()}, numpy {np.__version__}"
    text = "\n".join([HEAD.format(made=made), *(section(name, widths) for name in CASES)])
    FILE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
