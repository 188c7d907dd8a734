"""Fits of many models: slices that fit in memory, and steps of a path."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Record, Solution, Solver, minimise
from xlr.solvers.starts import find_start

# Maximum share of the free memory for the state of a solver.
SOLVER_MEMORY_SHARE = 1 / 3


def minimise_models(
    solver: Solver,
    objective: Objective,
    start: Array,
    *,
    seed: int | None,
    tol: float,
    max_iter: int,
    n_steps: int = 1,
    on_iteration: Callable[[Record, Array], bool | None] | None = None,
) -> Solution:
    """Find a start and minimise, as many models at a time as fit in memory.

    Parameters
    ----------
    solver, objective, tol, max_iter
        As in :func:`minimise`.
    start : array of shape (n_models, n_parameters)
    seed : int or None
        As in :func:`find_start`.
    n_steps : int, default=1
        Steps of a path with equal numbers of models. Each step starts at the solution
        of the previous one, unless all models start at the fit to all rows.
    on_iteration : callable, optional
        As in :func:`minimise`. It is not called if memory forces the models into
        slices, and gets only the models of a step of a path.

    Returns
    -------
    Solution
        With several slices or steps, ``records`` holds only the last record of each,
        joined.
    """
    # Nothing here may refer to the result of find_start, whose sample the loop frees. A
    # call with ** would hold it in a tuple.
    if objective.n_models == 1:
        return minimise(
            solver,
            objective,
            find_start(solver, objective, start, seed),
            tol=tol,
            max_iter=max_iter,
            on_iteration=on_iteration,
        )
    starts_on_sample = not math.isinf(solver.min_sample_size(objective))
    if n_steps > 1 and seed is not None and starts_on_sample:
        n_steps = 1 if objective.without_resampling() else n_steps
    per_step = objective.n_models // n_steps
    needed = per_step * solver.model_bytes(objective)
    # 2 GB if the free memory is unknown.
    free = SOLVER_MEMORY_SHARE * (arrays.free_bytes(start) or 2**31)
    n_slices = min(per_step, max(1, math.ceil(needed / free)))
    listener = on_iteration if n_slices == 1 else None
    solutions: list[Solution] = []
    for step in range(n_steps):
        models_of_step = np.arange(step * per_step, (step + 1) * per_step)
        for models in np.array_split(models_of_step, n_slices):
            part, guess = objective.select(models), arrays.take(start, models)
            if step > 0:
                guess = solutions[-n_slices].parameters
            solution = minimise(
                solver,
                part,
                find_start(solver, part, guess, seed),
                tol=tol,
                max_iter=max_iter,
                on_iteration=listener,
            )
            solutions.append(solution)
    return solutions[0] if len(solutions) == 1 else _joined(solutions, objective)


def _joined(solutions: list[Solution], objective: Objective) -> Solution:
    """Return the solution of all models, given those of the slices and steps."""
    iteration, seconds, *columns = zip(*(s.records[-1] for s in solutions))
    last = Record(max(iteration), sum(seconds), *map(np.concatenate, columns))
    return Solution(
        objective.xp.concat([solution.parameters for solution in solutions]),
        Evaluation(*map(objective.xp.concat, zip(*(s.at for s in solutions)))),
        [last],
        [status for solution in solutions for status in solution.status],
        np.concatenate([solution.n_iter for solution in solutions]),
        np.concatenate([solution.decrease for solution in solutions]),
    )
