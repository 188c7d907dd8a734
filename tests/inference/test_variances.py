"""Variances that are zero, or smaller than rounding errors."""

from __future__ import annotations

import numpy as np
import pytest

import xlr


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_vanishing_penalty_has_the_errors_of_none(cov_type):
    """The null space of the softmax is then almost free."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)

    def errors(C):
        model = xlr.LogisticRegression(C=C, tol=1e-10).fit(X, y)
        return xlr.infer(model, X, y, cov_type=cov_type).bse

    np.testing.assert_allclose(errors(1e14), errors(np.inf), rtol=1e-10)


def test_difference_of_classes_with_equal_changes_has_a_variance_near_zero():
    """Only a row of the third class has the feature: all others change alike."""
    rng = np.random.default_rng(0)
    X = np.eye(3)[np.concatenate([[2], rng.integers(0, 2, 29)])]
    y = np.concatenate([[2], rng.integers(0, 4, 29)])
    model = xlr.LogisticRegression(C=30.0, tol=1e-10, fit_intercept=False).fit(X, y)
    results = xlr.infer(model, X, y, cov_type="HC0")
    assert (results.bse[2, [0, 2]] < 1e-6).all()
    assert results.bse[2, 1] > 0.1
    assert (results.pvalues >= 0).all()


def test_robust_variances_lost_in_rounding_are_refused():
    """The large features separate the classes, and their penalty vanishes."""
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
def test_constant_column_under_a_penalty_has_no_z(cov_type):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=40), np.ones(40)])
    y = rng.integers(0, 2, 40)
    results = xlr.infer(xlr.LogisticRegression().fit(X, y), X, y, cov_type=cov_type)
    assert results.bse[2] == 0
    np.testing.assert_array_equal(np.isnan(results.zvalues), [False, False, True])
    np.testing.assert_array_equal(np.isnan(results.pvalues), [False, False, True])
    assert "x1" in str(results.summary())
