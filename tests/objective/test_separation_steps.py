"""What the search for separation is made of, against dense formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.datasets import load_iris
from studies import endometrial, spector
from unpenalised import (
    InParts,
    dense_conditions,
    kind_by_definition,
    standardised,
    unpenalised,
)

from xlr.objective import Objective, find_separation, separation
from xlr.objective.conditions import Conditions
from xlr.objective.separation import (
    _change_of_logits,
    _is_certain_on_a_sample,
    _newton_step,
)


def not_needed(*arguments):
    raise AssertionError("This is not needed here.")


def optimum(problem, n_steps=20):
    """By Newton steps."""
    at = problem.zeros()
    for _ in range(n_steps):
        gradient = problem.value_and_gradient(at).gradient
        at = at - np.linalg.lstsq(problem.hessian_on_host(at), gradient[0])[0]
    return at


def gradient_at(problem, parameters):
    return problem.value_and_gradient(parameters).gradient[0]


@pytest.mark.parametrize("size", [1.0, 1e3])  # probabilities of zero among them
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("of", [Objective, InParts])
def test_the_largest_change_of_a_logit_against_the_mean_of_its_row(of, n_classes, size):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.integers(0, n_classes, 50)
    weights = np.where(np.arange(50) < 5, 0.0, 1.0)
    X[:5] *= 100  # which have no weight
    problem = unpenalised(X, y, weights, of=of)
    outputs = problem.n_outputs
    parameters = size * rng.normal(size=(1, problem.n_parameters))
    step = 0.01 * rng.normal(size=(1, problem.n_parameters))
    Z = np.column_stack([problem.design.X, np.ones(50)])
    logits = Z @ parameters.reshape(outputs, -1).T
    change = Z @ step.reshape(outputs, -1).T
    if outputs == 1:
        p = np.column_stack([1 - expit(logits), expit(logits)])
        change = np.column_stack([0 * change, change])
    else:
        p = softmax(logits, axis=1)
    against = np.abs(change - (p * change).sum(axis=1, keepdims=True))
    other = y[:, None] != np.arange(n_classes)
    expected = against[other & (weights > 0)[:, None]].max()
    found = _change_of_logits(problem, parameters, step[0])
    assert found == pytest.approx(expected, rel=1e-12)


def test_collinear_columns_need_not_needed(monkeypatch):
    X, y = spector()
    twice = np.column_stack([X, X[:, :1]])
    problem = unpenalised(twice, y)
    at = optimum(problem)
    monkeypatch.setattr("xlr.objective.separation.Conditions", not_needed)
    assert find_separation(problem, at, gradient_at(problem, at)) is None


@pytest.mark.parametrize("data", [endometrial, lambda: load_iris(return_X_y=True)])
def test_a_direction_is_found_from_where_no_margin_is(data):
    """At zero all margins are zero, which tells nothing apart."""
    X, y = data()
    problem = unpenalised(X, y)
    zeros = problem.zeros()
    found = find_separation(problem, zeros, gradient_at(problem, zeros))
    assert found is not None
    assert not found.complete
    assert np.abs(found.direction).max() == 1
    assert found.direction.shape == (problem.n_outputs, X.shape[1])


def test_nothing_is_said_of_a_programme_that_is_too_large(monkeypatch):
    X, y = endometrial()
    problem = unpenalised(X, y)
    rows = Conditions(problem)
    margins = rows.margins(problem.zeros())
    assert rows.separable(margins)[0].any()
    monkeypatch.setattr("xlr.objective.conditions.LARGEST", 1)
    separated, direction = rows.separable(margins)
    assert not separated.any()
    assert not direction.any()


def found_from(problem, parameters, hessian=None):
    return find_separation(
        problem, parameters, gradient_at(problem, parameters), hessian
    )


@pytest.mark.parametrize("of", [Objective, InParts])
@pytest.mark.parametrize("seed", range(30))
def test_small_tables_as_by_definition(seed, of):
    """Rows without a weight do not count, few as there are."""
    rng = np.random.default_rng(seed)
    n, p, n_classes = rng.integers(5, 14), rng.integers(1, 4), rng.integers(2, 4)
    X = rng.integers(0, 3, (n, p)).astype(float)
    y = rng.integers(0, n_classes, n)
    y[:n_classes] = np.arange(n_classes)
    weights = np.where(rng.random(n) < 0.7, 1.0, 0.0)
    weights[:n_classes] = 1
    conditions = dense_conditions(standardised(X), y, n_classes)
    counted = (y[:, None] != np.arange(n_classes)) & (weights > 0)[:, None]
    conditions = conditions[counted]
    expected = kind_by_definition(conditions)
    problem = unpenalised(X, y, weights, of=of)
    found = found_from(problem, optimum(problem, n_steps=3))
    if expected is None:
        assert found is None
        return
    assert found.complete == (expected == "complete")
    # So do the features alone by which it is told, with intercepts.
    by_feature = conditions.reshape(len(conditions), problem.n_outputs, -1)
    along = (by_feature[:, :, :-1] * found.direction).sum(axis=(1, 2))
    along = np.column_stack([along, by_feature[:, :, -1]])
    assert kind_by_definition(along) == expected


def overlapping(n_classes, n=200):
    """One feature that says something, and two that say nothing."""
    rng = np.random.default_rng(n_classes)
    X = rng.normal(size=(n, 3))
    y = np.clip(np.round(X[:, 0] + rng.normal(size=n)) + 1, 0, n_classes - 1)
    return X, y.astype(int)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_parameters_that_separate_all_rows_need_no_search(size, monkeypatch):
    X, _ = overlapping(2)
    y = (X[:, 1] > 0).astype(int)
    X[:, 1] = y
    problem = unpenalised(X, y)
    at = size * np.asarray([[0.1, 1.0, -0.1, 0.0]])
    monkeypatch.setattr(Conditions, "separable", not_needed)
    found = found_from(problem, at)
    assert found.complete
    np.testing.assert_allclose(found.direction, [[0, 1, 0]], atol=1e-9)
    # Where it would take long to know more, they are what is said.
    q = problem.n_parameters
    monkeypatch.setattr(separation, "LARGEST_TO_DESCRIBE", 3 * q * q)
    monkeypatch.setattr(Conditions, "best", not_needed)
    found = found_from(problem, at)
    assert found.complete
    np.testing.assert_allclose(found.direction, [[0.1, 1.0, -0.1]])


@pytest.mark.parametrize("of", [Objective, InParts])
def test_few_features_are_named_where_some_rows_are_separated(of):
    """In memory and in parts: another feature that tells them apart could help."""
    X, y = overlapping(2)
    has = np.arange(len(X)) < 9
    y[has] = 1
    some = has * np.random.default_rng(0).uniform(0.3, 1.0, len(X))
    problem = unpenalised(np.column_stack([X, has, some]), y, of=of)
    found = found_from(problem, optimum(problem, n_steps=6))
    assert not found.complete
    np.testing.assert_allclose(found.direction, [[0, 0, 0, 1, 0]], atol=1e-9)


@pytest.mark.parametrize("separated", [True, False])
def test_where_a_hessian_is_too_large_the_programme_decides(separated, monkeypatch):
    X, y = overlapping(3)
    if separated:
        y[X[:, 0] > 1.5] = 2
        y[X[:, 0] < 1.5] %= 2
    problem = unpenalised(X, y)
    monkeypatch.setattr(separation, "LARGEST_HESSIAN", problem.n_parameters - 1)
    monkeypatch.setattr(Objective, "hessian_on_host", not_needed)
    found = found_from(problem, problem.zeros())
    assert (found is not None) == separated


def test_of_fewer_rows_than_columns_there_is_no_hessian(monkeypatch):
    X, _ = overlapping(2, n=3)
    problem = unpenalised(X, [0, 1, 1])
    monkeypatch.setattr(Objective, "hessian_on_host", not_needed)
    assert found_from(problem, problem.zeros()).complete


def test_a_newton_step_solves_what_its_columns_span():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(30, 4))
    gradient = rng.normal(size=4)
    hessian, eps = Z.T @ Z / 30, float(np.finfo(float).eps)
    step = _newton_step(hessian, gradient, eps, not_needed)
    np.testing.assert_allclose(hessian @ step, -gradient, atol=1e-12)
    twice = np.column_stack([Z[:, :2], Z[:, 0] - Z[:, 1], Z[:, 2:]])
    singular = twice.T @ twice / 30
    gradient = twice.T @ rng.normal(size=30)
    step = _newton_step(singular, gradient, eps, lambda: 1)
    np.testing.assert_allclose(singular @ step, -gradient, atol=1e-10)
    # What is flat, and no sum of columns, is curvature that is lost.
    assert _newton_step(singular, gradient, eps, lambda: 0) is None


@pytest.mark.parametrize("place", range(3))
def test_what_is_flat_is_seen_wherever_the_column_is_that_it_needs_least_of(place):
    """Beside those before it, more of that is left than of any other beside all."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=200)
    for seed in range(20):
        few = 10.0 ** -np.random.default_rng(seed).uniform(2, 4)
        columns = [a, a + few * np.ones(200)]
        columns.insert(place, np.ones(200))
        Z = np.column_stack(columns)
        hessian, eps = Z.T @ Z / 200, float(np.finfo(float).eps)
        assert _newton_step(hessian, np.ones(3), eps, lambda: 0) is None


@pytest.mark.parametrize(
    "hessian",
    [
        np.diag([1.0, 1e-13]),
        np.diag([1.0, -1.0]),
        np.asarray([[1.0, np.nan], [np.nan, 1.0]]),
        np.diag([1.0, np.nan]),
        np.diag([1.0, np.inf]),
    ],
    ids=["gone", "negative", "unknown", "unknown in one", "infinite"],
)
def test_a_hessian_without_curvature_has_no_step(hessian):
    eps = float(np.finfo(float).eps)
    assert _newton_step(hessian, np.ones(2), eps, lambda: 2) is None


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_sample_is_certain_of_as_much_as_its_own_rows_make_up(n_classes):
    """The gradient of all rows, by the curvature of a few."""
    X, y = overlapping(n_classes, n=2000)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    problem = unpenalised(X, y, weights)
    at = optimum(problem)
    q = problem.n_parameters
    size = separation.SAMPLED_ROWS * q
    drawn = problem.design.draw(size, 0)
    few = unpenalised(X, y, np.bincount(drawn, minlength=len(X)) * weights)
    direction = problem.hessian_on_host(at) @ np.random.default_rng(1).normal(size=q)
    step = np.linalg.solve(few.hessian_on_host(at) * few.total_weight, direction)
    change = _change_of_logits(few, at, step) * problem.total_weight[0]
    enough = separation.NEAR_IN_SAMPLE / change * direction
    assert _is_certain_on_a_sample(problem, at, 0.99 * enough)
    assert not _is_certain_on_a_sample(problem, at, 1.01 * enough)


def test_a_sample_is_not_certain_of_what_is_flat_in_it():
    X, y = overlapping(2, n=2000)
    for columns, certain in (([0, 1, 2], True), ([0, 1, 2, 0], False)):
        problem = unpenalised(X[:, columns], y)
        gradient = np.zeros(problem.n_parameters)
        found = _is_certain_on_a_sample(problem, problem.zeros(), gradient)
        assert found == certain


def test_no_sample_is_drawn_that_is_not_far_fewer_rows(monkeypatch):
    problem = unpenalised(*overlapping(2, n=159))  # 80 for four parameters
    monkeypatch.setattr(Objective, "sample", not_needed)
    gradient = np.zeros(problem.n_parameters)
    assert not _is_certain_on_a_sample(problem, problem.zeros(), gradient)
