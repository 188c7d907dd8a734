"""Newton's method without a Hessian: conjugate gradients on its products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import report
from xlr.solvers.steps import (
    DampedStep,
    better,
    is_acceptable,
    next_damping,
    take,
)

__all__ = ["NewtonCG"]


@dataclass(frozen=True)
class NewtonCGState:
    parameters: Array
    at: Evaluation
    damping: Array
    budget: int
    first_optimality: float
    report: Array


class NewtonCG:
    r"""Damped Newton method whose steps are found by conjugate gradients.

    Like newton-cholesky, but :math:`(H + \lambda D) d = -g` is solved roughly, with
    one pass over the rows for each product with H and D, the diagonal of H, as the
    preconditioner.  The number of products is set before they start, from how the
    last iteration fared, so that an iteration needs the host only at its end.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithms 5.3 and 7.1;
    Eisenstat and Walker (1996), *Choosing the forcing terms in an inexact Newton
    method*.
    """

    standardised = True
    patience = 8
    least_budget = 4

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def init(self, objective: Objective, start: Array) -> NewtonCGState:
        at = objective.value_and_gradient(start)
        return NewtonCGState(
            parameters=start,
            at=at,
            damping=objective.xp.zeros_like(at.value),
            budget=self.least_budget,
            first_optimality=0.0,
            report=report(objective, at),
        )

    def step(
        self, objective: Objective, state: NewtonCGState, fetched: np.ndarray
    ) -> NewtonCGState:
        xp, at = objective.xp, state.at
        optimality, _, residual = (float(row.max()) for row in fetched[1:])
        first_optimality = max(state.first_optimality, optimality)
        budget = self._next_budget(
            state.budget,
            residual,
            optimality / first_optimality,
            objective.n_parameters,
        )
        step, residual = self._solve(objective, state, budget)
        trial = objective.value_and_gradient(state.parameters + step.change)
        accept = is_acceptable(objective, at, trial, step.change)
        change = take(accept, step.change, xp.zeros_like(step.change), xp=xp)
        new = better(accept, trial, at, xp=xp)
        return NewtonCGState(
            parameters=state.parameters + change,
            at=new,
            damping=next_damping(objective, at, trial, accept, step),
            budget=budget,
            first_optimality=first_optimality,
            report=report(objective, new, change, residual),
        )

    def _next_budget(
        self, budget: int, residual: float, remaining: float, size: int
    ) -> int:
        """Products for the next solve, to reach the residual that pays (forcing).

        A residual of sqrt(|g| / |g_0|) makes the outer iterations converge faster
        than linearly; a tenth is enough while they are far out.
        """
        forcing = min(0.1, remaining**0.5)
        if residual > forcing:
            budget = 2 * budget
        elif residual < 0.1 * forcing:
            budget = budget - budget // 4
        return max(self.least_budget, min(budget, 2 * size))

    @staticmethod
    def _solve(
        objective: Objective, state: NewtonCGState, budget: int
    ) -> tuple[DampedStep, Array]:
        """Solve (H + lambda D) d = -g roughly; also the relative residual."""
        xp = objective.xp
        curvature = objective.curvature(state.parameters)
        blocks = objective.class_hessians(state.parameters, rough=objective.is_large)
        precondition = blocks.solver(state.damping)
        ridge = state.damping[:, None] * blocks.diagonal
        change = xp.zeros_like(state.parameters)
        residual = -state.at.gradient
        search = precondition(residual)
        first_size = size = xp.sum(residual * search, axis=1)
        zeros = xp.zeros_like(size)
        for _ in range(budget):
            product = objective.hessian_product(curvature, state.parameters, search)
            product = product + ridge * search
            bend = xp.sum(search * product, axis=1)
            # Past the solution both are zero, and nothing moves any more.
            length = xp.where(bend > 0, size / bend, zeros)[:, None]
            change = change + length * search
            residual = residual - length * product
            scaled = precondition(residual)
            new_size = xp.sum(residual * scaled, axis=1)
            search = (
                scaled + xp.where(size > 0, new_size / size, zeros)[:, None] * search
            )
            size = new_size
        error = xp.sqrt(xp.where(first_size > 0, size / first_size, zeros))
        return DampedStep(change, blocks.diagonal, state.damping), error
