"""The search for separation where penalties and bounds are in the way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from unpenalised import (
    InParts,
    dense_conditions,
    kind_by_definition,
    standardised,
    unpenalised,
)

from xlr.objective import Objective, find_separation
from xlr.objective.separation import _step_off_bounds
from xlr.penalties import ElasticNetPenalty, Kinks

EPS = float(np.finfo(float).eps)
FAR = np.inf

# Of a feature: its ridge, its lasso, and its bounds.
FREE = 0.0, 0.0, -FAR, FAR
RISES = 0.0, 0.0, 0.0, FAR
FALLS = 0.0, 0.0, -FAR, 0.0
BOXED = 0.0, 0.0, -1.0, 1.0
RIDGE = 0.5, 0.0, -FAR, FAR
LASSO = 0.0, 0.5, -FAR, FAR
KINDS = FREE, RISES, FALLS, BOXED, RIDGE, LASSO


def not_needed(*arguments):
    raise AssertionError("This is not needed here.")


def penalised(X, y, kinds, *, of=Objective):
    ridge, *kinks = (np.asarray([[part]]) for part in np.asarray(kinds).T)
    problem = unpenalised(X, y, of=of)
    return problem.with_penalty(ElasticNetPenalty(ridge, Kinks(*kinks)))


def optimum(problem):
    """Without what a lasso penalises; as far as a few steps come."""
    lasso, lower, upper = (part[0] for part in problem.kinks)
    held = lasso > 0

    def value_and_gradient(w):
        return tuple(part[0] for part in problem.value_and_gradient(w[None, :]))

    found = minimize(
        value_and_gradient,
        np.zeros(lasso.size),
        jac=True,
        bounds=np.column_stack([np.where(held, 0, lower), np.where(held, 0, upper)]),
        options={"maxiter": 200, "ftol": 1e-15, "gtol": 1e-9},
    )
    return found.x[None, :]


def separation_at(problem, parameters):
    gradient = problem.value_and_gradient(parameters).gradient[0]
    return find_separation(problem, parameters, gradient)


@pytest.mark.parametrize("of", [Objective, InParts])
@pytest.mark.parametrize("seed", range(40))
def test_small_tables_as_by_definition(seed, of):
    """No direction goes where a penalty is, nor to the wrong side of a bound."""
    rng = np.random.default_rng(seed)
    n, p, n_classes = rng.integers(5, 12), rng.integers(2, 5), rng.integers(2, 4)
    X = rng.integers(0, 3, (n, p)).astype(float)
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, n - n_classes))
    kinds = [
        KINDS[k] for k in rng.choice(len(KINDS), p, p=[0.3, 0.3, 0.3, 0.04, 0.03, 0.03])
    ]
    ridge, lasso, lower, upper = np.asarray(kinds).T
    free = (ridge == 0) & (lasso == 0)
    falls, rises = free & (lower == -FAR), free & (upper == FAR)
    problem = penalised(X, y, kinds, of=of)
    conditions = dense_conditions(standardised(X), y, n_classes)
    other = y[:, None] != np.arange(n_classes)
    expected = kind_by_definition(
        conditions[other],
        np.tile(np.append(np.where(falls, -FAR, 0.0), -FAR), problem.n_outputs),
        np.tile(np.append(np.where(rises, FAR, 0.0), FAR), problem.n_outputs),
    )
    found = separation_at(problem, optimum(problem))
    assert (found and ("complete" if found.complete else "quasi-complete")) == expected
    if found is not None:
        assert (falls | (found.direction >= 0)).all()
        assert (rises | (found.direction <= 0)).all()


def overlapping(n_classes, n=300, seed=0):
    """Two features that say something, and four that say nothing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    y = np.clip(np.round(X[:, 0] - X[:, 1] + rng.normal(size=n)) + 1, 0, n_classes - 1)
    return X, y.astype(int)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_an_optimum_at_bounds_needs_no_programme(n_classes, seed, monkeypatch):
    X, y = overlapping(n_classes, seed=seed)
    problem = penalised(X, y, [RISES, FREE, FREE, BOXED, RISES, FALLS])
    at = optimum(problem)
    if n_classes > 2:  # of those that are as good, one at a bound of each feature
        by_class = at.reshape(n_classes, -1)
        by_class[:, [0, 4]] -= by_class[:, [0, 4]].min(axis=0)
        by_class[:, 5] -= by_class[:, 5].max()
    monkeypatch.setattr("xlr.objective.separation.Conditions", not_needed)
    assert separation_at(problem, at) is None


@pytest.mark.parametrize("n_classes", [2, 3])
def test_of_many_rows_a_sample_is_certain(n_classes, monkeypatch):
    problem = penalised(*overlapping(n_classes, n=3000), [RISES, *[FREE] * 4, FALLS])
    at = optimum(problem)
    monkeypatch.setattr("xlr.objective.separation._is_certain", not_needed)
    assert separation_at(problem, at) is None


def test_a_step_goes_where_neither_penalties_nor_bounds_are():
    """And F must not fall off a bound after it."""
    X, y = overlapping(2, n=40)
    X = np.column_stack([X, X[:, 0] * X[:, 1]])
    kinds = [FREE, RISES, RISES, FALLS, BOXED, RIDGE, LASSO]
    problem = penalised(X, y, kinds)
    at = np.asarray([[0.3, 0.5, 0.0, 0.0, 1.0, 0.2, 0.0, 0.1]])
    free, lower, upper = np.asarray([0, 1, 7]), 2, 3
    outcomes = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        Z, gradient = rng.normal(size=(20, 8)), rng.normal(size=8)
        hessian = Z.T @ Z / 20
        own = hessian[np.ix_(free, free)]
        expected = np.zeros(8)
        expected[free] = np.linalg.solve(own, -gradient[free])
        left = gradient + hessian @ expected
        fallen = left[lower] < 0, left[upper] > 0
        outcomes.add(fallen)
        step = _step_off_bounds(problem, at, hessian, gradient, EPS, not_needed)
        if any(fallen):
            assert step is None
        else:
            np.testing.assert_allclose(step, expected, rtol=1e-10, atol=1e-14)
    assert len(outcomes) == 4
