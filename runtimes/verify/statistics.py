"""What a number of right answers allows to say: the Wilson interval and McNemar's exact test."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a proportion.

    ``(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`` with ``p = successes / n`` and
    ``z`` the two-sided normal quantile of ``confidence``. Source: Wilson 1927, J. Am. Stat. Assoc. 22:209.
    """
    assert 0 <= successes <= trials, (successes, trials)
    assert trials > 0, trials
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, shrink = successes / trials, 1 + z * z / trials
    center = p + z * z / (2 * trials)
    spread = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes == 0 else (center - spread) / shrink
    high = 1.0 if successes == trials else (center + spread) / shrink
    return low, high


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of a paired difference between two classifiers.

    Under equal skill each of the ``n = only_first + only_second`` samples that exactly one of them gets right
    falls on either side with probability one half: ``p = min(1, 2 P(X <= min))``, ``X ~ Binomial(n, 1/2)``.
    Computed in whole numbers. Source: McNemar 1947, Psychometrika 12:153; exact form, Fagerland et al. 2013.
    """
    assert only_first >= 0, only_first
    assert only_second >= 0, only_second
    discordant = only_first + only_second
    term = tail = 1
    for k in range(1, min(only_first, only_second) + 1):
        term = term * (discordant - k + 1) // k
        tail += term
    p: float = 2 * tail / 2**discordant
    return min(1.0, p)


@dataclass(frozen=True)
class Paired:
    """Right and wrong answers of the float and the deployed network on the same samples.

    ``p_value`` is McNemar's exact one: small when the difference is more than the luck of these samples.
    """

    both: int
    only_float: int
    only_deployed: int
    neither: int

    @property
    def p_value(self) -> float:
        """Chance of a difference at least this large if both were equally good."""
        return mcnemar(self.only_float, self.only_deployed)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "both_right": self.both,
            "only_float_right": self.only_float,
            "only_deployed_right": self.only_deployed,
            "both_wrong": self.neither,
            "p_value": self.p_value,
        }


def paired(right_float: NDArray[np.bool_], right_deployed: NDArray[np.bool_]) -> Paired:
    """The four counts from two arrays (samples,) of right answers."""
    counts = (
        right_float & right_deployed,
        right_float & ~right_deployed,
        ~right_float & right_deployed,
        ~right_float & ~right_deployed,
    )
    return Paired(*(int(np.count_nonzero(c)) for c in counts))


def confusion(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    """How often class j was answered where i is right: row i, column j, up to the largest class that occurs."""
    classes = int(max(labels.max(), predictions.max())) + 1
    counts = np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes)
    return tuple(tuple(row) for row in counts.tolist())
