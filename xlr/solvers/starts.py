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
from xlr.solvers.reference import Reference
from xlr.solvers.steps import take

__all__ = ["Start", "find_start", "pooled_start"]

# Rows for each one drawn, so that a sample costs little beside the whole.
SHARE = 8

# Most rows that a sample needs for each parameter: beyond, its error falls slowly.
ENOUGH = 1000

# Rows for each parameter, below which resamples are little like each other: the rows
# that one lacks may be those that decide.
ROWS_TO_POOL = 10

# Iterations on a smaller problem: more are better spent on the whole.
MAX_ITER = 30

# The optimality of a smaller problem that is solved as well as can be of use.
SMALL_TOL = 1e-6

# The same in the space of the rows, where the products of an iteration cost less than a
# pass over X.
ROW_SPACE_TOL = 1e-7

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
    reference : Reference or None
        Whose minimiser the parameters are.
    is_close : bool
        Whether the parameters are the solution but for rounding.
    """

    parameters: Array
    at: Evaluation
    reference: Reference | None = None
    is_close: bool = False

    def to_look_at(self, objective: Objective, seed: int | None) -> Reference:
        """What to look at the Hessian on, beside tens of passes: a sample of all rows.

        For resamples of one model, of that on all rows.
        """
        reference = self.reference
        if reference is None or reference.of is None:
            reference = Reference(objective)
        return reference.sampled(seed)


def find_start(
    solver: Solver, objective: Objective, start: Array, least: int, seed: int | None
) -> Start:
    r"""Minimise a smaller problem first, if there is one.

    For models that are resamples of one, that is the one on all rows.  On many rows it
    is the objective on a random sample of them, itself begun on a sample.  With more
    features than rows it is the problem in the space of the rows.

    The minimiser on a sample, or on all rows for resamples, is looked for until the
    gradient is within the noise of the draw, and no further: a sample may be separable
    where the whole is not.

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
    if (pooled := pooled_start(objective)) is not None:
        whole, of = pooled
        _, first = np.unique(of, return_index=True)
        solution = minimise(
            solver,
            whole,
            arrays.rows(start, first),
            tol=SMALL_TOL,
            max_iter=MAX_ITER,
            settle=math.inf,
            on_iteration=_within_noise(objective.n_samples, objective.n_outputs),
        )
        at = objective.at_pooled(whole, solution.parameters, of)
        parameters = arrays.rows(solution.parameters, of)
        return Start(parameters, at, Reference(whole, of))
    reference: Reference | None = None
    size = min(objective.n_samples // SHARE, ENOUGH * objective.n_parameters)
    size = min(size, objective.n_drawable)
    if objective.is_large and size >= least:
        reference = Reference(objective.sample(size, seed))
        solution = minimise(
            solver,
            reference.objective,
            start,
            tol=SMALL_TOL,
            max_iter=MAX_ITER,
            settle=math.inf,
            on_iteration=_within_noise(size, objective.n_outputs),
        )
        parameters = solution.parameters
    elif (smaller := row_space(objective)) is not None:
        reduced, back = smaller
        solution = minimise(
            solver, reduced, reduced.zeros(), tol=ROW_SPACE_TOL, max_iter=MAX_ITER
        )
        parameters = back(solution.parameters)
    else:
        return Start(start, objective.value_and_gradient(start))
    at = objective.value_and_gradient(parameters)
    better = arrays.to_host(at.value) < solution.records[0].objective
    if better.all():
        return Start(parameters, at, reference, is_close=reference is None)
    # What holds for the smaller problem does not for the whole: of a rare class, a
    # sample may hold no row.
    xp = objective.xp
    better = arrays.move(better, xp=xp, device=objective.device)
    parameters = take(better, parameters, start, xp=xp)
    return Start(parameters, objective.value_and_gradient(parameters))


def pooled_start(objective: Objective) -> tuple[Objective, np.ndarray] | None:
    """The models on all rows that resamples begin at, where rows are many enough.

    With the number of its model for each resample, as :meth:`Objective.pooled` says.
    """
    if objective.n_samples < ROWS_TO_POOL * objective.n_parameters:
        return None
    return objective.pooled()


def _within_noise(n_rows: int, n_outputs: int) -> Callable[[Record, Array], bool]:
    r"""Whether the gradient on a sample is lost in what it differs from the whole's.

    The gradient of a row is its residual times z, so that the mean over m rows is off
    by about :math:`\sqrt{\mathrm{mean}(r^2) / m}`; and the mean square of residuals is
    of the size of the mean loss: of p (1 - p) where the model is right, which is less
    than the entropy. The classes share it.
    """

    def enough(record: Record, parameters: Array) -> bool:
        noise = np.sqrt(np.minimum(1, record.objective) / (n_rows * n_outputs))
        return bool((record.optimality <= NOISE_SHARE * noise).all())

    return enough
