"""Newton's method: free, under linear constraints, and for likelihood profiles."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from xlr import arrays
from xlr.inference.fitted_data import Estimates, FittedData
from xlr.objective import Aliased, Objective, find_aliased

# Bound on the L1 norm of the last Newton step, in standardized units. The relative
# change of standard errors is less than half the bound, or up to 70 times the bound if
# a feature has outliers: less than 1e-6.
STEP_TOL = 1e-8

MAX_NEWTON_STEPS = 29

# Smallest eigenvalue of a matrix with diagonal 1 that is not a rounding error of zero.
MIN_EIGENVALUE = 1e-12

MIN_SHARE = 1 / 8  # smallest share of a Newton step, with Firth's penalty

# Bounds on the reduced gradient g: absolute, in 1 / sqrt(S), and in rounding errors of
# X. The error of the statistic 2 S F is S g'H^-1 g. With 1e-9, profiles of Firth fits
# to 100 to 2,000 rows take a quarter more time; their ends differ by less than 1e-12.
CONSTRAINED_TOL = 1e-7
MAX_SCALED_GRADIENT = 1e-5
CONSTRAINED_ROUNDINGS = 64

MAX_CONSTRAINED_STEPS = 200  # accepted or rejected

# Bounds on the error of the end of an interval: in standard errors, and in rounding
# errors of X times the square root of the sum of the weights.
END_TOL = 1e-8
END_ROUNDINGS = 16

MAX_PROFILE_ITERATIONS = 50

PROFILE_ALPHA = 0.05  # one minus the level of the stored intervals

MAX_END_DISTANCE = 1e4  # standard errors; an end farther away is infinite


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
        Parameters that are not aliased, at zero under the L1 penalty, or at a bound.
    """

    def __init__(self, data: FittedData) -> None:
        objective, at = data.objective, data.parameters
        outputs, size = objective.n_outputs, objective.output_size
        # 1. Sums over the rows.
        loss, gradient, information = objective.information(at)
        if data.is_firth:
            smooth = objective.value_and_gradient(at).gradient
        else:
            mean = gradient / objective.total_weight
            smooth = mean + objective.penalty_terms(at).gradient
        subgradient = objective.minimum_norm_subgradient(at, smooth)
        self.data = data
        self.subgradient = arrays.to_host(subgradient)[0].astype(np.float64)
        self.loss = float(data.on_host(loss)[0])
        self.information = data.on_host(information)[0]
        # 2. The free parameters. Collinearity does not depend on positive weights, so
        # the sum over the classes shows it.
        hessian = self.information + np.diag(data.penalty_curvature)
        by_class = hessian.reshape(outputs, size, outputs, size)
        self._gram = gram = np.einsum("kikj->ij", by_class)
        free = data.free.reshape(outputs, size).copy()
        columns = (np.arange(size) - int(objective.fit_intercept)) % size
        columns = columns[free[:, columns].any(axis=0)]  # the intercept first
        aliased = find_aliased(
            gram[np.ix_(columns, columns)], data.problem.information_rounding
        )
        kept, dropped = columns[aliased.kept], columns[aliased.dropped]
        self.aliased = Aliased(kept, dropped, aliased.weights)
        free[:, dropped] = False
        self.free = free.reshape(-1)

    @property
    def log_likelihood(self) -> float:
        """Return the log-likelihood, with Firth's penalty if the model has it."""
        if not self.data.is_firth:
            return -self.loss
        n_equations = self.data.n_equations
        n = n_equations * self.data.objective.output_size
        penalty = np.linalg.slogdet(self.information[-n:, -n:])[1] / 2
        penalty += n_equations * np.log(self.data.parameter_map.scale).sum()
        return float(penalty - self.loss)

    @property
    def inverse_hessian(self) -> np.ndarray:
        """Return the inverse Hessian of the summed losses and the penalty.

        It is zero for parameters that are not free. Scores and differences between
        classes have no component in the null space of the softmax, so that any
        curvature there is valid.
        """
        return self._inverses[0]

    @property
    def influence(self) -> np.ndarray:
        """Return the change of the estimates by a change of the summed scores.

        It is the inverse Hessian times the projection onto the range of the
        information, which holds all scores.
        """
        return self._inverses[1]

    @cached_property
    def _inverses(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Inverse Hessian and influence.

        In the null space N of the information I, which all levels of a penalised
        category have, the Hessian H = I + R is R alone. With the range Q of I,
        :math:`B = (N^T R N)^{-1} N^T R Q`, T = Q - N B and :math:`S = T^T H T`, block
        elimination gives

        .. math::
            H^{-1} Q = T S^{-1}, \qquad
            H^{-1} = T S^{-1} T^T + N (N^T R N)^{-1} N^T

        A weak penalty makes the second part large. In the sandwich of an inverse
        computed at once, rounding errors in this part would be squared.
        """
        outputs = self.data.objective.n_outputs
        ridge = np.diag(self.data.penalty_curvature)
        if self.data.objective.loss.shift_invariant:
            free_in_all = self.data.free.reshape(outputs, -1).all(axis=0)
            curvature = np.diag(free_in_all * np.diagonal(self._gram) / outputs)
            ridge = ridge + np.tile(curvature, (outputs, outputs))
        block = np.ix_(self.free, self.free)
        hessian = (self.information + ridge)[block]
        scale = np.sqrt(np.diagonal(hessian))
        units = scale * scale[:, None]
        if not self.data.is_penalised:
            inverse = influence = np.linalg.inv(hessian / units)
        else:
            information, R = self.information[block] / units, ridge[block] / units
            # Where all rows of a class are certain, its information is small.
            own = np.sqrt(np.diagonal(information))
            own = np.where(own > 0, own, 1.0)
            values, vectors = np.linalg.eigh(information / own / own[:, None])
            null = vectors[:, values < MIN_EIGENVALUE] / own[:, None]
            basis = np.linalg.qr(null, mode="complete")[0]
            N, Q = basis[:, : null.shape[1]], basis[:, null.shape[1] :]
            null_inverse = np.linalg.inv(N.T @ R @ N)
            T = Q - N @ (null_inverse @ (N.T @ R @ Q))
            S = Q.T @ information @ Q + Q.T @ R @ T
            moved = T @ np.linalg.inv((S + S.T) / 2)
            influence = moved @ Q.T
            inverse = moved @ T.T + N @ null_inverse @ N.T
        both = np.zeros((2, *ridge.shape))
        both[0][block] = (inverse + inverse.T) / 2 / units
        both[1][block] = influence / units
        return both[0], both[1]

    @cached_property
    def step(self) -> np.ndarray:
        """Return the step, which stops at zero (L1 penalty) and at the bounds."""
        (l1, lower, upper), start = self.data.non_smooth, self.data.standardized_params
        if not self.data.model.converged_:
            return np.zeros_like(start)
        end = start - self.inverse_hessian @ self.subgradient * self.data.total_weight
        end = np.where((l1 > 0) & (start * end < 0), 0.0, end)
        return np.clip(end, lower, upper) - start

    @property
    def size(self) -> float:
        """Return the L1 norm of the step, for columns of unit root mean square."""
        objective = self.data.objective
        step = np.abs(self.step.reshape(objective.n_outputs, -1))
        if objective.column_rms is not None:  # columns with outliers
            step[:, : objective.n_features] *= arrays.to_host(objective.column_rms)
        return float(step.sum())

    @property
    def decrement(self) -> float:
        """Return the squared Newton decrement, twice the predicted decrease of F."""
        return -float(self.subgradient @ self.step)


def refine(newton: NewtonStep) -> NewtonStep:
    """Iterate Newton's method from a fit until the step is at most STEP_TOL.

    With many rows, a fit within its tolerance may be a standard error from the optimum.
    A fit that did not converge keeps its coefficients.
    """
    data, share = newton.data, 1.0
    for _ in range(MAX_NEWTON_STEPS):
        if newton.size <= max(STEP_TOL, data.objective.rounding):
            break
        params = newton.data.standardized_params + share * newton.step
        new = NewtonStep(data.with_estimates(params))
        if new.decrement < newton.decrement / 2:
            newton = new
        elif data.is_firth and share > MIN_SHARE:
            # The Hessian omits Firth's penalty, so steps may be too long.
            share /= 2
        else:  # rounding errors
            return min(newton, new, key=lambda each: each.decrement)
    return newton


def constrained_minimum(
    objective: Objective, start: np.ndarray, A: np.ndarray, c: float = 0.0
) -> tuple[np.ndarray, float, np.ndarray]:
    """Minimise F where A w = c, by a damped Newton method.

    A step takes a pass over the rows for the Hessian, and one for F and its gradient.
    With Firth's penalty, whose curvature the Hessian lacks, BFGS updates correct the
    first Hessian.

    Parameters
    ----------
    objective : Objective
        Smooth objective of one model, with a Hessian of full rank in the null space of
        A at the minimum.
    start : ndarray of shape (n_parameters,)
    A : ndarray of shape (n_constraints, n_parameters)
        Constraints, of full rank.
    c : float
        Value of every constraint.

    Returns
    -------
    parameters : ndarray of shape (n_parameters,)
    value : float
    multipliers : ndarray of shape (n_constraints,)
        Derivatives of the minimum in c.

    Raises
    ------
    FloatingPointError
        If no optimum is found.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, sections 6.1, 10.3 and 18.1.
    """
    total = float(arrays.to_host(objective.total_weight)[0])
    tol = min(CONSTRAINED_TOL, MAX_SCALED_GRADIENT / math.sqrt(total))
    tol = max(tol, CONSTRAINED_ROUNDINGS * objective.rounding)
    A_pinv = np.linalg.pinv(A)
    Z = np.linalg.svd(A)[2][A.shape[0] :].T  # an orthonormal basis of the null space
    w = start + A_pinv @ (c - A @ start)
    value, gradient = value_and_gradient_on_host(objective, w)
    damping, hessian = 0.0, None
    for _ in range(MAX_CONSTRAINED_STEPS):
        # 1. Reduced gradient Z'g.
        reduced_gradient = Z.T @ gradient
        norm = np.abs(Z @ reduced_gradient).max()
        if norm <= tol:
            return w, value, A_pinv.T @ gradient
        # 2. Damped Newton step in the null space of A.
        if hessian is None:
            hessian = Z.T @ objective.hessian_on_host(objective.place(w[None, :])) @ Z
        try:
            damped = hessian + damping * np.eye(reduced_gradient.size)
            step = np.linalg.solve(damped, reduced_gradient)
        except np.linalg.LinAlgError:
            step = np.full(reduced_gradient.size, np.nan)
        new = w - Z @ step
        new_value, new_gradient = value_and_gradient_on_host(objective, new)
        new_reduced = Z.T @ new_gradient
        new_norm = np.abs(Z @ new_reduced).max()
        # 3. Near the optimum, F is flat to within rounding, so the gradient decides.
        is_flat = new_value <= value + objective.value_rounding * abs(value)
        if not (new_value <= value or (is_flat and new_norm <= norm / 2)):
            # If all rows are certain, the Hessian vanishes. Damping by the norm of the
            # gradient then limits the step to about one.
            damping = max(4 * damping, norm)
        else:
            w, value, gradient = new, new_value, new_gradient
            damping = damping / 4 if damping > new_norm / 1e3 else 0.0
            # 4. The next Hessian: a new one, or a BFGS update (eq. 6.19).
            change, product = reduced_gradient - new_reduced, hessian @ step
            if objective.term is None:
                hessian = None
            elif min(step @ change, step @ product) > 0:
                hessian -= np.outer(product, product) / (step @ product)
                hessian += np.outer(change, change) / (step @ change)
    raise FloatingPointError(
        f"The optimum under constraints was not found in {MAX_CONSTRAINED_STEPS} steps."
    )


def value_and_gradient_on_host(
    objective: Objective, w: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return F and the gradient of its smooth part for one model, on the host."""
    evaluation = objective.value_and_gradient(objective.place(w[None, :]))
    gradient = arrays.to_host(evaluation.gradient)[0].astype(np.float64)
    return float(arrays.to_host(evaluation.value)[0]), gradient


def profile_parameters(data: FittedData, estimates: Estimates) -> list[np.ndarray]:
    """Return likelihood-ratio statistics, lower and upper ends of all parameters."""
    lower, upper = profile_ends(data, estimates)
    objective, start = data.objective, data.standardized_params
    minimum, _ = value_and_gradient_on_host(objective, start)
    values = []
    for row in data.parameter_map.matrix:
        w = _predicted(estimates, row, 0.0)
        _, value, _ = constrained_minimum(objective, w, row[None, :])
        values.append(value)
    statistic = 2 * data.total_weight * np.maximum(np.asarray(values) - minimum, 0)
    return [statistic, lower, upper]


def _predicted(estimates: Estimates, direction: np.ndarray, value: float) -> np.ndarray:
    """Return the minimum of the quadratic model of F where direction @ w = value.

    A move of the one parameter alone makes all rows certain if columns are correlated.
    """
    w, tangent = estimates.standardized_params, estimates.inverse_hessian @ direction
    return w + tangent * ((value - direction @ w) / (direction @ tangent))


def profile_ends(
    data: FittedData,
    estimates: Estimates,
    alpha: float = PROFILE_ALPHA,
    chosen: Any = slice(None),
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
    alpha : float
        One minus the level.
    chosen : ndarray of int of shape (n_chosen,)
        Indices of the reported parameters; all by default.

    Returns
    -------
    ndarray of shape (2, n_chosen)
        Infinite where there is no end.

    Raises
    ------
    ValueError
        If the fit has a penalty other than Firth's, or columns are aliased.
    FloatingPointError
        If rounding errors hide an end.

    References
    ----------
    Venzon and Moolgavkar (1988), *A method for computing profile-likelihood-based
    confidence intervals*, Applied Statistics 37.
    """
    if data.is_penalised or estimates.aliased:
        raise ValueError(
            "A likelihood profile needs a fit without a penalty, or with Firth's, and "
            "without collinear columns. Fit with C=inf, and leave out collinear "
            "columns."
        )
    objective, total = data.objective, data.total_weight
    minimum, _ = value_and_gradient_on_host(objective, data.standardized_params)
    quantile = -float(ndtri(alpha / 2))
    tol = max(END_TOL, END_ROUNDINGS * objective.rounding * math.sqrt(total))

    def end(direction: np.ndarray, estimate: float, step: float) -> float:
        # Distances are in standard errors; ``near`` and ``far`` bracket the end.
        distance, near, far = quantile, 0.0, math.inf
        w = _predicted(estimates, direction, estimate + distance * step)
        for _ in range(MAX_PROFILE_ITERATIONS):
            value = estimate + distance * step
            w, constrained, multiplier = constrained_minimum(
                objective, w, direction[None, :], value
            )
            root = math.sqrt(max(0.0, 2 * total * (constrained - minimum)))
            near, far = (distance, far) if root < quantile else (near, distance)
            derivative = total * float(multiplier[0]) * step / root if root else 0.0
            change = (quantile - root) / derivative if derivative > 0 else math.inf
            distance += change
            if abs(change) <= tol:
                return estimate + distance * step
            if not near < distance < far:
                distance = 2 * near + 1 if math.isinf(far) else (near + far) / 2
            if distance > MAX_END_DISTANCE:
                return math.copysign(math.inf, step)
        raise FloatingPointError(
            "The end of a profile interval was not found in "
            f"{MAX_PROFILE_ITERATIONS} fits."
        )

    each = data.parameter_map.matrix, estimates.params, estimates.standard_errors
    ends = [
        [end(row, estimate, -error), end(row, estimate, error)]
        for row, estimate, error in zip(*(values[chosen] for values in each))
    ]
    return np.asarray(ends).reshape(-1, 2).T
