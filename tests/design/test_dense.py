"""Products with a block of rows, and blocks in standardised units."""

import numpy as np
import pytest

from xlr.design import DenseBlock, DenseDesign, Standardisation

RNG = np.random.default_rng(0)
# Small integers: every product and sum below is exact, in float32 too.
Z = RNG.integers(-4, 5, size=(7, 3)).astype(float)
COLUMNS = RNG.integers(-4, 5, size=(7, 2)).astype(float)
COEF = RNG.integers(-4, 5, size=(2, 3)).astype(float)


@pytest.fixture
def block(xp, place):
    return DenseBlock(place(Z), None, xp=xp)


def test_matvec(block, place, assert_close):
    assert_close(block.matvec(place(COEF)), np.einsum("ij,kj->ik", Z, COEF))


def test_rmatvec(block, place, assert_close):
    assert_close(block.rmatvec(place(COLUMNS)), np.einsum("ik,ij->kj", COLUMNS, Z))


def test_gram_diagonal(block, place, assert_close):
    expected = np.einsum("ik,ij,ij->kj", COLUMNS, Z, Z)
    assert_close(block.gram_diagonal(place(COLUMNS)), expected)


def test_block_without_standardisation_is_the_rows(xp, place, dtype, assert_close):
    design = DenseDesign(place(Z), None, xp=xp)
    assert (design.n_samples, design.n_features) == (7, 3)
    assert design.dtype == getattr(xp, dtype)
    assert_close(design.block(slice(2, 5)).rows, Z[2:5])


def test_block_is_centred_and_scaled(xp, wide, place, assert_close):
    mean, scale = np.asarray([1.0, -2.0, 0.0]), np.asarray([2.0, 0.25, 8.0])
    units = Standardisation(place(mean, wide), place(scale, wide))
    expected = ((Z - mean) / scale)[3:]
    design = DenseDesign(place(Z), units, xp=xp)
    assert_close(design.block(slice(3, 7)).standardised(), expected)
    # Means that are large against the deviations are not folded into products.
    far = Standardisation(place(mean + 2.0**6, wide), place(scale, wide))
    design = DenseDesign(place(Z + 2.0**6), far, xp=xp)
    assert design.folded == (design.dtype == xp.float64)
    block = design.block(slice(3, 7))
    assert_close(block.standardised(), expected)
    if not design.folded:
        assert_close(block.rows, expected)


def test_folded_products_are_those_of_standardised_rows(
    xp, wide, place, dtype, assert_close
):
    mean, scale = np.asarray([1.0, -0.5, 0.0]), np.asarray([2.0, 0.25, 8.0])
    units = Standardisation(place(mean, wide), place(scale, wide))
    design = DenseDesign(place(Z), units, xp=xp)
    assert design.folded
    block, standardised = design.block(slice(0, 7)), (Z - mean) / scale
    coef, intercept = design.fold(place(COEF, wide), place(np.zeros(2), wide))
    logits = block.matvec(xp.astype(coef, getattr(xp, dtype)))
    logits = logits + xp.astype(intercept, getattr(xp, dtype))
    assert_close(logits, standardised.dot(COEF.T))
    product = xp.astype(block.rmatvec(place(COLUMNS)), getattr(xp, wide))
    total = place(COLUMNS.sum(axis=0), wide)
    expected = COLUMNS.T.dot(standardised)
    assert_close(design.unfold(product, total), expected, as_dtype=wide)


def test_a_small_design_is_standardised_once(
    xp, wide, place, assert_close, monkeypatch
):
    mean, scale = np.asarray([1.0, -2.0, 0.0]), np.asarray([2.0, 0.25, 8.0])
    units = Standardisation(place(mean, wide), place(scale, wide))
    design = DenseDesign(place(Z), units, xp=xp)
    small = design.standardised_if_small()
    assert not small.folded
    assert_close(small.X, (Z - mean) / scale)
    assert small.standardised_if_small() is small
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 64)
    assert design.standardised_if_small() is design


def test_sample_is_standardised_in_float32(xp, wide, place, assert_close):
    mean, scale = np.asarray([1.0, -2.0, 0.0]), np.asarray([2.0, 0.25, 8.0])
    units = Standardisation(place(mean, wide), place(scale, wide))
    rows = np.asarray([5, 0, 0, 3])
    sample = DenseDesign(place(Z), units, xp=xp).sample(place(rows), xp.float32)
    expected = ((Z - mean) / scale)[rows]
    assert_close(sample.block(slice(0, 4)).rows, expected, as_dtype="float32")


def test_a_sample_of_no_rows_has_the_columns(backend, place):
    design = DenseDesign(place(Z), None, xp=backend.xp)
    none = design.sample(place(np.zeros(0, dtype=int)), backend.xp.float32)
    assert (none.n_samples, none.n_features) == (0, 3)


def test_kernel(xp, place, assert_close):
    strength = np.asarray([4.0, 0.25, 1.0])
    design = DenseDesign(place(Z), None, xp=xp)
    expected = np.einsum("ij,kj,j->ik", Z, Z, 1 / strength)
    assert_close(design.kernel(place(strength), design.dtype), expected)


def test_blocks_of_rows_at_odd_bytes_are_aligned():
    X = np.arange(12.0).reshape(4, 3)
    received = np.frombuffer(b"abc" + X.tobytes(), offset=3).reshape(4, 3)
    rows = DenseDesign(received, None, xp=np).block(slice(1, 3)).rows
    assert rows.flags.aligned
    np.testing.assert_array_equal(rows, X[1:3])
