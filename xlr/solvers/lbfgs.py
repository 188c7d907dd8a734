"""The limited-memory BFGS quasi-Newton method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers import quasi_newton
from xlr.solvers.diagnostics import Diagnostics
from xlr.solvers.loop import Start
from xlr.solvers.steps import better, is_acceptable, shortened
from xlr.solvers.surrogate import Surrogate, least_rows, preconditioner

__all__ = ["LBFGS"]


@dataclass(frozen=True)
class LBFGSState:
    parameters: Array
    at: Evaluation
    step_size: Array
    pairs: tuple[quasi_newton.Pair, ...]
    surrogate: Surrogate  # what the Hessian is estimated on
    product_cost: float  # of X
    solve: Callable[[Array], Array]  # with an estimate E of the Hessian
    scale: Array  # of E, from the curvature along the last step
    age: int
    diagnostics: Diagnostics

    def select(self, models: np.ndarray, objective: Objective) -> LBFGSState:
        state = replace(
            self,
            parameters=arrays.rows(self.parameters, models),
            at=self.at.select(models),
            step_size=arrays.rows(self.step_size, models),
            pairs=tuple(pair.select(models) for pair in self.pairs),
            surrogate=self.surrogate.select(models),
        )
        return state.with_new_estimate(objective)

    def with_new_estimate(self, objective: Objective) -> LBFGSState:
        estimate = self.surrogate.estimate(self.parameters, self.product_cost)
        undamped = objective.xp.zeros_like(self.at.value)
        solve = preconditioner(estimate, undamped, self.at.gradient)
        centred = objective.centred_over_classes
        ones = objective.xp.ones_like(self.at.value)
        state = replace(self, solve=lambda v: centred(solve(centred(v))), scale=ones)
        return state.with_scale_along(self.pairs[-1]) if self.pairs else state

    def with_scale_along(self, pair: quasi_newton.Pair) -> LBFGSState:
        """Return the state with scale y'E^-1 y / s'y, unless there is no pair."""
        xp = arrays.namespace(self.scale)
        scale = xp.sum(pair.change * self.solve(pair.change), axis=1) * pair.inverse
        return replace(self, scale=xp.where(pair.inverse > 0, scale, self.scale))


class LBFGS:
    r"""L-BFGS from an estimate of the Hessian.

    The direction is :math:`-B^{-1} g`, with B a quasi-Newton matrix built from the last
    steps s and changes y of the gradient, starting at a multiple of the part of the
    Hessian that belongs to each class alone (on a sample where the rows are many) or of
    its diagonal. As a fit grows confident, curvature moves to the few rows that are
    still uncertain: the estimate is renewed every few iterations. A refused step is
    shortened and tried again, so that each iteration is one pass over the rows.

    Parameters
    ----------
    seed : int, default=0
        Draws the sample for the estimate.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithms 7.4 and 7.5.
    """

    standardized = True
    patience = 30
    memory = 20
    renewal = 8  # iterations between two estimates of the Hessian

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def least_sample(self, objective: Objective) -> float:
        """Return the rows that the curvature of a class on a sample needs."""
        return least_rows(objective)

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of the pairs and of the estimate."""
        pairs = self.memory * objective.n_parameters
        estimate = objective.n_outputs * objective.column_size**2
        return 8 * 3 * (pairs + estimate)

    def init(self, objective: Objective, start: Start) -> LBFGSState:
        xp, (parameters, at) = objective.xp, start[:2]
        surrogate = start.surrogate
        if surrogate is None or surrogate.of is None:
            surrogate = Surrogate(objective)
        state = LBFGSState(
            parameters=parameters,
            at=at,
            step_size=xp.ones_like(at.value),
            pairs=(),
            surrogate=surrogate.sampled(self.seed),
            product_cost=objective.data.product_cost,
            solve=lambda vector: vector,
            scale=xp.ones_like(at.value),
            age=0,
            diagnostics=Diagnostics.of(objective, *at),
        )
        return state.with_new_estimate(objective)

    def step(
        self, objective: Objective, state: LBFGSState, last: Diagnostics
    ) -> LBFGSState:
        xp, at = objective.xp, state.at
        if (last.step_norm == 0).all():  # the last pair says nothing
            state = replace(state, pairs=state.pairs[:-1])
        # 1. Every few iterations, a new estimate that the pairs correct.
        if state.age and state.age % self.renewal == 0:
            state = state.with_new_estimate(objective)
        # 2. Trial step, taken if F falls as far as its gradient promises.
        attempt = -state.step_size[:, None] * _solve(objective, state)
        trial = objective.value_and_gradient(state.parameters + attempt)
        accept = is_acceptable(objective, at, trial, attempt)
        change = xp.where(accept[:, None], attempt, xp.zeros_like(attempt))
        new = better(accept, trial, at, xp=xp)
        # 3. A shorter step after a refusal.
        step_size = state.step_size * shortened(at, trial, attempt, xp=xp)
        step_size = xp.where(accept, xp.ones_like(step_size), step_size)
        # 4. The pair of the step corrects the estimate.
        pair = quasi_newton.make_pair(change, new.gradient - at.gradient, xp=xp)
        return replace(
            state.with_scale_along(pair),
            parameters=state.parameters + change,
            at=new,
            step_size=step_size,
            pairs=(*state.pairs, pair)[-self.memory :],
            age=state.age + 1,
            diagnostics=Diagnostics.of(objective, *new, change=change),
        )

    def decrease(self, objective: Objective, state: LBFGSState) -> Array:
        """Return g'B^-1 g / 2."""
        step = _solve(objective, state)
        return 0.5 * objective.xp.sum(state.at.gradient * step, axis=1)


def _solve(objective: Objective, state: LBFGSState) -> Array:
    """Return B^-1 g."""
    return quasi_newton.solve(
        state.at.gradient,
        state.pairs,
        lambda vector: state.solve(vector) / state.scale[:, None],
        xp=objective.xp,
    )
