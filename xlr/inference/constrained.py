"""The optimum under linear constraints on the parameters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.objective import Objective

__all__ = ["Constrained", "constrained_minimum"]

# Bound on the gradient, less that part which the constraints hold, or so many times
# the rounding error of X.
TOL = 1e-9
ROUNDINGS = 64

MAX_ITER = 100
HALVINGS = 30


class Constrained(NamedTuple):
    """The minimum of F where A w = c.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
    value : float
        F.
    multipliers : ndarray of shape (n_constraints,)
        The derivatives of the minimum in c.
    """

    parameters: np.ndarray
    value: float
    multipliers: np.ndarray


@arrays.quiet()
def constrained_minimum(
    objective: Objective, start: np.ndarray, constraints: np.ndarray, values: np.ndarray
) -> Constrained:
    """Newton's method in the space that the constraints leave.

    Two passes over the rows a step.

    Parameters
    ----------
    objective : Objective
        Smooth, of one model, with a Hessian of full rank in that space.
    start : ndarray of shape (n_parameters,)
    constraints : ndarray of shape (n_constraints, n_parameters)
        A, of full rank.
    values : ndarray of shape (n_constraints,)
        c.

    Raises
    ------
    FloatingPointError
        If no optimum is found.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, section 18.1.
    """
    tol = max(TOL, ROUNDINGS * objective.rounding)
    onto = np.linalg.pinv(constraints)
    axes = np.linalg.svd(constraints)[2][constraints.shape[0] :]

    def free(gradient: np.ndarray) -> float:
        """The size of that part of the gradient which the constraints do not hold."""
        return float(np.abs(axes.T @ (axes @ gradient)).max())

    def within(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The Newton step in the space that the constraints leave."""
        step: np.ndarray = np.linalg.solve(axes @ hessian @ axes.T, axes @ gradient)
        return -axes.T @ step

    hessian = objective.hessian_on_host(objective.place(start[None, :]))
    missing = onto @ (values - constraints @ start)
    at = start + missing + within(hessian, hessian @ missing)
    value, gradient = _value_and_gradient(objective, at)
    for _ in range(MAX_ITER):
        if free(gradient) <= tol:
            return Constrained(at, value, onto.T @ gradient)
        hessian = objective.hessian_on_host(objective.place(at[None, :]))
        change = within(hessian, gradient)
        for _ in range(HALVINGS):
            new_value, new_gradient = _value_and_gradient(objective, at + change)
            # Near the optimum F is flat to within its rounding error, and cannot tell.
            if new_value <= value or free(new_gradient) <= free(gradient) / 2:
                break
            change = change / 2
        at, value, gradient = at + change, new_value, new_gradient
    raise FloatingPointError(
        f"The optimum under constraints was not found in {MAX_ITER} steps."
    )


def _value_and_gradient(
    objective: Objective, at: np.ndarray
) -> tuple[float, np.ndarray]:
    found = objective.value_and_gradient(objective.place(at[None, :]))
    gradient = arrays.to_host(found.gradient)[0].astype(np.float64)
    return float(arrays.to_host(found.value)[0]), gradient
