"""The search for a network within a budget: strategies against each other, and what its score says about accuracy.

Run with ``python -m benchmarks.search``. On the digits of scikit-learn, in one process, each from nothing, in turn: all
choices of one cell, the greedy search, a random one of as many architectures. Then networks drawn from
the space of SpikeNAS-Bench are trained, and their accuracy on samples kept apart is ranked against their score and
against their number of parameters.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import kendalltau, spearmanr
from sklearn.datasets import load_digits

from ranvier.search import SPACES, Architecture, Settings, Skeleton, search
from ranvier.search.assess import Assessor, Candidate
from ranvier.search.fitness import fitness
from ranvier.search.memory import resources
from ranvier.search.space import smallest
from ranvier.search.training import accuracy, trained
from ranvier.tuning.budget import Budget


def main() -> None:
    """Print both tables."""
    args = _arguments()
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = (digits.images / 16).astype(np.float32)[order, None]
    skeleton = Skeleton((1, 8, 8), 10, (args.width, 2 * args.width), 8 * args.width, steps=args.steps)
    _strategies(images[: args.images], skeleton, args)
    _ranking(images, digits.target[order], skeleton, args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    choices = {"width": 4, "steps": 4, "budget": 80_000, "images": 512, "networks": 16, "epochs": 4, "taught": 1200}
    for name, default in choices.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--space", default="plain", choices=SPACES, help="of the comparison of strategies")
    return parser.parse_args()


def _strategies(images: np.ndarray, skeleton: Skeleton, args: argparse.Namespace) -> None:
    space, budget = SPACES[args.space], Budget(memory=args.budget)
    cells = list(space.cells())
    print(
        f"space {space.name}: {len(cells)} cells that differ, of {space.size}; budget {args.budget:,} bytes on loihi2\n"
    )
    print("| search | looked at | over budget | scored | best score | its bytes | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")

    def enumerated() -> list[Candidate]:
        least = smallest(space, skeleton)
        return Assessor(space, skeleton, "loihi2", budget, images).assess(
            [Architecture(space, skeleton, (cell, least.cells[1])) for cell in cells]
        )

    def strategy(name: str) -> list[Candidate]:
        settings = Settings(name, 2 * len(cells))  # type: ignore[arg-type]
        return list(search(images, space, skeleton, budget, "loihi2", settings).looked_at)

    _row("every choice of cell 1", enumerated)
    _row("greedy", lambda: strategy("greedy"))
    _row("random", lambda: strategy("random"))
    cell = cells[-1]
    example = Architecture(space, skeleton, (cell, cell))
    print(f"\none network of the largest cell: memory {_seconds(lambda: resources(example, 'loihi2')):.2f} s, "
          f"score {_seconds(lambda: fitness(example, images)):.2f} s")  # fmt: skip


def _row(name: str, look: Callable[[], list[Candidate]]) -> None:
    begun = time.perf_counter()
    found = look()
    seconds = time.perf_counter() - begun
    within = [c for c in found if c.score is not None]
    best = max(within, key=lambda c: c.score or 0.0)
    assert best.used is not None
    print(f"| {name} | {len(found)} | {len(found) - len(within)} | {len(within)} | {best.score:.2f} | "
          f"{best.used.memory:,.0f} | {seconds:.1f} |", flush=True)  # fmt: skip


def _ranking(images: np.ndarray, labels: np.ndarray, skeleton: Skeleton, args: argparse.Namespace) -> None:
    space, rng = SPACES["spikenas"], np.random.default_rng(1)
    cells = list(space.cells())
    rows = []
    print(f"\n{args.networks} networks of {space.name}, {args.epochs} epochs on {args.taught} samples\n", flush=True)
    for _ in range(args.networks):
        first, second = rng.choice(len(cells), 2)
        made = Architecture(space, skeleton, (cells[first], cells[second]))
        net = trained(made, images[: args.taught], labels[: args.taught], args.epochs)
        reached = accuracy(net, images[args.taught :], labels[args.taught :])
        rows.append((fitness(made, images[: min(args.images, args.taught)]), made.parameters, reached))
    score, parameters, right = (np.array(column) for column in zip(*rows, strict=True))
    print(f"accuracy {100 * right.min():.1f} to {100 * right.max():.1f} %, median {100 * np.median(right):.1f} %\n")
    print("| rank correlation with accuracy | Spearman | p | Kendall | p |\n| --- | --- | --- | --- | --- |")
    for name, values in (("score", score), ("parameters", parameters)):
        rho, tau = spearmanr(values, right), kendalltau(values, right)
        print(f"| {name} | {rho.statistic:+.2f} | {rho.pvalue:.3f} | {tau.statistic:+.2f} | {tau.pvalue:.3f} |")


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
