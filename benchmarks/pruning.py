"""``python -m benchmarks.pruning digits``: accuracy and memory of pruned networks, as docs/pruning.md has them.

*zeroed*: the same weights are zero in the source, compiled to the nearest levels, nothing made good. *retuned*: biases
and thresholds. *rounded*: also the other weights, by ``rounding="output"``. Each on the same test samples.
"""

import argparse
from dataclasses import replace

import numpy as np
from benchmarks.accuracy import CASES, Split
from benchmarks.figures import percent, table

import ranvier
from ranvier.app import App
from ranvier.compiler.passes.prune import Prune
from ranvier.compiler.pipeline import prepare

PATTERNS = ("magnitude:0.5", "magnitude:0.7", "magnitude:0.8", "2:4", "16:2:5")
HEADER = (
    "pattern",
    "zeroed %",
    "retuned %",
    "rounded %",
    "weights left",
    "as in dense lists",
    "taken",
)


def accuracy(app: App, split: Split) -> str:
    """The share of test samples that are answered rightly."""
    return percent(float(np.mean(app.run(split.test.inputs).predictions == split.test.labels)))


def row(split: Split, pattern: str) -> list[object]:
    """One pattern."""
    pruned = replace(Prune(pattern)(prepare(split.network)), notes=())
    zeroed = ranvier.compile(pruned, "loihi2", split.calibration)
    retuned = ranvier.compile(split.network, "loihi2", split.calibration, prune=pattern)
    rounded = ranvier.compile(split.network, "loihi2", split.calibration, prune=pattern, rounding="output")
    return [pattern, *(accuracy(app, split) for app in (zeroed, retuned, rounded)), *memory(rounded)]


def memory(app: App) -> list[object]:
    """Weights that are not zero, and bytes: if all lists were dense, and as they are."""
    formats = app.report().formats
    left, all_of_them = sum(c.nonzero for c in formats), sum(c.weights for c in formats)
    dense = sum(c.by_format.get("dense", c.bytes) for c in formats)
    return [f"{left} of {all_of_them}", f"{dense} B", f"{sum(c.bytes for c in formats)} B"]


def main() -> None:
    """Print the table of one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=("digits", "braille_bias", "braille_no_bias"))
    split = CASES[parser.parse_args().network]()
    plain = ranvier.compile(split.network, "loihi2", split.calibration)
    rows = [["none", accuracy(plain, split), "", "", *memory(plain)], *(row(split, p) for p in PATTERNS)]
    print(table(HEADER, rows))


if __name__ == "__main__":
    main()
