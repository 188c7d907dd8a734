"""Fits by each solver against scikit-learn's tightest fit, on real data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from problems import load, objective, tightest_sklearn
from scipy.special import softmax

import xlr

PROBLEMS = [
    (name, C) for name in ("breast_cancer", "iris", "wine") for C in (0.01, 1.0, 1e4)
]
PROBLEMS += [("digits", 0.01), ("digits", 100.0)]


@pytest.mark.parametrize(("name", "C"), PROBLEMS)
@pytest.mark.parametrize(
    ("solver", "standardised"),
    [("newton-cholesky", False), ("newton-cg", True), ("lbfgs", False)],
)
def test_fit_agrees_with_tightest_fit_of_sklearn(solver, name, standardised, C):
    X, y = load(name, standardised)
    expected = tightest_sklearn(name, standardised, C)
    # tol bounds the gradient. In the flattest of these problems, an error of 1e-8 in F
    # belongs to a gradient of 1e-11. A solver that cannot resolve this warns, and its
    # fit is as good.
    model = xlr.LogisticRegression(C=C, solver=solver, tol=1e-11, max_iter=5000)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Stopped where float64 arithmetic")
        model.fit(X, y)

    reached = objective(model.coef_, model.intercept_, X, y, C)
    best = objective(expected.coef_, expected.intercept_, X, y, C)
    assert reached <= best * (1 + 1e-8)
    scale = np.abs(expected.coef_).max()
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=0, atol=1e-4 * scale)
    # The objective in history_ is the true one.
    assert model.history_["objective"][-1] == pytest.approx(reached, rel=1e-12)


@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
def test_fit_of_many_classes_and_features_is_the_minimum(solver):
    """For so many, one Gram matrix of all classes approximates the Hessian."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 150))
    y = np.argmax(X[:, :50] + rng.gumbel(size=(300, 50)), axis=1)
    y[:50] = np.arange(50)
    model = xlr.LogisticRegression(C=0.1, solver=solver, tol=1e-8).fit(X, y)
    logits = X @ model.coef_.T + model.intercept_
    residual = softmax(logits, axis=1) - np.eye(50)[y]
    gradient = residual.T @ X + model.coef_ / 0.1
    np.testing.assert_allclose(gradient / 300, 0, atol=1e-7)
    np.testing.assert_allclose(residual.mean(axis=0), 0, atol=1e-7)
