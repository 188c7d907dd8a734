"""Aliased columns, which are sums of other columns, against those sums."""

import numpy as np
import pytest

from xlr.objective import find_aliased

EPS = float(np.finfo(float).eps)


def independent(n_columns):
    return np.random.default_rng(0).normal(size=(40, n_columns))


def aliased(Z):
    found = find_aliased(Z.T @ Z, EPS)
    # The weights reproduce every dropped column.
    np.testing.assert_allclose(
        Z[:, found.kept] @ found.weights,
        Z[:, found.dropped],
        atol=1e-6 * np.abs(Z[:, found.dropped]).max(initial=0.0),
    )
    return found


def test_aliased_columns_are_sums_of_earlier_columns():
    a, b, c = independent(3).T
    found = aliased(np.column_stack([a, b, a + 2 * b, c, a - c, 3 * b]))
    assert found.kept.tolist() == [0, 1, 3]
    assert found.dropped.tolist() == [2, 4, 5]
    weights = [[1, 1, 0], [2, 0, 3], [0, -1, 0]]
    np.testing.assert_allclose(found.weights, weights, atol=1e-12)
    assert found.describe(list("abcdef")) == "c = a + 2 b; e = a + -1 d; f = 3 b"


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_aliased_columns_do_not_depend_on_units(size):
    a, b, c = independent(3).T
    found = aliased(np.column_stack([a, size * b, c, (a + b) / size]))
    assert found.kept.tolist() == [0, 1, 2]
    weights = np.asarray([[1 / size], [1 / size**2], [0]])
    np.testing.assert_allclose(found.weights, weights, rtol=1e-9, atol=1e-12 / size)


def test_aliased_column_of_zeros_has_no_weights():
    a, b = independent(2).T
    found = aliased(np.column_stack([a, 0 * a, b]))
    assert found.dropped.tolist() == [1]
    assert found.describe(["a", "nothing", "b"]) == "nothing = 0"


@pytest.mark.parametrize(("share", "kept"), [(1.5, 4), (2.5, 5)])
def test_aliased_column_is_within_rounding_errors(share, kept):
    """The limit is 64 rounding errors of the sum of squares per column."""
    left = share * 64 * 5 * EPS
    # A Cholesky factor of the Gram matrix, exact in its last entry.
    factor = np.eye(5)
    factor[3] = [0.5, 0.5, 0.0, np.sqrt(0.5), 0.0]
    factor[4] = [np.sqrt(1 - left), 0.0, 0.0, 0.0, np.sqrt(left)]
    gram = factor @ factor.T
    assert find_aliased(gram, EPS).kept.size == kept
    assert find_aliased(gram, EPS / 16).kept.size == 5


@pytest.mark.parametrize("n_rows", [1, 10])
def test_aliased_rare_category_is_found(n_rows):
    """The sum of squares of the column is below the rounding errors of the others."""
    rare = 20_000 - n_rows
    place = np.arange(20_000)
    category = np.where(place < rare, place % 4, 4)
    X = np.eye(5)[category]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    gram = np.column_stack([np.ones(20_000), Z])
    found = find_aliased(gram.T @ gram / 20_000, EPS)
    assert found.dropped.tolist() == [5]


def test_aliased_columns_exclude_columns_that_differ_little():
    """The weights of a sum multiply rounding errors."""
    a, u, v, w = np.linalg.qr(independent(4))[0].T
    b, c = a + 1e-2 * u, a + v
    d = c + 3e-6 * w
    found = aliased(np.column_stack([a, b, c + u, d + u, b]))
    assert found.kept.tolist() == [0, 1, 2, 3]
    assert found.dropped.tolist() == [4]
