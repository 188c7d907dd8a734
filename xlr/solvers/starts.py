"""Starting from the solution of a smaller problem that is like the one at hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective, row_space
from xlr.solvers.loop import Record, Solver, minimise
from xlr.solvers.steps import take

__all__ = ["Start", "find_start"]

# Rows for each one drawn, so that a sample costs little beside the whole.
SHARE = 8

# Most rows that a sample needs for each parameter: beyond, its error falls slowly.
ENOUGH = 1000

# Iterations on a smaller problem: more are better spent on the whole.
MAX_ITER = 30

# The optimality of a smaller problem that is solved as well as can be of use.
SMALL_TOL = 1e-6

# Of the noise in the gradient of a sample, beyond which its minimiser is not worth
# looking for.
NOISE_SHARE = 0.2


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
    sample; its minimiser is looked for until the gradient is within the noise of the
    sample, and no further: a sample may be separable where the whole is not.  With
    more features than rows it is the problem in the space of the rows.

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
        solution = minimise(
            solver,
            sample,
            start,
            tol=SMALL_TOL,
            max_iter=MAX_ITER,
            settle=math.inf,
            on_iteration=_within_noise(sample.n_samples),
        )
        parameters = solution.parameters
    elif (smaller := row_space(objective)) is not None:
        reduced, back = smaller
        solution = minimise(
            solver, reduced, reduced.zeros(), tol=SMALL_TOL, max_iter=MAX_ITER
        )
        parameters = back(solution.parameters)
    else:
        return Start(start, objective.value_and_gradient(start))
    at = objective.value_and_gradient(parameters)
    better = arrays.to_host(at.value) < solution.records[0].objective
    if better.all():
        return Start(parameters, at, sample, is_close=sample is None)
    # What holds for the smaller problem does not for the whole: of a rare class, a
    # sample may hold no row.
    xp = objective.xp
    better = arrays.move(better, xp=xp, device=objective.device)
    parameters = take(better, parameters, start, xp=xp)
    return Start(parameters, objective.value_and_gradient(parameters))


def _within_noise(n_rows: int) -> Callable[[Record, Array], bool]:
    r"""Whether the gradient on a sample is lost in what it differs from the whole's.

    The gradient of a row is its residual times z, so that the mean over m rows is off
    by about :math:`\sqrt{\mathrm{mean}(r^2) / m}`; and the mean square of residuals is
    of the size of the mean loss: of p (1 - p) where the model is right, which is less
    than the entropy.
    """

    def enough(record: Record, parameters: Array) -> bool:
        noise = np.sqrt(np.minimum(1, record.objective) / n_rows)
        return bool((record.optimality <= NOISE_SHARE * noise).all())

    return enough
