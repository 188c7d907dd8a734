"""Many models in slices: where memory is short, or where one leads to another."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Record, Solution, Solver, minimise
from xlr.solvers.starts import pooled_start

__all__ = ["minimise_in_slices", "share_of_step"]

# Of the free memory, for what a solver carries.
MEMORY_SHARE = 1 / 3


def minimise_in_slices(
    solver: Solver,
    objective: Objective,
    start: Array,
    *,
    tol: float,
    max_iter: int,
    negligible: float = 0.0,
    along: np.ndarray | None = None,
    on_iteration: Callable[[Record, Array], bool | None] | None = None,
) -> Solution:
    """:func:`minimise`, as many models at a time as there is memory for.

    Parameters
    ----------
    solver, objective, start, tol, max_iter, negligible, on_iteration
        As for :func:`minimise`.  The parameters that ``on_iteration`` is given are
        those of all models, and the record those of the models of a slice.
    along : ndarray of shape (n_steps,), default=None
        Positions on a path: the models are as many for each, and change smoothly
        along it.  They are solved position by position, and start where those before
        lead, unless the solver finds a start for all of them on all rows.

    Returns
    -------
    Solution
        Where the models took different numbers of iterations, the last numbers of
        each are repeated in the records.
    """
    if along is None or (solver.finds_start and pooled_start(objective) is not None):
        along = np.zeros(1)
    n_steps = along.shape[0]
    per_step = objective.n_models // n_steps
    n_slices = 1
    if per_step > 1:
        needed = per_step * solver.model_bytes(objective)
        free = MEMORY_SHARE * arrays.free_bytes(start)
        columns = per_step * objective.n_outputs / solver.enough_columns
        n_slices = min(per_step, math.ceil(max(needed / free, columns)))
    if n_steps * n_slices == 1:
        return minimise(
            solver,
            objective,
            start,
            tol=tol,
            max_iter=max_iter,
            negligible=negligible,
            on_iteration=on_iteration,
        )
    solutions: list[Solution] = []
    for step in range(n_steps):
        of_step = np.arange(step * per_step, (step + 1) * per_step)
        for models in np.array_split(of_step, n_slices):
            before = [solution.parameters for solution in solutions]
            after = arrays.rows(start, np.arange(models[-1] + 1, objective.n_models))
            begin = arrays.rows(start, models)
            if step > 0:
                begin = _led_to(before[-n_slices::-n_slices], along[: step + 1])
            solutions.append(
                minimise(
                    solver,
                    objective.select(models),
                    begin,
                    tol=tol,
                    max_iter=max_iter,
                    negligible=negligible,
                    on_iteration=_between(before, after, on_iteration, objective),
                )
            )
    return _joined(solutions, objective)


def _led_to(before: list[Array], along: np.ndarray) -> Array:
    """Where the last two solutions, the latest first, lead to on a straight line."""
    if len(before) == 1:
        return before[0]
    return before[0] + share_of_step(along) * (before[0] - before[1])


def share_of_step(along: np.ndarray) -> float:
    """How far to go on from the last two positions to the next, in their distance.

    No farther than these two are from each other: a line does not hold for long. None
    of the way where there are not two, or where they are the same.
    """
    steps = np.diff(along)[-2:]
    if steps.shape[0] < 2 or steps[0] <= 0:
        return 0.0
    return float(min(1.0, steps[1] / steps[0]))


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
        Evaluation(*map(objective.xp.concat, zip(*(s.at for s in solutions)))),
        records,
        [status for solution in solutions for status in solution.status],
        np.concatenate([solution.n_iter for solution in solutions]),
    )
