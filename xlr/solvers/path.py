"""Regularization paths: one model after another, each begun at the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.working_set import WorkingSet

__all__ = ["PathPoint", "follow_path"]


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
    n_working : int
        Features of the last working set; no other violates its KKT condition.
    seconds : float
    """

    objective: Objective
    parameters: Array
    at: Evaluation
    n_iter: int
    converged: bool
    n_working: int
    seconds: float


def follow_path(
    objectives: Iterable[Objective], start: Array, *, tol: float, max_iter: int
) -> Iterator[PathPoint]:
    """Minimise objectives that differ in their penalties, weaker and weaker.

    Each begins at the last solution, on a working set: the features that have a
    coefficient there, or whose gradient exceeds the new penalty. At the end all
    features are checked, and those that violate their KKT condition join the working
    set.

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
    Friedman, Hastie and Tibshirani (2010), *Regularization paths for generalized linear
    models via coordinate descent*, sections 2.5 and 2.6.
    """
    parameters, last = start, None
    working_set = WorkingSet()
    none = np.zeros(0, dtype=np.int64)
    for objective in objectives:
        began = perf_counter()
        if last is None:
            assert objective.non_smooth is not None
            parameters = objective.non_smooth.project(parameters, xp=objective.xp)
            at = objective.value_and_gradient(parameters)
        else:
            at = objective.with_penalty_of(last, parameters, at)
        needed = _violating(objective, parameters, at)
        n_iter = 0
        while True:
            if not needed.any():
                needed[0] = True  # the intercept goes with it
            parameters, at, solution, needed = working_set.solve(
                objective, parameters, needed, none, tol=tol, max_iter=max_iter
            )
            n_iter += int(solution.n_iter[0])
            violating = _violating(objective, parameters, at) & ~needed
            gradient = objective.minimum_norm_subgradient(parameters, at.gradient)
            optimality = float(arrays.to_host(objective.optimality(gradient))[0])
            if optimality <= tol or not violating.any() or n_iter >= max_iter:
                break
            needed = needed | violating
        yield PathPoint(
            objective,
            parameters,
            at,
            n_iter,
            optimality <= tol,
            int(needed.sum()),
            perf_counter() - began,
        )
        last = objective


def _violating(objective: Objective, parameters: Array, at: Evaluation) -> np.ndarray:
    """Return which features have a coefficient or violate their KKT condition."""
    xp = objective.xp
    gradient = objective.minimum_norm_subgradient(parameters, at.gradient)
    chosen = xp.astype((parameters != 0) | (gradient != 0), objective.wide)
    return arrays.to_host(xp.max(objective.by_class(chosen)[0, :, :], axis=0)) > 0
