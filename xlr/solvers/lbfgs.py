"""The limited-memory BFGS quasi-Newton method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr.arrays import Array, Namespace
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import report
from xlr.solvers.steps import better, is_acceptable, positive, shorter, take

__all__ = ["LBFGS"]


# s and y, of shape (n_models, n_parameters), and 1 / s'y, of shape (n_models,).
Pair = tuple[Array, Array, Array]


@dataclass(frozen=True)
class LBFGSState:
    parameters: Array
    at: Evaluation
    length: Array
    pairs: tuple[Pair, ...]
    diagonal: Array
    age: int
    report: Array


class LBFGS:
    r"""L-BFGS from a diagonal estimate of the Hessian.

    The direction is :math:`-B^{-1} g`, with B a quasi-Newton matrix built from the
    last changes s of the parameters and y of the gradient, starting at a multiple
    of the diagonal of the Hessian, which is looked up anew every so often: as a fit
    grows confident, curvature moves to the few rows still in doubt.  A refused step
    is shortened and tried again, so that each iteration is one pass over the rows.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithms 7.4 and 7.5.
    """

    standardised = True
    patience = 30
    memory = 20
    renewal = 50  # iterations between two looks at the diagonal of the Hessian

    def init(self, objective: Objective, start: Array) -> LBFGSState:
        at = objective.value_and_gradient(start)
        length = objective.xp.ones_like(at.value)
        diagonal = self._diagonal(objective, start)
        return LBFGSState(start, at, length, (), diagonal, 0, report(objective, at))

    def step(
        self, objective: Objective, state: LBFGSState, fetched: np.ndarray
    ) -> LBFGSState:
        xp, at, pairs = objective.xp, state.at, state.pairs
        if pairs and not fetched[2].any():
            pairs = pairs[:-1]  # every model refused its step: nothing was learnt
        pairs = pairs[-self.memory :]

        diagonal, age = state.diagonal, state.age + 1
        if age % self.renewal == 0:
            diagonal = self._diagonal(objective, state.parameters)

        direction = -self._solve(at.gradient, pairs, diagonal, xp=xp)
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
        curved = sy > 0
        pair = (change, y, xp.where(curved, 1 / sy, xp.zeros_like(sy)))
        # y'D^-1 y / s'y: how far D falls short of the curvature along the last step.
        ratio = xp.sum(y * y / diagonal, axis=1) / sy
        diagonal = diagonal * xp.where(curved, ratio, xp.ones_like(ratio))[:, None]
        return LBFGSState(
            parameters=state.parameters + change,
            at=new,
            length=length,
            pairs=(*pairs, pair),
            diagonal=diagonal,
            age=age,
            report=report(objective, new, change),
        )

    @staticmethod
    def _diagonal(objective: Objective, parameters: Array) -> Array:
        """Diagonal of the Hessian, kept off zero: a constant column has none."""
        return positive(objective.hessian_diagonal(parameters), xp=objective.xp)

    @staticmethod
    def _solve(
        gradient: Array, pairs: tuple[Pair, ...], diagonal: Array, *, xp: Namespace
    ) -> Array:
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
