"""F, its minimum and its optimality in 50 digits, by mpmath without xlr."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

mpmath = pytest.importorskip("mpmath")

__all__ = ["Exact", "mp"]

mp = mpmath.MPContext()
mp.dps = 50

MAX_STEPS = 8  # Newton steps from a fit; each squares the error


class Exact:
    """Objective F of one model in 50 digits, as the README states it.

    The parameters of a model are a list for each class, coefficients before the
    intercept. Two classes have one list, for the second class.

    Parameters
    ----------
    X, y : ndarrays
        y holds codes of the classes.
    C, l1_ratio : float
    fit_intercept : bool
    sample_weight : ndarray of shape (n_samples,), default=None
        Sample weights times class weights.
    offset : ndarray of shape (n_samples,) or (n_samples, n_classes), default=None
    penalty_factor : ndarray of shape (n_features,), default=None
    """

    def __init__(
        self,
        X: np.ndarray,
        y: np.ndarray,
        *,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        fit_intercept: bool = True,
        sample_weight: np.ndarray | None = None,
        offset: np.ndarray | None = None,
        penalty_factor: np.ndarray | None = None,
    ) -> None:
        n, p = X.shape
        constant = [1.0] if fit_intercept else []
        self.rows = [[mp.mpf(v) for v in row + constant] for row in X.tolist()]
        self.y, self.n_classes = y.tolist(), int(y.max()) + 1
        weights = np.ones(n) if sample_weight is None else sample_weight
        self.weights = [mp.mpf(v) for v in weights.tolist()]
        self.total = mp.fsum(self.weights)
        offset = np.zeros(n) if offset is None else offset
        self.offset = [[mp.mpf(v) for v in row] for row in offset.reshape(n, -1)]
        factors = np.ones(p) if penalty_factor is None else penalty_factor
        strengths = [mp.mpf(v) / (mp.mpf(C) * self.total) for v in factors.tolist()]
        unpenalised = [mp.mpf(0)] * len(constant)
        self.lasso = [mp.mpf(l1_ratio) * v for v in strengths] + unpenalised
        self.ridge = [(1 - mp.mpf(l1_ratio)) * v for v in strengths] + unpenalised
        self.n_features = p
        self.size = p + len(constant)

    def parameters(self, model: Any) -> list[list[Any]]:
        """Return the parameters of a fitted estimator."""
        columns = np.column_stack([model.coef_, model.intercept_])[:, : self.size]
        return [[mp.mpf(v) for v in column] for column in columns.tolist()]

    def _predictions(self, w: list[list[Any]]) -> Any:
        """Yield row, weight, class, logits, their log-sum-exp and probabilities."""
        for row, s, k, added in zip(self.rows, self.weights, self.y, self.offset):
            added = added if len(added) == len(w) else added * len(w)
            logits = [mp.fdot(row, column) + o for column, o in zip(w, added)]
            if len(w) == 1:
                logits = [mp.mpf(0), *logits]
            top = max(logits)
            terms = [mp.exp(v - top) for v in logits]
            total = mp.fsum(terms)
            yield row, s, k, logits, top + mp.log(total), [t / total for t in terms]

    def value(self, w: list[list[Any]]) -> Any:
        """Return F."""
        loss = mp.fsum(
            s * (log_sum - logits[k])
            for _, s, k, logits, log_sum, _ in self._predictions(w)
        )
        penalty = mp.fsum(
            l1 * abs(v) + ridge / 2 * v**2
            for column in w
            for v, l1, ridge in zip(column, self.lasso, self.ridge)
        )
        return loss / self.total + penalty

    def derivatives(
        self, w: list[list[Any]], free: list[tuple[int, int]]
    ) -> tuple[list[list[Any]], Any]:
        """Return the gradient of loss and L2 penalty, and the Hessian of free pairs.

        A pair is a class and a parameter of it.
        """
        first = len(w) == 1  # the only list of two classes is for the second class
        gradient = [[mp.mpf(0)] * self.size for _ in w]
        hessian = mp.zeros(len(free), len(free))
        for row, s, label, _, _, p in self._predictions(w):
            share, p = s / self.total, p[first:]
            for k, column in enumerate(gradient):
                residual = share * (p[k] - (label == k + first))
                for j, x in enumerate(row):
                    column[j] += residual * x
            for a, (k, i) in enumerate(free):
                for b, (m, j) in enumerate(free[: a + 1]):
                    curvature = share * p[k] * ((k == m) - p[m])
                    hessian[a, b] += curvature * row[i] * row[j]
        for k, column in enumerate(gradient):
            for j in range(self.size):
                column[j] += self.ridge[j] * w[k][j]
        for a, (_, i) in enumerate(free):
            for b in range(a):
                hessian[b, a] = hessian[a, b]
            hessian[a, a] += self.ridge[i]
        return gradient, hessian

    def minimum(self, near: list[list[Any]]) -> Any:
        """Return the minimum of F, from parameters near it, with the same zeros.

        Newton's method moves all parameters except those that the L1 penalty keeps at
        zero. For these, check the KKT conditions. F is convex: if they hold, this is
        its minimum.
        """
        w = [list(column) for column in near]
        pairs = [(k, j) for k in range(len(w)) for j in range(self.size)]
        at_zero = [(k, j) for k, j in pairs if w[k][j] == 0 and self.lasso[j] > 0]
        penalised = [a + b > 0 for a, b in zip(self.lasso, self.ridge)]
        # Equal changes to unpenalised parameters of all classes leave F unchanged.
        fixed = [(0, j) for j in range(self.size) if len(w) > 1 and not penalised[j]]
        free = [pair for pair in pairs if pair not in at_zero + fixed]
        for _ in range(MAX_STEPS):
            gradient, hessian = self.derivatives(w, free)
            derivative = [
                gradient[k][j] + self.lasso[j] * mp.sign(w[k][j]) for k, j in free
            ]
            step = mp.lu_solve(hessian, mp.matrix(derivative))
            for (k, j), change in zip(free, step):
                w[k][j] -= change
            if mp.fdot(derivative, step) < 1e-30:  # twice the decrease of F
                break
        else:
            raise AssertionError("Newton's method does not converge from this fit.")
        gradient, _ = self.derivatives(w, [])
        assert all(abs(gradient[k][j]) <= self.lasso[j] for k, j in at_zero)
        return self.value(w)

    # -- optimality ----------------------------------------------------------------

    def _scaler(self) -> tuple[list[Any], list[Any]]:
        """Return weighted mean and standard deviation of the columns.

        Without an intercept, return zero and the root mean square.
        """
        shares = [s / self.total for s in self.weights]
        columns = list(zip(*self.rows))[: self.n_features]
        centred = self.size > self.n_features
        means = [mp.fdot(shares, x) if centred else mp.mpf(0) for x in columns]
        squares = [
            mp.fdot(shares, [(v - mean) ** 2 for v in x])
            for x, mean in zip(columns, means)
        ]
        return means, [mp.sqrt(v) for v in squares]

    def optimality(self, w: list[list[Any]]) -> Any:
        """Return the largest minimum-norm subgradient, for standardised features."""
        gradient, _ = self.derivatives(w, [])
        means, scales = self._scaler()
        largest = mp.mpf(0)
        for column, derivative in zip(w, gradient):
            if self.size > self.n_features:
                intercept = derivative[-1]
                largest = max(largest, abs(intercept))
            else:
                intercept = mp.mpf(0)
            for j, (mean, scale) in enumerate(zip(means, scales)):
                if scale == 0:  # a constant column
                    continue
                smooth = (derivative[j] - mean * intercept) / scale
                l1 = self.lasso[j] / scale
                if column[j] == 0:
                    subgradient = max(abs(smooth) - l1, mp.mpf(0))
                else:
                    subgradient = abs(smooth + mp.sign(column[j]) * l1)
                largest = max(largest, subgradient)
        return largest

    def rounding(self, w: list[list[Any]], eps: float) -> Any:
        """Return a bound on the error of the optimality by rounding to ``eps``.

        To first order, a relative error of eps in each product of x and w changes a
        logit by eps sum|x w|, and a residual by at most that.
        """
        means, scales = self._scaler()
        sizes = [mp.mpf(1)] * self.size
        for row, s, *_ in self._predictions(w):
            logit = max(
                mp.fsum(abs(x * v) for x, v in zip(row, column)) for column in w
            )
            for j, (mean, scale) in enumerate(zip(means, scales)):
                if scale > 0:
                    # (x - mean) / scale, and the error of x - mean.
                    z = (abs(row[j] - mean) + eps * abs(mean)) / scale
                    sizes[j] += s / self.total * z * (1 + logit)
            sizes[-1] += s / self.total * logit
        return eps * max(sizes)
