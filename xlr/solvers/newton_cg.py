"""Newton's method by conjugate gradients, on products with the Hessian."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.diagnostics import Diagnostics
from xlr.solvers.loop import Start
from xlr.solvers.orthant import free_parameters, project_onto_orthant
from xlr.solvers.steps import better, damping_scale, is_acceptable, next_damping
from xlr.solvers.surrogate import Surrogate, least_rows, preconditioner

__all__ = ["NewtonCG"]

# Factor on the planned products of a solve that may end when its residual is small.
MORE_ON_HOST = 4


@dataclass(frozen=True)
class NewtonCGState:
    parameters: Array
    at: Evaluation
    subgradient: Array  # of minimum norm
    damping: Array
    surrogate: Surrogate  # what the preconditioner is computed on
    product_cost: float  # of X
    scale: Array  # D of the damping term
    precondition: Callable[[Array], Array]
    is_fresh: bool  # whether the preconditioner is of the last iteration
    budget: int  # products of a solve
    forcing: float  # relative residual at which a solve is good enough
    first_optimality: float
    left: Array  # predicted decrease by the next step
    diagnostics: Diagnostics

    def select(self, models: np.ndarray, objective: Objective) -> NewtonCGState:
        state = replace(
            self,
            parameters=arrays.rows(self.parameters, models),
            at=self.at.select(models),
            subgradient=arrays.rows(self.subgradient, models),
            left=arrays.rows(self.left, models),
            damping=arrays.rows(self.damping, models),
            surrogate=self.surrogate.select(models),
        )
        return state.with_new_preconditioner()

    def with_new_preconditioner(self) -> NewtonCGState:
        estimate = self.surrogate.estimate(self.parameters, self.product_cost)
        gradient = self.at.gradient
        return replace(
            self,
            scale=damping_scale(
                estimate.diagonal, gradient, xp=arrays.namespace(gradient)
            ),
            precondition=preconditioner(estimate, self.damping, gradient),
            is_fresh=True,
        )


class NewtonCG:
    r"""Damped Newton method whose steps are found by conjugate gradients.

    :math:`(H + \lambda D) d = -g` is solved inexactly, with one pass over the rows for
    each product with H. The preconditioner is the part of H that belongs to each class
    alone, on a sample where the rows are many, or its diagonal; it is kept while it
    serves. The number of products is planned from the last iteration, so that an
    iteration needs the host only at its end.

    With an L1 penalty or bounds, F is smooth within an orthant: g is the minimum-norm
    subgradient, parameters at a zero or bound that F keeps them at do not move, and the
    step is projected onto the orthant.

    Parameters
    ----------
    seed : int, default=0
        Draws the sample for the preconditioner.

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

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def least_sample(self, objective: Objective) -> float:
        """Return the rows that the curvature of a class on a sample needs."""
        return least_rows(objective)

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of the curvature of each row, and the preconditioner."""
        rows = objective.n_samples * objective.n_outputs
        return 8 * (rows + 3 * objective.n_outputs * objective.column_size**2)

    def init(self, objective: Objective, start: Start) -> NewtonCGState:
        xp, (parameters, at) = objective.xp, start[:2]
        subgradient = objective.minimum_norm_subgradient(parameters, at.gradient)
        unknown = xp.where(
            xp.any(subgradient != 0, axis=1),
            xp.full_like(at.value, xp.inf),
            xp.zeros_like(at.value),
        )
        surrogate = start.surrogate
        if surrogate is None or surrogate.of is None:
            surrogate = Surrogate(objective)
        state = NewtonCGState(
            parameters=parameters,
            at=at,
            subgradient=subgradient,
            damping=xp.zeros_like(at.value),
            surrogate=surrogate.sampled(self.seed),
            product_cost=objective.data.product_cost,
            scale=subgradient,
            precondition=lambda vector: vector,
            is_fresh=True,
            budget=self.least_budget if start.is_close else self.first_budget,
            forcing=0.0 if start.is_close else 0.1,
            first_optimality=0.0,
            left=unknown,
            diagnostics=Diagnostics.of(objective, at.value, subgradient),
        )
        return state.with_new_preconditioner()

    def step(
        self, objective: Objective, state: NewtonCGState, last: Diagnostics
    ) -> NewtonCGState:
        xp, w = objective.xp, state.parameters
        # 1. The products to spend, and a new preconditioner where the old one fails.
        state = self._planned(objective, state, last)
        # 2. Newton step by conjugate gradients, projected onto the orthant.
        change, residual = _conjugate_gradients(objective, state)
        gradient = state.subgradient
        target = project_onto_orthant(objective, w, gradient, w + change)
        change = target - w
        # 3. Trial step, taken if F falls as far as its gradient promises.
        trial = objective.value_and_gradient(target)
        after = objective.minimum_norm_subgradient(target, trial.gradient)
        accept = is_acceptable(
            objective,
            state.at._replace(gradient=gradient),
            trial._replace(gradient=after),
            change,
        )
        # Without curvature, undamped conjugate gradients do not set out.
        accept = accept & xp.any(change != 0, axis=1)
        new = better(accept, trial, state.at, xp=xp)
        subgradient = xp.where(accept[:, None], after, gradient)
        # 4. Damping, from the decrease of F and of its quadratic model.
        damped = xp.sum(state.scale * change * change, axis=1) * state.damping
        predicted = 0.5 * (damped - xp.sum(gradient * change, axis=1))
        fell = state.at.value - trial.value
        damping = next_damping(objective, state.damping, predicted, fell, accept)
        # The next decrease is the share of this one that the solve and the model left.
        error = residual + xp.abs(1 - fell / predicted)
        left = predicted * xp.where(accept, error * error, xp.ones_like(error))
        left = xp.where(predicted > 0, left, xp.zeros_like(left))
        return replace(
            state,
            parameters=xp.where(accept[:, None], target, w),
            at=new,
            subgradient=subgradient,
            damping=damping,
            left=left,
            diagnostics=Diagnostics.of(
                objective,
                new.value,
                subgradient,
                change=xp.where(accept[:, None], change, xp.zeros_like(change)),
                damping=damping,
                residual=residual,
            ),
        )

    def decrease(self, objective: Objective, state: NewtonCGState) -> Array:
        """Return what the last solve and its model left of their decrease."""
        return state.left

    def _planned(
        self, objective: Objective, state: NewtonCGState, last: Diagnostics
    ) -> NewtonCGState:
        """Return the state with the number of products, or a new preconditioner.

        With a relative residual of sqrt(|g| / |g_0|) the outer iterations converge
        faster than linearly (Eisenstat and Walker). A tenth is enough while they are
        far out; beyond a hundredth the products are better spent on a new Hessian.
        """
        optimality, residual = float(last.optimality.max()), float(last.residual.max())
        is_first = state.first_optimality == 0
        first_optimality = max(state.first_optimality, optimality)
        state = replace(state, first_optimality=first_optimality)
        if is_first:
            return state
        forcing = min(0.1, max(0.01, (optimality / first_optimality) ** 0.5))
        budget = 2 * state.budget
        if 0 <= residual < 1:
            # Residuals fall by about the same factor with each product.
            products = math.log(forcing) / math.log(max(residual, 1e-9))
            budget = min(budget, math.ceil(products * state.budget))
        budget = max(self.least_budget, min(budget, 2 * objective.n_parameters))
        refused = (last.step_norm == 0).any()
        if (residual > forcing and not state.is_fresh) or refused:
            return state.with_new_preconditioner()
        return replace(state, budget=budget, forcing=forcing, is_fresh=False)


def _conjugate_gradients(
    objective: Objective, state: NewtonCGState
) -> tuple[Array, Array]:
    """Solve (H + lambda D) d = -g for the free parameters; return d and the residual.

    The residual is relative, in the norm of the preconditioner: (n_models,).
    """
    xp = objective.xp
    multiply = objective.hessian_operator(state.parameters)
    ridge = state.damping[:, None] * state.scale
    free = free_parameters(objective, state.parameters, state.subgradient)

    def restrict(vector: Array) -> Array:
        vector = objective.centred_over_classes(vector)
        return vector if free is None else vector * free

    change = xp.zeros_like(state.parameters)
    residual = -restrict(state.subgradient)
    search = restrict(state.precondition(residual))
    first_size = size = xp.sum(residual * search, axis=1)
    least = (16 * objective.rounding) ** 2 * first_size
    zeros = xp.zeros_like(size)
    # Looking at the residual costs nothing on the host; a device would have to wait.
    looks = arrays.in_host_memory(size) and state.forcing > 0
    enough = state.forcing**2 * first_size
    for _ in range(MORE_ON_HOST * state.budget if looks else state.budget):
        product = restrict(multiply(search) + ridge * search)
        curvature = xp.sum(search * product, axis=1)
        # Past the solution there is only rounding: such models stand still.
        moving = (size > least) & (curvature > 0)
        step_size = xp.where(moving, size / curvature, zeros)[:, None]
        change = change + step_size * search
        residual = residual - step_size * product
        scaled = restrict(state.precondition(residual))
        new_size = xp.sum(residual * scaled, axis=1)
        ratio = xp.where(moving, new_size / size, zeros)[:, None]
        search = scaled + ratio * search
        size = new_size
        if looks and arrays.to_host(xp.all(size <= enough)):
            break
    left = xp.sqrt(xp.where(first_size > 0, size / first_size, zeros))
    return change, left
