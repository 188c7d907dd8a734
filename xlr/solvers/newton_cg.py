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
from xlr.solvers.steps import Diagnostics, try_step
from xlr.solvers.surrogate import ROWS_PER_FEATURE, Surrogate, preconditioner

# Newton's method converges fast where the optimality is below this share of the largest
# one. If an iteration there reduces it by less than this factor, float32 does not
# resolve H.
LOCAL_SHARE = 0.01
SLOW_FACTOR = 0.9


class NewtonCGState(NamedTuple):
    parameters: Array
    at: Evaluation
    surrogate: Surrogate  # the objective of the preconditioner
    multiplier: Objective | None  # the objective of Hessian products; None for F
    scale: Array  # D of the damping term
    residual: np.ndarray  # relative residual of the last solve
    predicted: np.ndarray  # decrease of F by the next step
    diagnostics: Diagnostics
    precondition: Any = None  # a function; None if models were removed
    is_fresh: bool = True  # whether the last iteration made the preconditioner
    n_products: int = 8  # planned number of products of a solve
    forcing: float = 0.1  # target for the relative residual of a solve
    largest_optimality: float = 0.0  # of all iterations
    last_optimality: float = 0.0  # one iteration ago; zero before the first

    def with_preconditioner(
        self, objective: Objective, free: Array | None
    ) -> NewtonCGState:
        """Return the state with a new preconditioner.

        A cheap Hessian is restricted to the free parameters.
        """
        gradient, w, options = self.at.gradient, self.parameters, dict[str, Any]()
        if objective.has_cheap_hessian:
            estimate: Hessian = objective.hessian(w)
            options = {"free": free, "min_damping": objective.hessian_rounding}
        else:
            estimate = self.surrogate.hessian(w, Objective.estimated_hessian)
        damping = objective.place(self.diagnostics.damping)
        solve, scale = preconditioner(estimate, damping, gradient, **options)
        return self._replace(precondition=solve, scale=scale, is_fresh=True)


class NewtonCG:
    r"""Damped Newton method that finds its steps by conjugate gradients.

    It solves :math:`(H + \lambda D) d = -g` inexactly, with one pass over the rows for
    each product with H. The preconditioner holds the diagonal blocks of H, one per
    class, or the diagonal. It is kept while solves with it reach their residual. The
    last solve determines the number of products of the next, so that an iteration needs
    the host only at its end.

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
    patience = 8.0
    min_products = 3  # of a solve, after the first

    def min_sample_size(self, objective: Objective) -> float:
        """Return the minimum rows of a sample for the curvature of a class."""
        return ROWS_PER_FEATURE * objective.output_size

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of the curvature of all rows and of the preconditioner."""
        rows = objective.n_samples * objective.n_outputs
        return 8 * (rows + 3 * objective.n_outputs * objective.output_size**2)

    def init(self, objective: Objective, start: Start) -> NewtonCGState:
        parameters, at, multiplier = *start[:2], objective.in_float32()
        _, free = orthant.subgradient_and_free(objective, parameters, at.gradient)
        diagnostics = Diagnostics.of(objective, parameters, at)
        state = NewtonCGState(
            parameters=parameters,
            at=at,
            surrogate=Surrogate.shared(multiplier, start.surrogate),
            multiplier=multiplier,
            scale=at.gradient,
            residual=np.zeros(objective.n_models),
            predicted=np.where(diagnostics.optimality > 0, math.inf, 0.0),
            diagnostics=diagnostics,
        )
        return state.with_preconditioner(objective, free)

    def step(self, objective: Objective, state: NewtonCGState) -> NewtonCGState:
        w, last = state.parameters, state.diagnostics
        xp, rounding = objective.xp, objective.value_rounding
        gradient, free = orthant.subgradient_and_free(objective, w, state.at.gradient)
        # 1. The number of products, and a new preconditioner if the old one fails.
        state = self._with_planned_solve(objective, state, free)
        # 2. Newton step by conjugate gradients, projected onto the orthant.
        newton_step = partial(_newton_step, objective, state, gradient)
        change, residual = newton_step(free, None)
        target = orthant.project_onto_orthant(objective, w, gradient, w + change)
        if free is not None:
            # If one of several nearly collinear columns stops at zero, the step of the
            # others changes. Without this second solve, some fits do not converge.
            still_free = free * xp.astype(target == w + change, w.dtype)
            change, residual = newton_step(still_free, target - w)
            target = orthant.project_onto_orthant(objective, w, gradient, w + change)
        # Move along the null space of the softmax if F falls more there.
        shifted, shift_decrease = orthant.best_shift(objective, w)
        is_better = objective.place(state.predicted) < shift_decrease
        target = xp.where(is_better[:, None], shifted, target)
        change = target - w
        # 3. Trial step, accepted if F decreases sufficiently (Armijo).
        # Without damping, conjugate gradients take no step where curvature is zero.
        damped = xp.vecdot(state.scale * change, change)
        trial = try_step(objective, gradient, target, change, residual, damped)
        residual, damped = trial.scalars
        accept = trial.meets_armijo(last, rounding) & (trial.now.step_norm > 0)
        # 4. Damping, from the decrease of F and of its quadratic model.
        predicted = 0.5 * (last.damping * damped - trial.derivative_before)
        # 5. The next decrease is this one times the square of the relative error of the
        # step: the residual of the solve, and the error of the model beyond the
        # rounding of F.
        error = abs(predicted - (last.value - trial.now.value))
        error = np.maximum(error - rounding * abs(last.value), 0.0)
        error = residual + error / predicted
        decrease = np.where(predicted > 0, predicted, 0.0)
        decrease = np.where(accept, decrease * error * error, decrease)
        new = trial.taken(accept, state, objective, predicted)
        return new._replace(residual=residual, predicted=decrease)

    def decrease(self, objective: Objective, state: NewtonCGState) -> np.ndarray:
        """Return g'M^-1 g / 2, or the prediction of the last step if it is larger.

        M is the Hessian in the free parameters, or an estimate of it. Nearly collinear
        columns have gradients that are small compared with the decrease they allow.
        """
        w, last, xp = state.parameters, state.diagnostics, objective.xp
        gradient, free = orthant.subgradient_and_free(objective, w, state.at.gradient)
        # The free parameters change with each step.
        changes = not state.is_fresh or free is not None or last.damping.any()
        if state.precondition is None or (objective.has_cheap_hessian and changes):
            undamped = last._replace(damping=np.zeros_like(last.damping))
            state = state._replace(diagnostics=undamped)
            state = state.with_preconditioner(objective, free)
        gradient = orthant.restricted(objective, free, gradient)
        product = xp.vecdot(gradient, state.precondition(gradient)) / 2
        product = product + orthant.best_shift(objective, w)[1]
        return np.fmax(state.predicted, arrays.to_host(product))

    def _with_planned_solve(
        self, objective: Objective, state: NewtonCGState, free: Array | None
    ) -> NewtonCGState:
        """Return the state with the number of products, or a new preconditioner.

        The preconditioner is computed again if

        - models were removed, and their preconditioner with them,
        - the last step was rejected,
        - the last solve with an old preconditioner missed its residual, or
        - it depends on the free parameters, which change with each step.

        Products change from float32 to the dtype of X, for the remaining iterations, if
        a step was rejected or the local convergence is slow.
        """
        last, is_removed = state.diagnostics, state.precondition is None
        optimality, residual = float(last.optimality.max()), float(state.residual.max())
        is_rejected = bool((last.step_norm == 0).any())
        largest = max(state.largest_optimality, optimality)
        last_optimality = state.last_optimality
        state = state._replace(largest_optimality=largest, last_optimality=optimality)
        if last_optimality == 0:  # the first step
            return state.with_preconditioner(objective, free) if is_removed else state
        share = optimality / largest
        is_slow = share < LOCAL_SHARE and optimality > SLOW_FACTOR * last_optimality
        if is_rejected or is_slow:
            state = state._replace(multiplier=None)
        n_products, forcing = plan_products(share, residual, state.n_products)
        n_products = max(self.min_products, min(n_products, 2 * objective.n_parameters))
        fails = residual > forcing and not state.is_fresh
        is_restricted = objective.non_smooth is not None and objective.has_cheap_hessian
        if fails or is_restricted or is_removed or is_rejected:
            return state.with_preconditioner(objective, free)
        return state._replace(n_products=n_products, forcing=forcing, is_fresh=False)


def _newton_step(
    objective: Objective,
    state: NewtonCGState,
    gradient: Array,
    free: Array | None,
    change: Array | None,
) -> tuple[Array, Array]:
    """Return d of (H + lambda D) d = -g in the free parameters, and its residual.

    The solve starts at ``change``; None for zero. Parameters that are not free keep it.
    """
    product = (state.multiplier or objective).hessian_operator(state.parameters)
    ridge = objective.place(state.diagnostics.damping)[:, None] * state.scale
    restrict = partial(orthant.restricted, objective, free)
    if change is not None:
        gradient = gradient + product(change) + ridge * change
    correction, residual = conjugate_gradients(
        lambda vector: restrict(product(vector) + ridge * vector),
        lambda vector: restrict(state.precondition(vector)),
        -restrict(gradient),
        n_products=state.n_products,
        forcing=state.forcing,
        rounding=objective.rounding,
        xp=objective.xp,
    )
    return correction if change is None else correction + change, residual
