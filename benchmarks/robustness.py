"""``python -m benchmarks.robustness digits pcm``: accuracy on devices that are not ideal, as docs/robustness.md has it.

Prints the tables of ``ranvier verify --perturb`` as markdown, and draws the curves into docs/robustness/.
"""

import argparse
from pathlib import Path

from benchmarks.accuracy import CASES
from benchmarks.figures import percent, table

import ranvier
from ranvier.perturbed import draw
from ranvier.runtimes.perturb.load import device_names
from ranvier.runtimes.perturb.results import Curve, Robustness
from ranvier.runtimes.perturb.trials import Perturbing, robustness

FOLDER = Path(__file__).parents[1] / "docs" / "robustness"


def measured(network: str, device: str, trials: int, samples: int) -> Robustness:
    """The network compiled for loihi2 with 8-bit weights, on the first test samples."""
    split = CASES[network]()
    app = ranvier.compile(split.network, "loihi2", split.calibration, correct_bias=True)
    inputs, labels = split.test.inputs[:samples], split.test.labels[:samples]
    return robustness(app.program.chip, inputs, labels, Perturbing(device, trials))


def curve_table(curve: Curve) -> str:
    """One curve as a markdown table."""
    rows = []
    for p in curve.points:
        assert p.accuracy is not None
        assert p.interval is not None
        assert p.chips is not None
        spans = (f"{100 * low:.2f} to {100 * high:.2f}" for low, high in (p.interval, p.chips))
        rows.append([p.label, f"{100 * p.accuracy:.2f}", *spans])
    return table((curve.axis, "accuracy %", "95 % of the mean", "9 of 10 chips"), rows)


def main() -> None:
    """Measure one network on one device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=("digits", "braille_bias", "braille_no_bias"))
    parser.add_argument("device", choices=device_names())
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--samples", type=int, default=100)
    asked = parser.parse_args()
    found = measured(asked.network, asked.device, asked.trials, asked.samples)
    assert found.accuracy is not None
    assert found.interval is not None
    low, high = found.interval
    print(f"{asked.network} on {asked.device}: {found.trials} chips, {found.samples} samples; unperturbed "
          f"{percent(found.accuracy)} (Wilson {100 * low:.1f} to {100 * high:.1f})\n")  # fmt: skip
    for curve in found.curves:
        print(curve_table(curve), end="\n\n")
    FOLDER.mkdir(exist_ok=True)
    draw(found, FOLDER / f"{asked.network}_{asked.device}.svg")


if __name__ == "__main__":
    main()
