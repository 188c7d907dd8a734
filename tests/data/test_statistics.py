"""Column statistics against extended precision and exact sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import to_numpy

from xlr import arrays
from xlr.data import (
    ColumnStatistics,
    DenseMatrix,
    SparseMatrix,
    Targets,
    TrainingData,
    column_statistics,
)

# On JAX, test_jax_tracing.py tests these by a compiled fit.
pytestmark = pytest.mark.slow_on_jax

N = 60
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(N, 3))
WEIGHTS = RNG.integers(1, 17, size=N) / 8
SOME_ZERO = WEIGHTS * (np.arange(N) % 3 > 0)  # the first row does not count
each_weighting = pytest.mark.parametrize(
    "weights", [np.ones(N), WEIGHTS, SOME_ZERO], ids=["equal", "unequal", "some zero"]
)


def training_data(matrix, weights):
    column = weights[:, None]
    return TrainingData(matrix, Targets(1, column, column))


@pytest.fixture
def statistics(xp, place, sum_dtype):
    """Return a function for mean and standard deviation of columns, in NumPy."""

    def statistics(X, weights=None):
        weights = np.ones(len(X)) if weights is None else weights
        matrix = DenseMatrix(place(X), xp=xp)
        rows = training_data(matrix, place(weights, sum_dtype))
        found = column_statistics(rows)
        assert found.mean.dtype == found.std.dtype == getattr(xp, sum_dtype)
        np.testing.assert_allclose(to_numpy(found.weight), weights.sum(), rtol=1e-6)
        return to_numpy(found.mean), to_numpy(found.std)

    return statistics


def reference(X, dtype, weights=None):
    """Return weighted mean and standard deviation in extended precision."""
    X = np.asarray(X, dtype=dtype).astype(np.longdouble)
    shares = np.ones(len(X)) if weights is None else weights
    shares = shares.astype(np.longdouble) / shares.sum()
    mean = shares @ X
    return mean, np.sqrt(shares @ (X - mean) ** 2)


def assert_close(found, expected, sum_dtype, rtol=None):
    """Compare means and deviations to ten digits, or three without float64."""
    (mean, std), (expected_mean, expected_std) = found, expected
    rtol = {"float64": 1e-10, "float32": 1e-3}[sum_dtype] if rtol is None else rtol
    expected_std = expected_std.astype(float)
    np.testing.assert_allclose(std, expected_std, rtol=rtol)
    rounding = 4 * np.finfo(sum_dtype).eps * np.abs(expected_mean)
    error = np.abs(mean - expected_mean)
    assert (error <= rtol * expected_std + rounding).all()


@each_weighting
def test_column_statistics_of_ordinary_columns_are_accurate(
    weights, statistics, dtype, sum_dtype
):
    X = NORMAL * [1, 1e3, 1e-6] + [3, -200, 0]
    assert_close(statistics(X, weights), reference(X, dtype, weights), sum_dtype)


@pytest.mark.parametrize("mean", [1e3, -1e6, 1e9, 1e12])
@each_weighting
def test_column_statistics_of_columns_far_from_zero_are_accurate(
    mean, weights, statistics, dtype, sum_dtype
):
    if dtype == "float32" and abs(mean) > 1e6:
        pytest.skip("float32 holds no such numbers")
    X = mean + NORMAL
    # The entries of X are rounded; their statistics keep the digits of X - mean.
    assert_close(statistics(X, weights), reference(X, dtype, weights), sum_dtype)


@pytest.mark.parametrize("outlier", [300, 1e4])
def test_statistics_of_far_columns_whose_heaviest_row_is_an_outlier_are_accurate(
    outlier, statistics, dtype, sum_dtype
):
    X, weights = 1e6 + NORMAL, WEIGHTS.copy()
    X[30], weights[30] = X[30] + outlier, 2.5
    assert_close(statistics(X, weights), reference(X, dtype, weights), sum_dtype)


def test_column_statistics_equal_exact_sums():
    """The oracle sums without rounding."""
    X = 1e8 + np.random.default_rng(1).normal(size=(2000, 1))
    mean = math.fsum(X[:, 0]) / 2000
    variance = math.fsum((x - mean) ** 2 for x in X[:, 0]) / 2000
    matrix = DenseMatrix(X, xp=arrays.namespace(X))
    found = column_statistics(training_data(matrix, np.ones(2000)))
    assert found.mean[0] == pytest.approx(mean, rel=1e-15)
    assert found.std[0] == pytest.approx(math.sqrt(variance), rel=1e-12)


@pytest.mark.parametrize("weight", [0.0, 1e-14])
@pytest.mark.parametrize("outlier", [30, 300, 1e6])
@pytest.mark.parametrize("row", [0, 30])
def test_column_statistics_with_one_outlier_are_accurate(
    row, outlier, weight, statistics, dtype, sum_dtype
):
    X, weights = NORMAL.copy(), WEIGHTS.copy()
    X[row], weights[row] = outlier, weight
    expected = reference(X, dtype, weights)
    rtol = {"float64": 1e-9, "float32": 1e-3}[sum_dtype]
    assert_close(statistics(X, weights), expected, sum_dtype, rtol)


@each_weighting
def test_constant_columns_have_zero_standard_deviation(
    weights, statistics, dtype, sum_dtype
):
    constants = [0.1, -1e6, 1 / 3, 0.0]
    X = np.column_stack([np.tile(constants, (N, 1)), NORMAL[:, 0]])
    # Rows without weight may have any value.
    X[weights == 0] += 5
    mean, std = statistics(X, weights)
    np.testing.assert_array_equal(std[:4], 0)
    np.testing.assert_array_equal(
        mean[:4], np.asarray(constants, dtype).astype(sum_dtype)
    )
    assert std[4] > 0.5


def test_column_statistics_ignore_rows_without_weight(statistics, sum_dtype):
    X = np.where(SOME_ZERO[:, None] > 0, NORMAL, 1e3 * NORMAL)
    expected = statistics(NORMAL[SOME_ZERO > 0], SOME_ZERO[SOME_ZERO > 0])
    rtol = {"float64": 1e-12, "float32": 1e-4}[sum_dtype]
    for found, known in zip(statistics(X, SOME_ZERO), expected):
        np.testing.assert_allclose(found, known, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("size", [1e-170, 1e-155, 1e160, 1e300])
def test_columns_beyond_what_float64_can_square_are_refused(size):
    X = NORMAL * [1.0, size, 1.0]
    matrix = DenseMatrix(X, xp=arrays.namespace(X))
    with pytest.raises(ValueError, match=r"Column b of X varies by .* Rescale"):
        column_statistics(
            training_data(matrix, np.ones(N)), names=lambda: ["a", "b", "c"]
        )


@each_weighting
def test_column_statistics_of_sparse_x_are_those_of_dense_x(weights):
    X = NORMAL * (RNG.random(NORMAL.shape) < 0.4)
    X = np.column_stack([X, 1e6 + NORMAL[:, 0], np.zeros(N), np.full(N, 0.1)])
    xp = arrays.namespace(X)
    sparse = SparseMatrix(sp.csr_array(X), xp=xp)
    found, expected = (
        column_statistics(training_data(matrix, weights))
        for matrix in (sparse, DenseMatrix(X, xp=xp))
    )
    for part, other in zip(found, expected):
        np.testing.assert_allclose(part, other, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.std[4:], 0)


def test_merged_column_statistics_are_those_of_all_rows():
    xp, X = arrays.namespace(NORMAL), NORMAL + np.asarray([0, 1e6, 3])
    whole, first, second = (
        column_statistics(training_data(DenseMatrix(X[rows], xp=xp), WEIGHTS[rows]))
        for rows in (slice(None), slice(20), slice(20, None))
    )
    merged = first.merged(second, xp=xp)
    assert isinstance(merged, ColumnStatistics)
    for part, other in zip(merged, whole):
        np.testing.assert_allclose(part, other, rtol=1e-12)
