"""Many models in slices, where they would not fit into memory together."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Objective
from xlr.solvers.loop import Record, Solution, Solver, minimise

__all__ = ["minimise_in_slices"]

# Of the free memory, for what a solver carries.
MEMORY_SHARE = 1 / 3


def minimise_in_slices(
    solver: Solver,
    objective: Objective,
    start: Array,
    *,
    tol: float,
    max_iter: int,
    on_iteration: Callable[[Record, Array], bool | None] | None = None,
) -> Solution:
    """:func:`minimise`, as many models at a time as there is memory for.

    Parameters
    ----------
    solver, objective, start, tol, max_iter, on_iteration
        As for :func:`minimise`.  The parameters that ``on_iteration`` is given are
        those of all models, and the record those of the models of a slice.

    Returns
    -------
    Solution
        Where the models took different numbers of iterations, the last numbers of
        each are repeated in the records.
    """
    n_slices = 1
    if objective.n_models > 1:
        needed = objective.n_models * solver.model_bytes(objective)
        free = MEMORY_SHARE * arrays.free_bytes(start)
        columns = objective.n_columns / solver.enough_columns
        n_slices = math.ceil(max(needed / free, columns))
        n_slices = min(objective.n_models, n_slices)
    if n_slices == 1:
        return minimise(
            solver,
            objective,
            start,
            tol=tol,
            max_iter=max_iter,
            on_iteration=on_iteration,
        )
    solutions: list[Solution] = []
    for models in np.array_split(np.arange(objective.n_models), n_slices):
        before = [solution.parameters for solution in solutions]
        after = arrays.rows(start, np.arange(models[-1] + 1, objective.n_models))
        solutions.append(
            minimise(
                solver,
                objective.select(models),
                arrays.rows(start, models),
                tol=tol,
                max_iter=max_iter,
                on_iteration=_between(before, after, on_iteration, objective),
            )
        )
    return _joined(solutions, objective)


def _between(
    before: list[Array],
    after: Array,
    on_iteration: Callable[[Record, Array], bool | None] | None,
    objective: Objective,
) -> Callable[[Record, Array], bool | None] | None:
    """``on_iteration`` with the parameters of the other slices around a slice's."""
    if on_iteration is None:
        return None
    return lambda record, parameters: on_iteration(
        record, objective.xp.concat([*before, parameters, after])
    )


def _joined(solutions: list[Solution], objective: Objective) -> Solution:
    length = max(len(solution.records) for solution in solutions)
    records = []
    for i in range(length):
        parts = [s.records[min(i, len(s.records) - 1)] for s in solutions]
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("objective", "optimality", "step")
        }
        seconds = sum(part.seconds for part in parts)
        records.append(Record(i, seconds, **columns))
    return Solution(
        objective.xp.concat([solution.parameters for solution in solutions]),
        records,
        [status for solution in solutions for status in solution.status],
        np.concatenate([solution.n_iter for solution in solutions]),
    )
