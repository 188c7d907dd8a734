"""A sparse design gives what a dense one gives of the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xlr import arrays
from xlr.design import (
    DenseDesign,
    SparseDesign,
    standardise,
    standardise_sparse,
    sum_over_blocks,
)

N, P = 60, 7
XP = arrays.namespace()


def matrix(seed: int = 0) -> np.ndarray:
    """A third of the entries, one column full and far from zero, one empty."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, P)) * (rng.random((N, P)) < 0.3)
    X[:, 1] = 50 + rng.normal(size=N)
    X[:, 2] = 0.0
    return X


def weights(seed: int = 1) -> np.ndarray:
    s = np.random.default_rng(seed).uniform(size=N)
    s[:5] = 0
    return s


def designs(X: np.ndarray, *, centre: bool = True) -> tuple[SparseDesign, DenseDesign]:
    units = standardise(X, weights(), centre=centre, xp=XP)
    sparse = SparseDesign(sp.csr_array(X), units, xp=XP)
    return sparse, DenseDesign(X, units, xp=XP)


def unfolded(design, residual):
    """Z'r, by way of the blocks."""
    total = residual.sum(axis=0)
    parts = sum_over_blocks(
        lambda block, r: (block.rmatvec(r),), design, design.slices(1), residual
    )
    return design.unfold(parts[0], total)


@pytest.mark.parametrize("centre", [True, False])
def test_mean_and_scale_are_those_of_the_dense_matrix(centre):
    X = matrix()
    expected = standardise(X, weights(), centre=centre, xp=XP)
    units = standardise_sparse(sp.csr_array(X), weights(), centre=centre, xp=XP)
    np.testing.assert_allclose(units.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(units.scale, expected.scale, rtol=1e-10)


@pytest.mark.parametrize("size", [1e-170, 1e-20, 1e150, 1e200])
def test_columns_of_any_size(size):
    X = matrix()
    X[:, 0] *= size
    X[:, 3] /= size
    units = standardise_sparse(sp.csr_array(X), weights(), centre=True, xp=XP)
    expected = standardise(X, weights(), centre=True, xp=XP)
    np.testing.assert_allclose(units.mean, expected.mean, rtol=1e-10)
    np.testing.assert_allclose(units.scale, expected.scale, rtol=1e-10)
    design = SparseDesign(sp.csr_array(X), units, xp=XP)
    curvature = np.ones((N, 1))
    diagonal = design.block(slice(None)).gram_diagonal(curvature)
    Z = (X - units.mean) / units.scale
    np.testing.assert_allclose(diagonal[0], (Z * Z).sum(axis=0), rtol=1e-8)


def far_columns(distance: float, dtype: str) -> np.ndarray:
    """Two columns whose means are so many deviations from zero; one not quite full.

    Without an entry in rows of no weight, and in float32 in one that has some.
    """
    X, rng = matrix(), np.random.default_rng(6)
    X[:, 1] = 3 * (distance + rng.normal(size=N))
    X[:, 5] = -0.01 * (distance + rng.normal(size=N))
    X[: 5 if dtype == "float64" else 6, 5] = 0
    return X.astype(dtype)


@pytest.mark.parametrize("distance", [50, 1e3, 1e5, 1e9])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_mean_far_from_zero(distance, dtype):
    X = far_columns(distance, dtype)
    expected = standardise(X, weights(), centre=True, xp=XP)
    units = standardise_sparse(sp.csr_array(X), weights(), centre=True, xp=XP)
    np.testing.assert_allclose(units.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(units.scale, expected.scale, rtol=1e-9)


@pytest.mark.parametrize("distance", [50, 1e5])
@pytest.mark.parametrize("size", [1.0, 1e-120])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_products_lose_no_digits_to_a_mean_far_from_zero(distance, size, dtype):
    X = far_columns(distance, dtype)
    if dtype == "float64":
        X *= size  # beyond FAR too: scaled as well
    given = sp.csr_array(X)
    units = standardise_sparse(given, weights(), centre=True, xp=XP)
    mean, scale = units.mean.astype(np.longdouble), units.scale
    Z = np.where(units.varies > 0, ((X - mean) / scale).astype(np.float64), 0)
    Z[:5] = 0  # of no weight
    rng = np.random.default_rng(7)
    coef, intercept = rng.normal(size=(1, P)), rng.normal(size=1)
    residual = (weights() > 0)[:, None] * rng.normal(size=(N, 1))

    def assert_same(found, expected):
        rtol = 1e-9 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)

    design = SparseDesign(given, units, xp=XP)
    np.testing.assert_array_equal(given.toarray(), X)
    w, b = design.fold(coef, intercept)
    found = design.block(slice(0, N)).matvec(w.astype(dtype)) + b
    assert_same(found[5:], Z[5:] @ coef.T + intercept)
    assert_same(unfolded(design, residual.astype(dtype)), residual.T @ Z)
    curvature = residual**2
    diagonal = design.block(slice(0, N)).gram_diagonal(curvature)
    assert_same(diagonal, curvature.T @ Z**2)
    assert_same(design.kernel(np.ones(P), np.float64)[5:, 5:], Z[5:] @ Z[5:].T)


def test_a_constant_column_is_left_to_the_intercept():
    X = matrix()
    X[:, 4], X[:, 5] = 3.25, 1e6
    units = standardise_sparse(sp.csr_array(X), weights(), centre=True, xp=XP)
    expected = standardise(X, weights(), centre=True, xp=XP)
    for part in ("mean", "scale", "varies"):
        found = getattr(units, part)[[2, 4, 5]]
        np.testing.assert_array_equal(found, getattr(expected, part)[[2, 4, 5]])
    np.testing.assert_array_equal(np.nonzero(units.varies == 0)[0], [2, 4, 5])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    X = sp.csr_array(matrix())
    X.data[3] = bad
    with pytest.raises(ValueError, match="NaN" if np.isnan(bad) else "infinity"):
        standardise_sparse(X, weights(), centre=True, xp=XP)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("n_columns", [1, 3])
def test_products(centre, n_columns):
    sparse, dense = designs(matrix(), centre=centre)
    rng = np.random.default_rng(2)
    coef, intercept = rng.normal(size=(n_columns, P)), rng.normal(size=n_columns)
    found, expected = (
        design.block(slice(0, N)).matvec(design.fold(coef, intercept)[0])
        + design.fold(coef, intercept)[1]
        for design in (sparse, dense)
    )
    np.testing.assert_allclose(found, expected, atol=1e-11)
    residual = rng.normal(size=(N, n_columns))
    np.testing.assert_allclose(
        unfolded(sparse, residual), unfolded(dense, residual), atol=1e-11
    )
    curvature = rng.uniform(size=(N, n_columns))
    found, expected = (
        design.block(slice(0, N)).gram_diagonal(curvature) for design in (sparse, dense)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_sums_for_many_weights():
    sparse, dense = designs(matrix())
    rng = np.random.default_rng(3)
    counts, slope = rng.integers(0, 4, size=(5, N)).astype(float), rng.normal(size=N)
    sums = [
        design.unfold(
            design.block(slice(0, N)).weighted_sums(counts, slope), counts @ slope
        )
        for design in (sparse, dense)
    ]
    np.testing.assert_allclose(*sums, atol=1e-11)


@pytest.mark.parametrize("n_columns", [1, 2])
@pytest.mark.parametrize("density", [0.001, 0.5])
@pytest.mark.parametrize("at_a_time", [7, 1024])
def test_gram_matrices_pair_by_pair_and_dense(
    monkeypatch, n_columns, density, at_a_time
):
    monkeypatch.setattr("xlr.design.sparse.LEAST_DENSE_ROWS", at_a_time)
    monkeypatch.setattr("xlr.design.sparse.DENSE_NUMBERS", 200 * at_a_time)
    rng = np.random.default_rng(4)
    X = rng.normal(size=(N, 200)) * (rng.random((N, 200)) < density)
    block = SparseDesign(sp.csr_array(X), None, xp=XP).block(slice(0, N))
    U = rng.normal(size=(N, n_columns))
    gram, margin = block.for_gram(np.float64, folded=True).gram(U)
    A = (U[:, :, None] * X[:, None, :]).reshape(N, -1)
    np.testing.assert_allclose(gram, A.T @ A, atol=1e-12)
    np.testing.assert_allclose(margin, U.T @ A, atol=1e-12)


def test_a_gram_matrix_of_large_means_is_summed_in_float64():
    design, _ = designs(matrix())
    assert design.gram_form(rough=True) == (np.float64, True)
    near, _ = designs(matrix()[:, [0, 3, 4]])
    assert near.gram_form(rough=True) == (np.float32, True)


def test_parts():
    sparse, dense = designs(matrix())
    rows, features = np.asarray([3, 3, 40]), np.asarray([1, 4])
    rng = np.random.default_rng(5)
    for pick, n in (
        (lambda d: d.sample(rows, np.float32), 3),
        (lambda d: d.of_features(features), N),
    ):
        ours, theirs = pick(sparse), pick(dense)
        assert ours.dtype == theirs.dtype
        assert (ours.n_samples, ours.n_features) == (
            theirs.n_samples,
            theirs.n_features,
        )
        coef, b = rng.normal(size=(1, ours.n_features)), np.zeros(1)
        found, expected = (
            design.block(slice(0, n)).matvec(design.fold(coef, b)[0])
            + design.fold(coef, b)[1]
            for design in (ours, theirs)
        )
        np.testing.assert_allclose(found, expected, atol=2e-5)
    strength = rng.uniform(1, 2, size=P)
    np.testing.assert_allclose(
        sparse.kernel(strength, np.float64),
        dense.kernel(strength, np.float64),
        atol=1e-9,
    )


def test_blocks_are_views_of_the_rows():
    X = sp.csr_array(matrix())
    design = SparseDesign(X, None, xp=XP)
    part = design.block(slice(10, 30)).rows
    assert np.shares_memory(part.data, X.data)
    np.testing.assert_array_equal(part.toarray(), X.toarray()[10:30])
    assert [s.stop for s in design.slices(1)][-1] == N
