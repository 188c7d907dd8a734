"""Minimisation of F under linear constraints on the parameters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.objective import Objective

# Bound on the gradient along the constraints, and another in rounding errors of X.
CONSTRAINED_TOL = 1e-9
CONSTRAINED_ROUNDINGS = 64

MAX_STEPS = 200  # accepted and rejected


class Constrained(NamedTuple):
    """Minimum of F where A w = c.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
    value : float
        F.
    multipliers : ndarray of shape (n_constraints,)
        Derivatives of the minimum in c.
    """

    parameters: np.ndarray
    value: float
    multipliers: np.ndarray


@arrays.quiet()
def constrained_minimum(
    objective: Objective,
    start: np.ndarray,
    constraints: np.ndarray,
    values: np.ndarray,
    tol: float = CONSTRAINED_TOL,
) -> Constrained:
    """Minimise F where A w = c, by a damped Newton method.

    A step takes a pass over the rows for the Hessian, and one for F and its gradient.

    Parameters
    ----------
    objective : Objective
        Smooth, of one model, with a Hessian of full rank along the constraints at the
        minimum.
    start : ndarray of shape (n_parameters,)
    constraints : ndarray of shape (n_constraints, n_parameters)
        A, of full rank.
    values : ndarray of shape (n_constraints,)
        c.
    tol : float
        Bound on the gradient along the constraints.

    Raises
    ------
    FloatingPointError
        If no optimum is found.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, sections 10.3 and 18.1.
    """
    tol = max(tol, CONSTRAINED_ROUNDINGS * objective.rounding)
    onto = np.linalg.pinv(constraints)
    axes = np.linalg.svd(constraints)[2][constraints.shape[0] :]
    at = start + onto @ (values - constraints @ start)
    value, gradient = value_and_gradient(objective, at)
    damping, rejected = 0.0, False
    for _ in range(MAX_STEPS):
        # 1. The size of the gradient along the constraints.
        along = axes @ gradient
        size = np.abs(axes.T @ along).max()
        if size <= tol:
            return Constrained(at, value, onto.T @ gradient)
        # 2. A damped Newton step along them.
        if not rejected:
            placed = objective.place(at[None, :])
            hessian = axes @ objective.hessian_on_host(placed) @ axes.T
        try:
            step = np.linalg.solve(hessian + damping * np.eye(along.size), along)
        except np.linalg.LinAlgError:
            step = np.full(along.size, np.nan)
        new = at - axes.T @ step
        new_value, new_gradient = value_and_gradient(objective, new)
        # 3. Near the optimum F is flat to within rounding: the gradient decides.
        new_size = np.abs(axes.T @ (axes @ new_gradient)).max()
        rejected = not (new_value <= value or new_size <= size / 2)
        if rejected:
            # Where all rows are certain the Hessian vanishes: damping by the size of
            # the gradient limits the step to about one.
            damping = max(4 * damping, size)
        else:
            at, value, gradient = new, new_value, new_gradient
            damping = damping / 4 if damping > new_size / 1e3 else 0.0
    raise FloatingPointError(
        f"The optimum under constraints was not found in {MAX_STEPS} steps."
    )


def value_and_gradient(
    objective: Objective, at: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return F and the gradient of its smooth part for one model, on the host."""
    found = objective.value_and_gradient(objective.place(at[None, :]))
    gradient = arrays.to_host(found.gradient)[0].astype(np.float64)
    return float(arrays.to_host(found.value)[0]), gradient
