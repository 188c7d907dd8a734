"""Duality gap of fits, a bound on the distance of F above its minimum."""

from __future__ import annotations

import numpy as np
import pytest
from extended_precision import Exact
from problems import load

import xlr

KINDS = {
    "ridge": {},
    "elastic net": {"l1_ratio": 0.5},
    "lasso": {"l1_ratio": 1.0},
    "bounded": {"lower": 0.0},
    "bounded lasso": {"l1_ratio": 1.0, "lower": -0.1, "upper": 0.2},
    "without intercept": {"l1_ratio": 1.0, "fit_intercept": False},
    "penalty factors": {
        "l1_ratio": 0.5,
        "penalty_factor": np.r_[np.inf, np.linspace(1, 4, 12)],
    },
    "one-vs-rest": {"multi_class": "ovr", "class_weight": "balanced"},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(("n_classes", "C"), [(2, 100.0), (3, 0.05), (3, 1.0)])
def test_duality_gap_bounds_the_error_at_every_iteration(kind, n_classes, C):
    X, y = load("wine", standardised=True)
    X, y = X[y < n_classes], y[y < n_classes]
    model = xlr.LogisticRegression(C=C, tol=1e-13, max_iter=3000, **KINDS[kind])
    best = model.fit(X, y).history_["objective"][-1]
    assert (model.duality_gap_ < 1e-6 * best + 1e-9).all()
    for max_iter in (1, 2, 4, 8):
        model = xlr.LogisticRegression(C=C, max_iter=max_iter, **KINDS[kind]).fit(X, y)
        error = model.history_["objective"][-1] - best
        assert (model.duality_gap_ >= error).all()
        F = model.history_["objective"][-1]
        assert (model.duality_gap_ <= F * (1 + 1e-12)).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("n_classes", "C"), [(2, 10.0), (3, 0.1)])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_duality_gap_bounds_the_error_of_f_in_50_digits(n_classes, l1_ratio, C):
    X, y = load("iris", standardised=True)
    X, y = X[y < n_classes][::3], y[y < n_classes][::3]
    best = xlr.LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-12).fit(X, y)
    exact = Exact(X, y, C=C, l1_ratio=l1_ratio)
    least = exact.minimum(exact.parameters(best))
    for tol in (1e-2, 1e-4, 1e-6, 1e-12):
        model = xlr.LogisticRegression(C=C, l1_ratio=l1_ratio, tol=tol).fit(X, y)
        error = exact.value(exact.parameters(model)) - least
        assert 0 <= error <= model.duality_gap_[0]
    assert error < 1e-14 * least
    assert model.duality_gap_[0] < 1e-9 * least


@pytest.mark.parametrize("C", [1e-2, 1.0, 1e2, 1e4, 1e6])
def test_duality_gap_at_the_minimum_is_the_rounding_error_of_f(C):
    X, y = load("iris", standardised=True)
    X, y = X[y < 2], y[y < 2]
    model = xlr.LogisticRegression(C=C, fit_intercept=False, tol=1e-14).fit(X, y)
    # F of classes that are far apart is small, and mostly penalty.
    rounding = np.finfo(float).eps * model.history_["objective"][-1]
    logit = np.abs(model.coef_ * X.std(axis=0)).sum()
    assert rounding < model.duality_gap_[0] < (100 + logit) * rounding


def test_duality_gap_of_cross_validation_is_that_of_its_refit():
    X, y = load("wine", standardised=True)
    cv = xlr.LogisticRegressionCV(Cs=[0.1, 1.0], l1_ratios=[0.0, 1.0], cv=3).fit(X, y)
    one = xlr.LogisticRegression(C=cv.C_, l1_ratio=cv.l1_ratio_, tol=1e-12).fit(X, y)
    best = one.history_["objective"][-1]
    assert cv.duality_gap_.shape == (1,)
    assert 0 <= cv.duality_gap_[0] < 1e-4 * best
    assert np.isnan(cv.set_params(refit=False).fit(X, y).duality_gap_)


def test_duality_gap_of_labels_has_one_entry_per_label():
    X, y = load("wine", standardised=True)
    labels = np.stack([y == 0, y == 1, y < 5], axis=1)
    model = xlr.MultiLabelLogisticRegression(C=0.1, tol=1e-3)
    with pytest.warns(UserWarning, match="a single value"):
        model.fit(X, labels)
    assert model.duality_gap_[2] == 0
    for k in range(2):
        one = xlr.LogisticRegression(C=0.1, tol=1e-3).fit(X, y == k)
        assert model.duality_gap_[k] == pytest.approx(one.duality_gap_[0], rel=0.5)
        assert model.duality_gap_[k] > 0


def test_duality_gap_of_separable_classes_without_a_penalty_is_f():
    X, y = load("breast_cancer", standardised=True)
    with pytest.warns(xlr.SeparationWarning):
        model = xlr.LogisticRegression(C=np.inf, max_iter=5).fit(X, y)
    F = model.history_["objective"][-1]
    assert model.duality_gap_[0] == pytest.approx(F, rel=1e-9)


def test_fit_with_a_duality_gap_below_tol_has_converged():
    X, y = load("breast_cancer", standardised=True)
    model = xlr.LogisticRegression(C=1e-3, fit_intercept=False, max_iter=2, tol=1e-5)
    model.fit(X, y)
    assert model.optimality_ > 1e-5
    assert model.duality_gap_[0] <= 1e-5 * model.history_["objective"][-1]
    assert model.converged_


@pytest.mark.parametrize("solver", ["gradient-descent", "lbfgs", "newton-cg"])
def test_duality_gap_of_every_solver_bounds_the_error(solver):
    X, y = load("wine", standardised=True)
    X = X * 1.2 + 0.1
    best = xlr.LogisticRegression(C=0.01, tol=1e-12).fit(X, y).history_["objective"][-1]
    model = xlr.LogisticRegression(C=0.01, solver=solver, tol=1e-3, max_iter=20_000)
    model.fit(X, y)
    error = model.history_["objective"][-1] - best
    assert error <= model.duality_gap_[0] < 0.1 * best


def test_duality_gap_is_small_on_every_library(place, dtype):
    X, y = load("breast_cancer", standardised=True)
    model = xlr.LogisticRegression(C=0.1, l1_ratio=1.0).fit(place(X), y)
    assert model.duality_gap_.shape == (1,)
    assert 0 < model.duality_gap_[0] < 1e-4
