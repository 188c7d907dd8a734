"""Between the kinks of a penalty: which parameters move, and how far."""

from __future__ import annotations

from xlr.arrays import Array
from xlr.objective import Objective

__all__ = ["free_parameters", "in_the_orthant"]


def free_parameters(
    objective: Objective, parameters: Array, slope: Array
) -> Array | None:
    """1 for the parameters that move or want to, 0 for those that rest where they are.

    None if there are no kinks and bounds to rest at.

    Parameters
    ----------
    objective : Objective
    parameters : array of shape (n_models, n_parameters)
    slope : array of shape (n_models, n_parameters)
        The least subgradient there.
    """
    kinks = objective.kinks
    if kinks is None:
        return None
    at_kink = (kinks.lasso > 0) & (parameters == 0)
    at_bound = (parameters <= kinks.lower) | (parameters >= kinks.upper)
    free = (slope != 0) | ~(at_kink | at_bound)
    return objective.xp.astype(free, parameters.dtype)


def in_the_orthant(
    objective: Objective, parameters: Array, slope: Array, target: Array
) -> Array:
    """The target, but no parameter beyond the first kink or bound on its way.

    One at a kink goes to the side on which F falls, or stays.

    Parameters
    ----------
    objective : Objective
    parameters, target : array of shape (n_models, n_parameters)
    slope : array of shape (n_models, n_parameters)
        The least subgradient at the parameters.
    """
    xp, kinks = objective.xp, objective.kinks
    if kinks is None:
        return target
    side = xp.where(parameters == 0, -slope, parameters)
    crosses = (kinks.lasso > 0) & (target * side <= 0)
    return kinks.clip(xp.where(crosses, xp.zeros_like(target), target), xp=xp)
