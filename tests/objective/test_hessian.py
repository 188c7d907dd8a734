"""Matrices for several models: what they show, solve with and share."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy

from xlr.objective.hessian import BlockHessian, DiagonalHessian

MATRICES, BLOCKS, Q = 3, 2, 3
RNG = np.random.default_rng(0)


def positive_definite(n_blocks):
    """Well conditioned, in units far apart."""
    A = RNG.normal(size=(MATRICES, n_blocks, 4 * Q, Q)) * [0.25, 1.0, 8.0]
    return A.mT @ A / (4 * Q)


WHOLE, BY_CLASS = positive_definite(1), positive_definite(BLOCKS)
# More models of some matrices than of others, and in no order.
SHARED = np.asarray([2, 0, 2, 1, 2, 0])
ROUNDING = 0.05  # so much that it shows


@pytest.fixture
def close(dtype):
    def close(found, expected):
        rtol = 1e-10 if dtype == "float64" else 1e-4
        atol = rtol * np.abs(expected).max()
        np.testing.assert_allclose(to_numpy(found), expected, rtol=0, atol=atol)

    return close


@pytest.fixture
def block_hessian(place, xp, not_compiled_for_long):
    def block_hessian(blocks, rounding=0.0):
        return BlockHessian(place(blocks), rounding, xp=xp)

    return block_hessian


def right_sides(n_models, n_blocks=1):
    return np.random.default_rng(1).normal(size=(n_models, n_blocks * Q))


def solved(blocks, damping, right):
    """By each model's own blocks (n_models, n_blocks, q, q), damped."""
    diagonal = np.diagonal(blocks, axis1=2, axis2=3)
    damped = blocks + damping[:, None, None, None] * diagonal[..., None] * np.eye(Q)
    columns = right.reshape(*blocks.shape[:2], Q, 1)
    return np.linalg.solve(damped, columns).reshape(right.shape)


@pytest.mark.parametrize("shared", [False, True])
def test_it_solves_with_the_matrices_that_it_shows(shared, block_hessian, place, close):
    """With what their rounding leaves uncertain, which is in both."""
    hessian = block_hessian(WHOLE, ROUNDING)
    if shared:
        hessian = hessian.select(SHARED)
    shown = to_numpy(hessian.matrices()).astype(float)
    own = WHOLE[SHARED, 0] if shared else WHOLE[:, 0]
    added = shown - own
    diagonal = np.diagonal(own, axis1=1, axis2=2)
    close(added, diagonal[:, None, :] * np.eye(Q) * added[0, 0, 0] / own[0, 0, 0])
    assert (np.diagonal(added, axis1=1, axis2=2) >= ROUNDING * diagonal).all()
    right = right_sides(len(shown))
    solve = hessian.solver(place(np.zeros(len(shown))))
    close(solve(place(right)), np.linalg.solve(shown, right[..., None])[..., 0])


def test_models_that_share_blocks_solve_as_with_their_own(block_hessian, place, close):
    hessian = block_hessian(BY_CLASS).select(SHARED)
    right = right_sides(len(SHARED), BLOCKS)
    damping = np.full(len(SHARED), 0.5)
    found = hessian.solver(place(damping))(place(right))
    close(found, solved(BY_CLASS[SHARED], damping, right))


@pytest.mark.parametrize("strong", range(4))
def test_a_damping_is_that_of_the_models_of_its_matrix_alone(
    strong, block_hessian, place, close
):
    """Of the largest among them, and of no model of another matrix."""
    of = np.asarray([0, 0, 2, 0])
    damping = np.where(np.arange(4) == strong, 4.0, 0.0)
    hessian = block_hessian(WHOLE).select(of)
    right = right_sides(4)
    largest = np.asarray([damping[of == k].max() for k in of])
    found = hessian.solver(place(damping))(place(right))
    close(found, solved(WHOLE[of], largest, right))


@pytest.mark.parametrize("of", [None, SHARED[:4]], ids=["own", "shared"])
def test_what_is_damped_is_no_less_than_asked_for(of, block_hessian, place, close):
    """However small the curvature; of models that share a matrix, the most."""
    whole = WHOLE.copy()
    whole[:, :, 1, :] *= 1e-12
    whole[:, :, :, 1] *= 1e-12
    hessian = block_hessian(whole)
    hessian = hessian if of is None else hessian.select(of)
    matrix = (whole if of is None else whole[of])[:, 0]
    least = np.linspace(0.5, 2, matrix[..., 0].size).reshape(-1, Q)
    damping = np.full(len(matrix), 0.5)
    added = 0.5 * np.maximum(np.diagonal(matrix, axis1=1, axis2=2), least)
    if of is not None:
        added = np.stack([added[of == k].max(axis=0) for k in of])
    right = right_sides(len(matrix))
    found = hessian.solver(place(damping), place(least))(place(right))
    damped = matrix + added[:, None, :] * np.eye(Q)
    close(found, np.linalg.solve(damped, right[..., None])[..., 0])


@pytest.mark.parametrize("of", [None, SHARED[:4]], ids=["own", "shared"])
def test_some_models_with_other_matrices(of, block_hessian, place, close):
    others = WHOLE[:2] + 16 * np.eye(Q)
    hessian = block_hessian(WHOLE)
    hessian = hessian if of is None else hessian.select(of)
    expected = WHOLE if of is None else WHOLE[of]
    models = np.asarray([2, 0])
    mixed = hessian.replace(models, block_hessian(others))
    expected = expected.copy()
    expected[models] = others
    close(mixed.matrices(), expected[:, 0])
    close(mixed.diagonal, np.diagonal(expected[:, 0], axis1=1, axis2=2))
    right = right_sides(len(expected))
    nothing = np.zeros(len(expected))
    close(mixed.solver(place(nothing))(place(right)), solved(expected, nothing, right))


@pytest.mark.parametrize("rough_first", [True, False])
def test_the_roughest_of_mixed_matrices_sets_what_is_uncertain(
    rough_first, block_hessian, close
):
    rounding = (ROUNDING, 0.0) if rough_first else (0.0, ROUNDING)
    first, second = (block_hessian(WHOLE, each) for each in rounding)
    mixed = first.replace(np.asarray([1]), second.select(np.asarray([1])))
    close(mixed.matrices(), to_numpy(block_hessian(WHOLE, ROUNDING).matrices()))


def test_a_diagonal_one(place, xp, close):
    """One stands where there is no curvature at all."""
    diagonal = np.asarray([[0.25, 0.0, 4.0], [2.0, 1.0, 0.0]])
    positive = np.where(diagonal == 0, 1.0, diagonal)
    hessian = DiagonalHessian(place(diagonal), xp=xp)
    close(hessian.diagonal, positive)
    damping, right = np.asarray([0.0, 3.0]), right_sides(2)
    damped = positive + damping[:, None] * positive
    close(hessian.solver(place(damping))(place(right)), right / damped)
    damped = positive + damping[:, None] * np.maximum(positive, 1.5)
    least = place(np.full((2, 3), 1.5))
    close(hessian.solver(place(damping), least)(place(right)), right / damped)
    chosen = hessian.select(np.asarray([1, 0, 1]))
    close(chosen.diagonal, positive[[1, 0, 1]])


def test_a_feature_without_curvature_has_a_diagonal_of_one(block_hessian, place, close):
    blocks = WHOLE.copy()
    blocks[:, :, 1, :] = blocks[:, :, :, 1] = 0.0
    hessian = block_hessian(blocks, ROUNDING)
    close(hessian.diagonal[:, 1], np.ones(MATRICES))
    right = right_sides(MATRICES) * [1.0, 0.0, 1.0]
    found = to_numpy(hessian.solver(place(np.zeros(MATRICES)))(place(right)))
    np.testing.assert_array_equal(found[:, 1], 0.0)
