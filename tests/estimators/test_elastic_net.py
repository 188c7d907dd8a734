"""L1 penalty, factors and bounds, against scikit-learn, SciPy and KKT conditions."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from conftest import to_numpy
from problems import load, objective
from scipy.optimize import minimize
from scipy.special import logit, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import xlr


def elastic_net_objective(coef, intercept, X, y, C, l1_ratio):
    """Return F, computed by SciPy."""
    loss = objective(coef, intercept, X, y, np.inf)
    penalty = l1_ratio * np.abs(coef) + (1 - l1_ratio) / 2 * coef**2
    return loss + penalty.sum() / (C * len(X))


def kkt_violation(model, X, y, C, l1_ratio, lower=-np.inf, upper=np.inf, factor=1.0):
    """Return the largest violation of the KKT conditions, computed without xlr."""
    logits = X @ model.coef_.T + model.intercept_
    if logits.shape[1] == 1:
        p = softmax(np.c_[np.zeros(len(X)), logits[:, 0]], axis=1)[:, 1:]
        residual = p - (y[:, None] == 1)
    else:
        residual = softmax(logits, axis=1) - (y[:, None] == np.arange(logits.shape[1]))
    w, strength = model.coef_, factor / (C * len(X))
    smooth = residual.T @ X / len(X) + strength * (1 - l1_ratio) * w
    # F falls neither to the right nor to the left, except outside the bounds.
    right = smooth + strength * l1_ratio * np.where(w >= 0, 1, -1)
    left = smooth + strength * l1_ratio * np.where(w > 0, 1, -1)
    violation = np.maximum(
        np.where(w < upper, -right, -np.inf), np.where(w > lower, left, -np.inf)
    )
    intercept_gradient = np.abs(residual.mean(axis=0))
    return max(float(violation.max()), float(intercept_gradient.max()))


@cache
def sklearn_fit(name, C, l1_ratio):
    X, y = load(name, True)
    model = LogisticRegression(
        C=C, l1_ratio=l1_ratio, solver="saga", tol=1e-10, max_iter=30_000
    )
    if "penalty" in model.get_params() and model.get_params()["penalty"] == "l2":
        model.set_params(penalty="elasticnet")  # needed until scikit-learn 1.7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
@pytest.mark.parametrize(("C", "l1_ratio"), [(0.02, 1.0), (0.3, 0.3)])
@pytest.mark.parametrize("solver", ["proximal-newton", "active-set", "newton-cg"])
def test_elastic_net_has_the_zeros_and_minimum_of_sklearn(name, C, l1_ratio, solver):
    X, y = load(name, True)
    model = xlr.LogisticRegression(C=C, l1_ratio=l1_ratio, solver=solver, tol=1e-9)
    model.fit(X, y)
    expected = sklearn_fit(name, C, l1_ratio)
    assert model.converged_
    assert kkt_violation(model, X, y, C, l1_ratio) < 1e-8
    ours, theirs = (
        elastic_net_objective(m.coef_, m.intercept_, X, y, C, l1_ratio)
        for m in (model, expected)
    )
    assert ours <= theirs * (1 + 1e-12)
    assert model.history_["objective"][-1] == pytest.approx(ours, rel=1e-12)
    np.testing.assert_array_equal(model.coef_ != 0, np.abs(expected.coef_) > 1e-6)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "C"), [("breast_cancer", 100.0), ("wine", 100.0), ("digits", 1.0)]
)
def test_lasso_satisfies_kkt_conditions_at_weak_penalties(name, C):
    X, y = load(name, True)
    rows = np.random.default_rng(0).permutation(len(X))[:400]
    X, y = X[rows], y[rows]
    model = xlr.LogisticRegression(C=C, l1_ratio=1.0, tol=1e-8).fit(X, y)
    assert model.converged_
    scale = X.std(axis=0).max()
    assert kkt_violation(model, X, y, C, 1.0) < 1e-8 * max(1.0, scale)
    assert (model.coef_ == 0).any()
    assert model.duality_gap_[0] < 1e-4


def test_lasso_of_more_features_than_rows_satisfies_kkt_conditions():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 900)) @ np.diag(10 ** rng.uniform(-2, 2, size=900))
    y = (X[:, :5] / X[:, :5].std(axis=0)).sum(axis=1) + rng.normal(size=120) > 0
    # Without standardisation, only columns on large scales would have a coefficient.
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    models = [
        xlr.LogisticRegression(C=0.1, l1_ratio=1.0, solver=solver, tol=1e-9).fit(X, y)
        for solver in ("proximal-newton", "active-set")
    ]
    assert models[1].solver_ == xlr.LogisticRegression(l1_ratio=1.0).fit(X, y).solver_
    np.testing.assert_allclose(models[0].coef_, models[1].coef_, atol=1e-7)
    np.testing.assert_array_equal(models[0].coef_ != 0, models[1].coef_ != 0)
    assert 3 < (models[0].coef_ != 0).sum() < 60
    assert kkt_violation(models[1], X, y.astype(int), 0.1, 1.0) < 1e-8


def test_lasso_of_many_rows_satisfies_kkt_conditions():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 20)) + 3
    y = (X[:, 0] - X[:, 1] + rng.logistic(size=60_000) > 0).astype(int)
    for C in (1e-3, 1.0):
        model = xlr.LogisticRegression(C=C, l1_ratio=1.0, tol=1e-9).fit(X, y)
        assert kkt_violation(model, X, y, C, 1.0) < 1e-7
        assert model.n_iter_[0] < 8


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_penalty_factors_scale_the_penalty_of_features(l1_ratio):
    X, y = load("breast_cancer", True)
    X = X[:, :6]
    factor = np.asarray([1.0, 4.0, 0.25, 1.0, 9.0, 1.0])
    model = xlr.LogisticRegression(
        C=0.05, l1_ratio=l1_ratio, penalty_factor=factor, tol=1e-10
    ).fit(X, y)
    if l1_ratio == 0:
        # Features divided by the root of the factor give the same logits and F.
        root = np.sqrt(factor)
        scaled = xlr.LogisticRegression(C=0.05, tol=1e-10).fit(X / root, y)
        np.testing.assert_allclose(model.coef_, scaled.coef_ / root, rtol=1e-6)
    assert kkt_violation(model, X, y, 0.05, l1_ratio, factor=factor) < 1e-9


@pytest.mark.parametrize("solver", ["proximal-newton", "active-set"])
def test_elastic_net_coefficients_of_opposite_columns_are_opposite(solver):
    """Any L2 penalty shares the coefficient equally (Zou and Hastie 2005)."""
    rng = np.random.default_rng(0)
    half, y = rng.normal(size=(90, 4)), rng.integers(0, 3, 90)
    X = np.hstack([half, -half])
    coef = xlr.LogisticRegression(C=300, l1_ratio=0.99, solver=solver).fit(X, y).coef_
    np.testing.assert_allclose(coef[:, :4], -coef[:, 4:], rtol=0, atol=1e-9)


@pytest.mark.parametrize("solver", ["proximal-newton", "active-set", "newton-cg"])
@pytest.mark.parametrize("n_categories", [20, 150])
def test_lasso_of_columns_that_enter_together_has_a_closed_form(solver, n_categories):
    """A category has ten rows, 8 or 2 of class 1: 10 expit(w) - 8 + sign(w) = 0."""
    X = np.repeat(np.eye(n_categories), 10, axis=0)
    y = np.tile([1] * 8 + [0] * 2 + [1] * 2 + [0] * 8, n_categories // 2)
    model = xlr.LogisticRegression(l1_ratio=1.0, fit_intercept=False, solver=solver)
    coef = model.fit(X, y).coef_
    expected = np.tile([logit(0.7), logit(0.3)], n_categories // 2)
    np.testing.assert_allclose(coef[0], expected, rtol=1e-4)


@pytest.mark.parametrize("seed", [2, 7])
@pytest.mark.parametrize("solver", ["proximal-newton", "active-set", "newton-cg"])
def test_lasso_of_many_columns_of_three_classes_converges(solver, seed):
    """The null space of the softmax has no curvature, and many columns are active."""
    rng = np.random.default_rng(seed)
    X = np.hstack([np.eye(26)[rng.integers(0, 26, size=56)] for _ in range(2)])
    y = rng.integers(0, 3, size=56)
    model = xlr.LogisticRegression(
        C=4.0, l1_ratio=1.0, solver=solver, fit_intercept=False, tol=1e-8
    )
    model.fit(X, y)
    assert model.converged_
    assert (np.diff(model.history_["objective"]) <= 1e-12).all()


def test_penalty_factors_of_zero_and_infinity_free_and_remove_features():
    X, y = load("breast_cancer", True)
    factor = np.ones(30)
    factor[3], factor[7:] = 0, np.inf
    model = xlr.LogisticRegression(C=1e-3, l1_ratio=1.0, penalty_factor=factor)
    model.fit(X, y)
    np.testing.assert_array_equal(np.nonzero(model.coef_[0])[0], [3])
    alone = xlr.LogisticRegression(C=np.inf, tol=1e-9).fit(X[:, [3]], y)
    np.testing.assert_allclose(model.coef_[0, 3], alone.coef_[0, 0], rtol=1e-5)
    removed = xlr.LogisticRegression(penalty_factor=factor, tol=1e-9).fit(X, y)
    kept = xlr.LogisticRegression(penalty_factor=factor[:7], tol=1e-9).fit(X[:, :7], y)
    np.testing.assert_allclose(removed.coef_[:, :7], kept.coef_, rtol=1e-6)
    assert (removed.coef_[:, 7:] == 0).all()


@pytest.mark.parametrize("solver", ["proximal-newton", "active-set", "newton-cg"])
def test_softmax_of_unequal_weights_and_a_removed_feature_converges(solver):
    # Damped steps leave the plane where the coefficients of the classes sum to zero.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = (X @ rng.normal(size=(4, 3)) + rng.gumbel(size=(60, 3))).argmax(1)
    weight = np.where(np.arange(60) % 20 == 0, 1e3, 1.0)
    factor = [1, 1, 1, np.inf]
    model = xlr.LogisticRegression(C=100, penalty_factor=factor, solver=solver)
    model.fit(X, y, sample_weight=weight)
    assert model.converged_
    assert model.n_iter_[0] < 30
    kept = LogisticRegression(C=100, solver="newton-cholesky", tol=1e-12)
    kept.fit(X[:, :3], y, sample_weight=weight)
    np.testing.assert_allclose(model.coef_[:, :3], kept.coef_, rtol=1e-5)


@pytest.mark.parametrize("C", [0.1, np.inf])
def test_fit_within_bounds_reaches_the_minimum_of_scipy(C):
    X, y = load("breast_cancer", False)
    X = X[:, :5]
    lower = np.asarray([0.0, -np.inf, -0.02, -1.0, 1.0])
    upper = np.asarray([np.inf, 0.05, 0.02, 1.0, 3.0])
    model = xlr.LogisticRegression(C=C, lower=lower, upper=upper, tol=1e-10)
    model.fit(X, y)
    assert model.converged_
    assert (model.coef_ >= lower).all()
    assert (model.coef_ <= upper).all()
    scale = np.r_[X.std(axis=0), 1.0]

    def value(scaled):
        w = scaled / scale
        return objective(w[None, :-1], w[-1:], X, y, C)

    best = minimize(
        value,
        np.clip(np.zeros(6), np.r_[lower, -9], np.r_[upper, 9]) * scale,
        bounds=list(zip(np.r_[lower, -np.inf] * scale, np.r_[upper, np.inf] * scale)),
        method="L-BFGS-B",
        options={"maxiter": 10_000, "maxfun": 200_000, "ftol": 1e-15, "gtol": 1e-10},
    )
    reached = objective(model.coef_, model.intercept_, X, y, C)
    assert reached <= best.fun * (1 + 1e-10)
    at_bound = (model.coef_ == lower) | (model.coef_ == upper)
    assert at_bound.any()


@pytest.mark.shared_arithmetic
@pytest.mark.parametrize("solver", ["proximal-newton", "active-set", "newton-cg"])
def test_coefficients_at_a_bound_equal_the_bound(solver, place, dtype):
    """The scaling of standardized coefficients leaves no rounding error."""
    X, y = load("wine", False)
    model = xlr.LogisticRegression(C=1e4, lower=-0.1, upper=0.1, solver=solver)
    coef = to_numpy(model.fit(place(X), y).coef_)
    lower, upper = np.asarray([-0.1, 0.1], dtype=dtype)
    assert (coef == lower).sum() > 3
    assert (coef == upper).sum() > 3
    near = np.minimum(np.abs(coef - lower), np.abs(coef - upper)) < 1e-7
    np.testing.assert_array_equal((coef == lower) | (coef == upper), near)


def test_negligible_l1_penalty_and_distant_bounds_give_the_ridge_model():
    X, y = load("breast_cancer", True)
    ridge = xlr.LogisticRegression(C=0.1, tol=1e-10).fit(X, y)
    nearly = xlr.LogisticRegression(C=0.1, l1_ratio=1e-9, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(nearly.coef_, ridge.coef_, atol=1e-6)
    wide = xlr.LogisticRegression(C=0.1, lower=-99.0, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(wide.coef_, ridge.coef_, atol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"l1_ratio": 1.5}, ValueError, "l1_ratio must be a number from 0 to 1"),
        ({"l1_ratio": 0.5, "solver": "lbfgs"}, ValueError, "needs l1_ratio=0"),
        (
            {"penalty_factor": np.inf, "solver": "lbfgs"},
            ValueError,
            "no infinite penalty_factor",
        ),
        ({"solver": "active-set"}, ValueError, "needs an L1 penalty or bounds"),
        ({"lower": 1.0, "upper": 0.0}, ValueError, "lower must not be above upper"),
        ({"lower": np.inf}, ValueError, "no coefficient can be infinite"),
        ({"upper": [0.0, 1.0]}, ValueError, r"array of shape \(30,\)"),
        ({"lower": "low"}, TypeError, "lower must be None, a number"),
        ({"penalty_factor": -1.0}, ValueError, "must not be negative"),
        ({"penalty_factor": np.nan}, ValueError, "without NaN"),
        (
            {"penalty_factor": np.inf, "lower": 1.0},
            ValueError,
            "by its infinite penalty_factor",
        ),
    ],
)
def test_wrong_penalty_parameters_are_refused(parameters, error, message):
    X, y = load("breast_cancer", True)
    model = xlr.LogisticRegression(**parameters)
    with pytest.raises(error, match=message):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("solver", ["proximal-newton", "active-set"])
def test_convergence_advice_names_a_solver_for_the_penalty(solver):
    X, y = load("breast_cancer", True)
    model = xlr.LogisticRegression(
        C=100.0, l1_ratio=1.0, solver=solver, max_iter=1, tol=1e-12
    )
    with pytest.warns(ConvergenceWarning, match="Increase max_iter") as caught:
        model.fit(X, y)
    (sentence,) = [str(warning.message) for warning in caught]
    assert ("solver=" in sentence) == (solver == "active-set")
    assert "newton-cholesky" not in sentence


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_penalty_parameters_without_effect_are_named():
    X, y = load("breast_cancer", True)
    for parameters, name in (
        ({"l1_ratio": 0.5}, "l1"),
        ({"penalty_factor": 2.0}, "pen"),
    ):
        model = xlr.LogisticRegression(C=np.inf, max_iter=3, **parameters)
        with pytest.warns(UserWarning, match=f"{name}.* has no effect"):
            model.fit(X, y)
    # An infinite factor removes the feature, and no warning says otherwise.
    factor = [0.0, np.inf] + [1.0] * 28
    model = xlr.LogisticRegression(C=np.inf, max_iter=3, penalty_factor=factor)
    assert model.fit(X, y).coef_[0, 1] == 0


@pytest.mark.parametrize("parameters", [{"l1_ratio": 1.0}, {"lower": -0.3}])
def test_softmax_intercepts_sum_to_zero(parameters):
    X, y = load("wine", True)
    weights = {0: 1, 1: 5, 2: 0.2}
    model = xlr.LogisticRegression(class_weight=weights, **parameters).fit(X + 3, y)
    assert abs(model.coef_.sum(axis=0)).max() > 0.01
    assert abs(model.intercept_.sum()) < 1e-12


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_models_without_coefficients_converge(dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 500)).astype(dtype)
    y = (X[:, :3].sum(axis=1) + rng.logistic(size=100) > 0).astype(int)
    # A model of a fold that does not converge warns, and warnings are errors.
    model = xlr.LogisticRegressionCV(l1_ratios=[1.0], solver="active-set").fit(X, y)
    assert model.converged_
    strong = xlr.LogisticRegression(l1_ratio=1.0, C=1e-4, solver="active-set")
    assert (strong.fit(X, y).coef_ == 0).all()
    assert strong.converged_
