"""The limited-memory BFGS quasi-Newton method."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import DiagonalHessian, Evaluation, Objective
from xlr.solvers import quasi_newton
from xlr.solvers.loop import report
from xlr.solvers.steps import better, is_acceptable, shorter, take

__all__ = ["LBFGS"]


@dataclass(frozen=True)
class LBFGSState:
    parameters: Array
    at: Evaluation
    length: Array
    pairs: tuple[quasi_newton.Pair, ...]
    diagonal: Array
    age: int
    report: Array

    def select(self, models: np.ndarray, objective: Objective) -> LBFGSState:
        return LBFGSState(
            parameters=arrays.rows(self.parameters, models),
            at=self.at.select(models),
            length=arrays.rows(self.length, models),
            pairs=tuple(pair.select(models) for pair in self.pairs),
            diagonal=arrays.rows(self.diagonal, models),
            age=self.age,
            report=self.report,
        )


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
    enough_columns = math.inf
    finds_start = False
    patience = 30
    memory = 20
    renewal = 50  # iterations between two looks at the diagonal of the Hessian

    def model_bytes(self, objective: Objective) -> int:
        """The steps and gradients that it remembers."""
        return 8 * 3 * self.memory * objective.n_parameters

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

        direction = -quasi_newton.solve(
            at.gradient, pairs, lambda vector: vector / diagonal, xp=xp
        )
        attempt = state.length[:, None] * direction
        trial = objective.value_and_gradient(state.parameters + attempt)
        accept = is_acceptable(objective, at, trial, attempt)

        change = take(accept, attempt, xp.zeros_like(attempt), xp=xp)
        new = better(accept, trial, at, xp=xp)
        length = state.length * shorter(at, trial, attempt, xp=xp)
        length = take(accept, xp.ones_like(length), length, xp=xp)

        pair = quasi_newton.make_pair(change, new.gradient - at.gradient, xp=xp)
        # y'D^-1 y / s'y: how far D falls short of the curvature along the last step.
        ratio = xp.sum(pair.slope * pair.slope / diagonal, axis=1) * pair.inverse
        ratio = xp.where(pair.inverse > 0, ratio, xp.ones_like(ratio))
        diagonal = diagonal * ratio[:, None]
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
        diagonal = objective.hessian_diagonal(parameters)
        return DiagonalHessian(diagonal, xp=objective.xp).diagonal
