"""Robust covariances with leverages by hand, and variances near zero."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand
from studies import anes96, spector

import xlr

mpmath = on_demand("mpmath")

LEVERAGE_POWERS = {"HC0": 0, "HC2": 1, "HC3": 2}


def robust_covariance(X, y, weights, model, power, penalty=0.0):
    """Return vcovHC of R's sandwich: scores of rows over (1 - h)^(power / 2)."""
    Z = np.insert(X, 0, 1, axis=1)
    p = model.predict_proba(X)[:, 1]
    ridge = np.diag([0.0] + [penalty] * X.shape[1])
    bread = np.linalg.inv(Z.T @ (Z * (weights * p * (1 - p))[:, None]) + ridge)
    h = p * (1 - p) * np.einsum("ij,jk,ik->i", Z, bread, Z)
    scores = Z * ((y - p) / (1 - h) ** (power / 2))[:, None]
    return bread @ (scores.T @ (scores * weights[:, None])) @ bread


@pytest.mark.parametrize("cov_type", LEVERAGE_POWERS)
@pytest.mark.parametrize("C", [np.inf, 0.5])
def test_robust_covariances_agree_with_the_sandwich_formula(cov_type, C):
    X, y = spector()
    weights = np.arange(len(y)) % 3.0
    model = xlr.LogisticRegression(C=C, tol=1e-11).fit(X, y, weights)
    expected = robust_covariance(X, y, weights, model, LEVERAGE_POWERS[cov_type], 1 / C)
    found = xlr.infer(model, X, y, weights, cov_type=cov_type).cov_params()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_hc3_covariance_with_class_weight_agrees_with_the_formula():
    X, y = spector()
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11, class_weight={0: 1.0, 1: 2.0})
    found = xlr.infer(model.fit(X, y), X, y, cov_type="HC3").cov_params()
    Z, p = np.insert(X, 0, 1, axis=1), model.predict_proba(X)[:, 1]
    c = 1.0 + y
    bread = np.linalg.inv(Z.T @ (Z * (c * p * (1 - p))[:, None]))
    h = c * p * (1 - p) * np.einsum("ij,jk,ik->i", Z, bread, Z)
    scores = Z * (c * (y - p) / (1 - h))[:, None]
    np.testing.assert_allclose(found, bread @ scores.T @ scores @ bread, rtol=1e-6)


def test_hc3_errors_agree_on_every_backend(place, dtype):
    X, y = spector()
    tol = 1e-9 if dtype == "float64" else 1e-4
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    expected = xlr.infer(model, X, y, cov_type="HC3").bse
    rows, labels = place(X), place(y, "int64")
    model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(rows, labels)
    found = xlr.infer(model, rows, labels, cov_type="HC3").bse
    rtol = 1e-6 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(found, expected, rtol=rtol)


def test_hc3_covariance_of_many_classes_is_refused():
    X, y = anes96()
    model = xlr.LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="cov_type='HC3' needs a fit to two classes"):
        xlr.infer(model, X, y, cov_type="HC3")


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_errors_under_a_vanishing_penalty_are_those_without_one(cov_type):
    """A vanishing penalty hardly determines the null space of the softmax."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)

    def errors(C):
        model = xlr.LogisticRegression(C=C, tol=1e-10).fit(X, y)
        return xlr.infer(model, X, y, cov_type=cov_type).bse

    np.testing.assert_allclose(errors(1e14), errors(np.inf), rtol=1e-10)


def test_difference_of_equal_coefficients_has_a_variance_near_zero():
    """The three classes without a row that has the feature get equal coefficients."""
    rng = np.random.default_rng(0)
    X = np.eye(3)[np.concatenate([[2], rng.integers(0, 2, 29)])]
    y = np.concatenate([[2], rng.integers(0, 4, 29)])
    model = xlr.LogisticRegression(C=30.0, tol=1e-10, fit_intercept=False).fit(X, y)
    results = xlr.infer(model, X, y, cov_type="HC0")
    assert (results.bse[2, [0, 2]] < 1e-6).all()
    assert results.bse[2, 1] > 0.1
    assert (results.pvalues >= 0).all()


@pytest.mark.parametrize("C", [1.0, 1e4, 1e6])
def test_errors_of_all_levels_of_a_penalised_category_agree_with_50_digits(C):
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.normal(size=60), np.eye(3)[rng.integers(0, 3, 60)]])
    model = xlr.LogisticRegression(C=C, tol=1e-12).fit(X, rng.integers(0, 2, 60))
    y = model.predict(X)
    y[::3] = 1 - y[::3]
    model.fit(X, y)
    with mpmath.workdps(50):
        Z = mpmath.matrix(np.insert(X, 0, 1, axis=1).tolist())
        eta = Z * mpmath.matrix([*model.intercept_.tolist(), *model.coef_[0].tolist()])
        h = mpmath.diag([1 / (2 + mpmath.exp(v) + mpmath.exp(-v)) for v in eta])
        information = Z.T * h * Z
        penalty = mpmath.diag([0, *[1 / mpmath.mpf(C)] * X.shape[1]])
        inverse = (information + penalty) ** -1
        covariance = inverse * information * inverse
        errors = [float(mpmath.sqrt(covariance[j, j])) for j in range(5)]
    np.testing.assert_allclose(xlr.infer(model, X, y).bse, errors, rtol=1e-8)


def test_robust_variances_lost_in_rounding_are_refused():
    """The large features separate the classes, and their penalty is negligible."""
    rng = np.random.default_rng(21)
    X = rng.normal(size=(12, 3)) * [1e-3, 1e7, 1e7]
    y = rng.permutation(np.arange(12) % 3)
    model = xlr.LogisticRegression(C=30.0, tol=1e-9).fit(X, y)
    assert np.isfinite(xlr.infer(model, X, y).bse).all()
    with pytest.raises(
        ValueError, match="'intercept', 'x1', 'x2' are lost in rounding"
    ):
        xlr.infer(model, X, y, cov_type="HC0")


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_constant_column_under_a_penalty_has_no_z_statistic(cov_type):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=40), np.ones(40)])
    y = rng.integers(0, 2, 40)
    results = xlr.infer(xlr.LogisticRegression().fit(X, y), X, y, cov_type=cov_type)
    assert results.bse[2] == 0
    np.testing.assert_array_equal(np.isnan(results.zvalues), [False, False, True])
    np.testing.assert_array_equal(np.isnan(results.pvalues), [False, False, True])
    assert "x1" in str(results.summary())
    terms = results.wald_test_terms().columns
    np.testing.assert_array_equal(np.isnan(terms["chi2"]), [False, False, True])
    assert terms["df constraint"].tolist() == [1, 1, 0]


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_rows_that_the_offset_predicts_with_certainty_are_refused(C):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] + rng.logistic(size=60) > 0).astype(int)
    offset = 800.0 * (2 * y - 1)
    model = xlr.LogisticRegression(C=C).fit(X, y, offset=offset)
    with pytest.raises(ValueError, match="All predictions are certain"):
        xlr.infer(model, X, y, offset=offset)
