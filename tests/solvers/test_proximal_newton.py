"""One step of the proximal Newton method: its model, and what it learns of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from xlr import arrays
from xlr.objective import Evaluation, Kinks
from xlr.solvers import ProximalNewton
from xlr.solvers.proximal_newton import (
    OnHost,
    ProximalNewtonState,
    _minimised_models,
)
from xlr.solvers.quadratic import Quadratic

MODELS, SIZE = 3, 4
RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(MODELS, 2 * SIZE, SIZE)) * 10 ** RNG.uniform(-1, 1, size=SIZE)
MATRIX = ROOT.transpose(0, 2, 1) @ ROOT
XP = arrays.namespace(MATRIX)


def kinks(lasso: float = 0.0) -> Kinks:
    ones = np.ones((MODELS, SIZE))
    return Kinks(lasso * ones, -np.inf * ones, np.inf * ones)


def state(parameters, at=None, **fields) -> ProximalNewtonState:
    start = ProximalNewtonState(
        parameters=parameters,
        at=at or Evaluation(np.ones(MODELS), np.zeros((MODELS, SIZE))),
        kinks=kinks(),
        quadratics=[Quadratic(matrix.copy(), noise=1e-10) for matrix in MATRIX],
        fresh=True,
        rough=False,
        damping=np.zeros(MODELS),
        last=None,
        optimality=None,
        report=None,
    )
    return replace(start, **fields)


def whole(quadratic: Quadratic) -> np.ndarray:
    """Its matrix, in the units of the parameters."""
    lower = quadratic.matrix
    symmetric = np.tril(lower) + np.tril(lower, -1).T
    return symmetric * np.outer(quadratic.unit, quadratic.unit)


# -- the model of F --------------------------------------------------------------------


@pytest.mark.parametrize("lasso", [0.0, 0.7])
def test_a_step_is_the_minimum_of_the_damped_model(lasso):
    """And what F falls by is that of the model without the damping."""
    w, g = RNG.normal(size=(2, MODELS, SIZE))
    damping = np.asarray([0.0, 0.5, 3.0])
    begun = state(w, kinks=kinks(lasso), damping=damping)
    for quadratic, H in zip(begun.quadratics, MATRIX):
        quadratic.correct(np.ones(SIZE), 3 * H @ np.ones(SIZE))
    target, predicted = _minimised_models(begun, OnHost(w, g), xp=XP)
    for model, H in enumerate(map(whole, begun.quadratics)):
        u, step = target[model], target[model] - w[model]
        D = np.maximum(np.diag(H), np.abs(g[model]).max())
        damped = H + damping[model] * np.diag(D)
        slope = g[model] + damped @ step
        scale = np.sqrt(np.diag(H))
        # Minus the slope is kappa times the sign, or between where u is zero.
        moves = u != 0
        miss = (slope + lasso * np.sign(u))[moves] / scale[moves]
        np.testing.assert_allclose(miss, 0, atol=1e-9)
        assert (np.abs(slope[~moves]) <= lasso * (1 + 1e-9)).all()
        fell = lasso * (np.abs(w[model]).sum() - np.abs(u).sum())
        fell -= g[model] @ step + 0.5 * step @ H @ step
        assert predicted[model] == pytest.approx(fell, rel=1e-9)


# -- whether it is kept ----------------------------------------------------------------


class Told:
    """An objective that says what it is told to, wherever it is asked."""

    xp = XP
    rounding = 2.0**-52
    hessian_cost = 4.0

    def __init__(self, values, slopes):
        self.told = Evaluation(np.asarray(values), np.asarray(slopes))

    def value_and_gradient(self, parameters):
        return self.told

    def subgradient(self, parameters, gradient):
        return gradient

    def optimality(self, slope):
        return np.abs(slope).max(axis=1)


def stepped(values, slopes, *, gradient=(2.0, 0.0, 0.0, 0.0), **fields):
    """From F = 1 with the unit matrix for the Hessian, and a damping of a half."""
    n = len(values)
    at = Evaluation(np.ones(n), np.tile(gradient, (n, 1)))
    ones = np.ones((n, SIZE))
    begun = state(
        np.full((n, SIZE), 5.0),
        at,
        kinks=Kinks(0 * ones, -np.inf * ones, np.inf * ones),
        quadratics=[Quadratic(np.eye(SIZE), noise=1e-10) for _ in range(n)],
        damping=np.full(n, 0.5),
        **fields,
    )
    fetched = np.arange(4.0 * n).reshape(4, n)
    with arrays.quiet():  # as the loop does
        return ProximalNewton().step(Told(values, slopes), begun, fetched), fetched


def test_a_step_is_kept_that_brings_enough_or_makes_f_flatter():
    """The model promises a fall of 3 / 2, of which 1e-4 is asked for."""
    promised = 1e-4 * 3 / 2
    after, fetched = stepped(
        1 - promised * np.asarray([1.1, 0.9, 0.9, 0.9, -99.0, -99.0, np.nan]),
        np.asarray([9.0, 9.0, 2.0, 1.9, 1.9, 9.0, 1.9])[:, None] * np.ones(SIZE),
    )
    kept = np.asarray([True, False, False, True, False, False, False])
    np.testing.assert_allclose(after.report[2], np.where(kept, 1.0, 0))
    expected = np.where(kept[:, None], [[4, 5, 5, 5]], 5)
    np.testing.assert_allclose(after.parameters, expected)
    np.testing.assert_array_equal(after.at.value[~kept], 1.0)
    np.testing.assert_array_equal(after.optimality, fetched[1])


def test_no_rise_is_kept_that_a_model_foresees(monkeypatch):
    """As one may that could not be minimised."""

    def above(begun, here, *, xp):
        return here.parameters + 1, np.full(2, -9.0)

    monkeypatch.setattr("xlr.solvers.proximal_newton._minimised_models", above)
    after, _ = stepped([1 + 1e-4, 1 - 1e-4], np.full((2, SIZE), 9.0))
    np.testing.assert_array_equal(after.report[2], [0, 1])
    np.testing.assert_array_equal(after.at.value, [1, 1 - 1e-4])


def test_the_damping_follows_what_the_model_was_worth():
    """All, half and none of what it promises: 3 / 2."""
    promised = 3 / 2
    after, _ = stepped(
        1 - promised * np.asarray([1.0, 0.5, 0.01, -1.0]), np.ones((4, 4))
    )
    np.testing.assert_allclose(after.damping, [0.5 / 16, 0.5, 2.0, 8.0])


def test_a_model_that_is_at_its_minimum_is_not_damped():
    after, _ = stepped([1.0], np.zeros((1, SIZE)), gradient=np.zeros(SIZE))
    np.testing.assert_array_equal(after.parameters, 5)
    np.testing.assert_array_equal(after.damping, 0.5)


def test_a_step_learns_from_the_last_one():
    """A unit in each parameter raised each slope by three, and not by one."""
    ones = np.ones((1, SIZE))
    last = {"last": OnHost(4 * ones, 0 * ones), "optimality": np.full(1, 100.0)}
    after, _ = stepped([0.0], ones, gradient=3 * ones[0], **last)
    # The diagonal is 1.5 then, and half of the slope is the damping.
    np.testing.assert_allclose(after.report[2], 3 / (3 + 1.5))


# -- what is learnt of the Hessian -----------------------------------------------------


class Anew:
    """An objective whose Hessians are as good as those of four passes."""

    hessian_cost = 4.0  # so that a step must bring a tenth

    def __init__(self):
        self.rough = []

    def hessian(self, parameters, *, rough):
        self.rough.append(rough)
        return SimpleNamespace(matrices=lambda: 3 * MATRIX, noise=0.125)


def told_of(optimality, moved, *, before=0.5, **fields):
    """The state with what steps tell, the kinds of new Hessians, and the steps.

    From an optimality of a half, or none for the first steps.
    """
    objective = Anew()
    w, g, step = RNG.normal(size=(3, MODELS, SIZE))
    step = step * np.asarray(moved)[:, None]
    slope = g + 2 * np.einsum("mij,mj->mi", MATRIX, step)
    if before:
        fields |= {"last": OnHost(w, g), "optimality": np.full(MODELS, before)}
    fetched = np.asarray([np.ones(MODELS), optimality, moved, np.zeros(MODELS)])
    after = ProximalNewton()._renewed(
        objective,
        state(w, **{"fresh": False, **fields}),
        OnHost(w + step, slope),
        fetched,
    )
    return after, objective.rough, step


def assert_matrices(after, factor):
    for quadratic, H in zip(after.quadratics, MATRIX):
        np.testing.assert_allclose(whole(quadratic), factor * H, rtol=1e-9)


def test_a_hessian_that_serves_is_corrected():
    """It takes each step to the change of the gradient."""
    told = [0.045, 0.03, 1e-3], [1, 1, 1]
    after, computed, step = told_of(*told, fresh=True, rough=True)
    assert computed == []
    for quadratic, H, s in zip(after.quadratics, MATRIX, step):
        np.testing.assert_allclose(whole(quadratic) @ s, 2 * H @ s, rtol=1e-8)
    assert not after.fresh
    assert after.rough


@pytest.mark.parametrize(
    ("optimality", "moved"),
    [([0.03, 0.055, 0.03], [1, 1, 1]), ([0.03, 0.03, 0.03], [1, 0, 1])],
    ids=["slow", "refused"],
)
@pytest.mark.parametrize("rough", [False, True])
def test_one_that_fails_a_model_is_computed_anew(optimality, moved, rough):
    after, computed, _ = told_of(optimality, moved, rough=rough)
    assert computed == [rough]
    assert_matrices(after, 3)
    assert [quadratic.noise for quadratic in after.quadratics] == [0.125] * MODELS
    assert after.fresh
    assert after.rough == rough


def test_one_that_is_as_good_as_it_gets_is_kept_where_a_step_is_refused():
    """Slow as the model is then: the damping grows instead."""
    after, computed, _ = told_of([0.03, 0.5, 0.03], [0, 0, 0], fresh=True)
    assert computed == []
    assert_matrices(after, 1)


def test_one_that_is_good_to_float32_only_is_computed_better_then():
    after, computed, _ = told_of([0.03, 0.5, 0.03], [1, 0, 1], fresh=True, rough=True)
    assert computed == [False]
    assert_matrices(after, 3)
    assert after.fresh
    assert not after.rough


def test_a_new_one_for_a_slow_model_is_as_good_as_the_last():
    after, computed, _ = told_of([0.5] * 3, [1, 1, 1], fresh=True, rough=True)
    assert computed == [True]
    assert after.rough


def test_nothing_is_learnt_before_the_first_step():
    after, computed, _ = told_of([1.0] * 3, [0, 0, 0], before=None, fresh=True)
    assert computed == []
    assert after.fresh
    assert_matrices(after, 1)
