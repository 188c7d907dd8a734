"""Trial steps: their evaluation, acceptance and damping.

The device evaluates a trial. The few numbers that decide on it move to the host in one
transfer. If F is smooth, it is usually the only one of an iteration.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.objective import Evaluation, Objective

# Share of the predicted decrease that a step must achieve (Armijo): c_1 of Nocedal and
# Wright (2006), *Numerical Optimization*, eq. 3.4.
SUFFICIENT_DECREASE = 1e-4

# Factor to which steps with an old Hessian must reduce the gradient in the time of a
# new Hessian, as a step with the new Hessian would.
NEW_HESSIAN_REDUCTION = 0.01


class Diagnostics(NamedTuple):
    """Numbers of an iteration on the host, arrays of shape (n_models,).

    Attributes
    ----------
    value : ndarray
        F.
    optimality : ndarray
        Max-norm of the minimum-norm subgradient, in standardized units.
    step_norm : ndarray
        Largest change of a parameter in this iteration; 0 after a rejected step.
    damping : ndarray
        Damping of the next step; 0 for none.
    """

    value: np.ndarray
    optimality: np.ndarray
    step_norm: np.ndarray
    damping: np.ndarray

    @classmethod
    def of(
        cls,
        objective: Objective,
        parameters: Array,
        at: Evaluation,
        *,
        change: Array | None = None,
    ) -> Diagnostics:
        """Return the diagnostics of a point, moved to the host in one transfer.

        ``change`` is the last step; None before the first step.
        """
        xp, norm = objective.xp, objective.xp.zeros_like(at.value)
        if change is not None:
            norm = xp.max(xp.abs(change), axis=1)
        optimality, _ = objective.optimality(parameters, at.gradient)
        scalars = at.value, optimality, norm
        value, optimality, step_norm = _on_host(scalars, xp=xp)
        return cls(value, optimality, step_norm, np.zeros(objective.n_models))


class Trial(NamedTuple):
    """A trial step: its end, and the numbers on the host that decide on it.

    Attributes
    ----------
    parameters : array of shape (n_models, n_parameters)
    at : Evaluation
        F and the gradient of its smooth part at the end of the step.
    now : Diagnostics
        Diagnostics at the end of the step, without damping.
    derivative_before, derivative_after : ndarrays of shape (n_models,)
        Derivatives of F along the step, at its ends, from the gradients that
        :func:`try_step` describes.
    scalars : list of ndarrays of shape (n_models,)
        Further numbers of each model.
    """

    parameters: Array
    at: Evaluation
    now: Diagnostics
    derivative_before: np.ndarray
    derivative_after: np.ndarray
    scalars: list[np.ndarray]

    def meets_armijo(self, last: Diagnostics, rounding: float) -> np.ndarray:
        r"""Return whether to accept the step: boolean, (n_models,).

        With F'(0) and F'(1) the derivatives along the step at its ends, Armijo's
        condition is F(1) <= F(0) + c F'(0). Where F is flat to within its rounding
        error, the equivalent in derivatives decides, F'(1) <= (2c - 1) F'(0) (Hager and
        Zhang 2005, *A new conjugate gradient method with guaranteed descent and an
        efficient line search*, eq. 4.1). Both are false for NaN.

        Parameters
        ----------
        last : Diagnostics
            Before the step.
        rounding : float
            Relative rounding error of F.
        """
        before, after = self.derivative_before, self.derivative_after
        decreases = self.now.value <= last.value + SUFFICIENT_DECREASE * before
        if np.count_nonzero(decreases) == decreases.size:
            return decreases
        is_flatter = after <= (2 * SUFFICIENT_DECREASE - 1) * before
        return decreases | (is_flatter & self.is_not_higher(last, rounding))

    def is_not_higher(self, last: Diagnostics, rounding: float) -> np.ndarray:
        """Return whether F rose by at most its rounding error: (n_models,)."""
        return self.now.value <= last.value + rounding * abs(last.value)

    def taken(
        self,
        accept: np.ndarray,
        state: Any,
        objective: Objective,
        predicted: np.ndarray | None = None,
    ) -> Any:
        """Return the state after the step. Models that reject it stay.

        Parameters
        ----------
        accept : ndarray of bool, of shape (n_models,)
        state : named tuple
            State of a solver before the step.
        objective : Objective
        predicted : ndarray of shape (n_models,), default=None
            Decrease of the quadratic model of F, which sets the next damping. None for
            a solver without damping.
        """
        last, now, damping = state.diagnostics, self.now, state.diagnostics.damping
        all_accept = np.count_nonzero(accept) == accept.size
        if predicted is not None and (np.count_nonzero(damping) or not all_accept):
            # The ratio of the decrease of F to that of its quadratic model decides how
            # far to trust the model next (Nocedal and Wright 2006, *Numerical
            # Optimization*, section 10.3).
            ratio = (last.value - now.value) / predicted
            accepted = np.where(ratio > 0.75, damping / 16, damping)
            accepted = np.where(ratio < 0.25, 4 * accepted, accepted)
            # A step that is too long needs damping on the scale of the curvature. A
            # matrix without a Cholesky factor needs only the rounding error of its
            # entries.
            minimum = np.where(np.isfinite(predicted), 1e-3, 16 * objective.rounding)
            damping = np.where(accept, accepted, np.maximum(16 * damping, minimum))
            now = now._replace(damping=damping)
        if all_accept:
            return state._replace(
                parameters=self.parameters, at=self.at, diagnostics=now
            )
        xp, mask = objective.xp, objective.place(accept, objective.xp.bool)

        def chosen(new: Array, old: Array) -> Array:
            return xp.where(mask if new.ndim == 1 else mask[:, None], new, old)

        rejected = last._replace(step_norm=np.zeros_like(damping), damping=damping)
        numbers = (np.where(accept, a, b) for a, b in zip(now, rejected))
        return state._replace(
            parameters=chosen(self.parameters, state.parameters),
            at=Evaluation(*map(chosen, self.at, state.at)),
            diagnostics=Diagnostics(*numbers),
        )


def try_step(
    objective: Objective, gradient: Array, target: Array, change: Array, *scalars: Array
) -> Trial:
    """Evaluate F at the end of a step, and move the decisive numbers to the host.

    Parameters
    ----------
    objective : Objective
    gradient : array of shape (n_models, n_parameters)
        Gradient or minimum-norm subgradient of F before the step. Only
        ``derivative_before`` depends on it. proximal-newton, which does not use this
        derivative, passes the gradient of the smooth part of F.
    target, change : arrays of shape (n_models, n_parameters)
        End of the step, and the step.
    *scalars : arrays of shape (n_models,)
        Further numbers of each model to move to the host.
    """
    xp = objective.xp
    at = objective.value_and_gradient(target)
    optimality, subgradient = objective.optimality(target, at.gradient)
    on_device = (
        at.value,
        optimality,
        xp.max(xp.abs(change), axis=1),
        xp.vecdot(gradient, change),
        xp.vecdot(subgradient, change),
        *scalars,
    )
    value, optimality, norm, before, after, *others = _on_host(on_device, xp=xp)
    now = Diagnostics(value, optimality, norm, np.zeros(objective.n_models))
    return Trial(target, at, now, before, after, others)


def _on_host(scalars: tuple[Array, ...], *, xp: Namespace) -> np.ndarray:
    """Move numbers of each model to the host in one transfer: (n_scalars, n_models)."""
    joined = xp.concat(scalars)  # a stack takes three times as long in NumPy
    on_host = arrays.to_host(xp.reshape(joined, (len(scalars), -1)))
    return on_host.astype(np.float64, copy=False)


def newton_step_size(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    r"""Return the size of a Newton step, (n_models,), by interpolation.

    ``before`` and ``after`` are the derivatives of F along the step at its ends, F'(0)
    and F'(1).

    Far from the minimum, the curvature decreases along the step, which is then too
    short. Along a Newton step :math:`F''(0) = -F'(0)`. With r = F'(1) / F'(0), the
    quadratic with these derivatives is :math:`F'(0) (1 - t + r t^2)`. Its first root is
    the step size (Nocedal and Wright 2006, *Numerical Optimization*, section 3.5:
    interpolation). It is below 1 if F rises at the end of the step. It is 2 at most,
    also where there is no root.
    """
    root = np.sqrt(np.maximum(1 - 4 * after / before, 0.0))
    return np.where(before < 0, 2 / (1 + root), 1.0)


def damping_scale(diagonal: Array, gradient: Array, *, xp: Namespace) -> Array:
    """Return D of the damping term: max(diag H, max abs(g)).

    Where every row is certain, diag H vanishes and only the gradient limits the step.
    """
    largest = xp.max(xp.abs(gradient), axis=-1, keepdims=True)
    return xp.maximum(diagonal, largest)


def shortened(trial: Trial, last: Diagnostics) -> np.ndarray:
    """Return the factor for a rejected step: the minimum of an interpolating parabola.

    The parabola has the value and derivative before the step and the value after it.
    The factor is within [0.1, 0.5] (Nocedal and Wright 2006, *Numerical Optimization*,
    section 3.5), and 0.1 if the value after the step is not finite.
    """
    derivative = trial.derivative_before
    factor = -derivative / (2 * (trial.now.value - last.value - derivative))
    return np.where(np.isfinite(factor), np.clip(factor, 0.1, 0.5), 0.1)


def needs_new_hessian(state: Any, cost: float) -> np.ndarray:
    """Return whether to compute a new Hessian: boolean, (n_models,).

    It pays if further steps with the old Hessian would reduce the gradient less than a
    new Hessian in the same time, as after a rejected step; unless the old Hessian
    belongs to the current parameters. Before the first step, none is needed.

    Parameters
    ----------
    state : named tuple
        State of a solver, with ``last_optimality``, one iteration ago (at first
        infinite), and ``is_fresh``, whether the Hessian belongs to the start of the
        last step.
    cost : float
        Time of a Hessian, in iterations.
    """
    # 1 + cost steps with the old Hessian take as long as a new one and its step.
    slowest = NEW_HESSIAN_REDUCTION ** (1 / (1 + cost))
    last = state.diagnostics
    is_slow = last.optimality >= slowest * state.last_optimality
    return is_slow & ~(state.is_fresh & (last.step_norm == 0))
