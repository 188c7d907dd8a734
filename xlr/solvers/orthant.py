"""Orthant steps: steps within the region where a non-smooth penalty is smooth."""

from __future__ import annotations

from xlr.arrays import Array
from xlr.objective import Objective

__all__ = ["free_parameters", "project_onto_orthant"]


def free_parameters(
    objective: Objective, parameters: Array, subgradient: Array
) -> Array | None:
    """Return 1 for the parameters that move, 0 for those at a zero or bound they keep.

    None without an L1 penalty and bounds.

    Parameters
    ----------
    objective : Objective
    parameters : array of shape (n_models, n_parameters)
    subgradient : array of shape (n_models, n_parameters)
        Of minimum norm there.
    """
    penalty = objective.non_smooth
    if penalty is None:
        return None
    held = (penalty.l1 > 0) & (parameters == 0)
    held = held | (parameters <= penalty.lower) | (parameters >= penalty.upper)
    return objective.xp.astype((subgradient != 0) | ~held, parameters.dtype)


def project_onto_orthant(
    objective: Objective, parameters: Array, subgradient: Array, target: Array
) -> Array:
    """Return the target, with no parameter beyond zero (L1 penalty) or its bound.

    A parameter at zero moves to the side on which F falls, or not at all.

    Parameters
    ----------
    objective : Objective
    parameters, target : array of shape (n_models, n_parameters)
    subgradient : array of shape (n_models, n_parameters)
        Of minimum norm at the parameters.
    """
    xp, penalty = objective.xp, objective.non_smooth
    if penalty is None:
        return target
    side = xp.where(parameters == 0, -subgradient, parameters)
    crosses = (penalty.l1 > 0) & (target * side <= 0)
    return penalty.project(xp.where(crosses, xp.zeros_like(target), target), xp=xp)
