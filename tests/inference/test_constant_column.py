"""A column that does not vary, whose coefficient a penalty holds at zero."""

from __future__ import annotations

import numpy as np
import pytest

import xlr


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_a_coefficient_that_is_surely_zero_has_no_z(cov_type):
    """And NumPy has nothing to say of 0 / 0."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=40), np.ones(40)])
    y = rng.integers(0, 2, 40)
    results = xlr.infer(xlr.LogisticRegression().fit(X, y), X, y, cov_type=cov_type)
    assert results.bse[2] == 0
    np.testing.assert_array_equal(np.isnan(results.zvalues), [False, False, True])
    np.testing.assert_array_equal(np.isnan(results.pvalues), [False, False, True])
    assert "x1" in str(results.summary())
