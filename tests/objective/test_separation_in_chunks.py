"""The search for separation where rows are to be had a part at a time."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from unpenalised import InParts, dense_conditions, standardised, unpenalised

from xlr.objective import Objective, conditions
from xlr.objective.separation_in_chunks import (
    _ends,
    _joined,
    _Rows,
    separating_direction,
)


def noisy(n_classes, n=60):
    rng = np.random.default_rng(n_classes)
    return rng.normal(size=(n, 3)), rng.integers(0, n_classes, n)


@pytest.mark.parametrize("ends", [(7, 3), (2, 5), (100, 1)])
@pytest.mark.parametrize("of", [Objective, InParts])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_rows_at_both_ends_of_a_direction(n_classes, of, ends):
    """Those that it does the worst for and the best, out of all parts."""
    X, y = noisy(n_classes)
    weights = np.where(np.arange(len(y)) % 5 == 0, 0.0, 1.0)
    problem = unpenalised(X, y, weights, of=of)
    direction = np.random.default_rng(0).normal(size=problem.n_parameters)
    Z, codes, margins = problem.over_rows(
        _ends, ends, direction, combine=partial(_joined, ends), name="separation"
    )
    expected = dense_conditions(standardised(X), y, n_classes) @ direction
    others = expected[np.arange(n_classes) != y[:, None]].reshape(len(y), -1)
    least, most = others.min(axis=1), others.max(axis=1)
    order = [np.argsort(np.where(weights > 0, m, np.inf)) for m in (least, -most)]
    n_counted = np.count_nonzero(weights)
    rows = np.union1d(*(o[: min(k, n_counted)] for o, k in zip(order, ends)))
    np.testing.assert_allclose(Z, standardised(X)[rows])
    np.testing.assert_array_equal(codes, y[rows])
    np.testing.assert_allclose(margins, np.column_stack([least, most])[rows])


def among_few():
    """Noise, but for three rows that have what the others have not."""
    X, y = noisy(2, n=400)
    has = np.isin(np.arange(400), [100, 200, 300])
    y[has] = 1
    return np.column_stack([X, has]), y


def test_a_direction_that_the_rows_which_are_here_say_nothing_of():
    """To them it is flat: they overlap in every other."""
    X, y = among_few()
    problem = unpenalised(X, y, of=InParts)
    # The rows that have it are in the midst of the others.
    begin = np.asarray([[1.0, 0.5, -0.5, 1e-4, 0.0]])
    direction, complete = separating_direction(problem, begin)
    assert not complete
    np.testing.assert_allclose(direction[:4], [0, 0, 0, direction[3]], atol=1e-9)
    assert direction[3] > 0
    # To see that they overlap, what all gain by, that it separates, and the simplest.
    assert problem.n_passes == 4
    y[100] = 0
    problem = unpenalised(X, y, of=InParts)
    assert separating_direction(problem, begin) is None


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_of_the_parameters_only_the_direction_counts(size):
    X, y = noisy(2)
    y = (X[:, 1] > 0).astype(int)
    X[:, 1] = y
    problem = unpenalised(X, y, of=InParts)
    direction, complete = separating_direction(
        problem, size * np.asarray([[0.1, 1.0, -0.1, 0.0]])
    )
    assert complete
    np.testing.assert_allclose(direction[:3], [0, 1, 0], atol=1e-9)
    # One to see that it separates, and one that the simplest does.
    assert problem.n_passes == 2


def test_what_is_flat_for_all_rows_separates_none():
    X, y = noisy(2)
    twice = np.column_stack([X, X[:, 0]])
    problem = unpenalised(twice, y, of=InParts)
    flat = np.asarray([[1.0, 0.0, 0.0, -1.0, 0.0]])
    assert separating_direction(problem, flat) is None


def in_layers():
    """The first feature tells most rows apart, the second the few between."""
    near, between, far = 60, 4, 60
    sign = np.where(np.arange(near + between + far) % 2 == 0, 1.0, -1.0)
    first = np.repeat([1.0, 0.0, 3.0], [near, between, far])
    second = np.repeat([0.0, 1.0, 0.0], [near, between, far])
    X = sign[:, None] * np.column_stack([first, second])
    return X / X.std(axis=0), (sign > 0).astype(int)


def test_the_simplest_direction_of_rows_that_are_here_may_tell_fewer_apart():
    X, y = in_layers()
    problem = unpenalised(X, y, fit_intercept=False, of=InParts)
    # Such that those between are at neither end of it.
    begin = np.asarray([3.0, 2.0]) / X.max(axis=0)
    direction, complete = separating_direction(problem, begin[None, :])
    assert complete
    np.testing.assert_allclose(direction, begin / begin.max())


def test_a_direction_that_cannot_be_made_simpler_is_what_is_known(monkeypatch):
    X, y = in_layers()
    problem = unpenalised(X, y, of=InParts)
    begin = np.asarray([1.0, 1.0, 0.0])
    monkeypatch.setattr(conditions, "LARGEST", 1)
    direction, complete = separating_direction(problem, begin[None, :])
    assert complete
    np.testing.assert_allclose(direction, begin)


def test_all_rows_are_for_a_sum_of_directions_that_not_all_are_for():
    """What all rows gain the most by is flat for the fewer of them."""
    sign = np.where(np.arange(50) % 2 == 0, 1.0, -1.0)
    second = np.where(np.arange(50) < 10, 1.0, -1.0)
    X = sign[:, None] * np.column_stack([np.ones(50), second])
    y = (sign > 0).astype(int)
    problem = unpenalised(X, y, fit_intercept=False, of=InParts)
    direction, complete = separating_direction(problem, np.asarray([[0.1, -1.0]]))
    assert complete
    assert (sign * (X @ direction) > 0).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_what_all_rows_gain_is_of_size_1(n_classes):
    X, y = noisy(n_classes)
    gain = _Rows(unpenalised(X, y, of=InParts)).gain
    expected = dense_conditions(standardised(X), y, n_classes).sum(axis=(0, 1))
    np.testing.assert_allclose(gain, expected / np.abs(expected).max(), atol=1e-12)
