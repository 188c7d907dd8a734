"""Newton's method without a Hessian: conjugate gradients on its products."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import report
from xlr.solvers.orthant import (
    free_parameters,
    in_the_orthant,
    resting,
    up_to_the_first_kink,
)
from xlr.solvers.reference import Reference, least_rows, preconditioner
from xlr.solvers.starts import find_start
from xlr.solvers.steps import (
    DampedStep,
    better,
    is_acceptable,
    next_damping,
    take,
    to_be_damped,
)

__all__ = ["NewtonCG"]

# By how much more products a solve may take where it ends when it is good enough.
MORE_ON_HOST = 4


@dataclass(frozen=True)
class NewtonCGState:
    parameters: Array
    at: Evaluation
    damping: Array
    cautious: Array  # whether what kinks left of the last step led uphill
    reference: Reference  # what the preconditioner is computed on
    product_cost: float  # of X
    diagonal: Array  # of the estimate of the Hessian that the preconditioner inverts
    precondition: Callable[[Array], Array]
    fresh: bool  # whether the preconditioner is of the last iteration
    budget: int
    forcing: float  # residual with which a solve is good enough
    first_optimality: float
    report: Array

    def select(self, models: np.ndarray, objective: Objective) -> NewtonCGState:
        state = replace(
            self,
            parameters=arrays.rows(self.parameters, models),
            at=self.at.select(models),
            damping=arrays.rows(self.damping, models),
            cautious=arrays.rows(self.cautious, models),
            reference=self.reference.select(models),
        )
        return state.with_new_preconditioner()

    def with_new_preconditioner(self) -> NewtonCGState:
        estimate = self.reference.estimate(self.parameters, self.product_cost)
        slope = self.at.gradient
        return replace(
            self,
            diagonal=to_be_damped(estimate.diagonal, slope),
            precondition=preconditioner(estimate, self.damping, slope),
            fresh=True,
        )


class NewtonCG:
    r"""Damped Newton method whose steps are found by conjugate gradients.

    Like newton-cholesky, but :math:`(H + \lambda D) d = -g` is solved roughly, with
    one pass over the rows for each product with H.  The preconditioner is the part of H
    that belongs to each class alone, on a sample of the rows where they are many, or
    its diagonal D; equal changes to all classes, of which the solution has none, are
    taken out.  It is kept while it serves.  The most products are set before they
    start, from how the last iteration fared, so that an iteration needs the host only
    at its end.

    Where the penalty has kinks, or there are bounds, F is smooth between them: a step
    is for the parameters that move or want to, and ends for each where the next kink
    or bound is. Where columns are alike, what is left of it may lead uphill, and from
    however near to the kink. Then the next step is for the parameters between kinks
    alone, which stop together at the first one.

    Parameters
    ----------
    seed : int or None, default=None
        Draws the rows of samples to begin on; None begins where it is told to.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithms 5.3 and 7.1;
    Eisenstat and Walker (1996), *Choosing the forcing terms in an inexact Newton
    method*; Byrd, Chin, Nocedal and Oztoprak (2016), *A family of second-order methods
    for convex l1-regularized optimization*.
    """

    standardised = True
    enough_columns = 64
    patience = 8
    first_budget = 8
    least_budget = 3

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    @property
    def finds_start(self) -> bool:
        return self.seed is not None

    def model_bytes(self, objective: Objective) -> int:
        """The curvature of each row, and the preconditioner."""
        rows = objective.n_samples * objective.n_outputs
        return 8 * (rows + 3 * objective.estimate_size)

    def init(self, objective: Objective, start: Array) -> NewtonCGState:
        if objective.kinks is not None:
            start = objective.kinks.clip(start, xp=objective.xp)
        begun = find_start(self, objective, start, least_rows(objective), self.seed)
        parameters, at = begun.parameters, begun.at
        reference = begun.to_look_at(objective, self.seed)
        damping = objective.xp.zeros_like(at.value)
        product_cost = objective.design.product_cost
        slope = objective.subgradient(parameters, at.gradient)
        state = NewtonCGState(
            parameters=parameters,
            at=at,
            damping=damping,
            cautious=objective.xp.zeros_like(damping) > 0,
            reference=reference,
            product_cost=product_cost,
            diagonal=slope,
            precondition=lambda vector: vector,
            fresh=True,
            budget=self.least_budget if begun.is_close else self.first_budget,
            forcing=0.0 if begun.is_close else 0.1,
            first_optimality=0.0,
            report=report(objective, at._replace(gradient=slope), extra=1.0),
        )
        return state.with_new_preconditioner()

    def step(
        self, objective: Objective, state: NewtonCGState, fetched: np.ndarray
    ) -> NewtonCGState:
        xp, at, w = objective.xp, state.at, state.parameters
        state = self._planned(objective, state, fetched)
        slope = objective.subgradient(w, at.gradient)
        step, residual = self._solve(objective, state, slope)
        target, is_cut = _cut(objective, state, slope, w + step.change)
        step = step._replace(change=target - w)
        trial = objective.value_and_gradient(target)
        trial_slope = objective.subgradient(target, trial.gradient)
        accept = is_acceptable(
            objective,
            at._replace(gradient=slope),
            trial._replace(gradient=trial_slope),
            step.change,
        )
        # Where there is no curvature, undamped conjugate gradients do not set out.
        accept = accept & xp.any(step.change != 0, axis=1)
        change = take(accept, step.change, xp.zeros_like(step.change), xp=xp)
        new = better(accept, trial, at, xp=xp)
        predicted = step.predicted(slope, xp=xp)
        uphill = xp.sum(slope * step.change, axis=1) >= 0
        cautious = is_cut & uphill & ~accept & ~state.cautious
        # That refusal says nothing of the model of F; the step after it does, unless a
        # kink was what it came to.
        holds = accept & (is_cut | ~state.cautious)
        damping = next_damping(
            objective, state.damping, predicted, at.value - trial.value, holds
        )
        return replace(
            state,
            parameters=take(accept, target, w, xp=xp),
            at=new,
            damping=xp.where(cautious, state.damping, damping),
            cautious=cautious,
            report=report(
                objective,
                new._replace(gradient=take(accept, trial_slope, slope, xp=xp)),
                change,
                residual,
            ),
        )

    def _planned(
        self, objective: Objective, state: NewtonCGState, fetched: np.ndarray
    ) -> NewtonCGState:
        """With the number of products for the next solve, and the preconditioner.

        A residual of sqrt(|g| / |g_0|) makes the outer iterations converge faster
        than linearly (forcing); a tenth is enough while they are far out, and beyond a
        hundredth the products are better spent on a new Hessian.
        """
        moved = fetched[2]
        optimality, residual = float(fetched[1].max()), float(fetched[3].max())
        begins = state.first_optimality == 0
        first_optimality = max(state.first_optimality, optimality)
        state = replace(state, first_optimality=first_optimality)
        if begins:  # nothing is known yet
            return state
        forcing = min(0.1, max(0.01, (optimality / first_optimality) ** 0.5))
        budget = 2 * state.budget
        if 0 <= residual < 1:
            # Residuals fall by about the same factor with each product.
            products = math.log(forcing) / math.log(max(residual, 1e-9))
            budget = min(budget, math.ceil(products * state.budget))
        budget = max(self.least_budget, min(budget, 2 * objective.n_parameters))
        # A refused step leaves another damping.
        if (residual > forcing and not state.fresh) or not moved.all():
            return state.with_new_preconditioner()
        return replace(state, budget=budget, forcing=forcing, fresh=False)

    @staticmethod
    def _solve(
        objective: Objective, state: NewtonCGState, slope: Array
    ) -> tuple[DampedStep, Array]:
        """Solve (H + lambda D) d = -g roughly; also the relative residual.

        For the parameters that are free to move.
        """
        xp = objective.xp
        curvature = objective.curvature(state.parameters)
        ridge = state.damping[:, None] * state.diagonal
        free = _free(objective, state, slope)

        def moves(vector: Array) -> Array:
            vector = objective.symmetric(vector)
            return vector if free is None else vector * free

        change = xp.zeros_like(state.parameters)
        residual = -moves(slope)
        search = moves(state.precondition(residual))
        first_size = size = xp.sum(residual * search, axis=1)
        least = (16 * objective.rounding) ** 2 * first_size
        zeros = xp.zeros_like(size)
        # Where it costs nothing to ask how far it is; a device would be waited for.
        asks = arrays.in_host_memory(size) and state.forcing > 0
        enough = state.forcing**2 * first_size
        for _ in range(MORE_ON_HOST * state.budget if asks else state.budget):
            product = objective.hessian_product(curvature, state.parameters, search)
            product = moves(product + ridge * search)
            bend = xp.sum(search * product, axis=1)
            # Past the solution there is only rounding, and nothing moves any more.
            moving = (size > least) & (bend > 0)
            length = xp.where(moving, size / bend, zeros)[:, None]
            change = change + length * search
            residual = residual - length * product
            scaled = moves(state.precondition(residual))
            new_size = xp.sum(residual * scaled, axis=1)
            ratio = xp.where(moving, new_size / size, zeros)[:, None]
            search = scaled + ratio * search
            size = new_size
            if asks and arrays.to_host(xp.all(size <= enough)):
                break
        error = xp.sqrt(xp.where(first_size > 0, size / first_size, zeros))
        return DampedStep(change, state.diagonal, state.damping), error


def _free(objective: Objective, state: NewtonCGState, slope: Array) -> Array | None:
    """1 for the parameters that a step is for, 0 for the others; None for all."""
    free = free_parameters(objective, state.parameters, slope)
    rests = resting(objective, state.parameters)
    if free is None or rests is None:
        return None
    zeros = objective.xp.zeros_like(free)
    return objective.xp.where(rests & state.cautious[:, None], zeros, free)


def _cut(
    objective: Objective, state: NewtonCGState, slope: Array, target: Array
) -> tuple[Array, Array]:
    """The target, short of kinks and bounds; also for which models it was beyond."""
    xp, w = objective.xp, state.parameters
    within = in_the_orthant(objective, w, slope, target)
    is_cut = xp.any(within != target, axis=1)
    if objective.kinks is None:
        return within, is_cut
    together = up_to_the_first_kink(objective, w, slope, target)
    return take(state.cautious, together, within, xp=xp), is_cut
