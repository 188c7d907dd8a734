"""Aliased columns: weighted sums of earlier columns."""

import numpy as np
import pytest

from xlr.objective import find_aliased

EPS = float(np.finfo(float).eps)


def independent(n_columns):
    return np.random.default_rng(0).normal(size=(40, n_columns))


def checked_aliased(Z):
    """Return the aliased columns; check that their weights reproduce them."""
    found = find_aliased(Z.T @ Z, EPS)
    np.testing.assert_allclose(
        Z[:, found.kept] @ found.weights,
        Z[:, found.dropped],
        atol=1e-6 * np.abs(Z[:, found.dropped]).max(initial=0.0),
    )
    return found


def test_aliased_columns_are_sums_of_earlier_columns():
    a, b, c = independent(3).T
    found = checked_aliased(np.column_stack([a, b, a + 2 * b, c, a - c, 3 * b]))
    assert found.kept.tolist() == [0, 1, 3]
    assert found.dropped.tolist() == [2, 4, 5]
    weights = [[1, 1, 0], [2, 0, 3], [0, -1, 0]]
    np.testing.assert_allclose(found.weights, weights, atol=1e-12)


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_aliased_columns_do_not_depend_on_units(size):
    a, b, c = independent(3).T
    found = checked_aliased(np.column_stack([a, size * b, c, (a + b) / size]))
    assert found.kept.tolist() == [0, 1, 2]
    weights = np.asarray([[1 / size], [1 / size**2], [0]])
    np.testing.assert_allclose(found.weights, weights, rtol=1e-9, atol=1e-12 / size)


def test_aliased_column_of_zeros_has_no_weights():
    a, b = independent(2).T
    found = checked_aliased(np.column_stack([a, 0 * a, b]))
    assert found.dropped.tolist() == [1]
    np.testing.assert_array_equal(found.weights, [[0], [0]])


@pytest.mark.parametrize(("share", "n_kept"), [(1.5, 4), (2.5, 5)])
def test_aliased_column_is_a_sum_up_to_rounding_errors(share, n_kept):
    """The limit is 64 rounding errors of the sum of squares per column."""
    remainder = share * 64 * 5 * EPS
    # A Cholesky factor of the Gram matrix, exact in its last entry.
    factor = np.eye(5)
    factor[3] = [0.5, 0.5, 0.0, np.sqrt(0.5), 0.0]
    factor[4] = [np.sqrt(1 - remainder), 0.0, 0.0, 0.0, np.sqrt(remainder)]
    gram = factor @ factor.T
    assert find_aliased(gram, EPS).kept.size == n_kept
    assert find_aliased(gram, EPS / 16).kept.size == 5


@pytest.mark.parametrize("n_rows", [1, 10])
def test_aliased_rare_category_is_found(n_rows):
    """Standardised, it is a sum with large weights, which multiply rounding errors."""
    row = np.arange(20_000)
    category = np.where(row < 20_000 - n_rows, row % 4, 4)
    X = np.eye(5)[category]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    Z = np.column_stack([np.ones(20_000), Z])
    found = find_aliased(Z.T @ Z / 20_000, EPS)
    assert found.dropped.tolist() == [5]


def test_aliased_columns_exclude_columns_that_differ_little():
    """Large weights of a sum multiply rounding errors."""
    a, u, v, w = np.linalg.qr(independent(4))[0].T
    b, c = a + 1e-2 * u, a + v
    d = c + 3e-6 * w
    found = checked_aliased(np.column_stack([a, b, c + u, d + u, b]))
    assert found.kept.tolist() == [0, 1, 2, 3]
    assert found.dropped.tolist() == [4]
