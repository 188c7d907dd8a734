"""Diagnostics: the numbers of an iteration that decide what comes next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.objective import Objective

__all__ = ["Diagnostics", "fetch"]


class Diagnostics(NamedTuple):
    """Numbers of an iteration on the host, an array of shape (n_models,) each.

    Attributes
    ----------
    value : ndarray
        F.
    optimality : ndarray
        Max-norm of the minimum-norm subgradient, in standardized units.
    step_norm : ndarray
        Largest change of a parameter in this iteration; 0 where the step was refused.
    damping : ndarray
        Of the next step; 0 without.
    """

    value: np.ndarray
    optimality: np.ndarray
    step_norm: np.ndarray
    damping: np.ndarray

    @classmethod
    def of(
        cls,
        objective: Objective,
        value: Array,
        subgradient: Array,
        *,
        change: Array | None = None,
    ) -> Diagnostics:
        """Bring the numbers of a point to the host, in one transfer."""
        xp, optimality = objective.xp, objective.optimality(subgradient)
        if change is None:
            norm = xp.zeros_like(value)
        else:
            norm = xp.max(xp.abs(change), axis=1)
        at, flatness, moved = fetch(value, optimality, norm, xp=xp)
        return cls(at, flatness, moved, np.zeros(objective.n_models))

    def select(self, models: np.ndarray) -> Diagnostics:
        """Return those of some models, by their numbers."""
        return Diagnostics(*(part[models] for part in self))

    def at_rest(self, done: np.ndarray) -> Diagnostics:
        """Return numbers with which the models that are done ask for nothing more.

        Their gradient is zero and their last step was accepted.
        """
        return Diagnostics(
            self.value,
            np.where(done, 0.0, self.optimality),
            np.where(done, 1.0, self.step_norm),
            np.where(done, 0.0, self.damping),
        )


def fetch(*numbers: Array, xp: Namespace) -> np.ndarray:
    """Bring arrays of shape (n_models,) to the host in float64, in one transfer."""
    fetched = arrays.to_host(xp.stack(numbers))
    return fetched.astype(np.float64, copy=False)
