"""Fits to a column with one huge entry reach the minimum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array

import xlr

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(200, 2))
LABELS = np.r_[(Z[:, 0] + RNG.logistic(size=200) > 0).astype(int), 1]


def with_outlier(size: float) -> np.ndarray:
    return np.r_[Z, [[size, 0.0]]]


def total_objective(model, X, y) -> float:
    """Return n F, the sum of losses and penalty, at the fitted coefficients."""
    margins = (2 * y - 1) * (X @ model.coef_[0] + model.intercept_[0])
    penalty = model.coef_[0] @ model.coef_[0] / (2 * model.C)
    return float(np.logaddexp(0, -margins).sum() + penalty)


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("size", [1e6, 1e9, 1e12])
def test_fit_with_an_outlier_reaches_the_minimum(solver, size):
    """The expected figures at 1e12 were computed in 50 digits."""
    X = with_outlier(size)
    model = xlr.LogisticRegression(solver=solver, tol=1e-8).fit(X, LABELS)
    assert model.converged_
    np.testing.assert_allclose(model.coef_, [[1.069, -0.0363]], atol=1e-3)
    assert total_objective(model, X, LABELS) == pytest.approx(117.949187, abs=1e-5)
    assert model.score(X, LABELS) == pytest.approx(0.6866, abs=1e-4)


def test_unpenalised_fit_with_an_outlier_reaches_the_maximum_likelihood():
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(with_outlier(1e9), LABELS)
    np.testing.assert_allclose(model.coef_, [[1.109660, -0.038145]], atol=2e-6)
    np.testing.assert_allclose(model.intercept_, [0.131494], atol=2e-6)


def test_sparse_fit_with_an_outlier_reaches_the_minimum():
    X = csr_array(with_outlier(1e8))
    model = xlr.LogisticRegression().fit(X, LABELS)
    np.testing.assert_allclose(model.coef_, [[1.069, -0.0363]], atol=1e-3)


def coef_on_dask(X, y):
    da = pytest.importorskip("dask.array")
    return xlr.LogisticRegression().fit(da.from_array(X, chunks=(60, 2)), y).coef_


def coef_of_cv(X, y):
    """Return coefficients of a fold with all rows, and of the fit to all rows."""
    rows = np.arange(len(y))
    model = xlr.LogisticRegressionCV(Cs=[1.0], cv=[(rows, rows)]).fit(X, y)
    return np.stack([model.coefs_paths_[0, 0, 0, 0, :2], model.coef_[0]])


def coef_of_one_vs_rest(X, y):
    """Return minus the coefficients of the first of three classes."""
    three = np.where(y == 0, 0, 1 + np.arange(len(y)) % 2)
    return -xlr.LogisticRegression(multi_class="ovr").fit(X, three).coef_[:1]


FITS = {
    "Dask": coef_on_dask,
    "cv": coef_of_cv,
    "one-vs-rest": coef_of_one_vs_rest,
    "multi-label": lambda X, y: (
        xlr.MultiLabelLogisticRegression().fit(X, np.stack([y, 1 - y], axis=1)).coef_
        * [[1], [-1]]
    ),
    "path": lambda X, y: xlr.logistic_path(X, y, Cs=[1.0], l1_ratio=1e-9).coefs[0],
    "L1": lambda X, y: xlr.LogisticRegression(l1_ratio=1e-9).fit(X, y).coef_,
    "bounds": lambda X, y: xlr.LogisticRegression(upper=9.0).fit(X, y).coef_,
}


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("size", [-1e9, 1e12])
def test_every_kind_of_fit_with_an_outlier_reaches_the_minimum(kind, size):
    """The figures at 1e12 were computed in 50 digits; the row of -1e9 has class 0."""
    y = np.r_[LABELS[:-1], int(size > 0)]
    found = FITS[kind](with_outlier(size), y)
    expected = np.broadcast_to([1.069, -0.0363], found.shape)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("share", [0.2, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_fit_with_a_fill_value_equals_that_with_an_indicator(share, form):
    """A coefficient times 1e11 makes the filled rows certain, as an indicator does."""
    rng = np.random.default_rng(1)
    x, other = rng.normal(size=(2, 300))
    filled = rng.random(300) < share
    y = (x + other + rng.logistic(size=300) > 0).astype(int)
    X = np.column_stack([np.where(filled, 1e11, x), other])
    expected = np.column_stack([np.where(filled, 0, x), other, filled])
    options = {"C": np.inf, "tol": 1e-10}
    y[filled] = 1  # as if missing values meant an event
    with pytest.warns(xlr.SeparationWarning):
        indicated = xlr.LogisticRegression(**options).fit(expected, y)
    model = xlr.LogisticRegression(**options).fit(form(X), y)
    np.testing.assert_allclose(model.coef_[0], indicated.coef_[0, :2], rtol=1e-4)


@pytest.mark.parametrize("size", [1e11, -1e13])
@pytest.mark.parametrize("density", [0.02, 0.3])
def test_fit_with_an_outlier_among_zeros_reaches_the_minimum(
    size, density, place, dtype
):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    X[:, 0] *= rng.random(400) < density
    y = (2 * X[:, 0] + X[:, 1] + rng.logistic(size=400) > 0).astype(int)
    expected = xlr.LogisticRegression(tol=1e-8).fit(X, y)
    X, y = np.r_[X, [[size, 0]]], np.r_[y, int(size > 0)]
    model = xlr.LogisticRegression().fit(place(X), place(y, "int64"))
    coef = model.to_numpy().coef_
    np.testing.assert_allclose(coef, expected.coef_, rtol=0.02, atol=0.02)


def test_fit_with_an_outlier_in_a_column_of_few_values_reaches_the_minimum():
    rng = np.random.default_rng(31)
    X = rng.normal(size=(300, 3))
    y = (X.sum(axis=1) + rng.logistic(size=300) > 0).astype(int)
    X[:, 0] *= rng.random(300) < 0.05
    X[0, 0] = 1e11
    model = xlr.LogisticRegression().fit(X, y)
    others = xlr.LogisticRegression().fit(X[1:], y[1:])
    # The coefficients of the other rows classify the outlier, whose loss is then zero.
    expected = total_objective(others, X, y)
    assert total_objective(model, X, y) <= expected * (1 + 1e-9)


@pytest.mark.parametrize(
    "model",
    [
        xlr.LogisticRegression(C=np.inf),
        xlr.LogisticRegressionCV(Cs=[1.0, 10.0], cv=2),
        xlr.FirthLogisticRegression(tol=1e-9),
    ],
    ids=lambda model: type(model).__name__,
)
def test_fit_that_does_not_converge_names_columns_with_outliers(model):
    X = np.column_stack([RNG.normal(size=201), with_outlier(1e9)])
    model.set_params(max_iter=2)
    with pytest.warns(UserWarning, match="fill values: x1. Correct or clip"):
        model.fit(X, LABELS)


def test_fit_with_heavy_tails_reaches_the_minimum_of_scipy():
    rng = np.random.default_rng(4)
    X = rng.pareto(0.3, size=(300, 2))
    X = np.sign(rng.normal(size=X.shape)) * X
    y = (np.tanh(X[:, 0]) + rng.logistic(size=300) > 0).astype(int)
    model = xlr.LogisticRegression().fit(X, y)
    assert model.converged_

    def value(w):
        margins = (2 * y - 1) * (X @ w[:2] + w[2])
        return np.logaddexp(0, -margins).sum() + w[:2] @ w[:2] / 2

    best = min(
        minimize(value, start, method="Nelder-Mead", options={"maxiter": 4000}).fun
        for start in ([0.0, 0, 0], [*model.coef_[0], *model.intercept_])
    )
    assert total_objective(model, X, y) <= best * (1 + 1e-9)


def test_fit_with_a_plateau_of_f_reaches_the_minimum():
    rng = np.random.default_rng(39)
    n, p = int(rng.choice([30, 60])), int(rng.choice([1, 2]))
    X, y = rng.normal(size=(n, p)), rng.integers(3, size=n)
    X[0, 0] = 1e8
    model = xlr.LogisticRegression(C=0.01, fit_intercept=False).fit(X, y)
    assert model.converged_
    assert model.history_["objective"][-1] == pytest.approx(1.0724708828, abs=1e-9)


def test_fit_within_tol_that_would_lower_f_has_not_converged():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = (X[:, 0] > 0).astype(int)
    model = xlr.LogisticRegression(C=1e6, tol=0.1, max_iter=2)
    with pytest.warns(UserWarning, match="another step would still lower"):
        model.fit(X, y)
    assert not model.converged_
