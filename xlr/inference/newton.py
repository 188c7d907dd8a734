"""Newton's method from the coefficients of a fit, free and under constraints."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.inference.fitted_data import FittedData
from xlr.objective import Aliased, Objective, find_aliased, information

# Bound on the last Newton step, in standardized units, summed over the parameters. The
# relative change of standard errors is less than half the bound, or up to 70 times the
# bound if a feature has outliers: less than 1e-6.
LAST_STEP = 1e-8

MAX_PASSES = 30

MIN_SHARE = 1 / 8  # smallest share of a Newton step, with Firth's penalty

# Bounds on the gradient along the constraints: absolute, and in rounding errors of X.
CONSTRAINED_TOL = 1e-9
CONSTRAINED_ROUNDINGS = 64

MAX_STEPS = 200  # accepted or rejected


class InformationSums(NamedTuple):
    """Sums over the rows at the estimates, on the host, in standardized units.

    Attributes
    ----------
    loss : float
        Minus the log-likelihood.
    gradient : ndarray of shape (n_parameters,)
        Gradient of the loss.
    information : ndarray of shape (n_parameters, n_parameters)
        Hessian of the loss.
    subgradient : ndarray of shape (n_parameters,)
        Minimum-norm subgradient of F.
    """

    loss: float
    gradient: np.ndarray
    information: np.ndarray
    subgradient: np.ndarray


class NewtonStep(NamedTuple):
    """Newton step of F, with the sums that determine it.

    Attributes
    ----------
    data : FittedData
    sums : InformationSums
    aliased : Aliased
    free : ndarray of bool of shape (n_parameters,)
        Parameters that are neither aliased nor held at zero or at a bound.
    inverse : ndarray of shape (n_parameters, n_parameters)
        Inverse Hessian of the summed losses and the penalty; zero for the others.
    step : ndarray of shape (n_parameters,)
    """

    data: FittedData
    sums: InformationSums
    aliased: Aliased
    free: np.ndarray
    inverse: np.ndarray
    step: np.ndarray

    @property
    def size(self) -> float:
        """Return the sum of the step's absolute values, for unit mean squares."""
        objective = self.data.objective
        step = np.abs(self.step.reshape(objective.n_outputs, -1))
        if objective.column_rms is not None:  # columns with outliers
            step[:, : objective.n_features] *= arrays.to_host(objective.column_rms)
        return float(step.sum())

    @property
    def decrement(self) -> float:
        """Return the predicted decrease of F, the squared Newton decrement."""
        return -float(self.sums.subgradient @ self.step)


def sum_information(data: FittedData) -> InformationSums:
    """Sum the loss and its derivatives over the rows."""
    objective, at = data.objective, data.parameters
    sums = information(objective, at)
    if data.is_firth:
        smooth = objective.value_and_gradient(at).gradient
    else:
        mean = sums.gradient / objective.total_weight
        smooth = mean[None, :] + objective.penalty_gradient(at)
    subgradient = objective.minimum_norm_subgradient(at, smooth)
    loss, gradient, hessian = map(data.on_host, sums)
    subgradient = arrays.to_host(subgradient)[0].astype(np.float64)
    return InformationSums(float(loss), gradient, hessian, subgradient)


def last_newton_step(data: FittedData, sums: InformationSums) -> NewtonStep:
    """Iterate Newton's method until the information no longer changes.

    With many rows, a fit within its tolerance may be a standard error from the optimum.
    A fit that did not converge keeps its coefficients.
    """
    last, share = newton_step(data, sums), 1.0
    for _ in range(MAX_PASSES - 1):
        if last.size <= max(LAST_STEP, data.objective.rounding):
            break
        data = last.data.at(last.data.standardized + share * last.step)
        new = newton_step(data, sum_information(data))
        if new.decrement < last.decrement / 2:
            last = new
        elif data.is_firth and share > MIN_SHARE:
            # The Hessian omits Firth's penalty, so steps may be too long.
            share /= 2
        else:  # rounding errors
            return min(last, new, key=lambda each: each.decrement)
    return last


def newton_step(data: FittedData, sums: InformationSums) -> NewtonStep:
    """Return the Newton step of F at the parameters of the sums."""
    objective, outputs = data.objective, data.objective.n_outputs
    curved = sums.information + np.diag(data.penalty_curvature)
    # 1. The free parameters. Collinearity does not depend on positive weights, so the
    # sum over the classes shows it.
    size = objective.column_size
    gram = np.einsum("kikj->ij", curved.reshape(outputs, size, outputs, size))
    free = data.free.reshape(outputs, size).copy()
    columns = np.roll(np.arange(size), int(objective.fit_intercept))  # intercept first
    columns = columns[free[:, columns].sum(axis=0) > 0]
    found = find_aliased(gram[np.ix_(columns, columns)], objective.wide_rounding)
    aliased = Aliased(columns[found.kept], columns[found.dropped], found.weights)
    free[:, aliased.dropped] = False
    # 2. The inverse Hessian. Scores and differences between classes have no component
    # in the null space of the softmax, so any curvature there is valid.
    if objective.loss.shift_invariant:
        free_in_all = data.free.reshape(outputs, size).all(axis=0)
        level = np.where(free_in_all, np.diagonal(gram) / outputs, 0.0)
        curved = curved + np.tile(np.diag(level), (outputs, outputs))
    inverse, chosen = np.zeros_like(curved), free.reshape(-1)
    inverse[np.ix_(chosen, chosen)] = _inverse(curved[np.ix_(chosen, chosen)])
    # 3. The step, which stops at zero (L1 penalty) and at the bounds.
    step = np.zeros(chosen.size)
    if data.model.converged_:
        step = -inverse @ sums.subgradient * data.total_weight
        if data.non_smooth is not None:
            (l1, lower, upper), at = data.non_smooth, data.standardized
            new = np.where((l1 > 0) & (at * (at + step) < 0), 0.0, at + step)
            step = np.clip(new, lower, upper) - at
    return NewtonStep(data, sums, aliased, chosen, inverse, step)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Invert a positive-definite matrix, scaled to a unit diagonal."""
    root = np.sqrt(np.diagonal(matrix))
    inverse = np.linalg.inv(matrix / root / root[:, None])
    return (inverse + inverse.T) / 2 / root / root[:, None]


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
        Smooth objective of one model, with a Hessian of full rank along the constraints
        at the minimum.
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
        # 3. Near the optimum, F is flat to within rounding, so the gradient decides.
        new_size = np.abs(axes.T @ (axes @ new_gradient)).max()
        rejected = not (new_value <= value or new_size <= size / 2)
        if rejected:
            # If all rows are certain, the Hessian vanishes. Damping by the size of the
            # gradient then limits the step to about one.
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
