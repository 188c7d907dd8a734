"""Starting from the solution of a smaller problem that is like the one at hand."""

from __future__ import annotations

import math
from typing import NamedTuple

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective, row_space
from xlr.solvers.loop import Solver, minimise

__all__ = ["Start", "find_start"]

# Rows for each one drawn, so that a sample costs little beside the whole.
SHARE = 8

# Most rows that a sample needs for each parameter: beyond, its error falls slowly.
ENOUGH = 1000

# Iterations on a smaller problem: more are better spent on the whole.
MAX_ITER = 30


class Start(NamedTuple):
    """Where to begin.

    Attributes
    ----------
    parameters : array of shape (n_models, n_parameters)
    at : Evaluation
        The objective there.
    sample : Objective or None
        On the random rows whose minimiser the parameters are.
    is_close : bool
        Whether the parameters are the solution but for rounding.
    """

    parameters: Array
    at: Evaluation
    sample: Objective | None = None
    is_close: bool = False


def find_start(
    solver: Solver, objective: Objective, start: Array, least: int, seed: int | None
) -> Start:
    r"""Minimise a smaller problem first, if there is one.

    On many rows that is the objective on a random sample of them, itself begun on a
    sample: the minimiser for m rows is within about :math:`1 / \sqrt{m}` of that for
    all, and is found to a fraction of that only.  With more features than rows it is
    the problem in the space of the rows.

    Parameters
    ----------
    solver : Solver
    objective : Objective
    start : array of shape (n_models, n_parameters)
    least : int
        Rows without which a sample is of no use.
    seed : int or None
        Of the random rows; None for a start that is better than zero, and kept.

    Returns
    -------
    Start
    """
    if seed is None:
        return Start(start, objective.value_and_gradient(start))
    size = min(objective.n_samples // SHARE, ENOUGH * objective.n_parameters)
    sample = None
    if objective.is_large and size >= least:
        sample = objective.sample(size, seed)
        tol = 0.1 / sample.n_samples**0.5
        # Not to the bottom: a sample may well be separable where the whole is not.
        solution = minimise(
            solver, sample, start, tol=tol, max_iter=MAX_ITER, settle=math.inf
        )
        parameters = solution.parameters
    elif (smaller := row_space(objective)) is not None:
        reduced, back = smaller
        solution = minimise(
            solver, reduced, reduced.zeros(), tol=1e-6, max_iter=MAX_ITER
        )
        parameters = back(solution.parameters)
    else:
        return Start(start, objective.value_and_gradient(start))
    at = objective.value_and_gradient(parameters)
    if (arrays.to_host(at.value) < solution.records[0].objective).all():
        return Start(parameters, at, sample, is_close=sample is None)
    # What holds for the smaller problem does not for the whole.
    return Start(start, objective.value_and_gradient(start))
