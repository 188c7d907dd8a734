"""When a step is good enough, what to try when it is not, and taking it."""

from __future__ import annotations

from typing import NamedTuple

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.objective import Evaluation, Objective

__all__ = [
    "SUFFICIENT",
    "DampedStep",
    "better",
    "is_acceptable",
    "is_flat",
    "next_damping",
    "shorter",
    "take",
    "to_be_damped",
]

# Share of the decrease promised by the slope that a step must deliver (Armijo).
SUFFICIENT = 1e-4

# Rounding error of F, a sum of many numbers, in units of that of one of them.
SUM_ROUNDING = 16


class DampedStep(NamedTuple):
    """A solution d of (H + lambda D) d = -g.

    Attributes
    ----------
    change : array of shape (n_models, n_parameters)
        d.
    diagonal : array of shape (n_models, n_parameters)
        D, a diagonal like that of H: see :func:`to_be_damped`.
    damping : array of shape (n_models,)
        lambda.
    """

    change: Array
    diagonal: Array
    damping: Array

    def predicted(self, gradient: Array, *, xp: Namespace) -> Array:
        """What the quadratic model of F falls by: (lambda d'Dd - g'd) / 2."""
        damped = self.diagonal * self.change * self.change
        damped = self.damping * xp.sum(damped, axis=1)
        return 0.5 * (damped - xp.sum(gradient * self.change, axis=1))


def to_be_damped(diagonal: Array, slope: Array) -> Array:
    """What of a Hessian is damped: its diagonal, but no less than the largest slope.

    Where no row is in doubt the curvature is of the size of exp(-300), and a multiple
    of that holds nothing back; one of the slope bounds how far a step goes.
    """
    xp = arrays.namespace(diagonal)
    return xp.maximum(diagonal, xp.max(xp.abs(slope), axis=-1, keepdims=True))


def is_acceptable(
    objective: Objective, at: Evaluation, trial: Evaluation, change: Array
) -> Array:
    r"""Whether a change of the parameters may be kept: boolean, shape (n_models,).

    With F'(0) and F'(1) the slopes along the change at its ends, either Armijo's
    condition, F(1) <= F(0) + c F'(0), or, where F is flat to within its rounding
    error and cannot tell, its equivalent in slopes, F'(1) <= (2c - 1) F'(0)
    (Hager and Zhang 2005, *A new conjugate gradient method with guaranteed descent
    and an efficient line search*, eq. 4.1).  Both are false for NaN.

    Parameters
    ----------
    objective : Objective
    at, trial : Evaluation
        F and its gradient before and after the change.
    change : array of shape (n_models, n_parameters)
    """
    xp = objective.xp
    slope = xp.sum(at.gradient * change, axis=1)
    trial_slope = xp.sum(trial.gradient * change, axis=1)
    enough = trial.value <= at.value + SUFFICIENT * slope
    flat = is_flat(objective, at, trial)
    return enough | (flat & (trial_slope <= (2 * SUFFICIENT - 1) * slope))


def is_flat(objective: Objective, at: Evaluation, trial: Evaluation) -> Array:
    """Whether F did not rise by more than its rounding error: shape (n_models,)."""
    rounding = SUM_ROUNDING * objective.rounding * objective.xp.abs(at.value)
    return trial.value <= at.value + rounding


def shorter(
    at: Evaluation, trial: Evaluation, change: Array, *, xp: Namespace
) -> Array:
    """Factor for a refused step: the minimiser of the parabola through what is known.

    That is the value and slope before the change and the value after it; kept
    within [0.1, 0.5], and 0.1 where the value is not finite.  Shape (n_models,).
    """
    slope = xp.sum(at.gradient * change, axis=1)
    factor = -slope / (2 * (trial.value - at.value - slope))
    factor = arrays.within(factor, 0.1, 0.5, xp=xp)
    return xp.where(xp.isfinite(factor), factor, xp.full_like(factor, 0.1))


def next_damping(
    objective: Objective, damping: Array, predicted: Array, fell: Array, accept: Array
) -> Array:
    r"""Damping for the next Newton step: shape (n_models,).

    How much of what the quadratic model promised F really fell by decides how far the
    model is trusted next (Nocedal and Wright 2006, *Numerical Optimization*,
    section 10.3).

    Parameters
    ----------
    objective : Objective
    damping : array of shape (n_models,)
        Of the last step.
    predicted, fell : array of shape (n_models,)
        What the model of F and F itself fell by.
    accept : array of bool, of shape (n_models,)
    """
    xp = objective.xp
    gain = fell / predicted
    trusted = xp.where(gain > 0.75, damping / 16, damping)
    trusted = xp.where(gain < 0.25, 4 * trusted, trusted)
    # Too long a step needs real damping; a matrix that could not be factorised, only
    # as much as its entries are uncertain.
    unresolved = xp.full_like(damping, 16 * objective.rounding)
    least = xp.where(xp.isfinite(predicted), xp.full_like(damping, 1e-3), unresolved)
    return xp.where(accept, trusted, xp.maximum(16 * damping, least))


def take(accept: Array, new: Array, old: Array, *, xp: Namespace) -> Array:
    """``new`` for the models that accept it, ``old`` for the others."""
    return xp.where(xp.reshape(accept, (-1,) + (1,) * (new.ndim - 1)), new, old)


def better(
    accept: Array, trial: Evaluation, at: Evaluation, *, xp: Namespace
) -> Evaluation:
    """The trial for the models that accept it, what was there for the others."""
    return Evaluation(
        *(
            None if new is None else take(accept, new, old, xp=xp)
            for new, old in zip(trial, at)
        )
    )
