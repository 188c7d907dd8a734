"""Which steps are kept, and what follows one that was or was not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import to_numpy

from xlr.objective import Evaluation
from xlr.solvers.steps import (
    DampedStep,
    better,
    is_acceptable,
    is_flat,
    next_damping,
    shorter,
    take,
)


@pytest.fixture
def objective(xp):
    """What steps ask of one: its library, and how it rounds."""
    return SimpleNamespace(xp=xp, rounding=2.0**-20)


@pytest.fixture
def at(place):
    """F and its gradient of two parameters, for each of some models."""

    def at(values, gradients):
        return Evaluation(place(np.asarray(values)), place(np.asarray(gradients)))

    return at


def test_the_decrease_that_a_damped_model_predicts(xp, place, assert_close):
    """That of g'd + d'Hd / 2 at the d that solves (H + lambda D) d = -g."""
    H, D = np.asarray([[4.0, 1.0], [1.0, 2.0]]), np.asarray([4.0, 2.0])
    g, damping = np.asarray([1.0, -2.0]), np.asarray([0.0, 0.5, 8.0])
    d = np.stack([np.linalg.solve(H + c * np.diag(D), -g) for c in damping])
    expected = -(d @ g) - np.einsum("mi,ij,mj->m", d, H, d) / 2
    rows = place(np.tile(D, (3, 1)))
    step = DampedStep(place(d), rows, place(damping))
    predicted = step.predicted(place(np.tile(g, (3, 1))), xp=xp)
    assert_close(predicted, expected, rtol=1e-5)


def test_a_step_is_kept_that_brings_enough(objective, at, place):
    change = place(np.tile([[1.0, 0.0]], (5, 1)))
    before = at([1.0] * 5, [[-4.0, 7.0]] * 5)
    # The slope promises 4, of which 1e-4 is asked for.
    values = [1 - 5e-4, 1 - 3e-4, 1 + 2e-3, np.nan, 0.5]
    after = at(values, [[8.0, 0.0]] * 5)
    kept = to_numpy(is_acceptable(objective, before, after, change))
    np.testing.assert_array_equal(kept, [True, False, False, False, True])


def test_where_f_is_flat_the_slopes_decide(objective, at, place):
    """To within 16 roundings: slopes of -1 before and between -1 and 1 after."""
    change = place(np.tile([[1.0, 0.0]], (5, 1)))
    before = at([1.0] * 5, [[-1.0, 7.0]] * 5)
    rise = np.asarray([15, 15, 15, 17, -15]) * objective.rounding
    after = at(1 + rise, [[0.9, 5.0], [1.1, 5.0], [-9.0, 0.0], [0.0, 0.0], [0.9, 0.0]])
    flat = to_numpy(is_flat(objective, before, after))
    np.testing.assert_array_equal(flat, [True, True, True, False, True])
    kept = to_numpy(is_acceptable(objective, before, after, change))
    np.testing.assert_array_equal(kept, [True, False, True, False, True])


def test_slopes_decide_as_hager_and_zhang_have_it(objective, at, place):
    """Kept up to 1 - 2c of the slope before, for the c = 1e-4 of Armijo's condition."""
    change = place(np.tile([[0.5, 0.0]], (3, 1)))
    before = at([1.0] * 3, [[-8.0, 7.0]] * 3)
    after = 8 * (1 - 2e-4 + np.asarray([-1e-5, 1e-5, -2]))
    trial = at([1.0] * 3, np.stack([after, np.zeros(3)], axis=1))
    kept = to_numpy(is_acceptable(objective, before, trial, change))
    np.testing.assert_array_equal(kept, [True, False, True])


def test_f_that_stays_as_it_is_is_flat(objective, at):
    same = at([0.0, 1.0], [[0.0, 0.0]] * 2)
    assert to_numpy(is_flat(objective, same, same)).all()


def test_f_that_is_below_zero_rounds_as_much(objective, at):
    before = at([-1.0, -1.0], [[0.0, 0.0]] * 2)
    rise = np.asarray([15, 17]) * objective.rounding
    flat = is_flat(objective, before, at(-1 + rise, [[0.0, 0.0]] * 2))
    np.testing.assert_array_equal(to_numpy(flat), [True, False])


def test_a_refused_step_is_cut_to_the_minimum_of_a_parabola(
    xp, at, place, assert_close
):
    """F(0) = 1, F'(0) = -1 and F(1): that of 1 - t + a t^2 is at 1 / (2 a)."""
    a = np.asarray([1.25, 2.5, 100.0, 0.75, np.inf, np.nan])
    change = place(np.tile([[0.5, 0.0]], (6, 1)))
    before = at([1.0] * 6, [[-2.0, 3.0]] * 6)
    factor = shorter(before, at(a, [[0.0, 0.0]] * 6), change, xp=xp)
    expected = [0.4, 0.2, 0.1, 0.5, 0.1, 0.1]
    assert_close(factor, np.asarray(expected), rtol=1e-6)


def test_damping_follows_what_the_model_was_worth(objective, place, assert_close):
    gain = np.asarray([1.0, 0.76, 0.75, 0.25, 0.24, -1.0])
    ones = np.ones(6)
    for accept, factor in (
        (True, [1 / 16, 1 / 16, 1, 1, 4, 4]),
        (False, [16] * 6),
    ):
        damping = next_damping(
            objective,
            place(0.5 * ones),
            place(2 * ones),
            place(2 * gain),
            place(np.full(6, accept)),
        )
        assert_close(damping, 0.5 * np.asarray(factor), rtol=1e-6)


def test_a_refused_step_without_damping_gets_some(objective, place, assert_close):
    """More for one that was too long than for a matrix that had no factor."""
    predicted = place(np.asarray([1.0, np.nan]))
    zeros, refused = place(np.zeros(2)), place(np.zeros(2, dtype=bool))
    damping = next_damping(objective, zeros, predicted, zeros, refused)
    assert_close(damping, np.asarray([1e-3, 16 * objective.rounding]), rtol=1e-6)


def test_models_take_or_keep(xp, at, place, assert_close):
    accept = place(np.asarray([True, False]))
    new, old = np.arange(8.0).reshape(2, 2, 2), -np.ones((2, 2, 2))
    taken = take(accept, place(new), place(old), xp=xp)
    assert_close(taken, np.stack([new[0], old[1]]))
    chosen = better(accept, at([1.0, 2.0], new[0]), at([3.0, 4.0], old[0]), xp=xp)
    assert_close(chosen.value, np.asarray([1.0, 4.0]))
    assert_close(chosen.gradient, np.stack([new[0, 0], old[0, 1]]))
