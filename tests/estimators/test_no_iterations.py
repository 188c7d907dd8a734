"""Fits with ``max_iter=0`` return the start, and have not converged."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy
from sklearn.exceptions import ConvergenceWarning

import xlr

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = (2 * X + RNG.gumbel(size=(80, 3))).argmax(axis=1)
SMOOTH = ["auto", "newton-cholesky", "newton-cg", "lbfgs", "gradient-descent"]


def fit_with_warning(model, *args, **options):
    """Fit, and check the warning about max_iter=0."""
    with pytest.warns(ConvergenceWarning, match="max_iter=0"):
        return model.fit(*args, **options)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", [*SMOOTH, "proximal-newton", "active-set"])
def test_solvers_without_iterations_stay_at_the_start(solver, n_classes, place):
    l1_ratio = 0.5 if solver in ("proximal-newton", "active-set") else 0.0
    y = np.minimum(Y, n_classes - 1)
    model = xlr.LogisticRegression(solver=solver, max_iter=0, l1_ratio=l1_ratio)
    fit_with_warning(model, place(X), y)
    assert not to_numpy(model.coef_).any()
    assert not model.converged_
    assert model.n_iter_[0] == 0
    # The start may be far from the minimum.
    start = RNG.normal(size=(1 if n_classes == 2 else 3, 3))
    if n_classes > 2:
        start -= start.mean(axis=0)
    fit_with_warning(model, place(X), y, coef_init=start)
    np.testing.assert_allclose(to_numpy(model.coef_), start, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        xlr.LogisticRegression(max_iter=0, multi_class="ovr"),
        xlr.LogisticRegressionCV(max_iter=0),
        xlr.FirthLogisticRegression(max_iter=0),
        xlr.MultiLabelLogisticRegression(max_iter=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_estimators_without_iterations_stay_at_zeros(estimator):
    y = (Y == 0).astype(int)
    y = np.c_[y, 1 - y] if "Label" in type(estimator).__name__ else y
    fit_with_warning(estimator, X, y)
    assert not estimator.coef_.any()
    assert not np.any(estimator.converged_)


def test_start_without_iterations_is_projected_onto_bounds():
    model = fit_with_warning(xlr.LogisticRegression(max_iter=0, lower=0.5), X, Y == 0)
    np.testing.assert_allclose(model.coef_, 0.5)


def test_fit_of_many_rows_without_iterations_stays_at_zero():
    """Otherwise a solver would first fit a sample of the rows."""
    X = RNG.normal(size=(50_000, 5))
    y = X[:, 0] + RNG.normal(size=50_000) > 0
    assert not fit_with_warning(xlr.LogisticRegression(max_iter=0), X, y).coef_.any()


@pytest.mark.parametrize("max_iter", [-1, 0.0, True, False, "0", None])
def test_wrong_max_iter_is_refused(max_iter):
    with pytest.raises(ValueError, match="max_iter must be a whole number from 0 up"):
        xlr.LogisticRegression(max_iter=max_iter).fit(X, Y)
