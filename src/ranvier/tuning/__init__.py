"""Mixed precision under a budget: which widths, scales and steps keep the accuracy in so much memory."""

from ranvier.tuning.budget import Budget, parse_budget
from ranvier.tuning.points import Metrics, Point
from ranvier.tuning.search import Tuned, tune

__all__ = ["Budget", "Metrics", "Point", "Tuned", "parse_budget", "tune"]
