"""The limited-memory BFGS quasi-Newton method."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers import quasi_newton
from xlr.solvers.loop import report
from xlr.solvers.reference import Reference, least_rows, preconditioner
from xlr.solvers.starts import find_start
from xlr.solvers.steps import better, is_acceptable, shorter, take

__all__ = ["LBFGS"]


@dataclass(frozen=True)
class LBFGSState:
    parameters: Array
    at: Evaluation
    length: Array
    pairs: tuple[quasi_newton.Pair, ...]
    reference: Reference  # what the Hessian is estimated on
    product_cost: float  # of X
    estimate: Callable[[Array], Array]  # solves with an estimate of the Hessian
    scale: Array  # by how much it falls short of the curvature along the last step
    age: int
    report: Array

    def select(self, models: np.ndarray, objective: Objective) -> LBFGSState:
        state = replace(
            self,
            parameters=arrays.rows(self.parameters, models),
            at=self.at.select(models),
            length=arrays.rows(self.length, models),
            pairs=tuple(pair.select(models) for pair in self.pairs),
            reference=self.reference.select(models),
        )
        return state.with_new_estimate(objective)

    def with_new_estimate(self, objective: Objective) -> LBFGSState:
        estimate = self.reference.estimate(self.parameters, self.product_cost)
        undamped = objective.xp.zeros_like(self.at.value)
        solve = preconditioner(estimate, undamped, self.at.gradient)

        def symmetric(vector: Array) -> Array:
            return objective.symmetric(solve(objective.symmetric(vector)))

        ones = objective.xp.ones_like(self.at.value)
        state = replace(self, estimate=symmetric, scale=ones)
        return state.with_scale_along(self.pairs[-1]) if self.pairs else state

    def with_scale_along(self, pair: quasi_newton.Pair) -> LBFGSState:
        """With y'E^-1 y / s'y for the estimate E; as it was where there is no pair."""
        xp = arrays.namespace(self.scale)
        scale = xp.sum(pair.slope * self.estimate(pair.slope), axis=1) * pair.inverse
        return replace(self, scale=xp.where(pair.inverse > 0, scale, self.scale))


class LBFGS:
    r"""L-BFGS from an estimate of the Hessian.

    The direction is :math:`-B^{-1} g`, with B a quasi-Newton matrix built from the
    last changes s of the parameters and y of the gradient, starting at a multiple of
    the part of the Hessian that belongs to each class alone, on a sample of the rows
    where they are many, or of its diagonal.  That is looked up anew every so often: as
    a fit grows confident, curvature moves to the few rows still in doubt.  A refused
    step is shortened and tried again, so that each iteration is one pass over the rows.

    Parameters
    ----------
    seed : int or None, default=None
        Draws the rows of samples to begin on; None begins where it is told to.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithms 7.4 and 7.5.
    """

    standardised = True
    enough_columns = math.inf
    patience = 30
    memory = 20
    renewal = 8  # iterations between two estimates of the Hessian

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    @property
    def finds_start(self) -> bool:
        return self.seed is not None

    def model_bytes(self, objective: Objective) -> int:
        """The steps and gradients that it remembers; the estimate."""
        pairs = self.memory * objective.n_parameters
        return 8 * 3 * (pairs + objective.estimate_size)

    def init(self, objective: Objective, start: Array) -> LBFGSState:
        begun = find_start(self, objective, start, least_rows(objective), self.seed)
        ones = objective.xp.ones_like(begun.at.value)
        state = LBFGSState(
            parameters=begun.parameters,
            at=begun.at,
            length=ones,
            pairs=(),
            reference=begun.to_look_at(objective, self.seed),
            product_cost=objective.design.product_cost,
            estimate=lambda vector: vector,
            scale=ones,
            age=0,
            report=report(objective, begun.at),
        )
        return state.with_new_estimate(objective)

    def step(
        self, objective: Objective, state: LBFGSState, fetched: np.ndarray
    ) -> LBFGSState:
        xp, at, pairs = objective.xp, state.at, state.pairs
        if pairs and not fetched[2].any():
            pairs = pairs[:-1]  # every model refused its step: nothing was learnt
        pairs = pairs[-self.memory :]
        if state.age and state.age % self.renewal == 0:
            state = state.with_new_estimate(objective)

        direction = -quasi_newton.solve(
            at.gradient,
            pairs,
            lambda vector: state.estimate(vector) / state.scale[:, None],
            xp=xp,
        )
        attempt = state.length[:, None] * direction
        trial = objective.value_and_gradient(state.parameters + attempt)
        accept = is_acceptable(objective, at, trial, attempt)

        change = take(accept, attempt, xp.zeros_like(attempt), xp=xp)
        new = better(accept, trial, at, xp=xp)
        length = state.length * shorter(at, trial, attempt, xp=xp)
        length = take(accept, xp.ones_like(length), length, xp=xp)

        pair = quasi_newton.make_pair(change, new.gradient - at.gradient, xp=xp)
        return replace(
            state.with_scale_along(pair),
            parameters=state.parameters + change,
            at=new,
            length=length,
            pairs=(*pairs, pair),
            age=state.age + 1,
            report=report(objective, new, change),
        )
