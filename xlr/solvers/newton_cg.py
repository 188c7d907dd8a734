"""Newton's method by conjugate gradients, on products with the Hessian."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Hessian, Objective
from xlr.solvers.conjugate_gradients import conjugate_gradients
from xlr.solvers.loop import Start
from xlr.solvers.steps import (
    Diagnostics,
    damping_scale,
    sum_rounding,
    try_step,
)
from xlr.solvers.surrogate import ROWS_PER_FEATURE, Surrogate, preconditioner

# Passes that take as long as a whole Hessian may, in the place of an estimate.
FEW_PASSES = 4


class NewtonCGState(NamedTuple):
    parameters: Array
    at: Evaluation
    subgradient: Array  # of minimum norm
    surrogate: Surrogate  # what the preconditioner is computed on
    scale: Array  # D of the damping term
    precondition: Any  # a function; None before it is made
    is_fresh: bool  # whether the preconditioner is of the last iteration
    budget: int  # products of a solve
    forcing: float  # relative residual at which a solve is good enough
    first_optimality: float
    residual: np.ndarray  # relative, of the last solve
    left: np.ndarray  # predicted decrease by the next step
    diagnostics: Diagnostics

    def with_new_preconditioner(self, objective: Objective) -> NewtonCGState:
        gradient, given = self.at.gradient, dict[str, Any]()
        estimate: Hessian
        if _is_cheap(objective):
            exact = estimate = objective.hessian(self.parameters)
            free = _free_parameters(objective, self.parameters, self.subgradient)
            given = {"free": free, "least": exact.rounding}
        else:
            derivative = Objective.estimated_hessian
            estimate = self.surrogate.hessian(self.parameters, derivative)
        damping = objective.place(self.diagnostics.damping)
        return self._replace(
            scale=damping_scale(estimate.diagonal, gradient, xp=objective.xp),
            precondition=preconditioner(estimate, damping, gradient, **given),
            is_fresh=True,
        )


class NewtonCG:
    r"""Damped Newton method whose steps are found by conjugate gradients.

    :math:`(H + \lambda D) d = -g` is solved inexactly, with one pass over the rows for
    each product with H. The preconditioner is the part of H that belongs to each class
    alone, or its diagonal; it is kept while it
    serves. The number of products is planned from the last iteration, so that an
    iteration needs the host only at its end.

    With an L1 penalty or bounds, F is smooth within an orthant: g is the minimum-norm
    subgradient, parameters at a zero or bound that F keeps them at do not move, and the
    step is projected onto the orthant.

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
        """Return the rows that the curvature of a class on a sample needs."""
        return ROWS_PER_FEATURE * objective.column_size

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of the curvature of each row, and the preconditioner."""
        rows = objective.n_samples * objective.n_outputs
        return 8 * (rows + 3 * objective.n_outputs * objective.column_size**2)

    def init(self, objective: Objective, start: Start) -> NewtonCGState:
        parameters, at = start[:2]
        subgradient = objective.minimum_norm_subgradient(parameters, at.gradient)
        diagnostics = Diagnostics.of(objective, at.value, subgradient)
        state = NewtonCGState(
            parameters=parameters,
            at=at,
            subgradient=subgradient,
            surrogate=Surrogate.shared(objective, start.surrogate),
            scale=subgradient,
            precondition=None,
            is_fresh=True,
            budget=self.least_budget if start.is_close else self.first_budget,
            forcing=0.0 if start.is_close else 0.1,
            first_optimality=0.0,
            residual=np.zeros(objective.n_models),
            left=np.where(diagnostics.optimality > 0, math.inf, 0.0),
            diagnostics=diagnostics,
        )
        return state.with_new_preconditioner(objective)

    def step(self, objective: Objective, state: NewtonCGState) -> NewtonCGState:
        xp, w, last = objective.xp, state.parameters, state.diagnostics
        rounding = objective.rounding
        # 1. The products to spend, and a new preconditioner where the old one fails.
        state = self._planned(objective, state)
        # 2. Newton step by conjugate gradients, projected onto the orthant.
        gradient = state.subgradient
        free = _free_parameters(objective, w, gradient)
        change, residual = _newton_step(objective, state, free)
        target = _project_onto_orthant(objective, w, gradient, w + change)
        if free is not None:
            # Of nearly collinear columns one stops at zero, and the step of the others
            # depends on it: without this second solve, some fits do not end.
            inside = free * xp.astype(target == w + change, w.dtype)
            change, residual = _newton_step(objective, state, inside, target - w)
            target = _project_onto_orthant(objective, w, gradient, w + change)
        # A shift of all classes instead, where that lowers F by more.
        shifted, gain = _gain_of_shift(objective, w)
        if gain is not None:
            is_better = gain > objective.place(state.left)
            target = xp.where(is_better[:, None], shifted, target)
        change = target - w
        # 3. Trial step, taken if F falls as far as its gradient promises. Without
        # curvature, undamped conjugate gradients do not set out.
        damped = xp.vecdot(state.scale * change, change)
        trial = try_step(objective, gradient, target, change, residual, damped)
        residual, damped = trial.more
        accept = trial.is_acceptable(last, rounding) & (trial.step_norm > 0)
        # 4. Damping, from the decrease of F and of its quadratic model.
        predicted = 0.5 * (last.damping * damped - trial.slope_before)
        fell = last.value - trial.value
        # The next decrease is the share of this one that the solve and the model left,
        # as far as the rounding of F can separate them.
        wrong = np.maximum(abs(predicted - fell) - sum_rounding(last, rounding), 0.0)
        error = residual + wrong / predicted
        left = np.where(predicted > 0, predicted, 0.0)
        left = np.where(accept, left * error * error, left)
        new = trial.taken(accept, state, gradient, objective, predicted)
        return state._replace(**new._asdict(), residual=residual, left=left)

    def decrease(self, objective: Objective, state: NewtonCGState) -> np.ndarray:
        """Return g'M^-1 g / 2, or what the last solve and its model left if it is more.

        M is the Hessian in the free parameters, or an estimate of it: nearly collinear
        columns have gradients that are small for the decrease that they stand for.
        """
        xp, last = objective.xp, state.diagnostics
        # What moves changes with each step along an L1 penalty and bounds.
        changes = not state.is_fresh or objective.non_smooth is not None
        changes = changes or bool(last.damping.any())
        if state.precondition is None or (_is_cheap(objective) and changes):
            undamped = last._replace(damping=np.zeros_like(last.damping))
            state = state._replace(diagnostics=undamped)
            state = state.with_new_preconditioner(objective)
        free = _free_parameters(objective, state.parameters, state.subgradient)
        gradient = _restricted(objective, state.subgradient, free)
        product = xp.vecdot(gradient, state.precondition(gradient)) / 2
        shift = _gain_of_shift(objective, state.parameters)[1]
        if shift is not None:
            product = product + shift
        return np.fmax(state.left, arrays.to_host(product))

    def _planned(self, objective: Objective, state: NewtonCGState) -> NewtonCGState:
        """Return the state with the number of products, or a new preconditioner.

        With a relative residual of sqrt(|g| / |g_0|) the outer iterations converge
        faster than linearly (Eisenstat and Walker). A tenth is enough while they are
        far out; beyond a hundredth the products are better spent on a new Hessian.
        """
        last = state.diagnostics
        optimality, residual = float(last.optimality.max()), float(state.residual.max())
        is_first = state.first_optimality == 0
        first_optimality = max(state.first_optimality, optimality)
        state = state._replace(first_optimality=first_optimality)
        if is_first:  # models that ended at the start left without a preconditioner
            is_lost = state.precondition is None
            return state.with_new_preconditioner(objective) if is_lost else state
        forcing = min(0.1, max(0.01, (optimality / first_optimality) ** 0.5))
        budget = 2 * state.budget
        if 0 <= residual < 1:
            # Residuals fall by about the same factor with each product.
            products = math.log(forcing) / math.log(max(residual, 1e-9))
            budget = min(budget, math.ceil(products * state.budget))
        budget = max(self.least_budget, min(budget, 2 * objective.n_parameters))
        failed = (residual > forcing and not state.is_fresh) or (
            last.step_norm == 0
        ).any()
        # What moves changes with each step along an L1 penalty and bounds.
        changes = objective.non_smooth is not None and _is_cheap(objective)
        if failed or state.precondition is None or changes:
            return state.with_new_preconditioner(objective)
        return state._replace(budget=budget, forcing=forcing, is_fresh=False)


def _is_cheap(objective: Objective) -> bool:
    """Return whether the whole Hessian takes no more time than a few passes."""
    return objective.hessian_cost <= FEW_PASSES


def _newton_step(
    objective: Objective,
    state: NewtonCGState,
    free: Array | None,
    change: Array | None = None,
) -> tuple[Array, Array]:
    """Return d of (H + lambda D) d = -g in the free parameters, and its residual.

    It begins at the given change, which the other parameters keep.
    """
    product = objective.hessian_operator(state.parameters)
    ridge = objective.place(state.diagnostics.damping)[:, None] * state.scale

    def restrict(vector: Array) -> Array:
        return _restricted(objective, vector, free)

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


def _restricted(objective: Objective, vector: Array, free: Array | None) -> Array:
    """Return the vector without what does not move and what changes no probability."""
    vector = objective.centred_over_classes(vector, free)
    return vector if free is None else vector * free


def _gain_of_shift(
    objective: Objective, parameters: Array
) -> tuple[Array, Array | None]:
    """Return the parameters with their median over the classes at zero, and the gain.

    Along the null space of the softmax an L1 penalty has no curvature, and Newton's
    method no step. The gain is that in F; None where there is no such penalty.
    """
    shifted = objective.shifted_over_classes(parameters)
    if shifted is parameters:
        return parameters, None
    before, after = (
        objective.penalty.value(objective.by_class(each), xp=objective.xp)
        for each in (parameters, shifted)
    )
    return shifted, before - after


def _free_parameters(
    objective: Objective, parameters: Array, subgradient: Array
) -> Array | None:
    """Return 1 for the parameters that move, 0 for those at a zero or bound they keep.

    None without an L1 penalty and bounds.

    Parameters
    ----------
    objective : Objective
    parameters : array of shape (n_models, n_parameters)
    subgradient : array of shape (n_models, n_parameters)
        Of minimum norm there.
    """
    penalty = objective.non_smooth
    if penalty is None:
        return None
    held = (penalty.l1 > 0) & (parameters == 0)
    held = held | (parameters <= penalty.lower) | (parameters >= penalty.upper)
    return objective.xp.astype((subgradient != 0) | ~held, parameters.dtype)


def _project_onto_orthant(
    objective: Objective, parameters: Array, subgradient: Array, target: Array
) -> Array:
    """Return the target, with no parameter beyond zero (L1 penalty) or its bound.

    A parameter at zero moves to the side on which F falls, or not at all.

    Parameters
    ----------
    objective : Objective
    parameters, target : array of shape (n_models, n_parameters)
    subgradient : array of shape (n_models, n_parameters)
        Of minimum norm at the parameters.
    """
    xp, penalty = objective.xp, objective.non_smooth
    if penalty is None:
        return target
    side = xp.where(parameters == 0, -subgradient, parameters)
    crosses = (penalty.l1 > 0) & (target * side <= 0)
    return penalty.project(xp.where(crosses, xp.zeros_like(target), target), xp=xp)
