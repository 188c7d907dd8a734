"""Working sets: fits to few columns with the other coefficients at zero; and paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Solution, minimise
from xlr.solvers.newton_cg import NewtonCG
from xlr.solvers.proximal_newton import ProximalNewton
from xlr.solvers.quadratic import Quadratic
from xlr.solvers.starts import find_start

# Number of features up to which the working set has all. Share of features beyond which
# a copy of the columns does not pay; on a path it pays less, because each new feature
# needs another copy and Hessian. Measured on the cell path of sparse_models.
FEW = 64
MOST, MOST_ON_PATH = 0.75, 0.3

# Parameters of a working set beyond which their Hessian is too large: 50 MB.
MOST_PARAMETERS = 2500


class WorkingSet:
    """A copy of some columns, and the Hessian of their coefficients.

    Both are reused until a fit needs a feature outside them.

    Parameters
    ----------
    most : float, default=0.75
        Share of the features beyond which the working set has all.
    """

    def __init__(self, most: float = MOST) -> None:
        self._most = most
        self._copied = np.zeros(0, dtype=bool)
        self._part: Objective | None = None
        self._features: Array = None
        self._held: list[Quadratic] = []

    def select(self, models: np.ndarray) -> WorkingSet:
        """Return an empty working set: other models need other columns."""
        return WorkingSet(self._most)

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
            The whole objective at the parameters.
        solution : Solution
            Solution of the fit to the working set.
        features : ndarray of bool, of shape (n_features,)
            Mask of the working set.
        """
        part = self._objective_on(objective, needed)
        solver: NewtonCG | ProximalNewton = ProximalNewton(self._held)
        if part.n_parameters > MOST_PARAMETERS:
            solver = NewtonCG()
        xp, features = objective.xp, self._features
        start = parameters
        if features is not None:
            coef, intercept = objective.split(parameters)
            start = part.join(xp.take(coef, features, axis=1), intercept)
        begin = find_start(solver, part, start, seed=None)
        solution = minimise(solver, part, begin, tol=tol, max_iter=max_iter)
        if features is None:
            return solution.parameters, solution.at, solution, self._copied
        found, intercept = part.split(solution.parameters)
        coef = arrays.spread(found, features, objective.n_features, xp=xp)
        parameters = objective.join(coef, intercept)
        at = objective.value_and_gradient(parameters)
        return parameters, at, solution, self._copied

    def _objective_on(self, objective: Objective, needed: np.ndarray) -> Objective:
        """Return F on a copy of the columns; make a new copy if a column is missing."""
        if self._part is None or (needed & ~self._copied).any():
            self._copied, self._held = np.ones_like(needed), []
            self._features, self._part = None, objective
            if needed.shape[0] > FEW and needed.mean() <= self._most:
                self._copied, place = needed.copy(), np.nonzero(needed)[0]
                self._features = arrays.move(
                    place, xp=objective.xp, device=objective.device
                )
                self._part = objective.take_columns(self._features)
        if self._features is None:
            return objective
        penalty = objective.penalty.take_columns(self._features, xp=objective.xp)
        return self._part.with_penalty(penalty)


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
    """Minimise objectives that differ only in their penalties, which get weaker.

    Each fit starts at the last solution, on a working set: the features that have a
    coefficient there, or whose gradient exceeds the new penalty. A check of all
    features follows, and those that violate their KKT condition join the working set.

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
    working_set = WorkingSet(MOST_ON_PATH)
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
                needed[0] = True  # one feature, for the sake of the intercept
            parameters, at, solution, needed = working_set.solve(
                objective, parameters, needed, tol=tol, max_iter=max_iter
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
    """Return a mask of features with a coefficient or a violated KKT condition."""
    xp = objective.xp
    gradient = objective.minimum_norm_subgradient(parameters, at.gradient)
    chosen = xp.astype(
        (parameters != 0) | (gradient != 0), objective.accumulation_dtype
    )
    return arrays.to_host(xp.max(objective.by_class(chosen)[0, :, :], axis=0)) > 0
