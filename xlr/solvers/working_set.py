"""Working sets: solving on a copy of few columns, the other coefficients at zero."""

from __future__ import annotations

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Solution, minimise
from xlr.solvers.newton_cg import NewtonCG
from xlr.solvers.proximal_newton import ProximalNewton
from xlr.solvers.quadratic import Quadratic
from xlr.solvers.starts import find_start

__all__ = ["WorkingSet"]

# Features up to which all are in the working set, and the share of them beyond which a
# copy of its columns does not pay.
FEW = 64
MOST = 0.75

# Parameters of a working set beyond which their Hessian is too large: 50 MB.
MOST_PARAMETERS = 2500


class WorkingSet:
    """A copy of some columns and the Hessian of their coefficients.

    Both serve until a feature is needed that is not among them.
    """

    def __init__(self) -> None:
        self._copied = np.zeros(0, dtype=bool)
        self._part: Objective | None = None
        self._features: Array = None
        self._held: list[Quadratic] = []

    def solve(
        self,
        objective: Objective,
        parameters: Array,
        needed: np.ndarray,
        welcome: np.ndarray,
        *,
        tol: float,
        max_iter: int,
        seed: int | None = None,
    ) -> tuple[Array, Evaluation, Solution, np.ndarray]:
        """Minimise F over the coefficients of some features.

        Parameters
        ----------
        objective : Objective
            The same as before apart from its penalty.
        parameters : array of shape (n_models, n_parameters)
            Where to begin.
        needed : ndarray of bool, of shape (n_features,)
        welcome : ndarray of int
            Features that are copied too, where a copy is made.
        tol, max_iter
            As for :func:`minimise`.
        seed : int, default=None
            Draws a sample to begin on; None for none.

        Returns
        -------
        parameters : array of shape (n_models, n_parameters)
        at : Evaluation
            The whole objective there.
        solution : Solution
            Of the part.
        features : ndarray of bool, of shape (n_features,)
            Those of the part.
        """
        part = self._objective_on(objective, needed, welcome)
        solver: NewtonCG | ProximalNewton = ProximalNewton(self._held)
        beginner: NewtonCG | ProximalNewton = ProximalNewton()
        if part.n_parameters > MOST_PARAMETERS:
            solver = beginner = NewtonCG(seed or 0)
        xp, features = objective.xp, self._features
        start = parameters
        if features is not None:
            coef, intercept = objective.split(parameters)
            start = part.join(xp.take(coef, features, axis=1), intercept)
        solution = minimise(
            solver,
            part,
            find_start(beginner, part, start, seed),
            tol=tol,
            max_iter=max_iter,
        )
        if features is None:
            return solution.parameters, solution.at, solution, self._copied
        found, intercept = part.split(solution.parameters)
        coef = arrays.spread(found, features, objective.n_features, xp=xp)
        parameters = objective.join(coef, intercept)
        at = objective.value_and_gradient(parameters)
        return parameters, at, solution, self._copied

    def _objective_on(
        self, objective: Objective, needed: np.ndarray, welcome: np.ndarray
    ) -> Objective:
        """Return F of a copy of the columns, a new one where a column is missing."""
        if self._part is None or (needed & ~self._copied).any():
            self._copied, self._held = np.ones_like(needed), []
            self._features, self._part = None, objective
            if needed.shape[0] > FEW and needed.mean() <= MOST:
                self._copied = needed.copy()
                self._copied[welcome] = True
            if not self._copied.all():
                self._features = arrays.move(
                    np.nonzero(self._copied)[0],
                    xp=objective.xp,
                    device=objective.device,
                )
                self._part = objective.take_columns(self._features)
        if self._features is None:
            return objective
        penalty = objective.penalty.take_columns(self._features, xp=objective.xp)
        return self._part.with_penalty(penalty)
