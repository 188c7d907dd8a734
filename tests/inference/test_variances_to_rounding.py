"""Variances where rounding errors are large beside them."""

from __future__ import annotations

import numpy as np
import pytest

import xlr


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_next_to_no_penalty_is_none(cov_type):
    """Equal changes to all classes are then all but free, and no one asks for them."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)

    def errors(C):
        model = xlr.LogisticRegression(C=C, tol=1e-10).fit(X, y)
        return xlr.infer(model, X, y, cov_type=cov_type).bse

    np.testing.assert_allclose(errors(1e14), errors(np.inf), rtol=1e-10)


def test_classes_that_move_together():
    """Only a row of the third class has the feature, which moves all others alike."""
    rng = np.random.default_rng(0)
    X = np.eye(3)[np.concatenate([[2], rng.integers(0, 2, 29)])]
    y = np.concatenate([[2], rng.integers(0, 4, 29)])
    model = xlr.LogisticRegression(C=30.0, tol=1e-10, fit_intercept=False).fit(X, y)
    results = xlr.infer(model, X, y, cov_type="HC0")
    assert (results.bse[2, [0, 2]] < 1e-6).all()
    assert results.bse[2, 1] > 0.1
    assert (results.pvalues >= 0).all()


def test_robust_variances_that_are_lost_are_not_made_up():
    """The large features tell the classes apart, and have next to no penalty."""
    rng = np.random.default_rng(21)
    X = rng.normal(size=(12, 3)) * [1e-3, 1e7, 1e7]
    y = rng.permutation(np.arange(12) % 3)
    model = xlr.LogisticRegression(C=30.0, tol=1e-9).fit(X, y)
    assert np.isfinite(xlr.infer(model, X, y).bse).all()
    with pytest.raises(ValueError, match="intercept, x1, x2 are lost in rounding"):
        xlr.infer(model, X, y, cov_type="HC0")
