"""The features that a solve is on: a copy of their columns, and their Hessian."""

from __future__ import annotations

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Objective
from xlr.solvers.quadratic import Quadratic

__all__ = ["Columns"]

# Features up to which all are in play.
FEW = 64

# Share of the features beyond which a copy of those in play is not worth it.
MOST = 0.75


class Columns:
    """A copy of the columns in play, which serves while no other is asked for.

    Attributes
    ----------
    held : list of Quadratic
        The Hessian of their coefficients for each model, which serves as long; empty
        until it is filled.
    """

    def __init__(self) -> None:
        self._copied = np.zeros(0, dtype=bool)
        self._part: Objective | None = None
        self._features: Array = None
        self.held: list[Quadratic] = []

    def of(
        self, objective: Objective, in_play: np.ndarray, beside: np.ndarray
    ) -> tuple[Array | None, Objective]:
        """The numbers of the features to solve on, and F for them.

        Parameters
        ----------
        objective : Objective
            The same as before but for its penalty.
        in_play : ndarray of bool, of shape (n_features,)
        beside : ndarray of int
            Features that come along where a copy is made.

        Returns
        -------
        features : array of int or None
            Sorted; they hold those in play. None for all.
        part : Objective
        """
        if in_play.shape[0] <= FEW or in_play.mean() > MOST:
            wanted = np.ones_like(in_play)
        else:
            wanted = in_play.copy()
            wanted[beside] = True
        if self._part is None or (in_play & ~self._copied).any():
            self._copied, self.held = wanted, []
            self._features, self._part = None, objective
            if not wanted.all():
                self._features = arrays.move(
                    np.nonzero(wanted)[0], xp=objective.xp, device=objective.device
                )
                self._part = objective.of_features(self._features)
        if self._features is None:
            return None, objective
        penalty = objective.penalty.of_features(self._features, xp=objective.xp)
        return self._features, self._part.with_penalty(penalty)
