"""The best placement of a few cores by OR-tools CP-SAT; tests skip where ortools is not installed."""

import importlib
from collections.abc import Sequence
from typing import Any

from ranvier.compiler.analysis.flows import Flows

Point = tuple[int, int]


def best_by_cp_sat(flow: Flows, points: Sequence[Point], seconds: float = 60.0) -> float:
    """The fewest hops, proved; whole numbers of messages."""
    cp_model: Any = importlib.import_module("ortools.sat.python.cp_model")
    model = cp_model.CpModel()
    at = [[model.new_bool_var("") for _ in points] for _ in range(flow.cores)]
    for row in at:
        model.add_exactly_one(row)
    for column in zip(*at, strict=True):
        model.add_at_most_one(column)
    axes = [[sum(p[axis] * b for p, b in zip(points, row, strict=True)) for row in at] for axis in (0, 1)]
    cost = []
    for a, b, sent in zip(flow.sources.tolist(), flow.targets.tolist(), flow.messages.tolist(), strict=True):
        for axis, where in enumerate(axes):
            far = model.new_int_var(0, max(p[axis] for p in points), "")
            model.add_abs_equality(far, where[a] - where[b])
            cost.append(int(sent) * far)
    model.minimize(sum(cost))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    assert solver.solve(model) == cp_model.OPTIMAL
    return float(solver.objective_value)
