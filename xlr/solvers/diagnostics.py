"""Diagnostics: the numbers of an iteration, and their transfer to the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.objective import Objective

__all__ = ["Diagnostics"]


class Diagnostics(NamedTuple):
    """Numbers of an iteration, an array (n_models,) each, on the device or the host.

    Attributes
    ----------
    value : array
        F.
    optimality : array
        Max-norm of the minimum-norm subgradient, in standardized units.
    step_norm : array
        Largest change of a parameter in this iteration; 0 where the step was refused.
    damping : array
        Of the next step; 0 without.
    residual : array
        Relative residual of the linear system that gave the step; 0 where it is exact.
    """

    value: Any
    optimality: Any
    step_norm: Any
    damping: Any
    residual: Any

    @classmethod
    def of(
        cls,
        objective: Objective,
        value: Array,
        subgradient: Array,
        *,
        change: Array | None = None,
        damping: Array | None = None,
        residual: Array | None = None,
    ) -> Diagnostics:
        """Return the numbers at a point, on the device."""
        xp = objective.xp
        zeros = xp.zeros_like(value)
        return cls(
            value,
            objective.optimality(subgradient),
            zeros if change is None else xp.max(xp.abs(change), axis=1),
            zeros if damping is None else damping,
            zeros if residual is None else residual,
        )

    def to_host(self, *, xp: Namespace) -> Diagnostics:
        """Copy the numbers to the host, in one transfer."""
        fetched = arrays.to_host(xp.stack(self))
        return Diagnostics(*fetched.astype(np.float64, copy=False))

    def select(self, models: np.ndarray) -> Diagnostics:
        """Return those of some models, by their numbers on the host."""
        return Diagnostics(*(arrays.rows(part, models) for part in self))

    def at_rest(self, done: np.ndarray) -> Diagnostics:
        """Return numbers with which the models that are done ask for nothing more.

        Their gradient is zero and their last step was accepted.
        """
        return self._replace(
            optimality=np.where(done, 0.0, self.optimality),
            step_norm=np.where(done, 1.0, self.step_norm),
            damping=np.where(done, 0.0, self.damping),
            residual=np.where(done, 0.0, self.residual),
        )
