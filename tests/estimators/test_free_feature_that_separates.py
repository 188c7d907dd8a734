"""A feature without a penalty that tells the classes apart: F falls towards zero."""

from __future__ import annotations

import numpy as np
import pytest

import xlr


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_a_fit_ends_where_f_is_negligible(solver):
    """Not where it leaves the range of float64, as a share of itself ever lower."""
    X, y = [[1.0, 0], [2, 1], [3, 0], [4, 1]], [0, 0, 1, 1]
    model = xlr.LogisticRegression(penalty_factor=[0, 1], solver=solver).fit(X, y)
    assert model.n_iter_[0] < 100
    np.testing.assert_array_equal(model.predict(X), y)


@pytest.mark.parametrize("solver", ["proximal-newton", "newton-cg"])
def test_so_does_one_with_bounds_and_no_penalty(solver):
    X, y = [[0.0, 1], [1, 1], [2, 0]], [0, 0, 1]
    model = xlr.LogisticRegression(C=np.inf, lower=[0, -np.inf], solver=solver)
    assert model.fit(X, y).n_iter_[0] < 100
    np.testing.assert_array_equal(model.predict(X), y)
