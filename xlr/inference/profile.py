"""Confidence intervals from the profile likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from xlr.inference.fitted_data import FittedData
from xlr.inference.newton import constrained_minimum, value_and_gradient

# Bounds on the error of the end of an interval: in standard errors, and in rounding
# errors of X times the square root of the sum of the weights.
END_TOL = 1e-8
END_ROUNDINGS = 16

MAX_PROFILE_ITERATIONS = 50

PROFILE_ALPHA = 0.05  # one minus the level of the stored intervals

# Distance in standard errors above which the end is infinite.
FARTHEST = 1e4


def profile_all(data: FittedData, params: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return likelihood-ratio statistics of zero, and the ends of the intervals.

    Returns
    -------
    ndarray of shape (3, n_reported)
        Statistics, lower ends and upper ends, for the level 1 - PROFILE_ALPHA.

    Raises
    ------
    FloatingPointError
        If rounding errors hide an end.
    """
    lowest, _ = value_and_gradient(data.objective, data.standardized)
    zero = np.zeros(1)
    values = [
        constrained_minimum(data.objective, data.standardized, row[None, :], zero).value
        for row in _directions(data)
    ]
    statistic = 2 * data.total_weight * np.maximum(np.asarray(values) - lowest, 0)
    every = range(params.size)
    return np.stack([statistic, *profile_ends(data, params, errors, every)])


def profile_ends(
    data: FittedData,
    params: np.ndarray,
    errors: np.ndarray,
    chosen: Sequence[int],
    alpha: float = PROFILE_ALPHA,
) -> np.ndarray:
    """Return lower and upper ends for some reported parameters: (2, n_chosen).

    Parameters
    ----------
    data : FittedData
        Data of a fit without a penalty, or with Firth's.
    params, errors : ndarray of shape (n_reported,)
        Estimates and their standard errors.
    chosen : sequence of int
        Indices of the parameters.
    alpha : float
        One minus the level.
    """
    directions = _directions(data)
    lowest, _ = value_and_gradient(data.objective, data.standardized)
    quantile = float(stats.norm.isf(alpha / 2))
    ends = [
        _profile_end(data, lowest, directions[j], params[j], sign * errors[j], quantile)
        for sign in (-1, 1)
        for j in chosen
    ]
    return np.reshape(ends, (2, -1))


def _directions(data: FittedData) -> np.ndarray:
    """Return each reported parameter as a linear combination of solver parameters."""
    return data.units.reported(np.eye(data.objective.n_parameters)).T


def _profile_end(
    data: FittedData,
    lowest: float,
    direction: np.ndarray,
    estimate: float,
    step: float,
    quantile: float,
) -> float:
    r"""Find the value at which the signed root of the deviance is a quantile.

    With :math:`\hat F(c)` the minimum of F where the parameter is c and S the sum of
    the weights, the end of the interval is where
    :math:`r(c) = \sqrt{2 S (\hat F(c) - \hat F)}` is the quantile. That root is nearly
    linear in c, which makes Newton's method fast: its derivative is S over r times the
    multiplier of the constraint.

    Parameters
    ----------
    data : FittedData
    lowest : float
        F at the estimates.
    direction : ndarray of shape (n_parameters,)
        The parameter as a linear combination of solver parameters.
    estimate : float
    step : float
        Standard error, with the sign of the end.
    quantile : float
        Quantile, above 0.

    Returns
    -------
    float
        Infinite if there is no end.

    Raises
    ------
    FloatingPointError
        If rounding errors hide the end.

    References
    ----------
    Venzon and Moolgavkar (1988), *A method for computing profile-likelihood-based
    confidence intervals*, Applied Statistics 37.
    """
    objective, start, total = data.objective, data.standardized, data.total_weight
    tol = max(END_TOL, END_ROUNDINGS * objective.rounding * math.sqrt(total))
    # Distances are in standard errors; ``near`` and ``far`` bracket the end.
    distance, near, far = quantile, 0.0, math.inf
    for _ in range(MAX_PROFILE_ITERATIONS):
        held = np.asarray([estimate + distance * step])
        found = constrained_minimum(objective, start, direction[None, :], held)
        root = math.sqrt(max(0.0, 2 * total * (found.value - lowest)))
        near, far = (distance, far) if root < quantile else (near, distance)
        derivative = total * float(found.multipliers[0]) * step / root if root else 0.0
        change = (quantile - root) / derivative if derivative > 0 else math.inf
        if abs(change) <= tol:
            return estimate + (distance + change) * step
        start = found.parameters
        distance += change
        if not near < distance < far:
            distance = 2 * near + 1 if math.isinf(far) else (near + far) / 2
        if distance > FARTHEST:
            return math.copysign(math.inf, step)
    raise FloatingPointError(
        f"The end of a profile interval was not found in {MAX_PROFILE_ITERATIONS} fits."
    )
