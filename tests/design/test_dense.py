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
    return DenseBlock(place(Z), xp=xp)


def test_matvec(block, place, assert_close):
    assert_close(block.matvec(place(COEF)), np.einsum("ij,kj->ik", Z, COEF))


def test_rmatvec(block, place, assert_close):
    assert_close(block.rmatvec(place(COLUMNS)), np.einsum("ik,ij->kj", COLUMNS, Z))


def test_gram(block, place, assert_close):
    h = COLUMNS[:, 0]
    assert_close(block.gram(place(h)), np.einsum("i,ij,ik->jk", h, Z, Z))


def test_gram_diagonal(block, place, assert_close):
    expected = np.einsum("ik,ij,ij->kj", COLUMNS, Z, Z)
    assert_close(block.gram_diagonal(place(COLUMNS)), expected)


def test_block_without_standardisation_is_the_rows(xp, place, dtype, assert_close):
    design = DenseDesign(place(Z), None, xp=xp)
    assert (design.n_samples, design.n_features) == (7, 3)
    assert design.dtype == getattr(xp, dtype)
    assert_close(design.block(slice(2, 5)).rows, Z[2:5])


def test_block_is_centred_and_scaled(backend, place, assert_close):
    xp, wide = backend.xp, "float64" if backend.supports("float64") else "float32"
    mean, scale = np.asarray([1.0, -2.0, 0.0]), np.asarray([2.0, 0.25, 8.0])
    units = Standardisation(place(mean, wide), place(scale, wide))
    design = DenseDesign(place(Z), units, xp=xp)
    assert_close(design.block(slice(3, 7)).rows, ((Z - mean) / scale)[3:])
