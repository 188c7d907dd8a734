"""Newton's method by conjugate gradients, with Hessian-vector products."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Hessian, Objective
from xlr.solvers import orthant
from xlr.solvers.conjugate_gradients import conjugate_gradients, plan_products
from xlr.solvers.loop import Start
from xlr.solvers.steps import Diagnostics, sum_rounding, try_step
from xlr.solvers.surrogate import ROWS_PER_FEATURE, Surrogate, preconditioner

# Below this share of the first gradient, Newton's method converges fast. If an
# iteration there leaves more than SLOW of the gradient, float32 does not resolve H.
LOCAL = 0.01
SLOW = 0.9


class NewtonCGState(NamedTuple):
    parameters: Array
    at: Evaluation
    subgradient: Array  # minimum-norm subgradient
    surrogate: Surrogate  # the objective of the preconditioner
    multiplier: Objective | None  # the objective of Hessian products; None for F
    scale: Array  # D of the damping term
    precondition: Any  # a function; None before the first
    is_fresh: bool  # whether the last iteration made the preconditioner
    budget: int  # number of products of a solve
    forcing: float  # target for the relative residual of a solve
    first: float  # largest optimality so far
    before: float  # the optimality one iteration ago
    residual: np.ndarray  # relative residual of the last solve
    left: np.ndarray  # predicted decrease of the next step
    diagnostics: Diagnostics

    def with_preconditioner(self, objective: Objective) -> NewtonCGState:
        gradient, w, given = self.at.gradient, self.parameters, dict[str, Any]()
        if objective.has_cheap_hessian:
            estimate: Hessian = objective.hessian(w)
            free = orthant.free_parameters(objective, w, self.subgradient)
            given = {"free": free, "least": objective.hessian_rounding}
        else:
            estimate = self.surrogate.hessian(w, Objective.estimated_hessian)
        damping = objective.place(self.diagnostics.damping)
        solve, scale = preconditioner(estimate, damping, gradient, **given)
        return self._replace(precondition=solve, scale=scale, is_fresh=True)


class NewtonCG:
    r"""Damped Newton method that finds its steps by conjugate gradients.

    It solves :math:`(H + \lambda D) d = -g` inexactly, with one pass over the rows for
    each product with H. The preconditioner holds the diagonal blocks of H, one per
    class, or the diagonal. It stays while it is good enough. The last iteration plans
    the number of products, so that an iteration needs the host only at its end.

    With an L1 penalty or bounds, F is smooth within an orthant. Then g is the
    minimum-norm subgradient, parameters that are optimal at zero or at a bound do not
    move, and the step is projected onto the orthant.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithms 5.3 and 7.1;
    Eisenstat and Walker (1996), *Choosing the forcing terms in an inexact Newton
    method*; Byrd, Chin, Nocedal and Oztoprak (2016), *A family of second-order methods
    for convex l1-regularized optimization*.
    """

    standardized = True
    patience = 8
    first_budget = 8
    least_budget = 3

    def least_sample(self, objective: Objective) -> float:
        """Return the minimum rows of a sample for the curvature of a class."""
        return ROWS_PER_FEATURE * objective.column_size

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of the curvature of all rows and of the preconditioner."""
        rows = objective.n_samples * objective.n_outputs
        return 8 * (rows + 3 * objective.n_outputs * objective.column_size**2)

    def init(self, objective: Objective, start: Start) -> NewtonCGState:
        parameters, at, multiplier = *start[:2], objective.in_float32()
        subgradient = objective.minimum_norm_subgradient(parameters, at.gradient)
        diagnostics = Diagnostics.of(objective, at.value, subgradient)
        state = NewtonCGState(
            parameters=parameters,
            at=at,
            subgradient=subgradient,
            surrogate=Surrogate.shared(multiplier, start.surrogate),
            multiplier=multiplier,
            scale=subgradient,
            precondition=None,
            is_fresh=True,
            budget=self.first_budget,
            forcing=0.1,
            first=0.0,
            before=0.0,
            residual=np.zeros(objective.n_models),
            left=np.where(diagnostics.optimality > 0, math.inf, 0.0),
            diagnostics=diagnostics,
        )
        return state.with_preconditioner(objective)

    def step(self, objective: Objective, state: NewtonCGState) -> NewtonCGState:
        w, gradient, last = state.parameters, state.subgradient, state.diagnostics
        xp, rounding = objective.xp, objective.rounding
        # 1. The number of products, and a new preconditioner if the old one fails.
        state = self._planned(objective, state)
        # 2. Newton step by conjugate gradients, projected onto the orthant.
        free = orthant.free_parameters(objective, w, gradient)
        change, residual = _newton_step(objective, state, free)
        target = orthant.project_onto_orthant(objective, w, gradient, w + change)
        if free is not None:
            # If one of several nearly collinear columns stops at zero, the step of the
            # others changes. Without this second solve, some fits do not converge.
            inside = free * xp.astype(target == w + change, w.dtype)
            change, residual = _newton_step(objective, state, inside, target - w)
            target = orthant.project_onto_orthant(objective, w, gradient, w + change)
        target = orthant.shifted_if_better(objective, w, target, state.left)
        change = target - w
        # 3. Trial step, accepted if F decreases sufficiently (Armijo).
        # Without damping, conjugate gradients take no step where curvature is zero.
        damped = xp.vecdot(state.scale * change, change)
        trial = try_step(objective, gradient, target, change, residual, damped)
        residual, damped = trial.more
        accept = trial.is_acceptable(last, rounding) & (trial.now.step_norm > 0)
        # 4. Damping, from the decrease of F and of its quadratic model.
        predicted = 0.5 * (last.damping * damped - trial.derivative_before)
        # The next decrease is a share of this one: from the residual of the solve, and
        # from the error of the model beyond the rounding of F.
        error = abs(predicted - (last.value - trial.now.value))
        error = np.maximum(error - sum_rounding(last, rounding), 0.0)
        error = residual + error / predicted
        left = np.where(predicted > 0, predicted, 0.0)
        left = np.where(accept, left * error * error, left)
        new = trial.taken(accept, state, gradient, objective, predicted)
        return state._replace(**new._asdict(), residual=residual, left=left)

    def decrease(self, objective: Objective, state: NewtonCGState) -> np.ndarray:
        """Return g'M^-1 g / 2, or the estimate of the last step if it is larger.

        M is the Hessian in the free parameters, or an estimate of it. Nearly collinear
        columns have gradients that are small compared with the decrease they allow.
        """
        xp, last, non_smooth = objective.xp, state.diagnostics, objective.non_smooth
        # The free parameters change with each step.
        changes = not state.is_fresh or non_smooth is not None or last.damping.any()
        if state.precondition is None or (objective.has_cheap_hessian and changes):
            undamped = last._replace(damping=np.zeros_like(last.damping))
            state = state._replace(diagnostics=undamped).with_preconditioner(objective)
        free = orthant.free_parameters(objective, state.parameters, state.subgradient)
        gradient = orthant.restricted(objective, free, state.subgradient)
        product = xp.vecdot(gradient, state.precondition(gradient)) / 2
        product = product + orthant.gain_of_shift(objective, state.parameters)[1]
        return np.fmax(state.left, arrays.to_host(product))

    def _planned(self, objective: Objective, state: NewtonCGState) -> NewtonCGState:
        """Return the state with the number of products, or a new preconditioner."""
        # The function is lost when models leave.
        last, is_lost = state.diagnostics, state.precondition is None
        optimality, residual = float(last.optimality.max()), float(state.residual.max())
        is_refused = bool((last.step_norm == 0).any())
        first, before = max(state.first, optimality), state.before
        state = state._replace(first=first, before=optimality)
        if before == 0:  # the first step
            return state.with_preconditioner(objective) if is_lost else state
        share = optimality / first
        if is_refused or (share < LOCAL and optimality > SLOW * before):
            state = state._replace(multiplier=None)
        budget, forcing = plan_products(share, residual, state.budget)
        budget = max(self.least_budget, min(budget, 2 * objective.n_parameters))
        fails = residual > forcing and not state.is_fresh
        # The free parameters change with each step.
        changes = objective.non_smooth is not None and objective.has_cheap_hessian
        if fails or changes or is_lost or is_refused:
            return state.with_preconditioner(objective)
        return state._replace(budget=budget, forcing=forcing, is_fresh=False)


def _newton_step(
    objective: Objective,
    state: NewtonCGState,
    free: Array | None,
    change: Array | None = None,
) -> tuple[Array, Array]:
    """Return d of (H + lambda D) d = -g in the free parameters, and its residual.

    The solve starts at the given change, which the other parameters keep.
    """
    product = (state.multiplier or objective).hessian_operator(state.parameters)
    ridge = objective.place(state.diagnostics.damping)[:, None] * state.scale
    restrict = partial(orthant.restricted, objective, free)
    gradient = state.subgradient
    if change is not None:
        gradient = gradient + product(change) + ridge * change
    found, residual = conjugate_gradients(
        lambda vector: restrict(product(vector) + ridge * vector),
        lambda vector: restrict(state.precondition(vector)),
        -restrict(gradient),
        n_products=state.budget,
        forcing=state.forcing,
        rounding=objective.rounding,
        xp=objective.xp,
    )
    return found if change is None else found + change, residual
