"""Compute the best known F of a cell, with more effort than a timed fit.

Two classes: Newton's method on standardised features in float64, to the limit of the
arithmetic. If there are more columns than rows, a rotation first reduces the columns to
the number of rows, without loss. More classes: scikit-learn's Newton methods at a tight
tolerance. ``measure.objective`` judges the result as it judges all fits, and a fit of
the cell with a lower F replaces it.
"""

from __future__ import annotations

import warnings

import numpy as np
from data import Data, row_blocks, row_weights
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

LARGEST_HESSIAN = 5_000  # rows; 0.2 GB, and seconds to factorise


def best_effort(data: Data, C: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the best coefficients and intercepts, in scikit-learn's shapes."""
    if data.n_outputs > 1:
        return _multinomial(data, C)
    n, p = data.X.shape
    if p > n:
        # X = R'Q' with orthonormal columns in Q, so w = Q v has the penalty of v.
        Q, R = np.linalg.qr(np.float64(data.X).T)
        v, intercept = _newton(data._replace(X=np.ascontiguousarray(R.T)), C)
        return (Q @ v)[None], intercept
    coef, intercept = _newton(data, C)
    return coef[None], intercept


def _multinomial(data: Data, C: float) -> tuple[np.ndarray, np.ndarray]:
    small = data.X.shape[1] * data.n_outputs <= 1_000
    model = LogisticRegression(
        C=C,
        solver="newton-cholesky" if small else "newton-cg",
        tol=1e-12 if small else 1e-8,
        max_iter=1_000,
        class_weight=data.class_weight,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it cannot reach so tight a tolerance
        model.fit(data.X.astype(np.float64, copy=False), data.y, data.sample_weight)
    return model.coef_, model.intercept_


def _newton(data: Data, C: float) -> tuple[np.ndarray, np.ndarray]:
    """Fit two classes by Newton's method with halved steps, in blocks of rows."""
    X, y = data.X, data.y
    n, p = X.shape
    weights = row_weights(y, data.sample_weight, data.class_weight)
    weights = np.ones(n) if weights is None else np.float64(weights)
    S = weights.sum()
    weights = weights / S
    blocks = row_blocks(n, p)
    centre = sum(weights[rows] @ np.float64(X[rows]) for rows in blocks)
    scale = np.sqrt(
        sum(weights[rows] @ (np.float64(X[rows]) - centre) ** 2 for rows in blocks)
    )
    scale[scale == 0] = 1
    ridge = 1 / (C * S * scale**2)

    def features(rows: slice) -> np.ndarray:
        return (np.float64(X[rows]) - centre) / scale

    def value(v: np.ndarray, b: float) -> float:
        signs = 1 - 2 * y
        loss = sum(
            weights[rows] @ np.logaddexp(0, signs[rows] * (features(rows) @ v + b))
            for rows in blocks
        )
        return loss + ridge @ v**2 / 2

    def derivatives(v: np.ndarray, b: float) -> tuple[np.ndarray, np.ndarray]:
        gradient, hessian = np.zeros(p + 1), np.zeros((p + 1, p + 1))
        for rows in blocks:
            Z = np.column_stack([features(rows), np.ones(rows.stop - rows.start)])
            mean = expit(Z[:, :p] @ v + b)
            gradient += Z.T @ (weights[rows] * (mean - y[rows]))
            hessian += Z.T @ (Z * (weights[rows] * mean * (1 - mean))[:, None])
        gradient[:p] += ridge * v
        hessian[np.arange(p), np.arange(p)] += ridge
        return gradient, hessian

    v, b = np.zeros(p), 0.0
    F = value(v, b)
    for _ in range(100):
        gradient, hessian = derivatives(v, b)
        try:
            step = solve(hessian, gradient, assume_a="pos")
        except LinAlgError:  # F is flat to rounding: stop here
            break
        factor = 1.0
        while factor > 1e-6:
            trial = v - factor * step[:p], b - factor * step[p]
            if (lower := value(*trial)) < F:
                break
            factor /= 2
        else:
            break
        (v, b), decrease, F = trial, F - lower, lower
        if decrease <= 1e-16 * F:
            break
    coef = v / scale
    return coef, np.asarray([b - centre @ coef])


def bare_newton(data: Data, C: float, tol: float) -> tuple[np.ndarray, float]:
    """Fit two classes by Newton's method alone, a lower bound on the time of a fit.

    It does not check, standardise, damp or store anything. Coefficients are (1, p).
    """
    X, y = data.X, data.y
    n, p = X.shape
    ridge = np.append(np.full(p, 1 / (C * n)), 0.0)
    hessian = np.empty((p + 1, p + 1))
    v = np.zeros(p + 1)
    while True:
        decay = np.exp(-np.abs(z := X @ v[:p] + v[p]))
        share = 1 / (1 + decay)
        residual = np.where(z >= 0, share, decay * share) - y
        gradient = np.append(X.T @ residual, residual.sum()) / n + ridge * v
        if np.abs(gradient).max() <= tol:
            return v[None, :p], v[p]
        root = np.sqrt(decay) * share
        rows = X * root[:, None]
        hessian[:p, :p] = rows.T @ rows
        hessian[p, :p] = hessian[:p, p] = root @ rows
        hessian[p, p] = root @ root
        v = v - cho_solve(cho_factor(hessian / n + np.diag(ridge)), gradient)
