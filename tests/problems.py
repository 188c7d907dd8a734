"""Data sets and an objective written independently of the code under test."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import sklearn.datasets
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


@cache
def load(name: str, standardised: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a data set of scikit-learn, raw or standardised."""
    X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    return (StandardScaler().fit_transform(X) if standardised else X), y


def objective(
    coef: np.ndarray,
    intercept: np.ndarray,
    X: np.ndarray,
    codes: np.ndarray,
    C: float,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Return F for coefficients in scikit-learn's shapes, by SciPy's logsumexp."""
    logits = X @ coef.T + intercept
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    weights = np.ones(len(X)) if sample_weight is None else sample_weight
    losses = logsumexp(logits, axis=1) - logits[np.arange(len(X)), codes]
    total = weights.sum()
    return float(weights @ losses + (coef**2).sum() / (2 * C)) / total


@cache
def tightest_sklearn(name: str, standardised: bool, C: float) -> LogisticRegression:
    """Return scikit-learn's fit at the tightest tolerance that it reaches."""
    X, y = load(name, standardised)
    model = LogisticRegression(
        C=C, solver="newton-cholesky", tol=1e-13, max_iter=10_000
    )
    with warnings.catch_warnings():
        # scikit-learn 1.6 to 1.8 warn when they change from Newton's method to lbfgs.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)
