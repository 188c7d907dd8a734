"""Newton's method with the whole Hessian, factorised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import report
from xlr.solvers.steps import (
    DampedStep,
    better,
    is_acceptable,
    next_damping,
    positive,
    take,
)

__all__ = ["NewtonCholesky"]


@dataclass(frozen=True)
class NewtonState:
    parameters: Array
    at: Evaluation
    damping: Array
    report: Array


class NewtonCholesky:
    r"""Damped Newton method (Levenberg-Marquardt).

    With g and H the gradient and Hessian of F, and D the diagonal of H,

    .. math:: w \leftarrow w - (H + \lambda D)^{-1} g

    The damping :math:`\lambda` is zero but for rounding while the quadratic model
    predicts F well, and grows where a step is refused or H cannot be factorised.
    Each iteration is one pass over the rows, which brings F, g and H together.

    References
    ----------
    Marquardt (1963), *An algorithm for least-squares estimation of nonlinear
    parameters*; Nocedal and Wright (2006), *Numerical Optimization*, ch. 4.
    """

    standardised = True
    patience = 8

    def init(self, objective: Objective, start: Array) -> NewtonState:
        at = objective.value_gradient_hessian(start)
        damping = objective.xp.zeros_like(at.value)
        return NewtonState(start, at, damping, report(objective, at))

    def step(
        self, objective: Objective, state: NewtonState, fetched: np.ndarray
    ) -> NewtonState:
        xp, at = objective.xp, state.at
        step = self._solve(objective, state)
        trial = objective.value_gradient_hessian(state.parameters + step.change)
        accept = is_acceptable(objective, at, trial, step.change)
        change = take(accept, step.change, xp.zeros_like(step.change), xp=xp)
        new = better(accept, trial, at, xp=xp)
        return NewtonState(
            parameters=state.parameters + change,
            at=new,
            damping=next_damping(objective, at, trial, accept, step),
            report=report(objective, new, change),
        )

    @staticmethod
    def _solve(objective: Objective, state: NewtonState) -> DampedStep:
        """Solve (H + lambda D) d = -g, scaled to a unit diagonal."""
        xp, hessian = objective.xp, state.at.hessian
        size = hessian.shape[-1]
        identity = xp.eye(size, dtype=hessian.dtype, device=arrays.device_of(hessian))
        diagonal = positive(xp.sum(hessian * identity, axis=-1), xp=xp)
        root = xp.sqrt(diagonal)
        scaled = hessian / (root[:, :, None] * root[:, None, :])
        # A Gram matrix of rounded numbers is positive definite only up to their
        # rounding error: without this much, collinear columns would break it.
        floor = 16 * size * float(xp.finfo(hessian.dtype).eps)
        damping = state.damping + floor
        ridge = damping[:, None, None] * identity
        gradient = state.at.gradient / root
        change = -arrays.solve_positive_definite(scaled + ridge, gradient, xp=xp) / root
        return DampedStep(change, diagonal, damping)
