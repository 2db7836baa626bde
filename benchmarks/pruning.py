"""``python -m benchmarks.pruning digits``: accuracy and memory of pruned networks, as docs/pruning.md has them.

*zeroed*: the same weights are zero in the source, compiled to the nearest levels, nothing made good. *retuned*: biases
and thresholds. *rounded*: also the other weights, by ``rounding="output"``. Each on the same test samples. Then the
synaptic memory of the *zeroed* networks on two targets, if all lists had one format, and as every core takes them.
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
TARGETS = ("loihi2", "generic")
HEADER = (
    "pattern",
    "zeroed %",
    "retuned %",
    "rounded %",
    "weights left",
    "as in dense lists",
    "taken",
)
FORMATS = ("target", "pattern", "weights left", "shared kernels", "other lists dense", "sparse", "taken")


def accuracy(app: App, split: Split) -> str:
    """The share of test samples that are answered rightly."""
    return percent(float(np.mean(app.run(split.test.inputs).predictions == split.test.labels)))


def row(split: Split, pattern: str) -> list[object]:
    """One pattern."""
    zeroed = compiled(split, pattern, "loihi2")
    retuned = ranvier.compile(split.network, "loihi2", split.calibration, prune=pattern)
    rounded = ranvier.compile(split.network, "loihi2", split.calibration, prune=pattern, rounding="output")
    return [pattern, *(accuracy(app, split) for app in (zeroed, retuned, rounded)), *memory(rounded)]


def compiled(split: Split, pattern: str, target: str) -> App:
    """The network with the weights zero that ``pattern`` does without (none, if it is empty), and nothing made good."""
    prepared = prepare(split.network)
    pruned = replace(Prune(pattern)(prepared), notes=()) if pattern else prepared
    return ranvier.compile(pruned, target, split.calibration)


def formats(app: App) -> list[object]:
    """Weights that are not zero, and bytes: of kernels stored once, of all other lists in each format, as they are."""
    found = app.report().formats
    lists = [c.by_format for c in found if "dense" in c.by_format]
    shared = sum(c.bytes for c in found if "dense" not in c.by_format)
    left, all_of_them = sum(c.nonzero for c in found), sum(c.weights for c in found)
    each = (sum(held[kind] for held in lists) for kind in ("dense", "sparse"))
    return [f"{left} of {all_of_them}", *(f"{b} B" for b in (shared, *each, sum(c.bytes for c in found)))]


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
    print(table(HEADER, rows), end="\n\n", flush=True)
    taken = [[target, pattern or "none", *formats(compiled(split, pattern, target))]
             for target in TARGETS for pattern in ("", *PATTERNS)]  # fmt: skip
    print(table(FORMATS, taken))


if __name__ == "__main__":
    main()
