"""What pairs of steps make of an estimate: the BFGS matrix, written out."""

from __future__ import annotations

import numpy as np
from conftest import to_numpy

from xlr import arrays
from xlr.solvers.quasi_newton import make_pair, solve

RNG = np.random.default_rng(0)
MODELS, SIZE, STEPS = 2, 4, 3
ROOT = RNG.normal(size=(MODELS, SIZE, SIZE))
MATRIX = ROOT @ ROOT.transpose(0, 2, 1) + np.eye(SIZE)  # the Hessian
DIAGONAL = np.asarray([1.0, 2.0, 4.0, 0.5])  # the estimate of it
CHANGES = RNG.normal(size=(STEPS, MODELS, SIZE))
SLOPES = np.einsum("mij,smj->smi", MATRIX, CHANGES)
GRADIENT = RNG.normal(size=(MODELS, SIZE))


def bfgs(pairs):
    """Nocedal and Wright (2006), eq. 6.19, for one model."""
    B = np.diag(DIAGONAL)
    for s, y in pairs:
        B = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(y, y) / (y @ s)
    return B


def test_pairs_make_the_bfgs_matrix(xp, place, assert_close):
    pairs = [make_pair(place(s), place(y), xp=xp) for s, y in zip(CHANGES, SLOPES)]
    diagonal = place(DIAGONAL)
    for n in range(STEPS + 1):
        solved = solve(place(GRADIENT), tuple(pairs[:n]), lambda v: v / diagonal, xp=xp)
        expected = [
            np.linalg.solve(
                bfgs([(CHANGES[k, m], SLOPES[k, m]) for k in range(n)]), GRADIENT[m]
            )
            for m in range(MODELS)
        ]
        scale = np.abs(expected).max()
        assert_close(solved, np.asarray(expected), atol=1e-3 * scale)


def test_a_pair_of_no_step_or_of_a_bend_downwards_counts_for_nothing(
    xp, place, assert_close
):
    change, slope = CHANGES[0].copy(), SLOPES[0].copy()
    change[0], slope[1] = 0, -slope[1]
    with arrays.quiet():  # as the loop does
        pair = make_pair(place(change), place(slope), xp=xp)
    assert_close(pair.inverse, np.zeros(MODELS))
    gradient = place(GRADIENT)
    assert_close(solve(gradient, (pair,), lambda v: v, xp=xp), to_numpy(gradient))


def test_a_pair_without_or_of_some_models(xp, place):
    pair = make_pair(place(CHANGES[0]), place(SLOPES[0]), xp=xp)
    inverse = to_numpy(pair.inverse)
    assert (inverse > 0).all()
    np.testing.assert_array_equal(
        to_numpy(pair.without(np.asarray([1])).inverse), [inverse[0], 0]
    )
    chosen = pair.select(np.asarray([1]))
    for part, all_of_it in zip(chosen, pair):
        np.testing.assert_array_equal(to_numpy(part), to_numpy(all_of_it)[1:])
