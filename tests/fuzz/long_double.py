"""Objective F of a random fit and its minimum in long double, without xlr."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from random_fits import RandomFit

__all__ = ["Reference"]

Real = np.longdouble
MAX_STEPS = 300
MAX_HALVINGS = 60


class Reference:
    """Objective F of one fit in long double, as the README states it.

    Parameters are an array of shape (n_outputs, n_features + 1), intercepts last.
    """

    def __init__(self, fit: RandomFit) -> None:
        X = fit.X.toarray() if sp.issparse(fit.X) else np.asarray(fit.X)
        n, p = X.shape
        options = fit.options
        weights = fit.sample_weight if fit.sample_weight is not None else np.ones(n)
        has_weight = weights > 0
        X, y = X[has_weight], fit.y[has_weight]
        self.classes, codes = np.unique(y, return_inverse=True)
        self.binary = len(np.unique(fit.y)) == 2
        self.rows = np.column_stack([X, np.ones(len(X))]).astype(Real)
        self.one_hot = np.eye(len(self.classes), dtype=Real)[codes]
        weights = weights[has_weight].astype(Real)
        self.shares = weights / weights.sum()
        offset = np.zeros((len(y), 1))
        if fit.offset is not None:
            offset = fit.offset[has_weight].reshape(len(y), -1)
            offset = offset if self.binary else offset[:, self.classes]
        self.offset = offset.astype(Real)
        factor = np.broadcast_to(options.get("penalty_factor", 1.0), p).astype(Real)
        self.removed = np.append(np.isinf(factor), not options.get("fit_intercept", 1))
        strength = np.where(np.isinf(factor), 0, factor)
        strength = strength / (Real(options["C"]) * weights.sum())
        alpha = Real(options.get("l1_ratio", 0.0))
        self.l1 = np.append(alpha * strength, 0)
        self.l2 = np.append((1 - alpha) * strength, 0)
        lower = np.broadcast_to(options.get("lower", -np.inf), p).astype(Real)
        upper = np.broadcast_to(options.get("upper", np.inf), p).astype(Real)
        self.lower = np.where(self.removed, 0, np.append(lower, -np.inf))
        self.upper = np.where(self.removed, 0, np.append(upper, np.inf))

    def parameters(self, model: Any) -> np.ndarray:
        """Return the fitted parameters of the classes that have weight."""
        w = np.column_stack([model.coef_, model.intercept_]).astype(Real)
        return w if self.binary else w[self.classes]

    def _probabilities(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and probabilities of the classes."""
        logits = self.rows @ w.T + self.offset
        if self.binary:
            logits = np.column_stack([np.zeros(len(logits)), logits])
        row, largest = np.arange(len(logits)), logits.argmax(axis=1)
        logits = logits - logits[row, largest][:, None]
        others = np.exp(logits)
        others[row, largest] = 0  # a term of 1 would absorb the small ones
        log_p = logits - np.log1p(others.sum(axis=1, keepdims=True))
        return log_p, np.exp(log_p)

    def value(self, w: np.ndarray) -> Any:
        """Return F."""
        log_p, _ = self._probabilities(w)
        loss = -(self.shares * (self.one_hot * log_p).sum(axis=1)).sum()
        return loss + (self.l1 * abs(w) + self.l2 / 2 * w**2).sum()

    def _derivatives(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return gradient and Hessian of the loss and the L2 penalty."""
        _, p = self._probabilities(w)
        of_others = (p * (1 - self.one_hot)).sum(axis=1, keepdims=True)
        residual = np.where(self.one_hot > 0, -of_others, p)
        if self.binary:
            p, residual = p[:, 1:], residual[:, 1:]
        gradient = (self.shares[:, None] * residual).T @ self.rows + self.l2 * w
        k, q = w.shape
        hessian = np.empty((k, q, k, q), dtype=Real)
        for a in range(k):
            for b in range(k):
                curvature = self.shares * p[:, a] * ((a == b) - p[:, b])
                hessian[a, :, b] = (self.rows * curvature[:, None]).T @ self.rows
            hessian[a, :, a] += np.diag(self.l2)
        # Equal changes to parameters of all classes leave F unchanged: hold their mean.
        free = np.flatnonzero((self.l1 + self.l2 == 0) & np.isinf(self.upper))
        if not self.binary:
            hessian[:, free, :, free] += hessian[0, free, 0, free][:, None, None]
        return gradient, hessian.reshape(k * q, k * q)

    def minimum(self, start: np.ndarray) -> Any:
        """Return the lowest F of damped, projected Newton steps from a start.

        Bertsekas (1982): take Newton's step in the free parameters, which are not held
        at zero or at a bound. Project it on the orthant and the bounds, and halve it
        until F decreases.
        """
        w = np.clip(start, self.lower, self.upper)
        best, damping = self.value(w), Real(1e-18)
        for _ in range(MAX_STEPS):
            # 1. The minimum-norm subgradient, and the free parameters.
            gradient, hessian = self._derivatives(w)
            right, left = gradient + self.l1, gradient - self.l1
            at_zero = np.where(right < 0, right, np.where(left > 0, left, 0))
            elsewhere = gradient + self.l1 * np.sign(w)
            subgradient = np.where(w == 0, at_zero, elsewhere)
            at_bound = (w <= self.lower) & (subgradient > 0)
            at_bound |= (w >= self.upper) & (subgradient < 0)
            free = (subgradient != 0) & ~at_bound
            if not free.any():
                break
            orthant = np.where(w == 0, -np.sign(subgradient), np.sign(w))
            # 2. Newton's step, on columns of unit curvature.
            H = hessian[np.ix_(free.ravel(), free.ravel())]
            step = np.zeros_like(w)
            step[free] = -solve_positive(H, subgradient[free], damping)
            # 3. Halve it until F decreases.
            for halvings in range(MAX_HALVINGS):
                moved = np.clip(w + step / Real(2) ** halvings, self.lower, self.upper)
                crossed = (self.l1 > 0) & (moved * orthant < 0)
                moved = np.where(crossed, 0, moved)
                value = self.value(moved)
                if value < best:
                    break
            else:
                if damping > 1:
                    break
                damping *= 1e4
                continue
            decrease, w, best = best - value, moved, value
            damping = max(damping / 10, Real(1e-18))
            if decrease <= 1e-17 * best and halvings == 0:
                break
        return best


def solve_positive(H: np.ndarray, b: np.ndarray, damping: Any) -> np.ndarray:
    """Solve (H + damping diag H) x = b by Cholesky, in long double."""
    scale = np.sqrt(np.diag(H))
    scale = np.where(scale > 0, scale, 1)
    A = H / scale[:, None] / scale + damping * np.eye(len(b), dtype=Real)
    L, x = A.copy(), b / scale
    for j in range(len(b)):
        # Only rounding errors are left of a dependent column: do not move along it.
        L[j, j] = np.sqrt(L[j, j]) if L[j, j] > damping / 2 + 1e-18 else np.inf
        L[j + 1 :, j] /= L[j, j]
        L[j + 1 :, j + 1 :] -= np.outer(L[j + 1 :, j], L[j + 1 :, j])
    for j in range(len(b)):
        x[j] = (x[j] - L[j, :j] @ x[:j]) / L[j, j]
    for j in reversed(range(len(b))):
        x[j] = (x[j] - L[j + 1 :, j] @ x[j + 1 :]) / L[j, j]
    return x / scale
