"""From far out, where F is nearly linear, Newton steps are too long and refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from problems import load
from scipy.special import expit
from test_loop import binary_objective

from xlr import arrays
from xlr.objective import Objective
from xlr.penalties import ElasticNetPenalty, Kinks
from xlr.solvers import SOLVERS, NewtonCG, NewtonCholesky, minimise

X, Y = load("iris", True)
FAR = 10 * np.random.default_rng(0).normal(size=(3, 5))


@pytest.fixture(autouse=True)
def _far_starts_are_kept(monkeypatch):
    """Though F is lower at zero."""
    monkeypatch.setattr(Objective, "or_zero", lambda self, start, value: start)


def three_models():
    return binary_objective(X, Y == 0, Y == 1, Y == 2)


@pytest.mark.parametrize("solver", ["newton-cg", "proximal-newton"])
def test_a_step_is_no_longer_than_what_bounds_and_kinks_leave_of_it(solver):
    objective, seen = three_models(), []
    ones = np.ones((1, 1, 4))
    kinks = Kinks(1e-2 * ones, -2 * ones, 2 * ones)
    objective = objective.with_penalty(ElasticNetPenalty(1e-2 * ones, kinks))
    solution = minimise(
        SOLVERS[solver](),
        objective,
        FAR,
        tol=1e-8,
        max_iter=100,
        on_iteration=lambda record, w: seen.append((record.step, w)),
    )
    assert (solution.records[-1].optimality <= 1e-8).all()
    assert (np.abs(solution.parameters[:, :4]) == 2).any()
    assert (solution.parameters == 0).any()
    for (_, w), (step, u) in pairwise(seen):
        np.testing.assert_allclose(step, np.abs(u - w).max(axis=1), atol=1e-13)


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_a_model_stays_where_it_is_until_a_step_is_kept(solver):
    objective, seen = three_models(), []
    solution = minimise(
        SOLVERS[solver](),
        objective,
        FAR,
        tol=1e-8,
        max_iter=100,
        on_iteration=lambda record, parameters: seen.append((record, parameters)),
    )
    assert (solution.records[-1].optimality <= 1e-8).all()
    n_refused = 0
    for (before, w), (record, u) in pairwise(seen):
        at = objective.value_and_gradient(u)
        np.testing.assert_allclose(record.objective, at.value, rtol=1e-12)
        moved = np.abs(u - w).max(axis=1)
        np.testing.assert_allclose(record.step, moved, rtol=1e-9, atol=1e-13)
        refused = (record.step == 0) & (before.optimality > 1e-8)
        n_refused += refused.sum()
    assert n_refused > 5


def damping_after_a_step(solver, w, damping):
    """A step of Newton's method, and the damping that its gain asks for."""
    objective = three_models()
    Z = np.column_stack([X, np.ones(len(X))])
    ridge = np.append(np.full(4, 1e-2), 0.0)
    state = solver.init(objective, w)
    state = replace(state, damping=damping)
    if isinstance(solver, NewtonCG):  # which is to solve as well
        state = replace(state, forcing=0.0, budget=50)
    report = state.report.copy()
    if isinstance(solver, NewtonCholesky):
        report[3] = damping
    with arrays.quiet():  # as the loop does
        stepped = solver.step(objective, state, report)
    expected = []
    for k in range(3):
        p, y = expit(Z @ w[k]), np.where(k == Y, 1.0, 0.0)
        g = Z.T @ (p - y) / len(X) + ridge * w[k]
        H = (Z * (p * (1 - p))[:, None]).T @ Z / len(X) + np.diag(ridge)
        D = np.maximum(np.diag(H), np.abs(g).max())
        d = -np.linalg.solve(H + damping[k] * np.diag(D), g)
        before, after = (
            np.mean(np.logaddexp(0, Z @ u) - y * (Z @ u)) + ridge @ u**2 / 2
            for u in (w[k], w[k] + d)
        )
        gain = (before - after) / -(g @ d + d @ H @ d / 2)
        worth = 1 / 16 if gain > 0.75 else 4 if gain < 0.25 else 1
        expected.append((16 if gain < 0 else worth) * damping[k])
    return stepped, expected


@pytest.mark.parametrize("solver", [NewtonCholesky(), NewtonCG()])
def test_the_damping_follows_what_newtons_model_was_worth(solver):
    found = set()
    for size in (0.05, 0.1, 0.2):
        for damping in (0.01, 0.1, 0.5, 2.0):
            start = np.asarray([damping] * 3)
            stepped, expected = damping_after_a_step(solver, size * FAR, start)
            np.testing.assert_allclose(stepped.damping, expected)
            if isinstance(solver, NewtonCholesky):  # which asks the host of it
                np.testing.assert_allclose(stepped.report[3], expected)
            found |= set((stepped.damping / damping).tolist())
    assert found == {1 / 16, 1, 4, 16}
