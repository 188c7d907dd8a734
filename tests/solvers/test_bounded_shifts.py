"""Bounds of free features, whose changes equal in all classes leave F as it is."""

from __future__ import annotations

import numpy as np
import pytest

import xlr


@pytest.mark.shared_arithmetic
@pytest.mark.parametrize("seed", [0, 3, 4])
@pytest.mark.parametrize("interaction", [False, True])
@pytest.mark.parametrize("solver", ["proximal-newton", "active-set", "newton-cg"])
def test_coefficients_go_no_farther_than_bounds_ask(solver, interaction, seed, place):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 2, size=(80, 4)).astype(float)
    if interaction:
        X = np.column_stack([X, X[:, 0] * X[:, 1]])
    y = rng.integers(0, 4, size=80)
    p = X.shape[1]
    lower = np.asarray([0.1, -0.2, *[-np.inf] * (p - 2)])
    options = {"l1_ratio": 0.5, "penalty_factor": [0.0, 0.0, *[1.0] * (p - 2)]}
    options |= {"solver": solver, "tol": 1e-5}
    bounded = xlr.LogisticRegression(**options, lower=lower).fit(place(X), place(y))
    assert bounded.converged_
    # Those of all classes can be lifted over any lower bound together.
    free = xlr.LogisticRegression(**options).fit(place(X), place(y))
    lowest, least = (model.history_["objective"][-1] for model in (bounded, free))
    assert lowest == pytest.approx(least, rel=1e-5)
    assert np.abs(bounded.to_numpy().coef_).max() < 2
