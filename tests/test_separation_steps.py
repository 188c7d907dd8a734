"""What the search for separation is made of, against dense formulas."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.datasets import load_iris
from studies import endometrial, spector

from xlr import arrays
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses, find_separation
from xlr.objective.conditions import Conditions
from xlr.objective.separation import _change_of_logits
from xlr.objective.separation_in_chunks import _flat
from xlr.penalties import L2Penalty


def objective(X, y, weights=None):
    """Without a penalty, in standardised units."""
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    X = (X - X.mean(axis=0)) / np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1.0)
    n_classes = int(y.max()) + 1
    s = np.ones(len(y)) if weights is None else weights
    return Objective(
        DenseDesign(X, None, xp=arrays.namespace(X)),
        Responses(1, y[:, None].astype(float), s[:, None]),
        LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes),
        L2Penalty(np.zeros((1, 1, X.shape[1]))),
        fit_intercept=True,
        units=None,
    )


def no_programme(*arguments):
    raise AssertionError("A linear programme is not needed here.")


def optimum(problem):
    """By Newton steps."""
    at = problem.zeros()
    for _ in range(20):
        gradient = problem.value_and_gradient(at).gradient
        at = at - np.linalg.lstsq(problem.hessian_on_host(at), gradient[0])[0]
    return at


def gradient_at(problem, parameters):
    return problem.value_and_gradient(parameters).gradient[0]


@pytest.mark.parametrize("size", [1.0, 1e3])  # probabilities of zero among them
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_largest_change_of_a_logit_against_the_mean_of_its_row(n_classes, size):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.integers(0, n_classes, 50)
    weights = np.where(np.arange(50) < 5, 0.0, 1.0)
    X[:5] *= 100  # which have no weight
    problem = objective(X, y, weights)
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


def test_collinear_columns_need_no_programme(monkeypatch):
    X, y = spector()
    twice = np.column_stack([X, X[:, :1]])
    problem = objective(twice, y)
    at = optimum(problem)
    monkeypatch.setattr("xlr.objective.separation.Conditions", no_programme)
    assert find_separation(problem, at, gradient_at(problem, at)) is None


@pytest.mark.parametrize("data", [endometrial, lambda: load_iris(return_X_y=True)])
def test_a_direction_is_found_from_where_no_margin_is(data):
    """At zero all margins are zero, which tells nothing apart."""
    X, y = data()
    problem = objective(X, y)
    zeros = problem.zeros()
    found = find_separation(problem, zeros, gradient_at(problem, zeros))
    assert found is not None
    assert not found.complete
    assert np.abs(found.direction).max() == 1
    assert found.direction.shape == (problem.n_outputs, X.shape[1])


def test_nothing_is_said_of_a_programme_that_is_too_large(monkeypatch):
    X, y = endometrial()
    problem = objective(X, y)
    rows = Conditions(problem)
    margins = rows.margins(problem.zeros())
    assert rows.separable(margins)[0].any()
    monkeypatch.setattr("xlr.objective.conditions.LARGEST", 1)
    separated, direction = rows.separable(margins)
    assert not separated.any()
    assert not direction.any()


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_flat_part_of_a_direction_changes_no_condition(size):
    rng = np.random.default_rng(0)
    conditions = size * rng.normal(size=(12, 3)) @ rng.normal(size=(3, 5))
    direction = rng.normal(size=5)
    flat = _flat(conditions, direction)
    expected = direction - np.linalg.pinv(conditions, rtol=1e-10) @ (
        conditions @ direction
    )
    np.testing.assert_allclose(flat, expected, atol=1e-12)
    np.testing.assert_allclose(_flat(conditions, direction / 1e12), flat / 1e12)
    assert _flat(size * rng.normal(size=(12, 5)), direction) is None
    # One with and one without a part for a column.
    conditions[:, 1] = 0
    flat = _flat(conditions[:, :2], direction[:2])
    np.testing.assert_allclose(flat, [0, direction[1]], atol=1e-12)
    assert _flat(conditions, conditions[0] / size) is None


def test_rows_as_conditions_take_no_square_matrix_of_them():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(4000, 2)), rng.integers(0, 2, 4000)
    problem = objective(X, y)
    conditions = Conditions(problem)
    chosen = 2 * np.arange(4000) + (1 - y)  # a row, and the other class
    tracemalloc.start()
    found = conditions.conditions(chosen)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    Z = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(4000)])
    np.testing.assert_allclose(found, (2 * y - 1)[:, None] * Z, rtol=0, atol=1e-12)
    assert peak < 4000**2  # bytes; the matrix would take eight times as many
