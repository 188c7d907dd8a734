"""Where each model of a path begins, on which features, and when it is done."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from xlr import arrays
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss
from xlr.objective import Objective, Responses
from xlr.penalties import ElasticNetPenalty, Kinks
from xlr.solvers import follow_path, path

N, P = 80, 400


def data(n_features):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, n_features)) + rng.normal(size=(N, 1))
    if n_features > 1:
        X[:, 0] = 0  # a column that has nothing to say
    return X, (X[:, -3:].sum(axis=1) + rng.logistic(size=N) > 0).astype(float)


def objectives(shares, n_features=P, ridge=0.0, *, free=None):
    """With an L1 penalty that is a share of the least that leaves nothing in, but for
    a feature that is free of it.
    """
    X, y = data(n_features)
    largest = np.abs(X.T @ (0.5 - y)).max() / N
    ones = np.ones((1, 1, n_features))
    for share in shares:
        lasso = share * largest * ones
        if free is not None:
            lasso[..., free] = 0
        kinks = Kinks(lasso, -np.inf * ones, np.inf * ones)
        yield Objective(
            DenseDesign(X, None, xp=arrays.namespace(X)),
            Responses(1, y[:, None], np.ones((N, 1))),
            LogisticLoss(),
            ElasticNetPenalty(ridge * share * ones, kinks),
            fit_intercept=False,
            units=None,
        )


class Solve(NamedTuple):
    features: set[int]
    objective: Objective
    start: np.ndarray
    found: np.ndarray


@pytest.fixture
def solves(monkeypatch):
    """The solves on some of the features, as they are asked for."""
    seen: list[Solve] = []
    solve_on = path.solve_on

    def watched(solver: Any, features: Any, part: Any, whole: Any, start: Any, **more):
        found = solve_on(solver, features, part, whole, start, **more)
        chosen = range(P) if features is None else features.tolist()
        seen.append(Solve(set(chosen), whole, start, found[0]))
        return found

    monkeypatch.setattr(path, "solve_on", watched)
    return seen


def follow(each, n_features=P, **options):
    each = list(each)
    options = {"tol": 1e-8, "max_iter": 200, **options}
    return list(follow_path(each, each[0].zeros(), **options))


@pytest.fixture
def missed(monkeypatch):
    """What comes in is not foreseen: one feature, or two, of those that want to."""
    wanting = path._wanting

    def nothing(objective, *others):
        return np.zeros(objective.n_features, dtype=bool)

    def few(objective, parameters, at):
        found = wanting(objective, parameters, at)
        found[np.nonzero(found & (parameters[0] == 0))[0][2:]] = False
        return found

    monkeypatch.setattr(path, "_kept_by_strong_rule", nothing)
    monkeypatch.setattr(path, "_wanting", few)
    monkeypatch.setattr(path, "AHEAD", 0.0)


@pytest.mark.parametrize("n_features", [1, 5, P])
def test_where_nothing_wants_a_coefficient_there_is_nothing_to_do(n_features):
    (point,) = follow(objectives([1.5], n_features), tol=0.0)
    assert point.n_iter == 0
    assert point.converged
    assert not point.parameters.any()


def test_a_model_begins_where_the_last_two_lead(solves):
    """Closer to its end than where the last one ended: the steps are of a size."""
    points = follow(objectives(np.geomspace(0.5, 0.1, 12), ridge=0.1, free=1))
    first = {id(solve.objective): solve for solve in reversed(solves)}
    begun = [first[id(point.objective)] for point in points]
    np.testing.assert_array_equal(begun[0].start, 0 * begun[0].start)
    np.testing.assert_array_equal(begun[1].start, begun[0].found)
    for before, last, solve in zip(points, points[1:], begun[2:]):
        line = 2 * last.parameters - before.parameters
        led = solve.start != 0
        np.testing.assert_allclose(solve.start[led], line[led])
        F = solve.objective.value_and_gradient
        least = F(solve.found).value
        ahead, behind = F(solve.start).value - least, F(last.parameters).value - least
        assert ahead < behind / 2


def test_only_what_wants_a_coefficient_is_solved_on(solves):
    began = time.perf_counter()
    points = follow(objectives(np.geomspace(0.9, 0.5, 10)))
    assert sum(point.seconds for point in points) <= time.perf_counter() - began
    assert all(point.seconds > 0 for point in points)
    assert all(point.converged for point in points)
    for solve in solves:
        assert 0 not in solve.features
        assert len(solve.features) < P / 2


def test_where_nothing_wants_one_the_first_is_solved_on(solves):
    """With it, and what is likely next, there is an intercept to be found."""
    follow(objectives([1.5]))
    assert len(solves) == 1
    assert len(solves[0].features) == 2


def test_the_rule_is_asked_with_the_gradient_for_the_new_penalty(monkeypatch):
    asked = []
    rule = path._kept_by_strong_rule

    def watched(objective, last, parameters, at):
        expected = objective.value_and_gradient(parameters)
        np.testing.assert_allclose(at.value, expected.value, rtol=1e-12)
        np.testing.assert_allclose(at.gradient, expected.gradient, atol=1e-14)
        asked.append(objective)
        return rule(objective, last, parameters, at)

    monkeypatch.setattr(path, "_kept_by_strong_rule", watched)
    follow(objectives(np.geomspace(0.5, 0.1, 4), ridge=1.0))
    assert len(asked) == 3


def test_features_that_were_missed_come_in(solves, missed):
    points = follow(objectives([0.9, 0.7, 0.5]))
    assert all(point.converged for point in points)
    assert len(solves) > len(points)
    for before, after in pairwise(solves):
        if before.objective is after.objective:
            assert before.features < after.features
    assert all(len(solve.features) < P for solve in solves)


def test_where_arithmetic_ends_above_tol_no_solve_is_repeated(solves):
    points = follow(objectives([0.9, 0.5, 0.3]), tol=1e-300, max_iter=10_000)
    assert not any(point.converged for point in points)
    assert len(solves) <= 2 * len(points)


def test_a_model_has_no_more_than_its_iterations(solves, missed):
    points = follow(objectives([0.9, 0.3, 0.05]), max_iter=1)
    assert [point.n_iter for point in points] == [1, 1, 1]
    assert len(solves) == 3
