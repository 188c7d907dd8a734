"""Steps end at kinks and bounds."""

from __future__ import annotations

import numpy as np
import pytest
from problems import load

import xlr
from xlr.penalties import Kinks
from xlr.solvers.newton_cg import NewtonCG
from xlr.solvers.orthant import (
    free_parameters,
    in_the_orthant,
    up_to_the_first_kink,
)


class Kinked:
    """As much of an objective as the functions look at."""

    xp = np

    def __init__(self, lasso, lower=-np.inf, upper=np.inf):
        lasso = np.asarray(lasso, dtype=float)
        ones = np.ones_like(lasso)
        self.kinks = Kinks(lasso, lower * ones, upper * ones)


def test_without_kinks_everything_moves_anywhere():
    smooth = Kinked([[0.0]])
    smooth.kinks = None
    w = np.ones((1, 1))
    assert free_parameters(smooth, w, w) is None
    np.testing.assert_array_equal(in_the_orthant(smooth, w, w, -w), -w)


def test_what_rests_and_wants_nothing_stays():
    objective = Kinked([[1.0, 1.0, 1.0, 0.0]], upper=2.0)
    w = np.asarray([[0.0, 0.0, 2.0, 0.0]])
    slope = np.asarray([[0.0, -0.5, 0.0, 0.0]])
    np.testing.assert_array_equal(
        free_parameters(objective, w, slope), [[0.0, 1.0, 0.0, 1.0]]
    )


def test_a_step_ends_where_it_would_cross():
    objective = Kinked([[1.0, 1.0, 1.0, 1.0, 0.0]], lower=-3.0, upper=2.0)
    w = np.asarray([[1.0, -1.0, 0.0, 0.0, 1.0]])
    slope = np.asarray([[0.3, 0.3, -0.5, 0.5, 0.3]])
    target = np.asarray([[-0.5, -4.0, 0.7, 0.7, -1.0]])
    np.testing.assert_array_equal(
        in_the_orthant(objective, w, slope, target), [[0.0, -3.0, 0.7, 0.0, -1.0]]
    )


def test_what_rests_at_a_kink_without_a_slope_stays_there():
    objective = Kinked([[1.0, 1.0, 0.0]])
    zeros = np.zeros((1, 3))
    target = np.asarray([[0.7, -0.7, 0.7]])
    np.testing.assert_array_equal(
        in_the_orthant(objective, zeros, zeros, target), [[0.0, 0.0, 0.7]]
    )


def test_all_stop_together_where_the_first_one_must():
    objective = Kinked([[1.0, 1.0, 1.0, 0.0]] * 3, lower=-3.0, upper=2.0)
    w = np.asarray([[1.0, -1.0, 0.0, 1.0]] * 3)
    step = np.asarray(
        [[-2.0, 0.5, 0.0, -2.0], [-2.0, -8.0, 0.0, -8.0], [0.5, 0.5, 0.0, 0.5]]
    )
    expected = w + np.asarray([[0.5], [0.25], [1.0]]) * step
    found = up_to_the_first_kink(objective, w, np.zeros_like(w), w + step)
    np.testing.assert_array_equal(found, expected)
    # And there exactly: 0.9 less three tenths of 3 leaves 1e-16.
    w, step = np.asarray([[0.9, 0, 0, 0.0]] * 3), np.asarray([[-3.0, 0, 0, 1]] * 3)
    found = up_to_the_first_kink(objective, w, np.zeros_like(w), w + step)
    np.testing.assert_array_equal(found[:, 0], 0)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_column_that_is_there_twice_and_two_coefficients_of_it(seed):
    """One of them is to come to zero and the other to take over what it had: alone, it
    would go uphill.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=100)
    y = (rng.logistic(size=100) - 0.6 * x > 0).astype(int)
    model = xlr.LogisticRegression(
        C=4.0, l1_ratio=1.0, solver="newton-cg", upper=0.05, tol=1e-9, warm_start=True
    )
    model.fit(np.c_[x, x], y)
    expected = model.history_["objective"][-1]
    model.coef_ = np.asarray([[-0.3, 0.1]])
    model.intercept_ = np.asarray([-0.2])
    model.fit(np.c_[x, x], y)
    assert model.converged_
    assert model.n_iter_[0] < 30
    assert model.history_["objective"][-1] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", [0, 33, 38])
def test_columns_that_are_there_twice_and_any_start(seed):
    rng = np.random.default_rng(seed)
    p = int(rng.integers(1, 4))
    x = rng.normal(size=(60, p))
    y = (rng.logistic(size=60) - x @ rng.normal(size=p) > 0).astype(int)
    model = xlr.LogisticRegression(
        C=1e3,
        l1_ratio=1.0,
        upper=np.inf if seed % 2 else 0.5,
        solver="newton-cg",
        tol=1e-9,
        warm_start=True,
    )
    model.fit(np.c_[x, x], y)
    model.coef_ = rng.normal(size=(3, 1, 2 * p)).clip(max=0.5)[2]
    model.fit(np.c_[x, x], y)
    assert model.n_iter_[0] < 15


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "parameters",
    [
        {"l1_ratio": 1.0, "C": 10.0},
        {"l1_ratio": 0.5, "C": 0.1, "lower": -0.2, "upper": 0.1},
        {"lower": 0.0},
        {"l1_ratio": 1.0, "C": 0.3, "fit_intercept": False},
    ],
    ids=str,
)
def test_conjugate_gradients_find_what_factorisations_find(n_classes, parameters):
    X, y = load("wine", True)
    X, y = X[y < n_classes], y[y < n_classes]
    values, zeros = [], []
    for solver in ("newton-cg", "proximal-newton"):
        model = xlr.LogisticRegression(solver=solver, tol=1e-9, **parameters).fit(X, y)
        assert model.converged_
        values.append(model.history_["objective"][-1])
        zeros.append(model.coef_ == 0)
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    np.testing.assert_array_equal(*zeros)


def test_thousands_of_parameters_in_play_have_no_hessian(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 300))
    y = (X[:, :30].sum(axis=1) + rng.normal(size=150) > 0).astype(int)
    expected = xlr.LogisticRegression(l1_ratio=1.0, solver="active-set", tol=1e-8).fit(
        X, y
    )
    monkeypatch.setattr("xlr.solvers.active_set.MOST_PARAMETERS", 20)
    used = []
    step = NewtonCG.step
    monkeypatch.setattr(NewtonCG, "step", lambda *given: used.append(1) or step(*given))
    model = xlr.LogisticRegression(l1_ratio=1.0, solver="active-set", tol=1e-8)
    model.fit(X, y)
    assert used
    np.testing.assert_array_equal(model.coef_ == 0, expected.coef_ == 0)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-5)
