"""Starts of fits: solutions of smaller problems."""

from __future__ import annotations

import math

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Record, Solution, Solver, Start, minimise
from xlr.solvers.surrogate import Surrogate

# Minimum number of rows per sampled row, so that a sample is cheap. Maximum number of
# sampled rows per parameter: with more, the error decreases slowly.
MIN_ROWS_PER_SAMPLED = 8
MAX_SAMPLED_PER_PARAMETER = 1000

# Minimum number of rows per parameter: with fewer, resamples differ too much to share a
# start.
MIN_ROWS_PER_PARAMETER = 10

# Maximum number of iterations on the smaller problem, and its tolerance. It is solved
# to the noise of its rows if that is reached earlier.
MAX_START_ITERATIONS = 30
START_TOL = 1e-6

# Optimality reached on a sample, as a share of the noise in its gradient.
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
    if seed is None or math.isinf(min_size := solver.min_sample_size(objective)):
        return _or_zeros(objective, start)
    if (on_all_rows := without_resampling(objective)) is not None:
        return _on_all_rows(solver, objective, start, seed, *on_all_rows)
    if not objective.is_large:
        return _or_zeros(objective, start)
    size = min(
        objective.n_samples // MIN_ROWS_PER_SAMPLED,
        MAX_SAMPLED_PER_PARAMETER * objective.n_parameters,
    )
    size = min(size, objective.data.max_sample_size)
    if size < min_size:
        return _or_zeros(objective, start)
    return _on_sample(solver, objective, start, size, seed)


def without_resampling(objective: Objective) -> tuple[Objective, np.ndarray] | None:
    """Return :meth:`Objective.without_resampling`; None if there are too few rows."""
    if objective.n_models == 1:
        return None
    if objective.n_samples < MIN_ROWS_PER_PARAMETER * objective.n_parameters:
        return None
    return objective.without_resampling()


def _or_zeros(objective: Objective, start: Array) -> Start:
    """Start models at zero instead, if their F is lower there.

    Far from the minimum the prediction of every row is certain, and F has no curvature.
    A start that is not finite stays, and the loop reports it.
    """
    xp = objective.xp
    unchanged = Start(start, objective.value_and_gradient(start))
    if not arrays.to_host(xp.any(start != 0)):
        return unchanged
    # F at zero, without an offset.
    value_at_zero = math.log(max(2, objective.n_outputs))
    if not (arrays.to_host(unchanged.at.value) > value_at_zero).any():
        return unchanged
    zeros = objective.zeros()
    if objective.non_smooth is not None:
        zeros = objective.non_smooth.project(zeros, xp=xp)
    at = objective.value_and_gradient(zeros)
    is_lower = (at.value < unchanged.at.value) & xp.isfinite(unchanged.at.value)
    value = xp.where(is_lower, at.value, unchanged.at.value)
    is_lower = is_lower[:, None]
    gradient = xp.where(is_lower, at.gradient, unchanged.at.gradient)
    return Start(xp.where(is_lower, zeros, start), Evaluation(value, gradient))


def _on_all_rows(
    solver: Solver,
    objective: Objective,
    start: Array,
    seed: int,
    all_rows: Objective,
    model_of: np.ndarray,
) -> Start:
    """Start resamples at the fit to all rows.

    The last two parameters are the result of :meth:`Objective.without_resampling`.
    """
    _, first = np.unique(model_of, return_index=True)
    first_start = find_start(solver, all_rows, arrays.take(start, first), seed)
    solution = _nearly_minimised(solver, all_rows, first_start, objective.n_samples)
    parameters = arrays.take(solution.parameters, model_of)
    at = objective.value_and_gradient(parameters)
    return Start(parameters, at, Surrogate(all_rows.in_float32(), model_of))


def _on_sample(
    solver: Solver, objective: Objective, start: Array, size: int, seed: int
) -> Start:
    """Start at the fit to a sample, in the models that it improves."""
    xp, sample = objective.xp, objective.sample(size, seed)
    first_start = find_start(solver, sample, start, seed)
    solution = _nearly_minimised(solver, sample, first_start, size)
    parameters = solution.parameters
    at = objective.value_and_gradient(parameters)
    is_better = arrays.to_host(at.value) < solution.records[0].objective
    if is_better.all():
        return Start(parameters, at, Surrogate(sample))
    # A sample may lack a rare class.
    is_better = arrays.move(is_better, xp=xp, device=objective.device)
    return _or_zeros(objective, xp.where(is_better[:, None], parameters, start))


def _nearly_minimised(
    solver: Solver, objective: Objective, start: Start, n_rows: int
) -> Solution:
    r"""Minimise until the gradient is within the noise of the sample.

    The gradient of a row is its residual r times z. The error of a mean over n rows is
    about :math:`\sqrt{\mathrm{mean}(r^2) / n}` for standardized columns. The mean
    square of the residuals is about the mean loss: if the model is right, it is
    p (1 - p), which is less than the entropy. The classes share it.
    """

    def is_enough(record: Record, parameters: Array) -> bool:
        variance = np.minimum(1, record.objective) / (n_rows * objective.n_outputs)
        return bool((record.optimality <= NOISE_SHARE * np.sqrt(variance)).all())

    return minimise(
        solver,
        objective,
        start,
        tol=START_TOL,
        max_iter=MAX_START_ITERATIONS,
        settle=math.inf,
        on_iteration=is_enough,
    )
