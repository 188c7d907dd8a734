"""Newton's method without a Hessian: conjugate gradients on its products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import report
from xlr.solvers.steps import better, is_acceptable, shorter, take

__all__ = ["NewtonCG"]


@dataclass(frozen=True)
class NewtonCGState:
    parameters: Array
    at: Evaluation
    direction: Array
    length: Array
    accept: Array
    budget: int
    first_optimality: float | None
    report: Array


class NewtonCG:
    r"""Truncated Newton method, preconditioned by the diagonal of the Hessian.

    Each iteration solves :math:`H d = -g` roughly by conjugate gradients, one pass
    over the rows for each product with H, and tries the step d.  The number of
    products is set before they start, from how the last iteration fared, so that
    the iteration needs the host only at its end.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithm 7.1; Eisenstat
    and Walker (1996), *Choosing the forcing terms in an inexact Newton method*.
    """

    standardised = True
    patience = 8
    first_budget = 4

    def init(self, objective: Objective, start: Array) -> NewtonCGState:
        xp = objective.xp
        at = objective.value_and_gradient(start)
        ones = xp.ones_like(at.value)
        return NewtonCGState(
            parameters=start,
            at=at,
            direction=xp.zeros_like(start),
            length=ones,
            accept=ones > 0,
            budget=self.first_budget,
            first_optimality=None,
            report=report(objective, at),
        )

    def step(
        self, objective: Objective, state: NewtonCGState, fetched: np.ndarray
    ) -> NewtonCGState:
        xp, at = objective.xp, state.at
        optimality, step, residual = (float(row.max()) for row in fetched[1:])
        first_optimality, budget = state.first_optimality, state.budget
        direction, error = state.direction, xp.zeros_like(at.value)
        if first_optimality is None:
            first_optimality = optimality
        elif step:
            remaining = optimality / first_optimality
            budget = self._next_budget(
                budget, residual, remaining, objective.n_parameters
            )
        if step or state.first_optimality is None:
            fresh, error = self._direction(objective, state, budget)
            direction = take(state.accept, fresh, direction, xp=xp)

        attempt = state.length[:, None] * direction
        trial = objective.value_and_gradient(state.parameters + attempt)
        accept = is_acceptable(objective, at, trial, attempt)
        change = take(accept, attempt, xp.zeros_like(attempt), xp=xp)
        new = better(accept, trial, at, xp=xp)
        length = state.length * shorter(at, trial, attempt, xp=xp)
        return NewtonCGState(
            parameters=state.parameters + change,
            at=new,
            direction=direction,
            length=take(accept, xp.ones_like(length), length, xp=xp),
            accept=accept,
            budget=budget,
            first_optimality=first_optimality,
            report=report(objective, new, change, error),
        )

    @staticmethod
    def _next_budget(budget: int, residual: float, remaining: float, size: int) -> int:
        """Products for the next solve, to reach the residual that pays (forcing).

        A residual of sqrt(|g| / |g_0|) makes the outer iterations converge faster
        than linearly; a tenth is enough while they are far out.
        """
        forcing = min(0.1, remaining**0.5)
        if residual > forcing:
            budget = 2 * budget
        elif residual < 0.1 * forcing:
            budget = budget - budget // 4
        return max(NewtonCG.first_budget, min(budget, 2 * size))

    @staticmethod
    def _direction(
        objective: Objective, state: NewtonCGState, budget: int
    ) -> tuple[Array, Array]:
        """Approximate -H^-1 g, and the relative residual of that solve."""
        xp = objective.xp
        inverse_diagonal = 1 / objective.diagonal()
        direction = xp.zeros_like(state.parameters)
        residual = -state.at.gradient
        search = inverse_diagonal * residual
        first_size = size = xp.sum(residual * search, axis=1)
        zeros = xp.zeros_like(size)
        for _ in range(budget):
            product = objective.hessian_product(state.parameters, search)
            curvature = xp.sum(search * product, axis=1)
            # Past the solution both are zero, and nothing moves any more.
            length = xp.where(curvature > 0, size / curvature, zeros)[:, None]
            direction = direction + length * search
            residual = residual - length * product
            scaled = inverse_diagonal * residual
            new_size = xp.sum(residual * scaled, axis=1)
            search = scaled + xp.where(size > 0, new_size / size, zeros)[:, None] * search
            size = new_size
        return direction, xp.sqrt(xp.where(first_size > 0, size / first_size, zeros))
