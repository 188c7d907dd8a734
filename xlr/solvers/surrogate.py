"""Hessian surrogates: smaller objectives whose Hessian approximates that of F."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Hessian, Objective
from xlr.solvers.steps import damping_scale

H = TypeVar("H", bound=Hessian)

# Rows per feature, below which the curvature of a class is noise.
ROWS_PER_FEATURE = 4

# Minimum damping of an estimate: a step is at most a million times the gradient.
LEAST_DAMPING = 1e-6

# Curvature of parameters that do not move, as a multiple of their own.
HELD = 1e30


@dataclass(frozen=True)
class Surrogate:
    """An objective whose Hessian replaces that of the current objective.

    Attributes
    ----------
    objective : Objective
    of : ndarray of shape (n_models,) or None
        Model of the surrogate for each current model; None if they are the same.
    """

    objective: Objective
    of: np.ndarray | None = None

    @classmethod
    def shared(cls, objective: Objective, given: Surrogate | None) -> Surrogate:
        """Return the given surrogate if models share it, else the objective itself."""
        if given is not None and given.of is not None:
            return given
        return cls(objective)

    def hessian(
        self, parameters: Array, derivative: Callable[[Objective, Array], H]
    ) -> H:
        """Return ``derivative`` of the surrogate, for each current model.

        Models that share a surrogate use the parameters of the first of them.
        """
        if self.of is None:
            return derivative(self.objective, parameters)
        _, first = np.unique(self.of, return_index=True)
        shared = derivative(self.objective, arrays.rows(parameters, first))
        return shared.select(self.of)

    def select(self, models: np.ndarray) -> Surrogate:
        """Return the surrogate of some models, by their indices on the host."""
        if self.of is None:
            return Surrogate(self.objective.select(models))
        kept, of = np.unique(self.of[models], return_inverse=True)
        return Surrogate(self.objective.select(kept), of)


def preconditioner(
    estimate: Hessian,
    damping: Array,
    gradient: Array,
    *,
    least: float = LEAST_DAMPING,
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
    least : float
        Minimum damping.
    free : array of shape (n_models, n_parameters), default=None
        0 for parameters that do not move.
    """
    diagonal = estimate.diagonal
    xp = arrays.namespace(diagonal)
    damping = xp.maximum(damping, xp.full_like(damping, least))
    scale = damping_scale(diagonal, gradient, xp=xp)
    added = damping[:, None] * scale
    if free is not None:
        added = added + HELD * (1 - free) * diagonal
    solve = estimate.solver(added)

    def precondition(vector: Array) -> Array:
        solved = solve(vector)
        return xp.where(xp.isfinite(solved), solved, vector / diagonal)

    return precondition, scale
