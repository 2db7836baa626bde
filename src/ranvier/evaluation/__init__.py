"""Whole data sets through the simulator: many processes or a cluster, resumable, streaming."""

from ranvier.evaluation.engines import ENGINES
from ranvier.evaluation.run import Evaluation, evaluate

__all__ = ["ENGINES", "Evaluation", "evaluate"]
