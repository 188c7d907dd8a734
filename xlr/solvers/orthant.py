"""Orthants, in which F is smooth in spite of an L1 penalty, and their bounds."""

from __future__ import annotations

from xlr.arrays import Array
from xlr.objective import Objective


def subgradient_and_free(
    objective: Objective, parameters: Array, gradient: Array
) -> tuple[Array, Array | None]:
    """Return the minimum-norm subgradient and a mask of the free parameters.

    Parameters
    ----------
    objective : Objective
    parameters : array of shape (n_models, n_parameters)
    gradient : array of shape (n_models, n_parameters)
        Gradient of the smooth part of F at the parameters.

    Returns
    -------
    subgradient : array of shape (n_models, n_parameters)
    free : array of shape (n_models, n_parameters) or None
        0 for active parameters, which are optimal at zero or at a bound, and 1 for the
        others. None without an L1 penalty and bounds.
    """
    penalty = objective.non_smooth
    if penalty is None:
        return gradient, None
    subgradient = objective.minimum_norm_subgradient(parameters, gradient)
    free = (subgradient != 0) | penalty.free(parameters)
    return subgradient, objective.xp.astype(free, parameters.dtype)


def project_onto_orthant(
    objective: Objective, parameters: Array, subgradient: Array, target: Array
) -> Array:
    """Project the target: no parameter crosses zero (L1 penalty) or its bound.

    A parameter at zero moves to the side on which F decreases, or stays.

    Parameters
    ----------
    objective : Objective
    parameters, target : array of shape (n_models, n_parameters)
    subgradient : array of shape (n_models, n_parameters)
        Minimum-norm subgradient at the parameters.
    """
    xp, penalty = objective.xp, objective.non_smooth
    if penalty is None:
        return target
    side = xp.where(parameters == 0, -subgradient, parameters)
    crosses = (penalty.l1 > 0) & (target * side <= 0)
    return penalty.project(xp.where(crosses, xp.zeros_like(target), target), xp=xp)


def restricted(objective: Objective, free: Array | None, vector: Array) -> Array:
    """Return a vector without its active parameters, centred over the classes."""
    vector = objective.centred_over_classes(vector, free)
    return vector if free is None else vector * free


def best_shift(objective: Objective, parameters: Array) -> tuple[Array, Array | float]:
    """Return the best point along the null space of the softmax, and its decrease of F.

    Along it an L1 penalty has no curvature, and Newton's method takes no step. Newton
    steps of a smooth F are centred already.
    """
    is_smooth = objective.non_smooth is None
    shifted = parameters if is_smooth else objective.shifted_over_classes(parameters)
    if shifted is parameters:
        return parameters, 0.0
    before, after = map(objective.penalty_terms, (parameters, shifted))
    return shifted, before.value - after.value
