"""Steps: when one is good enough, what to try when it is not, and taking it."""

from __future__ import annotations

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.objective import Evaluation, Objective
from xlr.solvers.diagnostics import Diagnostics

__all__ = [
    "SUFFICIENT",
    "better",
    "damping_scale",
    "is_acceptable",
    "is_flat",
    "next_damping",
    "renewal",
    "shortened",
]

# Share of the decrease that the gradient promises, which a step must deliver (Armijo).
SUFFICIENT = 1e-4

# Rounding error of F, a sum of many numbers, in rounding errors of one of them.
SUM_ROUNDING = 16

# Factor by which steps with an old Hessian must lower the gradient, in the time of a
# new one, for the old one to be kept.
WORTH_HOLDING = 0.01


def damping_scale(diagonal: Array, gradient: Array, *, xp: Namespace) -> Array:
    """Return D of the damping term: max(diag H, max abs(g)).

    Where every row is certain, diag H vanishes and only the gradient limits the step.
    """
    largest = xp.max(xp.abs(gradient), axis=-1, keepdims=True)
    return xp.maximum(diagonal, largest)


def is_acceptable(
    objective: Objective, at: Evaluation, trial: Evaluation, change: Array
) -> Array:
    r"""Whether a step may be taken: boolean, (n_models,).

    With F'(0) and F'(1) the derivatives along the step at its ends, either Armijo's
    condition, F(1) <= F(0) + c F'(0), or, where F is flat to within its rounding error
    and cannot decide, its equivalent in derivatives, F'(1) <= (2c - 1) F'(0) (Hager and
    Zhang 2005, *A new conjugate gradient method with guaranteed descent and an
    efficient line search*, eq. 4.1). Both are false for NaN.

    Parameters
    ----------
    objective : Objective
    at, trial : Evaluation
        F and its gradient before and after the step.
    change : array of shape (n_models, n_parameters)
    """
    xp = objective.xp
    before = xp.sum(at.gradient * change, axis=1)
    after = xp.sum(trial.gradient * change, axis=1)
    enough = trial.value <= at.value + SUFFICIENT * before
    less = after <= (2 * SUFFICIENT - 1) * before
    return enough | (is_flat(objective, at, trial) & less)


def is_flat(objective: Objective, at: Evaluation, trial: Evaluation) -> Array:
    """Whether F rose by no more than its rounding error: boolean, (n_models,)."""
    rounding = SUM_ROUNDING * objective.rounding * objective.xp.abs(at.value)
    return trial.value <= at.value + rounding


def shortened(
    at: Evaluation, trial: Evaluation, change: Array, *, xp: Namespace
) -> Array:
    """Return the factor for a refused step: the minimum of the interpolating parabola.

    From the value and derivative before the step and the value after it; kept within
    [0.1, 0.5], and 0.1 where that value is not finite. Shape (n_models,).
    """
    slope = xp.sum(at.gradient * change, axis=1)
    factor = -slope / (2 * (trial.value - at.value - slope))
    factor = arrays.within(factor, 0.1, 0.5, xp=xp)
    return xp.where(xp.isfinite(factor), factor, xp.full_like(factor, 0.1))


def next_damping(
    objective: Objective, damping: Array, predicted: Array, fell: Array, accept: Array
) -> Array:
    r"""Return the damping for the next Newton step: (n_models,).

    The decrease of F as a share of that of its quadratic model decides how far the
    model is trusted next (Nocedal and Wright 2006, *Numerical Optimization*, section
    10.3).

    Parameters
    ----------
    objective : Objective
    damping : array of shape (n_models,)
        Of the last step.
    predicted, fell : array of shape (n_models,)
        Decrease of the model of F, and of F.
    accept : array of bool, of shape (n_models,)
    """
    xp = objective.xp
    gain = fell / predicted
    trusted = xp.where(gain > 0.75, damping / 16, damping)
    trusted = xp.where(gain < 0.25, 4 * trusted, trusted)
    # Too long a step needs real damping. A matrix that could not be factorised needs
    # only as much as its entries are uncertain.
    unresolved = xp.full_like(damping, 16 * objective.rounding)
    least = xp.where(xp.isfinite(predicted), xp.full_like(damping, 1e-3), unresolved)
    return xp.where(accept, trusted, xp.maximum(16 * damping, least))


def renewal(
    last: Diagnostics, before: np.ndarray, is_fresh: np.ndarray, cost: float
) -> np.ndarray:
    """Whether a new Hessian pays: boolean, (n_models,), on the host.

    It does where the last step was refused, unless the Hessian is of the same point,
    and where the gradient fell so little that the time of a Hessian is better spent on
    one than on more such steps.

    Parameters
    ----------
    last : Diagnostics
        Of the last iteration, on the host.
    before : ndarray of shape (n_models,)
        The optimality one iteration earlier.
    is_fresh : ndarray of bool, of shape (n_models,)
        Whether the Hessian was computed where the last step began.
    cost : float
        Time of a Hessian, in iterations.
    """
    slowest = WORTH_HOLDING ** (1 / (1 + cost))
    is_slow = last.optimality >= slowest * before
    return np.where(last.step_norm == 0, ~is_fresh, is_slow)


def better(
    accept: Array, trial: Evaluation, at: Evaluation, *, xp: Namespace
) -> Evaluation:
    """Return the trial for the models that accept it, ``at`` for the others."""
    return Evaluation(
        xp.where(accept, trial.value, at.value),
        xp.where(accept[:, None], trial.gradient, at.gradient),
    )
