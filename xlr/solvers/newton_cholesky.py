"""Newton's method with the whole Hessian, factorised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import report
from xlr.solvers.steps import better, is_acceptable, take

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
        direction = self._direction(objective, state)
        slope = xp.sum(at.gradient * direction, axis=1)
        curvature = xp.sum(
            direction * xp.matmul(at.hessian, direction[..., None])[..., 0], axis=1
        )
        predicted = -(slope + 0.5 * curvature)

        trial = objective.value_gradient_hessian(state.parameters + direction)
        accept = is_acceptable(objective, at, trial, direction)

        # How well the model foresaw the decrease decides how far to trust it next.
        gain = (at.value - trial.value) / predicted
        calm = xp.where(gain > 0.75, state.damping / 16, state.damping)
        calm = xp.where(gain < 0.25, 4 * calm, calm)
        damping = xp.where(accept, calm, xp.clip(16 * state.damping, 1e-3, None))

        change = take(accept, direction, xp.zeros_like(direction), xp=xp)
        at = better(accept, trial, at, xp=xp)
        return NewtonState(
            state.parameters + change, at, damping, report(objective, at, change)
        )

    def _direction(self, objective: Objective, state: NewtonState) -> Array:
        """-(H + lambda D)^-1 g, from the system scaled to a unit diagonal."""
        xp, hessian = objective.xp, state.at.hessian
        size = hessian.shape[-1]
        identity = xp.eye(size, dtype=hessian.dtype, device=arrays.device_of(hessian))
        diagonal = xp.sum(hessian * identity, axis=-1)
        root = xp.sqrt(xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal)))
        scaled = hessian / (root[:, :, None] * root[:, None, :])
        # A Gram matrix of rounded numbers is positive definite only up to their
        # rounding error: without this much, collinear columns would break it.
        floor = 16 * size * float(xp.finfo(hessian.dtype).eps) + objective.rounding
        ridge = (state.damping + floor)[:, None, None] * identity
        gradient = state.at.gradient / root
        return -arrays.solve_positive_definite(scaled + ridge, gradient, xp=xp) / root
