"""A smaller problem that is like the one at hand, to look at second derivatives on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Hessian, Objective
from xlr.solvers.steps import to_be_damped

__all__ = ["Reference", "least_rows", "preconditioner"]

H = TypeVar("H", bound=Hessian)

# The least rows for each feature that tell a curvature from noise, and products with X
# that an estimate from more rows than that may cost.
ROWS_PER_FEATURE = 4
WORTH = 12

# Damping of an estimate, at the least: no step is a million times as long as the slope
# makes sense of.
LEAST_DAMPING = 1e-6


@dataclass(frozen=True)
class Reference:
    """A smaller objective, whose Hessian is like that of the one at hand.

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
        """What ``derivative`` makes of the objective, for each model at hand.

        Where several share a model of the reference, at the parameters of the first.
        """
        if self.of is None:
            return derivative(self.objective, parameters)
        _, first = np.unique(self.of, return_index=True)
        shared = derivative(self.objective, arrays.rows(parameters, first))
        return shared.select(self.of)

    def estimate(self, parameters: Array, product_cost: float) -> Hessian:
        """What is cheap beside tens of products with an X of that cost."""
        return self.hessian(
            parameters,
            lambda smaller, at: smaller.curvature_estimate(at, product_cost),
        )

    def select(self, models: np.ndarray) -> Reference:
        """That of some models, by their numbers on the host."""
        if self.of is None:
            return Reference(self.objective.select(models))
        kept, of = np.unique(self.of[models], return_inverse=True)
        return Reference(self.objective.select(kept), of)

    def sampled(self, seed: int | None) -> Reference:
        """The same on a sample of the rows, where they are many and drawing some pays.

        Begun on few; on more while they cost no more than a few products with X.
        """
        whole = self.objective
        least = least_rows(whole)
        most = min(whole.n_samples // 2, whole.n_drawable)
        if not whole.is_large or most <= least:
            return self
        size = int(WORTH * whole.design.product_cost / whole.design.gram_cost)
        size = min(max(least, size), 4 * least, most)
        return Reference(whole.sample(size, seed or 0), self.of)


def preconditioner(
    estimate: Hessian, damping: Array, slope: Array
) -> Callable[[Array], Array]:
    """What solves with an estimate of the Hessian: see :meth:`Hessian.solver`.

    With its diagonal for the models for which rounding errors make the estimate
    indefinite: where columns are alike and collinear, their errors are the same.
    """
    diagonal = estimate.diagonal
    xp = arrays.namespace(diagonal)
    damping = xp.maximum(damping, xp.full_like(damping, LEAST_DAMPING))
    solve = estimate.solver(damping, to_be_damped(diagonal, slope))

    def precondition(vector: Array) -> Array:
        solved = solve(vector)
        return xp.where(xp.isfinite(solved), solved, vector / diagonal)

    return precondition


def least_rows(objective: Objective) -> int:
    """Rows without which the curvature of one class on a sample is only noise."""
    return ROWS_PER_FEATURE * objective.column_size
