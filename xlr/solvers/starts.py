"""Starts of fits: solutions of smaller problems."""

from __future__ import annotations

import math

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Objective, row_space
from xlr.solvers.loop import Record, Solver, Start, minimise
from xlr.solvers.surrogate import Surrogate

# Minimum number of rows per sampled row, so that a sample is cheap. Maximum number of
# sampled rows per parameter: with more, the error decreases slowly.
MIN_ROWS_PER_SAMPLED = 8
MAX_SAMPLED_PER_PARAMETER = 1000

# Maximum number of iterations on the smaller problem, and its tolerance. It is solved
# to the noise of its rows if that is reached earlier.
MAX_START_ITERATIONS = 30
START_TOL = 1e-6

# Tolerance in the row space, where an iteration takes less time than a pass over X. A
# fit to 2,000 x 20,000 takes 1.75 s with 1e-6, and 1.40 s with 1e-7 or 1e-8; without
# the row space, it takes 2.8 s (two cores of an x86 server).
ROW_SPACE_TOL = 1e-7

# Optimality reached on a sample, as a share of the noise in its gradient.
NOISE_SHARE = 0.2


@arrays.quiet()
def find_start(
    solver: Solver, objective: Objective, start: Array, seed: int | None
) -> Start:
    r"""Return a start: the minimum of a smaller problem, or the given start.

    For resamples, the smaller problem is the model of all rows. For many rows, it is
    the objective on a random sample, whose fit may start on a smaller sample. Both are
    solved only to their sampling noise: a sample may be separable even if all rows
    together are not. With more features than rows, it is the problem in the row space.
    The null model replaces a start with a higher F.

    Parameters
    ----------
    solver : Solver
    objective : Objective
    start : array of shape (n_models, n_parameters)
    seed : int or None
        Seed of samples; None for no sample.
    """
    start = objective.project(start)
    if not solver.standardized:  # gradient descent begins exactly at the given start
        return Start(start, objective.value_and_gradient(start))
    if seed is None or math.isinf(min_size := solver.min_sample_size(objective)):
        return _or_null(objective, start)
    if (unresampled := objective.without_resampling()) is not None:
        all_rows, first, model_of = unresampled
        start = arrays.take(start, first)
        parameters = _nearly_minimised(solver, all_rows, start, seed)
        parameters = arrays.take(parameters, model_of)
        at = objective.value_and_gradient(parameters)
        return Start(parameters, at, Surrogate(all_rows.in_float32(), model_of))
    size = min(
        objective.n_samples // MIN_ROWS_PER_SAMPLED,
        MAX_SAMPLED_PER_PARAMETER * objective.n_parameters,
        objective.data.max_sample_size,
    )
    if not objective.is_large:
        return _or_null(objective, start)
    if size < min_size:
        if (smaller := row_space(objective)) is None:
            return _or_null(objective, start)
        reduced, to_original = smaller
        solution = minimise(
            solver,
            reduced,
            reduced.null_parameters(),
            tol=ROW_SPACE_TOL,
            max_iter=MAX_START_ITERATIONS,
        )
        return _or_null(objective, to_original(solution.parameters))
    sample = objective.sample(size, seed)
    parameters = _nearly_minimised(solver, sample, start, seed)
    candidate = _or_null(objective, parameters)
    # Other parameters: F of some model exceeds log k on all rows. The sample may lack a
    # rare class, and is no surrogate.
    if candidate.parameters is not parameters:
        return candidate
    return candidate._replace(surrogate=Surrogate(sample))


def _or_null(objective: Objective, start: Array) -> Start:
    """Start models at the null model instead, if their F is lower there.

    Far from the minimum the prediction of every row is certain, and F has no curvature.
    A start that is not finite stays, and the loop reports it.
    """
    xp = objective.xp
    unchanged = Start(start, objective.value_and_gradient(start))
    value = unchanged.at.value
    # Upper bound on F of the null model without an offset, to within rounding.
    limit = math.log(max(2, objective.n_outputs)) * (1 + objective.value_rounding)
    if not (arrays.to_host(value) > limit).any():
        return unchanged
    null = objective.project(objective.null_parameters())
    if not arrays.to_host(xp.any(null != start)):
        return unchanged
    is_lower = (objective.value_and_gradient(null).value < value) & xp.isfinite(value)
    start = xp.where(is_lower[:, None], null, start)
    return Start(start, objective.value_and_gradient(start))


def _nearly_minimised(
    solver: Solver, objective: Objective, start: Array, seed: int
) -> Array:
    r"""Find a start, and minimise until the gradient is within the noise of the rows.

    The gradient of a row is its residual r times z. The error of a mean over n rows is
    about :math:`\sqrt{\mathrm{mean}(r^2) / n}` for standardized columns. The mean
    square of the residuals is about the mean loss: if the model is right, it is
    p (1 - p), which is less than the entropy. The classes share it.
    """
    n_residuals = objective.n_samples * objective.n_outputs

    def is_enough(record: Record, parameters: Array) -> bool:
        variance = np.minimum(1, record.objective) / n_residuals
        return bool((record.optimality <= NOISE_SHARE * np.sqrt(variance)).all())

    solution = minimise(
        solver,
        objective,
        find_start(solver, objective, start, seed),
        tol=START_TOL,
        max_iter=MAX_START_ITERATIONS,
        decrease_share=math.inf,
        on_iteration=is_enough,
    )
    return solution.parameters
