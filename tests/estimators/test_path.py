"""Each model of a path equals a single fit, despite screening."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from optional import on_demand
from problems import load, objective
from sklearn.exceptions import ConvergenceWarning

import xlr

pd = on_demand("pandas")
X, Y = load("breast_cancer", True)


def wide(n=80, p=400):
    """Return correlated features, more than rows, and labels that a few determine."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, p)) + rng.normal(size=(n, 1))
    y = features[:, :4].sum(axis=1) - 4 * features[:, 4] + rng.normal(size=n) > 0
    return features, y.astype(int)


@pytest.mark.parametrize("l1_ratio", [0.4, 1.0])
@pytest.mark.parametrize("data", ["breast_cancer", "wine", "wide"])
def test_path_models_equal_single_fits(data, l1_ratio):
    features, y = wide() if data == "wide" else load(data, True)
    path = xlr.logistic_path(features, y, n_Cs=6, l1_ratio=l1_ratio, tol=1e-9)
    assert path.converged.all()
    for i, C in enumerate(path.Cs):
        one = xlr.LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-10)
        one.fit(features, y)
        best = one.history_["objective"][-1]
        assert path.objective[i] == pytest.approx(best, rel=1e-9)
        assert path.duality_gap[i] >= path.objective[i] - best
        np.testing.assert_allclose(path.coefs[i], one.coef_, atol=2e-5)
        assert path.df[i] == np.count_nonzero(path.coefs[i])
        loss = objective(path.coefs[i], path.intercepts[i], features, y, np.inf)
        shares = np.bincount(y) / len(y)
        null = -(shares * np.log(shares)).sum()
        assert path.deviance_explained[i] == pytest.approx(1 - loss / null, abs=1e-9)


@pytest.mark.parametrize("data", ["breast_cancer", "wine", "wide"])
def test_path_begins_at_the_largest_penalty_without_coefficients(data):
    features, y = wide() if data == "wide" else load(data, True)
    path = xlr.logistic_path(features, y, n_Cs=3)
    assert path.df[0] == 0 < path.df[1]
    first = path.Cs[0]
    for C, nonzero in ((0.999 * first, False), (1.001 * first, True)):
        one = xlr.LogisticRegression(C=C, l1_ratio=1.0, tol=1e-10).fit(features, y)
        assert (one.coef_ != 0).any() == nonzero
    decades = 2 if features.shape[1] > len(y) else 4
    assert path.Cs[-1] / first == pytest.approx(10**decades)


def test_path_with_bounds_and_penalty_factors_equals_single_fits():
    factor = np.ones(30)
    factor[5], factor[6:9] = 0, np.inf
    path = xlr.logistic_path(X, Y, n_Cs=6, penalty_factor=factor, lower=0.0)
    assert (path.coefs >= 0).all()
    assert (path.coefs[:, 0, 6:9] == 0).all()
    alone = xlr.LogisticRegression(C=np.inf, lower=0.0, tol=1e-9).fit(X[:, [5]], Y)
    assert path.coefs[0, 0, 5] == pytest.approx(alone.coef_[0, 0], abs=1e-5)
    penalised = np.delete(path.coefs[:, 0, :], 5, axis=1)
    assert not penalised[0].any()
    assert penalised[1].any()
    for i in (1, 5):
        one = xlr.LogisticRegression(
            C=path.Cs[i], l1_ratio=1.0, penalty_factor=factor, lower=0.0, tol=1e-10
        ).fit(X, Y)
        best = one.history_["objective"][-1]
        assert path.objective[i] == pytest.approx(best, rel=1e-8)


@pytest.mark.parametrize(
    ("data", "free"), [("breast_cancer", False), ("wine", True), ("wide", False)]
)
def test_path_with_bounds_above_zero_equals_single_fits(data, free):
    """At any strength of the penalty, some coefficients stay at a bound above zero."""
    features, y = wide() if data == "wide" else load(data, True)
    lower = np.full(features.shape[1], -np.inf)
    lower[::3] = 0.2
    factor = np.ones(features.shape[1])
    factor[1] = 0 if free else 1
    options = {"lower": lower, "penalty_factor": factor, "l1_ratio": 1.0}
    path = xlr.logistic_path(features, y, Cs=[1e-3, 0.01, 0.1], tol=1e-9, **options)
    assert path.converged.all()
    assert (path.coefs >= lower).all()
    for i, C in enumerate(path.Cs):
        one = xlr.LogisticRegression(C=C, tol=1e-10, **options).fit(features, y)
        best = one.history_["objective"][-1]
        assert path.objective[i] == pytest.approx(best, rel=1e-9)
        coef, intercept = path.coefs[i], path.intercepts[i]
        loss = objective(coef, intercept, features, y, np.inf)
        penalty = (factor * np.abs(coef)).sum() / (C * len(y))
        assert path.objective[i] == pytest.approx(loss + penalty, rel=1e-12)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_path_with_fixed_coefficients_equals_a_single_fit(fit_intercept):
    """The other coefficient is free, and its feature equals a fixed one."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 2))
    y = rng.logistic(size=20) + x[:, 0] > 0
    features = np.c_[x, x[:, 0]]
    options = {
        "lower": [-np.inf, 0.3, -1.2],
        "upper": [np.inf, 0.3, -1.2],
        "penalty_factor": [0.0, 1.0, 1.0],
        "fit_intercept": fit_intercept,
        "l1_ratio": 1.0,
    }
    path = xlr.logistic_path(features, y, Cs=[0.1], **options)
    one = xlr.LogisticRegression(C=0.1, **options).fit(features, y)
    assert path.converged.all()
    np.testing.assert_allclose(path.coefs[0], one.coef_, atol=1e-5)


def test_path_screening_drops_most_features():
    features, y = wide()
    path = xlr.logistic_path(features, y, n_Cs=20, tol=1e-9)
    assert path.n_in_play.max() < 200 < features.shape[1]
    assert (path.n_in_play >= path.df).all()


def test_path_adds_features_that_the_screening_missed():
    """After a jump from a strong to a weak penalty, the screening is often wrong."""
    features, y = wide()
    path = xlr.logistic_path(features, y, Cs=[0.02, 0.05, 5.0], tol=1e-9)
    assert path.converged.all()
    for C, coef in zip(path.Cs, path.coefs):
        one = xlr.LogisticRegression(C=C, l1_ratio=1.0, tol=1e-9).fit(features, y)
        np.testing.assert_allclose(coef, one.coef_, atol=1e-5)


def test_path_takes_penalties_weights_names_and_labels(capsys):
    table = pd.DataFrame(X, columns=[f"x{j}" for j in range(30)])
    weights = np.random.default_rng(0).uniform(0.5, 2, size=len(Y))
    labels = np.asarray(["benign", "malignant"])[Y]
    path = xlr.logistic_path(
        table, labels, weights, Cs=[1.0, 0.01], l1_ratio=0.5, tol=1e-9, verbose=1
    )
    np.testing.assert_array_equal(path.Cs, [0.01, 1.0])
    np.testing.assert_array_equal(path.classes, ["benign", "malignant"])
    assert list(path.feature_names) == list(table.columns)
    assert path.seconds.shape == path.n_iter.shape == (2,)
    assert (path.n_iter > 0).all()
    assert capsys.readouterr().out.count("features in the working set") == 2
    one = xlr.LogisticRegression(C=1.0, l1_ratio=0.5, tol=1e-9)
    one.fit(X, labels, sample_weight=weights)
    np.testing.assert_allclose(path.coefs[1], one.coef_, atol=1e-6)


def test_path_keeps_only_the_coefficients_of_each_model():
    rng = np.random.default_rng(0)
    numbers = rng.random((100, 2_000))
    features = sp.csr_array(np.where(numbers < 0.01, 100 * numbers, 0.0))
    y = features[:, :20].sum(axis=1) > 0.1
    peaks = []
    for n_models in (5, 25):
        tracemalloc.start()
        xlr.logistic_path(features, y, Cs=np.geomspace(3, 3.3, n_models))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Each of 20 more models has its coefficients in float64, and stacking copies them.
    assert peaks[1] - peaks[0] < 20 * 3 * 8 * features.shape[1]


def test_path_without_intercept_has_zero_intercepts():
    path = xlr.logistic_path(X, Y, n_Cs=3, fit_intercept=False)
    assert not path.intercepts.any()
    assert path.deviance_explained[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"l1_ratio": 0.0}, "l1_ratio must be above 0 for a path"),
        ({"n_Cs": 0}, "n_Cs must be a whole number from 1 up"),
        ({"Cs": [1.0, -1.0]}, "each of Cs must be a number above 0"),
        ({"lower": 0.5}, "Give the values of C as Cs"),
        ({"penalty_factor": np.inf}, "No penalised feature .* the classes"),
    ],
)
def test_wrong_path_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        xlr.logistic_path(X, Y, **parameters)


def test_path_may_end_without_a_penalty():
    features = X[:, :3]
    found = xlr.logistic_path(features, Y, Cs=[0.1, np.inf, np.inf], tol=1e-9)
    free = xlr.LogisticRegression(C=np.inf, tol=1e-9).fit(features, Y)
    np.testing.assert_allclose(found.coefs[-1], free.coef_, rtol=1e-5)


def test_path_counts_models_that_do_not_converge():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(2, size=60)
    with pytest.warns(ConvergenceWarning, match=r"\d of 5 models did not converge"):
        path = xlr.logistic_path(X, y, n_Cs=5, max_iter=1)
    assert not path.converged.all()
