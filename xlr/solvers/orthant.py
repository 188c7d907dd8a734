"""Between the kinks of a penalty: which parameters move, and how far."""

from __future__ import annotations

from xlr.arrays import Array
from xlr.objective import Objective

__all__ = ["free_parameters", "in_the_orthant", "resting", "up_to_the_first_kink"]


def resting(objective: Objective, parameters: Array) -> Array | None:
    """Which parameters are at a kink or bound; None if there are none to be at."""
    kinks = objective.kinks
    if kinks is None:
        return None
    at_kink = (kinks.lasso > 0) & (parameters == 0)
    return at_kink | (parameters <= kinks.lower) | (parameters >= kinks.upper)


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
    rests = resting(objective, parameters)
    if rests is None:
        return None
    return objective.xp.astype((slope != 0) | ~rests, parameters.dtype)


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


def up_to_the_first_kink(
    objective: Objective, parameters: Array, slope: Array, target: Array
) -> Array:
    """As far to the target as all parameters can go together.

    To where the first one comes to a kink or bound.

    Parameters
    ----------
    objective : Objective
    parameters, target : array of shape (n_models, n_parameters)
    slope : array of shape (n_models, n_parameters)
        The least subgradient at the parameters.
    """
    xp = objective.xp
    within = in_the_orthant(objective, parameters, slope, target)
    step, is_cut = target - parameters, within != target
    shares = (within - parameters) / xp.where(is_cut, step, xp.ones_like(step))
    shares = xp.where(is_cut, shares, xp.ones_like(step))
    share = xp.min(shares, axis=1, keepdims=True)
    ends = xp.where(is_cut & (shares <= share), within, parameters + share * step)
    # What rounding took across.
    return in_the_orthant(objective, parameters, slope, ends)
