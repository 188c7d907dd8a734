"""Hessian surrogates: smaller objectives whose Hessian approximates that of F."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Hessian, Objective
from xlr.solvers.steps import damping_scale

# Minimum number of rows per feature: with fewer, the curvature of a class is noise.
ROWS_PER_FEATURE = 4

# Minimum damping of an estimate: a step is at most a million times the gradient.
MIN_DAMPING = 1e-6

# Curvature of active parameters, as a multiple of their own: their steps vanish.
ACTIVE_CURVATURE = 1e30


class Surrogate(NamedTuple):
    """An objective whose Hessian replaces that of the current objective.

    Attributes
    ----------
    objective : Objective
    model_of : ndarray of shape (n_models,) or None
        Model of the surrogate for each current model; None if they are the same.
    """

    objective: Objective
    model_of: np.ndarray | None = None

    @classmethod
    def shared(cls, objective: Objective, surrogate: Surrogate | None) -> Surrogate:
        """Return the surrogate if models share it, else the objective as its own."""
        if surrogate is not None and surrogate.model_of is not None:
            return surrogate
        return cls(objective)

    def hessian(self, parameters: Array, derivative: Callable[..., Any]) -> Any:
        """Return ``derivative`` of the surrogate, for each current model.

        Models that share a surrogate use the parameters of the first of them.
        """
        if self.model_of is None:
            return derivative(self.objective, parameters)
        _, first = np.unique(self.model_of, return_index=True)
        shared = derivative(self.objective, arrays.take(parameters, first))
        return shared.select(self.model_of)

    def select(self, models: np.ndarray) -> Surrogate:
        """Return the surrogate of some models, by their indices on the host."""
        if self.model_of is None:
            return Surrogate(self.objective.select(models))
        kept, model_of = np.unique(self.model_of[models], return_inverse=True)
        return Surrogate(self.objective.select(kept), model_of)


def preconditioner(
    estimate: Hessian,
    damping: Array,
    gradient: Array,
    *,
    min_damping: float = MIN_DAMPING,
    free: Array | None = None,
) -> tuple[Callable[[Array], Array], Array]:
    """Return a function that solves with H + lambda D, and D, for an estimate of H.

    It solves with the diagonal if rounding errors make the estimate indefinite, as they
    do for similar columns.

    Parameters
    ----------
    estimate : Hessian
    damping : array of shape (n_models,)
    gradient : array of shape (n_models, n_parameters)
    min_damping : float
    free : array of shape (n_models, n_parameters), default=None
        1 for free parameters, 0 for active ones; None if all are free.
    """
    diagonal = estimate.diagonal
    xp = arrays.namespace(diagonal)
    damping = xp.maximum(damping, xp.full_like(damping, min_damping))
    scale = damping_scale(diagonal, gradient, xp=xp)
    added = damping[:, None] * scale
    if free is not None:
        added = added + ACTIVE_CURVATURE * (1 - free) * diagonal
    solve = estimate.solver(added)

    def precondition(vector: Array) -> Array:
        solved = solve(vector)
        return xp.where(xp.isfinite(solved), solved, vector / diagonal)

    return precondition, scale
