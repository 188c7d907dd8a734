"""The limited-memory BFGS quasi-Newton method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import report
from xlr.solvers.steps import better, is_acceptable, shorter, take

__all__ = ["LBFGS"]


@dataclass(frozen=True)
class LBFGSState:
    """Each pair is s and y, of shape (n_models, n_parameters), and 1 / s'y."""

    parameters: Array
    at: Evaluation
    length: Array
    pairs: tuple[tuple[Array, Array, Array], ...]
    diagonal: Array
    report: Array


class LBFGS:
    r"""L-BFGS from a diagonal estimate of the Hessian.

    The direction is :math:`-B^{-1} g`, with B a quasi-Newton matrix built from the
    last changes s of the parameters and y of the gradient, starting at a multiple
    of the diagonal of the Hessian at zero.  A refused step is shortened and tried
    again, so that each iteration is one pass over the rows.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithms 7.4 and 7.5.
    """

    standardised = True
    patience = 30
    memory = 20

    def init(self, objective: Objective, start: Array) -> LBFGSState:
        at = objective.value_and_gradient(start)
        length = objective.xp.ones_like(at.value)
        numbers = report(objective, at)
        return LBFGSState(start, at, length, (), objective.diagonal(), numbers)

    def step(
        self, objective: Objective, state: LBFGSState, fetched: np.ndarray
    ) -> LBFGSState:
        xp, at, pairs = objective.xp, state.at, state.pairs
        if pairs and not fetched[2].any():
            pairs = pairs[:-1]  # every model refused its step: nothing was learnt
        pairs = pairs[-self.memory :]

        direction = -self._solve(at.gradient, pairs, state.diagonal, xp)
        attempt = state.length[:, None] * direction
        trial = objective.value_and_gradient(state.parameters + attempt)
        accept = is_acceptable(objective, at, trial, attempt)

        change = take(accept, attempt, xp.zeros_like(attempt), xp=xp)
        new = better(accept, trial, at, xp=xp)
        length = state.length * shorter(at, trial, attempt, xp=xp)
        length = take(accept, xp.ones_like(length), length, xp=xp)

        # A refused model adds the pair (0, 0, 0), which changes nothing.
        y = new.gradient - at.gradient
        sy = xp.sum(change * y, axis=1)
        pair = (change, y, xp.where(sy > 0, 1 / sy, xp.zeros_like(sy)))
        diagonal = take(sy > 0, self._rescaled(state.diagonal, sy, y, xp), state.diagonal, xp=xp)
        numbers = report(objective, new, change)
        return LBFGSState(
            state.parameters + change, new, length, (*pairs, pair), diagonal, numbers
        )

    @staticmethod
    def _rescaled(diagonal: Array, sy: Array, y: Array, xp) -> Array:
        """The diagonal times y'D^-1 y / s'y, its curvature along the last step."""
        return diagonal * (xp.sum(y * y / diagonal, axis=1) / sy)[:, None]

    @staticmethod
    def _solve(gradient: Array, pairs, diagonal: Array, xp) -> Array:
        """B^-1 g by the two-loop recursion."""
        q = gradient
        weights = []
        for s, y, inverse_sy in reversed(pairs):
            weight = inverse_sy * xp.sum(s * q, axis=1)
            weights.append(weight)
            q = q - weight[:, None] * y
        r = q / diagonal
        for (s, y, inverse_sy), weight in zip(pairs, reversed(weights)):
            r = r + s * (weight - inverse_sy * xp.sum(y * r, axis=1))[:, None]
        return r
