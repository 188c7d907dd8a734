"""Newton's method from the estimates of a fit: free, constrained, and for profiles."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from scipy import stats

from xlr import arrays
from xlr.inference.fitted_data import Estimates, FittedData
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

# Bounds on the error of the end of an interval: in standard errors, and in rounding
# errors of X times the square root of the sum of the weights.
END_TOL = 1e-8
END_ROUNDINGS = 16

MAX_PROFILE_ITERATIONS = 50

PROFILE_ALPHA = 0.05  # one minus the level of the stored intervals

# Distance in standard errors above which the end is infinite.
FARTHEST = 1e4


class NewtonStep:
    """Newton step of F, with the sums over the rows that determine it, on the host.

    Parameters
    ----------
    data : FittedData
        Data at the estimates.

    Attributes
    ----------
    loss : float
        Minus the log-likelihood.
    information : ndarray of shape (n_parameters, n_parameters)
        Hessian of the loss.
    subgradient : ndarray of shape (n_parameters,)
        Minimum-norm subgradient of F.
    aliased : Aliased
    free : ndarray of bool of shape (n_parameters,)
        Parameters that are neither aliased nor held at zero or at a bound.
    """

    def __init__(self, data: FittedData) -> None:
        objective, at = data.objective, data.parameters
        outputs, size = objective.n_outputs, objective.column_size
        # 1. Sums over the rows.
        sums = information(objective, at)
        if data.is_firth:
            smooth = objective.value_and_gradient(at).gradient
        else:
            mean = sums.gradient / objective.total_weight
            smooth = mean[None, :] + objective.penalty_gradient(at)
        subgradient = objective.minimum_norm_subgradient(at, smooth)
        self.data = data
        self.subgradient = arrays.to_host(subgradient)[0].astype(np.float64)
        self.loss = float(data.on_host(sums.loss))
        self.information = data.on_host(sums.hessian)
        # 2. The free parameters. Collinearity does not depend on positive weights, so
        # the sum over the classes shows it.
        self._curved = self.information + np.diag(data.penalty_curvature)
        by_class = self._curved.reshape(outputs, size, outputs, size)
        self._gram = gram = np.einsum("kikj->ij", by_class)
        free = data.free.reshape(outputs, size).copy()
        columns = np.roll(np.arange(size), int(objective.fit_intercept))
        columns = columns[free[:, columns].any(axis=0)]  # the intercept first
        found = find_aliased(
            gram[np.ix_(columns, columns)], objective.accumulation_rounding
        )
        kept, dropped = columns[found.kept], columns[found.dropped]
        self.aliased = Aliased(kept, dropped, found.weights)
        free[:, dropped] = False
        self.free = free.reshape(-1)

    @property
    def log_likelihood(self) -> float:
        """Return the log-likelihood, with Firth's penalty if the model has it."""
        if not self.data.is_firth:
            return -self.loss
        n_equations = self.data.class_totals.size - 1
        n = n_equations * self.data.objective.column_size
        penalty = np.linalg.slogdet(self.information[-n:, -n:])[1] / 2
        penalty += n_equations * np.log(self.data.units.scale).sum()
        return float(penalty - self.loss)

    @cached_property
    def inverse(self) -> np.ndarray:
        """Return the inverse Hessian of the summed losses and the penalty.

        It is zero for parameters that are not free. Scores and differences between
        classes have no component in the null space of the softmax, so that any
        curvature there is valid.
        """
        curved, outputs = self._curved, self.data.objective.n_outputs
        if self.data.objective.loss.shift_invariant:
            free_in_all = self.data.free.reshape(outputs, -1).all(axis=0)
            level = np.where(free_in_all, np.diagonal(self._gram) / outputs, 0.0)
            curved = curved + np.tile(np.diag(level), (outputs, outputs))
        inverse, own = np.zeros_like(curved), np.ix_(self.free, self.free)
        root = np.sqrt(np.diagonal(curved)[self.free])
        found = np.linalg.inv(curved[own] / root / root[:, None])
        inverse[own] = (found + found.T) / 2 / root / root[:, None]
        return inverse

    @cached_property
    def step(self) -> np.ndarray:
        """Return the step, which stops at zero (L1 penalty) and at the bounds."""
        (l1, lower, upper), start = self.data.non_smooth, self.data.standardized
        if not self.data.model.converged_:
            return np.zeros_like(start)
        end = start - self.inverse @ self.subgradient * self.data.total_weight
        end = np.where((l1 > 0) & (start * end < 0), 0.0, end)
        return np.clip(end, lower, upper) - start

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
        return -float(self.subgradient @ self.step)


def last_newton_step(last: NewtonStep) -> NewtonStep:
    """Iterate Newton's method until the information no longer changes.

    With many rows, a fit within its tolerance may be a standard error from the optimum.
    A fit that did not converge keeps its coefficients.
    """
    data, share = last.data, 1.0
    for _ in range(MAX_PASSES - 1):
        if last.size <= max(LAST_STEP, data.objective.rounding):
            break
        new = NewtonStep(data.at(last.data.standardized + share * last.step))
        if new.decrement < last.decrement / 2:
            last = new
        elif data.is_firth and share > MIN_SHARE:
            # The Hessian omits Firth's penalty, so steps may be too long.
            share /= 2
        else:  # rounding errors
            return min(last, new, key=lambda each: each.decrement)
    return last


@arrays.quiet()
def constrained_minimum(
    objective: Objective,
    start: np.ndarray,
    constraints: np.ndarray,
    value: float = 0.0,
) -> tuple[np.ndarray, float, np.ndarray]:
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
    value : float
        Every entry of c.

    Returns
    -------
    parameters : ndarray of shape (n_parameters,)
    minimum : float
    multipliers : ndarray of shape (n_constraints,)
        Derivatives of the minimum in c.

    Raises
    ------
    FloatingPointError
        If no optimum is found.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, sections 10.3 and 18.1.
    """
    tol = max(CONSTRAINED_TOL, CONSTRAINED_ROUNDINGS * objective.rounding)
    onto = np.linalg.pinv(constraints)
    axes = np.linalg.svd(constraints)[2][constraints.shape[0] :]
    at = start + onto @ (value - constraints @ start)
    lowest, gradient = value_and_gradient(objective, at)
    damping, rejected = 0.0, False
    for _ in range(MAX_STEPS):
        # 1. The size of the gradient along the constraints.
        along = axes @ gradient
        size = np.abs(axes.T @ along).max()
        if size <= tol:
            return at, lowest, onto.T @ gradient
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
        rejected = not (new_value <= lowest or new_size <= size / 2)
        if rejected:
            # If all rows are certain, the Hessian vanishes. Damping by the size of the
            # gradient then limits the step to about one.
            damping = max(4 * damping, size)
        else:
            at, lowest, gradient = new, new_value, new_gradient
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


def profile_all(data: FittedData, estimates: Estimates) -> np.ndarray:
    """Return likelihood-ratio statistics of zero, and ends: (3, n_reported)."""
    lowest, _ = value_and_gradient(data.objective, data.standardized)
    values = [
        constrained_minimum(data.objective, data.standardized, row[None, :])[1]
        for row in data.units.directions
    ]
    statistic = 2 * data.total_weight * np.maximum(np.asarray(values) - lowest, 0)
    ends = profile_ends(data, estimates, np.arange(estimates.params.size))
    return np.stack([statistic, *ends])


def profile_ends(
    data: FittedData,
    estimates: Estimates,
    chosen: np.ndarray,
    alpha: float = PROFILE_ALPHA,
) -> np.ndarray:
    r"""Return ends of profile-likelihood intervals: (2, n_chosen).

    With :math:`\hat F(c)` the minimum of F where a parameter is c and S the sum of the
    weights, an end is where :math:`r(c) = \sqrt{2 S (\hat F(c) - \hat F)}` is a normal
    quantile. That root is nearly linear in c, which makes Newton's method fast: its
    derivative is S over r times the multiplier of the constraint.

    Parameters
    ----------
    data : FittedData
        Data of a fit without a penalty, or with Firth's.
    estimates : Estimates
    chosen : ndarray of int of shape (n_chosen,)
        Indices of the reported parameters.
    alpha : float
        One minus the level.

    Returns
    -------
    ndarray of shape (2, n_chosen)
        Infinite where there is no end.

    Raises
    ------
    FloatingPointError
        If rounding errors hide an end.

    References
    ----------
    Venzon and Moolgavkar (1988), *A method for computing profile-likelihood-based
    confidence intervals*, Applied Statistics 37.
    """
    objective, total = data.objective, data.total_weight
    lowest, _ = value_and_gradient(objective, data.standardized)
    quantile = float(stats.norm.isf(alpha / 2))
    tol = max(END_TOL, END_ROUNDINGS * objective.rounding * math.sqrt(total))

    def end(direction: np.ndarray, estimate: float, step: float) -> float:
        # Distances are in standard errors; ``near`` and ``far`` bracket the end.
        start, distance, near, far = data.standardized, quantile, 0.0, math.inf
        for _ in range(MAX_PROFILE_ITERATIONS):
            value = estimate + distance * step
            start, minimum, multiplier = constrained_minimum(
                objective, start, direction[None, :], value
            )
            root = math.sqrt(max(0.0, 2 * total * (minimum - lowest)))
            near, far = (distance, far) if root < quantile else (near, distance)
            slope = total * float(multiplier[0]) * step / root if root else 0.0
            change = (quantile - root) / slope if slope > 0 else math.inf
            distance += change
            if abs(change) <= tol:
                return estimate + distance * step
            if not near < distance < far:
                distance = 2 * near + 1 if math.isinf(far) else (near + far) / 2
            if distance > FARTHEST:
                return math.copysign(math.inf, step)
        raise FloatingPointError(
            "The end of a profile interval was not found in "
            f"{MAX_PROFILE_ITERATIONS} fits."
        )

    directions, params = data.units.directions, estimates.params
    ends = [
        [end(directions[j], params[j], sign * estimates.errors[j]) for j in chosen]
        for sign in (-1, 1)
    ]
    return np.asarray(ends)
