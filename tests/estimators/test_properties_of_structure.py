"""Fits to structured columns, which tables have and random numbers do not.

The structures are categories, balanced designs, small integers, repeated columns, and
more columns than rows. Many of their derivatives and rounding errors are equal, and
some columns are collinear.
"""

from __future__ import annotations

import numpy as np
import pytest
from problems import objective
from test_elastic_net import kkt_violation
from test_properties import settings

import xlr

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")


def categories(rng, n):
    k = int(rng.integers(2, 30))
    return np.hstack([np.eye(k)[rng.integers(0, k, size=n)] for _ in range(2)])


def balanced(rng, n):
    return np.repeat(np.eye(max(2, n // 6)), 6, axis=0)


def small_integers(rng, n):
    return rng.integers(-1, 2, size=(n, int(rng.integers(1, 30)))).astype(float)


def some_twice(rng, n):
    p = int(rng.integers(1, 10))
    X = rng.normal(size=(n, p))[:, rng.integers(0, p, size=2 * p)]
    return X * rng.choice([1.0, -1.0, 2.0], size=2 * p)


def wide(rng, n):
    n = min(n, 60)
    return rng.normal(size=(n, 2 * n))


def mixed(rng, n):
    numbers, flags = rng.normal(size=(n, 3)), rng.integers(0, 2, size=(n, 5))
    return np.hstack([numbers, flags, np.eye(4)[rng.integers(0, 4, size=n)]])


@st.composite
def problems(draw):
    """Draw X and y; labels depend on the columns, are random, or repeat a pattern."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = [categories, balanced, small_integers, some_twice, wide, mixed]
    X = draw(st.sampled_from(kinds))(rng, int(rng.integers(12, 200)))
    n, n_classes = len(X), draw(st.sampled_from([2, 3]))
    labels = draw(st.sampled_from(["random", "dependent", "pattern"]))
    y = rng.integers(0, n_classes, size=n)
    if labels == "dependent":
        logits = X @ rng.normal(size=(X.shape[1], n_classes))
        y = (logits + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    if labels == "pattern":
        y = np.resize([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0], n)
    y[:n_classes] = np.arange(n_classes)
    return X, y


@settings
@hypothesis.given(
    problems(),
    st.floats(-2, 3),
    st.sampled_from([0.5, 0.99, 1.0]),
    st.sampled_from([-np.inf, -1.0, -0.1, 0.0]),
    st.sampled_from([np.inf, 1.0, 0.1]),
)
def test_fit_with_a_non_smooth_penalty_satisfies_kkt_conditions(
    problem, decade, l1_ratio, lower, upper
):
    (X, y), C = problem, 10**decade
    model = xlr.LogisticRegression(C=C, l1_ratio=l1_ratio, lower=lower, upper=upper)
    model.fit(X, y)
    assert model.converged_
    F = model.history_["objective"]
    assert (np.diff(F) <= 1e-13 * F[:-1]).all()
    assert kkt_violation(model, X, y, C, l1_ratio, lower, upper) < 1e-5


@settings
@hypothesis.given(problems(), st.floats(-2, 4))
def test_smooth_solvers_reach_the_same_minimum_on_structured_columns(problem, decade):
    (X, y), C = problem, 10**decade
    reached = []
    for solver in ("newton-cholesky", "newton-cg", "lbfgs"):
        model = xlr.LogisticRegression(C=C, solver=solver, tol=1e-8).fit(X, y)
        assert model.converged_
        F = model.history_["objective"]
        assert (np.diff(F) <= 1e-13 * F[:-1]).all()
        reached.append(objective(model.coef_, model.intercept_, X, y, C))
    np.testing.assert_allclose(reached, min(reached), rtol=1e-9)
