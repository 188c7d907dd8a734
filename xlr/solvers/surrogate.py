"""Hessian surrogates: a smaller objective whose second derivatives are like F's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Hessian, Objective
from xlr.solvers.steps import damping_scale

__all__ = ["Surrogate", "least_rows", "preconditioner"]

H = TypeVar("H", bound=Hessian)

# Rows per feature below which the curvature of a class is noise, and products with X in
# the time of which an estimate from more rows may be computed.
ROWS_PER_FEATURE = 4
WORTH = 12

# Least damping of an estimate: no step is more than a million times the gradient.
LEAST_DAMPING = 1e-6


@dataclass(frozen=True)
class Surrogate:
    """An objective whose Hessian stands for that of the objective at hand.

    Attributes
    ----------
    objective : Objective
    of : ndarray of shape (n_models,) or None
        Its model for each model at hand; None if they are the same.
    """

    objective: Objective
    of: np.ndarray | None = None

    def hessian(
        self, parameters: Array, derivative: Callable[[Objective, Array], H]
    ) -> H:
        """Return what ``derivative`` makes of the objective, for each model at hand.

        Where several share a model here, at the parameters of the first of them.
        """
        if self.of is None:
            return derivative(self.objective, parameters)
        _, first = np.unique(self.of, return_index=True)
        shared = derivative(self.objective, arrays.rows(parameters, first))
        return shared.select(self.of)

    def estimate(self, parameters: Array, product_cost: float) -> Hessian:
        """Return an estimate that costs little beside tens of products with X."""
        return self.hessian(
            parameters, lambda here, at: here.estimated_hessian(at, product_cost)
        )

    def select(self, models: np.ndarray) -> Surrogate:
        """Return the surrogate of some models, by their numbers on the host."""
        if self.of is None:
            return Surrogate(self.objective.select(models))
        kept, of = np.unique(self.of[models], return_inverse=True)
        return Surrogate(self.objective.select(kept), of)

    def sampled(self, seed: int) -> Surrogate:
        """Return the surrogate on a sample of the rows, where they are many.

        Of few rows, or more while the estimate costs no more than a few products.
        """
        whole = self.objective
        least = least_rows(whole)
        most = min(whole.n_samples // 2, whole.data.n_drawable)
        if not whole.is_large or most <= least:
            return self
        per_row = whole.data.gram_cost / whole.n_samples
        size = int(WORTH * whole.data.product_cost / per_row)
        size = min(max(least, size), 4 * least, most)
        return Surrogate(whole.sample(size, seed), self.of)


def least_rows(objective: Objective) -> int:
    """Return the rows below which the curvature of one class on a sample is noise."""
    return ROWS_PER_FEATURE * objective.column_size


def preconditioner(
    estimate: Hessian, damping: Array, gradient: Array
) -> Callable[[Array], Array]:
    """Return what solves with an estimate of the Hessian.

    For models for which rounding errors make the estimate indefinite, with its
    diagonal: where columns are alike, their rounding errors are the same.
    """
    diagonal = estimate.diagonal
    xp = arrays.namespace(diagonal)
    damping = xp.maximum(damping, xp.full_like(damping, LEAST_DAMPING))
    solve = estimate.solver(damping[:, None] * damping_scale(diagonal, gradient, xp=xp))

    def precondition(vector: Array) -> Array:
        solved = solve(vector)
        return xp.where(xp.isfinite(solved), solved, vector / diagonal)

    return precondition
