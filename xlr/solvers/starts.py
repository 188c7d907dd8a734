"""Starts of fits: solutions of smaller problems."""

from __future__ import annotations

import math

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Record, Solution, Solver, Start, minimise
from xlr.solvers.surrogate import Surrogate

# Minimum number of rows per sampled row, so that a sample is cheap. Sampled rows per
# parameter, beyond which the error decreases slowly.
ROWS_FOR_EACH_DRAWN = 8
ROWS_PER_PARAMETER = 1000

# Rows per parameter below which resamples differ too much to share a start.
ROWS_TO_POOL = 10

# Maximum of iterations on the smaller problem, and its tolerance.
START_ITERATIONS = 30
SMALL_TOL = 1e-6

# Tolerance on a sample, as a share of the noise in its gradient.
NOISE_SHARE = 0.2


@arrays.quiet()
def find_start(
    solver: Solver, objective: Objective, start: Array, seed: int | None
) -> Start:
    r"""Return the minimum of a smaller problem as a start.

    For resamples, the smaller problem is the model of all rows. For many rows, it is
    the objective on a random sample, whose fit may start on a smaller sample. On a
    sample, the gradient is reduced only to the noise of the draw: a sample may be
    separable even if all rows together are not.

    Parameters
    ----------
    solver : Solver
    objective : Objective
    start : array of shape (n_models, n_parameters)
    seed : int or None
        Seed of samples; None for no sample.
    """
    if objective.non_smooth is not None:
        start = objective.non_smooth.project(start, xp=objective.xp)
    if not solver.standardized:  # gradient descent begins exactly at the given start
        return Start(start, objective.value_and_gradient(start))
    if seed is None or math.isinf(least := solver.least_sample(objective)):
        return _or_zeros(objective, start)
    if (pooled := start_of_resamples(objective)) is not None:
        return _on_all_rows(solver, objective, start, seed, *pooled)
    if not objective.is_large:
        return _or_zeros(objective, start)
    size = min(
        objective.n_samples // ROWS_FOR_EACH_DRAWN,
        ROWS_PER_PARAMETER * objective.n_parameters,
    )
    size = min(size, objective.data.n_drawable)
    if size < least:
        return _or_zeros(objective, start)
    return _on_sample(solver, objective, start, size, seed)


def start_of_resamples(objective: Objective) -> tuple[Objective, np.ndarray] | None:
    """Return the models of all rows for resamples, if there are enough rows.

    The result has the form of :meth:`Objective.without_resampling`.
    """
    if objective.n_models == 1:
        return None
    if objective.n_samples < ROWS_TO_POOL * objective.n_parameters:
        return None
    return objective.without_resampling()


def _or_zeros(objective: Objective, start: Array) -> Start:
    """Start models at zero instead, if their F is lower there.

    Far from the minimum every row is certain, and F has no curvature. A start that is
    not finite stays, and the loop reports it.
    """
    xp = objective.xp
    begin = Start(start, objective.value_and_gradient(start))
    if not arrays.to_host(xp.any(start != 0)):
        return begin
    # F at zero, without an offset.
    at_zero = math.log(max(2, objective.n_outputs))
    if not (arrays.to_host(begin.at.value) > at_zero).any():
        return begin
    zeros = objective.zeros()
    if objective.non_smooth is not None:
        zeros = objective.non_smooth.project(zeros, xp=xp)
    at = objective.value_and_gradient(zeros)
    lower = (at.value < begin.at.value) & xp.isfinite(begin.at.value)
    value = xp.where(lower, at.value, begin.at.value)
    by_row = lower[:, None]
    gradient = xp.where(by_row, at.gradient, begin.at.gradient)
    return Start(xp.where(by_row, zeros, start), Evaluation(value, gradient))


def _on_all_rows(
    solver: Solver,
    objective: Objective,
    start: Array,
    seed: int,
    whole: Objective,
    of: np.ndarray,
) -> Start:
    """Start resamples at the fit to all rows."""
    _, first = np.unique(of, return_index=True)
    begin = find_start(solver, whole, arrays.rows(start, first), seed)
    solution = _nearly_minimised(solver, whole, begin, objective.n_samples)
    parameters = arrays.rows(solution.parameters, of)
    at = objective.value_and_gradient(parameters)
    return Start(parameters, at, Surrogate(whole.in_float32(), of))


def _on_sample(
    solver: Solver, objective: Objective, start: Array, size: int, seed: int
) -> Start:
    """Start at the fit to a sample, in the models that it improves."""
    xp, sample = objective.xp, objective.sample(size, seed)
    begin = find_start(solver, sample, start, seed)
    solution = _nearly_minimised(solver, sample, begin, size)
    parameters = solution.parameters
    at = objective.value_and_gradient(parameters)
    is_better = arrays.to_host(at.value) < solution.records[0].objective
    if is_better.all():
        return Start(parameters, at, Surrogate(sample))
    # A sample may lack a rare class.
    is_better = arrays.move(is_better, xp=xp, device=objective.device)
    return _or_zeros(objective, xp.where(is_better[:, None], parameters, start))


def _nearly_minimised(
    solver: Solver, smaller: Objective, start: Array | Start, n_rows: int
) -> Solution:
    r"""Minimise until the gradient is within the noise of the sample.

    The gradient of a row is its residual r times z. The error of a mean over m rows is
    about :math:`\sqrt{\mathrm{mean}(r^2) / m}`. The mean square of the residuals is
    about the mean loss: it is p (1 - p) if the model is right, which is less than the
    entropy. The classes share it.
    """

    def is_enough(record: Record, parameters: Array) -> bool:
        variance = np.minimum(1, record.objective) / (n_rows * smaller.n_outputs)
        return bool((record.optimality <= NOISE_SHARE * np.sqrt(variance)).all())

    return minimise(
        solver,
        smaller,
        start,
        tol=SMALL_TOL,
        max_iter=START_ITERATIONS,
        settle=math.inf,
        on_iteration=is_enough,
    )
