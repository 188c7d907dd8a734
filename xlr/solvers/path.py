"""One model after another along a path of penalties, each begun at the last."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.active_set import inner_solver, solve_on
from xlr.solvers.columns import Columns
from xlr.solvers.slices import share_of_step

__all__ = ["PathPoint", "follow_path"]

# Features beyond those in play that a copy holds, as a share: the next few models will
# want them.
AHEAD = 0.2


class PathPoint(NamedTuple):
    """A solution on the path.

    Attributes
    ----------
    objective : Objective
    parameters : array of shape (1, n_parameters)
    at : Evaluation
        The objective there.
    n_iter : int
    converged : bool
    n_in_play : int
        Features that the last solve was on; no other wants a coefficient.
    seconds : float
    """

    objective: Objective
    parameters: Array
    at: Evaluation
    n_iter: int
    converged: bool
    n_in_play: int
    seconds: float


def follow_path(
    objectives: Iterable[Objective], start: Array, *, tol: float, max_iter: int
) -> Iterator[PathPoint]:
    r"""Minimise objectives that differ in their penalties, weaker and weaker.

    Each begins where the last two lead, on the features that the strong rule keeps:
    with slopes g of the loss at the last, feature j is left out if

    .. math:: |g_j| < 2 \kappa_j - \kappa_j^{last}

    for what its slope would become if it changed no faster than its penalty.  The rule
    may be wrong: all features are asked at the end, and those that want a coefficient
    come in.

    Parameters
    ----------
    objectives : iterable of Objective
        Of one model, on the same data.
    start : array of shape (1, n_parameters)
    tol : float
        Bound on the optimality.
    max_iter : int

    References
    ----------
    Tibshirani et al. (2012), *Strong rules for discarding predictors in lasso-type
    problems*, sections 2 and 5.
    """
    parameters = before = start
    last: Objective | None = None
    positions: list[float] = []
    columns = Columns()
    for objective in objectives:
        began = perf_counter()
        if last is None:
            # What a bound keeps from zero is in play from the start.
            parameters = before = _within_bounds(objective, parameters)
            at = objective.value_and_gradient(parameters)
            in_play = np.zeros(objective.n_features, dtype=bool)
        else:
            at = objective.repenalised(last, parameters, at)
            in_play = _kept_by_strong_rule(objective, last, parameters, at)
        n_iter, wanting = 0, _wanting(objective, parameters, at)
        positions.append(-_log_strength(objective))
        share = share_of_step(np.asarray(positions))
        ahead = _led_to(objective, parameters, before, share)
        before, parameters = parameters, ahead
        while True:
            in_play |= wanting
            if not in_play.any():
                in_play[0] = True  # the intercept is found beside it
            likely = _likely_next(objective, in_play, at)
            features, part = columns.of(objective, in_play, likely)
            in_play = _mask(features, objective.n_features)
            parameters, at, solution = solve_on(
                inner_solver(part, columns.held),
                features,
                part,
                objective,
                parameters,
                tol=tol,
                max_iter=max_iter,
            )
            n_iter += int(solution.n_iter[0])
            wanting = _wanting(objective, parameters, at) & ~in_play
            slope = objective.subgradient(parameters, at.gradient)
            optimality = float(arrays.to_host(objective.optimality(slope))[0])
            if optimality <= tol or not wanting.any() or n_iter >= max_iter:
                break
        converged = optimality <= tol
        seconds = perf_counter() - began
        n_in_play = int(in_play.sum())
        yield PathPoint(
            objective, parameters, at, n_iter, converged, n_in_play, seconds
        )
        last = objective


def _log_strength(objective: Objective) -> float:
    """Logarithm of the strength of the L1 penalty, up to a constant; never infinite."""
    xp, kinks = objective.xp, objective.kinks
    assert kinks is not None
    strength = float(arrays.to_host(xp.max(kinks.lasso)))
    return math.log(max(strength, sys.float_info.min))


def _led_to(objective: Objective, last: Array, before: Array, share: float) -> Array:
    """Where the last two solutions lead to, short of where a coefficient is zero."""
    xp, kinks = objective.xp, objective.kinks
    assert kinks is not None
    ahead = last + share * (last - before)
    crossed = (ahead * last <= 0) & (kinks.lasso > 0)
    ahead = xp.where(crossed, xp.zeros_like(ahead), ahead)
    return _within_bounds(objective, ahead)


def _within_bounds(objective: Objective, parameters: Array) -> Array:
    assert objective.kinks is not None
    return objective.kinks.clip(parameters, xp=objective.xp)


def _wanting(objective: Objective, parameters: Array, at: Evaluation) -> np.ndarray:
    """Which features have a coefficient, or want one: bool, on the host."""
    slope = objective.subgradient(parameters, at.gradient)
    return _any_class(objective, (parameters != 0) | (slope != 0))


def _kept_by_strong_rule(
    objective: Objective, last: Objective, parameters: Array, at: Evaluation
) -> np.ndarray:
    xp, now, before = objective.xp, objective.kinks, last.kinks
    assert now is not None
    assert before is not None
    kept = xp.abs(at.gradient) >= 2 * now.lasso - before.lasso
    return _any_class(objective, kept)


def _likely_next(
    objective: Objective, in_play: np.ndarray, at: Evaluation
) -> np.ndarray:
    """The features out of play that are likely to be in it soon."""
    slope = _largest_of_classes(objective, objective.xp.abs(at.gradient))
    slope = np.where(in_play, -1.0, slope)
    return np.argsort(-slope, kind="stable")[: math.ceil(AHEAD * in_play.sum())]


def _mask(features: Array | None, size: int) -> np.ndarray:
    """Which features have these numbers, or all."""
    mask = np.ones(size, dtype=bool)
    if features is not None:
        mask[:] = False
        mask[arrays.to_host(features)] = True
    return mask


def _any_class(objective: Objective, chosen: Array) -> np.ndarray:
    """Whether a feature is chosen for any class."""
    return _largest_of_classes(objective, chosen) > 0


def _largest_of_classes(objective: Objective, values: Array) -> np.ndarray:
    """The largest of the values for the coefficients of a feature, on the host."""
    columns = objective.xp.astype(values, objective.wide)
    coef = objective.by_class(columns)[0, :, :]
    return arrays.to_host(objective.xp.max(coef, axis=0))
