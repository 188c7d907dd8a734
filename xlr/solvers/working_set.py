"""Working sets of features, and paths of L1 penalties."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Solution, minimise
from xlr.solvers.newton_cg import NewtonCG
from xlr.solvers.proximal_newton import ProximalNewton
from xlr.solvers.quadratic import Quadratic

# The columns of the working set are copied if X has more than this number of features,
# and the working set at most this share of them.
MAX_UNCOPIED_FEATURES = 64
MAX_COPIED_SHARE = 0.75

# Number of additional features in the working set of a path, for its next fits, as a
# share of the needed ones. Without them, each new feature needs another copy and
# Hessian, and the benchmark path of sparse_models takes almost three times as long.
LIKELY_SHARE = 0.2

# Maximum number of parameters for a Hessian on the host: 50 MB.
MAX_PROXIMAL_PARAMETERS = 2500


class WorkingSet:
    """A copy of some columns, and the Hessian of their coefficients.

    Both are reused until a fit needs a feature outside the copy.
    """

    def __init__(self) -> None:
        self._mask = np.zeros(0, dtype=bool)  # features of the working set
        self._features: Array = None  # their indices; None if no columns are copied
        self._objective: Any = None  # of the copy
        self._quadratics: list[Quadratic] = []

    def select(self, models: np.ndarray) -> WorkingSet:
        """Return an empty working set: other models need other columns."""
        return WorkingSet()

    def has(self, features: np.ndarray) -> bool:
        """Return whether the working set has these features, a mask on the host."""
        return self._objective is not None and not (features & ~self._mask).any()

    def solve(
        self,
        objective: Objective,
        parameters: Array,
        needed: np.ndarray,
        *,
        tol: float,
        max_iter: int,
    ) -> tuple[Array, Evaluation, Solution, np.ndarray]:
        """Minimise F over the coefficients of some features.

        Parameters
        ----------
        objective : Objective
            The same as in the last call, except for its penalty.
        parameters : array of shape (n_models, n_parameters)
            Start of the fit.
        needed : ndarray of bool, of shape (n_features,)
        tol, max_iter
            As in :func:`minimise`.

        Returns
        -------
        parameters : array of shape (n_models, n_parameters)
        at : Evaluation
            F of all features and its gradient at the parameters.
        solution : Solution
            Solution of the fit to the working set.
        features : ndarray of bool, of shape (n_features,)
            Mask of the working set.
        """
        part = self._objective_on(objective, needed)
        solver: NewtonCG | ProximalNewton = ProximalNewton(self._quadratics)
        if part.n_parameters > MAX_PROXIMAL_PARAMETERS:
            solver = NewtonCG()
        xp, features = objective.xp, self._features
        start = parameters
        if features is not None:
            coef, intercept = objective.split(parameters)
            start = part.join(xp.take(coef, features, axis=1), intercept)
        solution = minimise(solver, part, start, tol=tol, max_iter=max_iter)
        if features is None:
            return solution.parameters, solution.at, solution, self._mask
        coef, intercept = part.split(solution.parameters)
        # Each feature without a column in the copy takes the zeros after the last one.
        column_index = np.where(self._mask, np.cumsum(self._mask) - 1, coef.shape[1])
        padded = xp.concat([coef, xp.zeros_like(coef[:, :1])], axis=1)
        coef = xp.take(padded, arrays.move_like(column_index, coef), axis=1)
        parameters = objective.join(coef, intercept)
        at = objective.value_and_gradient(parameters)
        return parameters, at, solution, self._mask

    def _objective_on(self, objective: Objective, needed: np.ndarray) -> Objective:
        """Return F on a copy of the columns; make a new copy if a column is missing."""
        if not self.has(needed):
            self._mask, self._quadratics = np.ones_like(needed), []
            self._features, self._objective = None, objective
            is_large = needed.shape[0] > MAX_UNCOPIED_FEATURES
            if is_large and needed.mean() <= MAX_COPIED_SHARE:
                self._mask, features = needed.copy(), np.nonzero(needed)[0]
                self._features = arrays.move_like(features, objective.total_weight)
                self._objective = objective.take_columns(self._features)
        if self._features is None:
            return objective
        penalty = objective.penalty.take_columns(self._features, xp=objective.xp)
        return self._objective.with_penalty(penalty)


class PathPoint(NamedTuple):
    """A solution on the path.

    Attributes
    ----------
    objective : Objective
    parameters : array of shape (1, n_parameters)
    at : Evaluation
        F and its gradient at the parameters.
    n_iter : int
    converged : bool
    n_working : int
        Size of the last working set; no other feature violates its KKT condition.
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
    """Minimise objectives that differ only in their penalties, strongest first.

    Each fit starts at the last solution, on a working set: the features that have a
    coefficient, or whose gradient exceeds the new penalty. A check of all features
    follows, and those that violate their KKT condition join the working set.

    Parameters
    ----------
    objectives : iterable of Objective
        Objectives of one model, on the same data.
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
    for objective in objectives:
        began = perf_counter()
        if last is None:
            parameters = objective.project(parameters)
            at = objective.value_and_gradient(parameters)
        else:
            at = objective.with_penalty_of(last, parameters, at)
        needed = _violating(objective, parameters, at)
        n_iter = 0
        while True:
            if not needed.any():
                needed[0] = True  # one feature, for the sake of the intercept
            if not working_set.has(needed):
                needed = needed | _likely(objective, needed, at)
            parameters, at, solution, needed = working_set.solve(
                objective, parameters, needed, tol=tol, max_iter=max_iter
            )
            n_iter += int(solution.n_iter[0])
            violating = _violating(objective, parameters, at) & ~needed
            on_device, _ = objective.optimality(parameters, at.gradient)
            converged = bool(arrays.to_host(on_device)[0] <= tol)
            if converged or not violating.any() or n_iter >= max_iter:
                break
            needed = needed | violating
        n_working, seconds = int(needed.sum()), perf_counter() - began
        yield PathPoint(
            objective, parameters, at, n_iter, converged, n_working, seconds
        )
        last = objective


def _violating(objective: Objective, parameters: Array, at: Evaluation) -> np.ndarray:
    """Return a mask of features with a coefficient or a violated KKT condition."""
    gradient = objective.minimum_norm_subgradient(parameters, at.gradient)
    violates = largest_of_features(objective, gradient) > 0
    return violates | (largest_of_features(objective, parameters) > 0)


def _likely(objective: Objective, needed: np.ndarray, at: Evaluation) -> np.ndarray:
    """Return a mask of further features, those with the largest gradients."""
    largest = largest_of_features(objective, at.gradient)
    order = np.argsort(np.where(needed, 0.0, -largest), kind="stable")
    likely = np.zeros_like(needed)
    likely[order[: math.ceil(LIKELY_SHARE * np.count_nonzero(needed))]] = True
    return likely


def largest_of_features(objective: Objective, values: Array) -> np.ndarray:
    """Return the largest absolute value of each feature: (n_features,), on the host."""
    magnitudes = objective.xp.abs(objective.coefficients(values))
    return arrays.to_host(objective.xp.max(magnitudes, axis=(0, 1)))
