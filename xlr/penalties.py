"""Floor 2: penalties as functions of the coefficients.

A penalty is a small class; it sees the coefficients of shape
(n_models, n_outputs, n_features), never the intercepts.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace

__all__ = ["L2Penalty", "Penalty"]


class Penalty(Protocol):
    """What the objective needs from a penalty."""

    def value(self, coef: Array, *, xp: Namespace) -> Array: ...

    def gradient(self, coef: Array, *, xp: Namespace) -> Array: ...

    def curvature(self, coef: Array, *, xp: Namespace) -> Array: ...

    def select(self, models: np.ndarray) -> Penalty: ...


class L2Penalty:
    r"""Ridge penalty with a strength per feature.

    .. math:: \tfrac12 \sum_j \lambda_j w_j^2

    Parameters
    ----------
    strength : array of shape (n_models or 1, 1, n_features)
        The :math:`\lambda_j`; zeros leave the coefficients unpenalised. For the
        objective of this library, 1 / (C S scale_j^2).
    """

    def __init__(self, strength: Array) -> None:
        self.strength = strength

    def value(self, coef: Array, *, xp: Namespace) -> Array:
        """Penalty of each model, shape (n_models,)."""
        return 0.5 * xp.sum(self.strength * coef * coef, axis=(1, 2))

    def gradient(self, coef: Array, *, xp: Namespace) -> Array:
        """lambda w, of the shape of ``coef``."""
        return self.strength * coef

    def curvature(self, coef: Array, *, xp: Namespace) -> Array:
        """Diagonal of the Hessian, of the shape of ``coef``."""
        return self.strength + xp.zeros_like(coef)

    def select(self, models: np.ndarray) -> L2Penalty:
        """That of some models, by their numbers."""
        if self.strength.shape[0] == 1:
            return self
        return L2Penalty(arrays.rows(self.strength, models))
