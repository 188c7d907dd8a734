"""Refits on resampled rows, against loops of fits and known standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from problems import load
from sklearn.linear_model import LogisticRegression

import xlr

X, Y = load("breast_cancer", True)
X = X[:, :5]


def drawn_rows(n_samples, n_resamples, seed):
    """Return the rows that a seed draws, as the docstring of ``bootstrap`` says."""
    seed = np.random.RandomState(seed).randint(2**31)
    draw = np.random.default_rng(seed)
    return [
        draw.integers(n_samples, size=n_samples, dtype=np.int32)
        for _ in range(n_resamples)
    ]


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
def test_bootstrap_balances_the_classes_of_each_resample(name):
    X, y = load(name, True)
    X, weights = X[:, :5], 1 + np.arange(len(y)) % 3
    options = {"C": 0.5, "class_weight": "balanced", "tol": 1e-10}
    estimator = xlr.LogisticRegression(**options)
    result = xlr.bootstrap(estimator, X, y, weights, n_resamples=4, random_state=3)
    for k, rows in enumerate(drawn_rows(len(y), 4, seed=3)):
        one = LogisticRegression(**options, solver="newton-cholesky", max_iter=1000)
        one.fit(X[rows], y[rows], weights[rows])
        np.testing.assert_allclose(result.coef[k], one.coef_, atol=1e-6)
        np.testing.assert_allclose(result.intercept[k], one.intercept_, atol=1e-6)


def test_bootstrap_balances_each_class_against_the_rest():
    X, y = load("wine", True)
    options = {"class_weight": "balanced", "tol": 1e-10}
    estimator = xlr.LogisticRegression(multi_class="ovr", **options)
    result = xlr.bootstrap(estimator, X, y, n_resamples=3, random_state=3)
    for k, rows in enumerate(drawn_rows(len(y), 3, seed=3)):
        for label in range(3):
            one = LogisticRegression(**options, solver="newton-cholesky")
            one.fit(X[rows], y[rows] == label)
            np.testing.assert_allclose(result.coef[k, label], one.coef_[0], atol=1e-6)
            found = result.intercept[k, label]
            np.testing.assert_allclose(found, one.intercept_[0], atol=1e-6)


@pytest.mark.parametrize("multi_class", ["multinomial", "ovr"])
def test_bootstrap_balances_the_classes_that_a_resample_has(multi_class):
    X, y = load("wine", True)
    X, y = X[::3, :4], y[::3].copy()
    y[:2] = 3  # a class of two rows, which some resamples lack
    options = {"class_weight": "balanced", "multi_class": multi_class, "tol": 1e-10}
    estimator = xlr.LogisticRegression(**options)
    with pytest.warns(UserWarning, match="no weight in the class 3"):
        result = xlr.bootstrap(estimator, X, y, n_resamples=12, random_state=3)
    for k, rows in enumerate(drawn_rows(len(y), 12, seed=3)):
        one = xlr.LogisticRegression(**options).fit(X[rows], y[rows])
        n = len(one.classes_)
        np.testing.assert_allclose(result.coef[k, :n], one.coef_, atol=1e-6)
        np.testing.assert_allclose(result.intercept[k, :n], one.intercept_, atol=1e-6)
        assert np.isneginf(result.intercept[k, n:]).all()


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_bootstrap_replicates_are_fits_to_the_drawn_rows(name, solver):
    X, y = load(name, True)
    X = X[:, :5]
    estimator = xlr.LogisticRegression(C=0.5, solver=solver, tol=1e-10)
    result = xlr.bootstrap(estimator, X, y, n_resamples=6, random_state=3)
    assert result.converged.all()
    for k, rows in enumerate(drawn_rows(len(y), 6, seed=3)):
        one = LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-12)
        one.fit(X[rows], y[rows])
        np.testing.assert_allclose(result.coef[k], one.coef_, atol=1e-6)
        np.testing.assert_allclose(result.intercept[k], one.intercept_, atol=1e-6)
    assert not hasattr(estimator, "coef_")


def test_bootstrap_resamples_weights_with_rows():
    weights = np.random.default_rng(0).uniform(0.1, 3, len(Y))
    estimator = xlr.LogisticRegression(tol=1e-10, class_weight={1: 2.0})
    result = xlr.bootstrap(estimator, X, Y, weights, n_resamples=3, random_state=0)
    for k, rows in enumerate(drawn_rows(len(Y), 3, seed=0)):
        one = xlr.LogisticRegression(tol=1e-10, class_weight={1: 2.0})
        one.fit(X[rows], Y[rows], weights[rows])
        np.testing.assert_allclose(result.coef[k], one.coef_, atol=1e-6)


def test_bootstrap_intervals_are_percentiles():
    result = xlr.bootstrap(
        xlr.LogisticRegression(), X, Y, n_resamples=200, random_state=0
    )
    for level in (0.5, 0.9, 0.95):
        tail = (1 - level) / 2
        for name in ("coef", "intercept"):
            low, high = result.interval(level)[name]
            values = getattr(result, name)
            np.testing.assert_allclose(low, np.quantile(values, tail, axis=0))
            np.testing.assert_allclose(high, np.quantile(values, 1 - tail, axis=0))
    for level in (0, 1, 95, "a"):
        with pytest.raises(ValueError, match="level must be between 0 and 1"):
            result.interval(level)


def test_bootstrap_intervals_of_infinite_intercepts_have_no_nan():
    # At level 0.5, the ends are the second and the fourth of five replicates.
    intercept = np.asarray([[-np.inf], [-np.inf], [0.0], [1.0], [2.0]])
    result = xlr.BootstrapResult(np.zeros((5, 1, 1)), intercept, np.ones(5, dtype=bool))
    low, high = result.interval(0.5)["intercept"]
    assert (low.item(), high.item()) == (-np.inf, 1.0)


def test_bootstrap_standard_deviations_are_the_asymptotic_standard_errors():
    """The squared standard errors are the diagonal of (Z' diag(p (1 - p)) Z)^-1."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4_000, 3))
    y = (X @ [1.0, -0.5, 0.2] + rng.logistic(size=4_000) > 0).astype(int)
    estimator = xlr.LogisticRegression(C=np.inf)
    result = xlr.bootstrap(estimator, X, y, n_resamples=1000, random_state=0)
    p = estimator.fit(X, y).predict_proba(X)[:, 1]
    Z = np.column_stack([X, np.ones(len(X))])
    errors = np.sqrt(np.diag(np.linalg.inv(Z.T @ (Z * (p * (1 - p))[:, None]))))
    found = result.coef[:, 0, :].std(axis=0)
    np.testing.assert_allclose(found, errors[:3], rtol=0.1)
    np.testing.assert_allclose(result.intercept.std(), errors[3], rtol=0.1)


def test_bootstrap_counts_resamples_of_one_class():
    X = np.arange(8.0)[:, None]
    y = np.asarray([0] * 7 + [1])
    with pytest.warns(UserWarning, match=r"\(of 40\) .* fewer than two classes"):
        result = xlr.bootstrap(
            xlr.LogisticRegression(), X, y, n_resamples=40, random_state=0
        )
    single = [len(set(y[rows])) == 1 for rows in drawn_rows(8, 40, seed=0)]
    np.testing.assert_array_equal(np.isnan(result.coef[:, 0, 0]), single)
    np.testing.assert_array_equal(result.converged, ~np.asarray(single))
    low, high = result.interval(0.5)["coef"]
    assert low < high


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"estimator": LogisticRegression()}, TypeError, "xlr.LogisticRegression"),
        ({"n_resamples": 0}, ValueError, "n_resamples must be a whole number"),
        ({"n_resamples": True}, ValueError, "n_resamples must be a whole number"),
        ({"estimator": xlr.LogisticRegression(C=-1)}, ValueError, "C must be"),
        ({"random_state": "a"}, ValueError, "cannot be used to seed"),
    ],
)
def test_wrong_arguments_of_bootstrap_are_refused(arguments, error, message):
    arguments = {"estimator": xlr.LogisticRegression(), **arguments}
    with pytest.raises(error, match=message):
        xlr.bootstrap(arguments.pop("estimator"), X, Y, **arguments)
