"""Newton's method for an L1 penalty and bounds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import BlockHessian, Evaluation, Objective
from xlr.penalties import NonSmooth
from xlr.solvers.loop import Start
from xlr.solvers.quadratic import Quadratic
from xlr.solvers.quadratic_subproblem import minimise_quadratic
from xlr.solvers.steps import (
    SUFFICIENT_DECREASE,
    Diagnostics,
    damping_scale,
    needs_new_hessian,
    try_step,
)
from xlr.solvers.surrogate import Surrogate

# Approximate time of an iteration, in passes: the host solves its quadratic problem.
ITERATION_PASSES = 4


class ProximalNewtonState(NamedTuple):
    parameters: Array
    at: Evaluation
    non_smooth: NonSmooth  # on the host
    quadratics: list[Quadratic]  # the Hessian of the smooth part of each model
    is_fresh: np.ndarray  # whether the Hessian belongs to the start of the last step
    last_optimality: np.ndarray  # one iteration ago
    diagnostics: Diagnostics


class ProximalNewton:
    r"""Damped Newton method for F with an L1 penalty and bounds.

    With g and H the derivatives of the smooth part f of F, the next w minimises

    .. math::
        g \cdot (u - w) + \tfrac12 (u - w)' (H + \lambda D) (u - w)
        + \sum_j \kappa_j |u_j|, \qquad l_j \le u_j \le h_j

    exactly, so that coefficients are exactly zero. As in newton-cholesky, the first
    Hessian may be that of a sample, H is kept and corrected by BFGS while it is
    accurate enough, and the damping grows if the model of f is inaccurate.

    Parameters
    ----------
    quadratics : list of Quadratic, default=None
        The Hessian of each model near its start. The fit updates them, and fills an
        empty list. None computes them for this fit only.

    References
    ----------
    Lee, Sun and Saunders (2014), *Proximal Newton-type methods for minimizing composite
    functions*; Nocedal and Wright (2006), *Numerical Optimization*, eq. 6.19.
    """

    standardized = True
    patience = 8.0
    rows_per_parameter = 10  # with fewer, the Hessian of a sample is noise

    def __init__(self, quadratics: list[Quadratic] | None = None) -> None:
        self._quadratics = quadratics

    def min_sample_size(self, objective: Objective) -> float:
        """Return the minimum rows of a sample for a Hessian."""
        return self.rows_per_parameter * objective.n_parameters

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of a Hessian and its copies, and of steps and gradients."""
        q = objective.n_parameters
        return 8 * (7 * q**2 + 40 * q)

    def init(self, objective: Objective, start: Start) -> ProximalNewtonState:
        parameters, at = start.parameters, start.at
        quadratics = [] if self._quadratics is None else self._quadratics
        is_known = bool(quadratics)
        if not is_known:
            surrogate = start.surrogate or Surrogate(objective)
            quadratics += _quadratics(surrogate.hessian(parameters, Objective.hessian))
        is_fresh = start.surrogate is None and not is_known
        assert objective.non_smooth is not None
        return ProximalNewtonState(
            parameters=parameters,
            at=at,
            non_smooth=NonSmooth(*map(arrays.to_host, objective.non_smooth)),
            quadratics=quadratics,
            is_fresh=np.full(objective.n_models, is_fresh),
            last_optimality=np.full(objective.n_models, math.inf),
            diagnostics=Diagnostics.of(objective, parameters, at),
        )

    def step(
        self, objective: Objective, state: ProximalNewtonState
    ) -> ProximalNewtonState:
        w, last = state.parameters, state.diagnostics
        # 1. A new Hessian, if the old one is not accurate enough.
        renew = needs_new_hessian(state, objective.hessian_cost / ITERATION_PASSES)
        models = np.nonzero(renew)[0]
        if models.size:
            hessian = objective.select(models).hessian(arrays.take(w, models))
            for model, quadratic in zip(models, _quadratics(hessian)):
                state.quadratics[model] = quadratic
        is_fresh = renew | (state.is_fresh & (last.step_norm == 0))
        # 2. Trial step to the minimum of the model, accepted if F decreases enough. The
        # derivatives along the step are not used.
        old = _on_host(state)
        target, predicted = _minimised_model(state, *old)
        # Rounding may remove the curvature of the model in the softmax's null space.
        target = objective.shifted_over_classes(objective.place(target))
        trial = try_step(objective, state.at.gradient, target, target - w)
        sufficient = SUFFICIENT_DECREASE * np.maximum(predicted, 0.0)
        is_flatter = trial.now.optimality < last.optimality
        accept = trial.now.value <= last.value - sufficient
        accept |= is_flatter & trial.is_not_higher(last, objective.value_rounding)
        # 3. Damping, from the decrease of F and of its model.
        new = trial.taken(accept, state, objective, predicted)
        # 4. BFGS correction of the Hessian.
        steps, changes = (after - before for after, before in zip(_on_host(new), old))
        for model in np.nonzero(accept)[0]:
            state.quadratics[model].bfgs_update(steps[model], changes[model])
        return new._replace(is_fresh=is_fresh, last_optimality=last.optimality)

    def decrease(self, objective: Objective, state: ProximalNewtonState) -> np.ndarray:
        """Return the decrease of the quadratic model of F."""
        return _minimised_model(state, *_on_host(state))[1]


def _on_host(state: ProximalNewtonState) -> list[np.ndarray]:
    """Return the parameters and the gradient in float64."""
    both = state.parameters, state.at.gradient
    return [arrays.to_host(x).astype(np.float64, copy=False) for x in both]


def _quadratics(hessian: BlockHessian) -> list[Quadratic]:
    matrices = arrays.to_host(hessian.matrices()).astype(np.float64, copy=False)
    # Rounding hides curvature below this share of the diagonal.
    noise = 4 * matrices.shape[1] ** 0.5 * hessian.rounding
    return [Quadratic(matrix, noise) for matrix in matrices]


def _minimised_model(
    state: ProximalNewtonState, parameters: np.ndarray, gradients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the minimum of the damped quadratic model of each F.

    Returns
    -------
    target : ndarray of shape (n_models, n_parameters)
    predicted : ndarray of shape (n_models,)
        Decrease of the undamped model from the parameters to the target.
    """
    damping = state.diagnostics.damping
    target, predicted = np.empty_like(parameters), np.empty_like(damping)
    for model, undamped in enumerate(state.quadratics):
        w, gradient = parameters[model], gradients[model]
        scale = damping_scale(undamped.diagonal, gradient, xp=np)
        added = damping[model] * scale
        quadratic = undamped.damped(added) if damping[model] > 0 else undamped
        non_smooth = NonSmooth(*(values[model] for values in state.non_smooth))
        target[model], decrease = minimise_quadratic(quadratic, gradient, non_smooth, w)
        predicted[model] = decrease + 0.5 * added @ (target[model] - w) ** 2
    return target, predicted
