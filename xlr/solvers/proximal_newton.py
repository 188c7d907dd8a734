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
from xlr.solvers.quadratic import Quadratic, minimise_quadratic
from xlr.solvers.steps import (
    SUFFICIENT,
    Diagnostics,
    damping_scale,
    renewal,
    try_step,
)
from xlr.solvers.surrogate import Surrogate

# Approximate time of an iteration in passes: the host solves its quadratic problem.
STEP_COST = 4


class OnHost(NamedTuple):
    """A point on the host: (n_models, n_parameters) each."""

    parameters: np.ndarray
    gradient: np.ndarray


class ProximalNewtonState(NamedTuple):
    parameters: Array
    at: Evaluation
    subgradient: Array  # minimum-norm subgradient
    non_smooth: NonSmooth  # on the host
    quadratics: list[Quadratic]  # the Hessian of the smooth part of each model
    is_fresh: np.ndarray  # whether it belongs to the start of the last step
    here: OnHost  # the parameters and the gradient
    before: np.ndarray  # the optimality one iteration ago
    diagnostics: Diagnostics


class ProximalNewton:
    r"""Damped Newton method on the smooth part of F, with the rest as it is.

    With f the smooth part and g and H its derivatives, the next w minimises

    .. math::
        g \cdot (u - w) + \tfrac12 (u - w)' (H + \lambda D) (u - w)
        + \sum_j \kappa_j |u_j|, \qquad l_j \le u_j \le h_j

    exactly, so that zeros are exact. As in newton-cholesky, the first Hessian may be
    that of a sample, H is kept and corrected by BFGS while it is accurate enough, and
    the damping grows if the model of f is inaccurate.

    Parameters
    ----------
    held : list of Quadratic, default=None
        The Hessian of each model near its start. The fit updates them, and fills an
        empty list. None computes them for this fit only.

    References
    ----------
    Lee, Sun and Saunders (2014), *Proximal Newton-type methods for minimizing composite
    functions*; Nocedal and Wright (2006), *Numerical Optimization*, eq. 6.19.
    """

    standardized = True
    patience = 8
    rows_per_parameter = 10  # with fewer, the Hessian of a sample is noise

    def __init__(self, held: list[Quadratic] | None = None) -> None:
        self._held = held

    def least_sample(self, objective: Objective) -> float:
        """Return the minimum rows of a sample for a Hessian."""
        return self.rows_per_parameter * objective.n_parameters

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of a Hessian and its copies, and of steps and gradients."""
        q = objective.n_parameters
        return 8 * (6 * q**2 + 40 * q)

    def init(self, objective: Objective, start: Start) -> ProximalNewtonState:
        parameters, at = start.parameters, start.at
        quadratics = [] if self._held is None else self._held
        is_known = bool(quadratics)
        if not is_known:
            surrogate = start.surrogate or Surrogate(objective)
            quadratics += _quadratics(surrogate.hessian(parameters, Objective.hessian))
        is_fresh = start.surrogate is None and not is_known
        subgradient = objective.minimum_norm_subgradient(parameters, at.gradient)
        return ProximalNewtonState(
            parameters=parameters,
            at=at,
            subgradient=subgradient,
            non_smooth=_on_host(objective),
            quadratics=quadratics,
            is_fresh=np.full(objective.n_models, is_fresh),
            here=_point(parameters, at),
            before=np.full(objective.n_models, math.inf),
            diagnostics=Diagnostics.of(objective, at.value, subgradient),
        )

    def step(
        self, objective: Objective, state: ProximalNewtonState
    ) -> ProximalNewtonState:
        w, last, rounding = state.parameters, state.diagnostics, objective.rounding
        # 1. A new Hessian, if the last one is not accurate enough.
        state = _renewed(objective, state)
        # 2. Trial step to the minimum of the model, accepted if F decreases as far.
        target, predicted = _minimised_model(state)
        # Rounding may remove the curvature of the model in the softmax's null space.
        target = objective.shifted_over_classes(objective.place(target))
        trial = try_step(objective, state.subgradient, target, target - w)
        flatter = trial.now.optimality < last.optimality
        accept = trial.now.value <= last.value - SUFFICIENT * np.maximum(predicted, 0.0)
        accept |= flatter & trial.is_not_higher(last, rounding)
        # 3. Damping, from the decrease of F and of its model.
        new = trial.taken(accept, state, state.subgradient, objective, predicted)
        # 4. BFGS correction of the Hessian.
        here = _point(new.parameters, new.at)
        for model in np.nonzero(accept)[0]:
            step, change = (
                now[model] - old[model] for now, old in zip(here, state.here)
            )
            state.quadratics[model].correct(step, change)
        return state._replace(**new._asdict(), here=here, before=last.optimality)

    def decrease(self, objective: Objective, state: ProximalNewtonState) -> np.ndarray:
        """Return the decrease of the model of F."""
        return _minimised_model(state)[1]


def _point(parameters: Array, at: Evaluation) -> OnHost:
    both = parameters, at.gradient
    return OnHost(*(arrays.to_host(x).astype(np.float64, copy=False) for x in both))


def _on_host(objective: Objective) -> NonSmooth:
    assert objective.non_smooth is not None
    return NonSmooth(*map(arrays.to_host, objective.non_smooth))


def _quadratics(hessian: BlockHessian) -> list[Quadratic]:
    matrices = arrays.to_host(hessian.matrices()).astype(np.float64, copy=False)
    return [Quadratic(matrix, hessian.noise) for matrix in matrices]


def _renewed(objective: Objective, state: ProximalNewtonState) -> ProximalNewtonState:
    """Return the state with a new Hessian for the models that need one."""
    last, cost = state.diagnostics, objective.hessian_cost / STEP_COST
    renew = renewal(last, state.before, state.is_fresh, cost)
    renew &= np.isfinite(state.before)  # no step yet
    models = np.nonzero(renew)[0]
    if models.size:
        at = arrays.rows(state.parameters, models)
        hessian = objective.select(models).hessian(at)
        for model, new in zip(models, _quadratics(hessian)):
            state.quadratics[model] = new
    return state._replace(is_fresh=renew | (state.is_fresh & (last.step_norm == 0)))


def _minimised_model(state: ProximalNewtonState) -> tuple[np.ndarray, np.ndarray]:
    """Return the minimum of the damped model of each F, and its decrease."""
    damping, here = state.diagnostics.damping, state.here
    target, predicted = np.empty_like(here.parameters), np.empty_like(damping)
    for model, undamped in enumerate(state.quadratics):
        w, gradient = here.parameters[model], here.gradient[model]
        scale = damping_scale(undamped.diagonal, gradient, xp=np)
        added = damping[model] * scale
        quadratic = undamped.damped(added) if damping[model] > 0 else undamped
        penalty = NonSmooth(*(part[model] for part in state.non_smooth))
        target[model], fell = minimise_quadratic(quadratic, gradient, penalty, w)
        predicted[model] = fell + 0.5 * added @ (target[model] - w) ** 2
    return target, predicted
