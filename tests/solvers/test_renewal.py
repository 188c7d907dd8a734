"""When a solver computes its Hessian anew, and for which models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import to_numpy
from problems import load

from xlr import LogisticRegression, SeparationWarning, arrays
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss
from xlr.objective import BlockHessian, Objective, Responses
from xlr.penalties import ElasticNetPenalty, Kinks, L2Penalty
from xlr.solvers import NewtonCholesky, ProximalNewton


def three_models(penalty):
    X, y = load("iris", True)
    return Objective(
        DenseDesign(X, None, xp=arrays.namespace(X)),
        Responses(3, np.stack([y == k for k in range(3)], axis=1), np.ones((150, 1))),
        LogisticLoss(),
        penalty,
        fit_intercept=True,
        units=None,
    )


@pytest.fixture
def stepped(monkeypatch):
    """The Newton method after two steps, with a Hessian that is not of the last."""
    objective = three_models(L2Penalty(np.full((1, 1, 4), 0.01)))
    monkeypatch.setattr(Objective, "hessian_cost", 1.0)  # a step must bring a tenth
    solver = NewtonCholesky()
    state = solver.init(objective, objective.zeros())
    for _ in range(2):
        held = replace(state, optimality=None)  # as it was at the first
        state = solver.step(objective, held, state.report)
    state = replace(state, optimality=np.ones(3), fresh=np.zeros(3, dtype=bool))
    return solver, objective, state


def fetched(optimality, moved):
    return np.asarray([[0.5] * 3, optimality, moved, [0.0] * 3])


def matrices(state):
    return to_numpy(state.hessian.matrices())


def test_a_hessian_that_serves_is_kept(stepped):
    solver, objective, state = stepped
    after = solver._renewed(objective, state, fetched([0.05, 0.09, 1e-3], [1, 1, 1]))
    assert after.hessian is state.hessian
    assert after.pairs == state.pairs
    assert not after.fresh.any()


def test_a_hessian_is_factorised_once_for_each_damping(stepped, monkeypatch):
    solver, objective, state = stepped
    state, asked = replace(state, optimality=None), []
    factorise = BlockHessian.solver
    monkeypatch.setattr(
        BlockHessian,
        "solver",
        lambda H, damping, least: asked.append(damping) or factorise(H, damping),
    )
    solver.step(objective, state, state.report)
    assert not asked
    damping = np.asarray([0.0, 0.5, 0.0])
    report = np.concatenate([state.report[:3], damping[None]])
    solver.step(objective, replace(state, damping=damping), report)
    np.testing.assert_array_equal(asked, [damping])


@pytest.mark.parametrize(
    ("optimality", "moved"),
    [([0.05, 0.2, 0.05], [1, 1, 1]), ([0.05, 0.05, 0.05], [1, 0, 1])],
    ids=["slow", "refused"],
)
def test_a_model_that_it_does_not_serve_has_a_new_one(stepped, optimality, moved):
    solver, objective, state = stepped
    after = solver._renewed(objective, state, fetched(optimality, moved))
    now = to_numpy(objective.hessian(state.parameters).matrices())
    old = matrices(state)
    assert np.abs(now - old).max() > 1e-3
    expected = np.stack([old[0], now[1], old[2]])
    np.testing.assert_allclose(matrices(after), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(after.fresh, [False, True, False])
    assert after.factors is None
    assert len(after.pairs) == len(state.pairs) == 2
    for pair, before in zip(after.pairs, state.pairs):
        np.testing.assert_array_equal(pair.inverse, before.inverse * [1, 0, 1])


def test_all_have_new_ones_and_nothing_to_correct_them(stepped):
    solver, objective, state = stepped
    after = solver._renewed(objective, state, fetched([0.5] * 3, [1] * 3))
    now = to_numpy(objective.hessian(state.parameters).matrices())
    np.testing.assert_array_equal(matrices(after), now)
    assert after.pairs == ()
    assert after.fresh.all()


def test_a_hessian_that_is_as_good_as_it_gets_is_kept_where_steps_are_refused(stepped):
    """The damping grows instead; and the last pair taught nothing."""
    solver, objective, state = stepped
    state = replace(state, fresh=np.ones(3, dtype=bool))
    after = solver._renewed(objective, state, fetched([0.5] * 3, [0] * 3))
    assert after.hessian is state.hessian
    assert after.factors is state.factors
    assert after.pairs == state.pairs[:-1]
    assert after.fresh.all()
    # But for one that is good to float32 only.
    state = replace(state, rough=np.asarray([False, True, False]))
    after = solver._renewed(objective, state, fetched([0.5] * 3, [0] * 3))
    np.testing.assert_array_equal(after.rough, [False, False, False])
    now = to_numpy(objective.hessian(state.parameters).matrices())
    np.testing.assert_allclose(matrices(after)[1], now[1], rtol=1e-12, atol=1e-15)


def test_a_fall_is_of_the_optimality_before(stepped):
    solver, objective, state = stepped
    state = replace(state, optimality=np.full(3, 3.0))
    after = solver._renewed(objective, state, fetched([0.29] * 3, [1] * 3))
    assert after.hessian is state.hessian


def test_a_hessian_is_fresh_until_a_step_is_taken_with_it(stepped):
    solver, objective, state = stepped
    state = replace(state, fresh=np.ones(3, dtype=bool))
    after = solver._renewed(objective, state, fetched([0.05] * 3, [1, 0, 1]))
    assert after.hessian is state.hessian
    np.testing.assert_array_equal(after.fresh, [False, True, False])


def test_only_the_last_pair_of_a_refused_step_is_dropped(stepped):
    solver, objective, state = stepped
    three = (*state.pairs, state.pairs[0])
    state = replace(state, fresh=np.ones(3, dtype=bool), pairs=three)
    after = solver._renewed(objective, state, fetched([0.5] * 3, [0] * 3))
    assert after.pairs == three[:2]


def test_a_new_hessian_for_a_slow_model_is_as_rough_as_the_last(stepped):
    solver, objective, state = stepped
    state = replace(
        state, fresh=np.ones(3, dtype=bool), rough=np.asarray([True, False, True])
    )
    after = solver._renewed(objective, state, fetched([0.5, 0.5, 0.05], [1] * 3))
    np.testing.assert_array_equal(after.rough, state.rough)
    now, old = to_numpy(objective.hessian(state.parameters).matrices()), matrices(state)
    expected = np.stack([now[0], now[1], old[2]])
    np.testing.assert_allclose(matrices(after), expected, rtol=1e-5, atol=1e-7)


def test_a_rough_hessian_with_which_a_step_leaves_most_of_the_gradient_gives_way(
    stepped,
):
    solver, objective, state = stepped
    state = replace(
        state,
        fresh=np.asarray([True, True, False]),
        rough=np.ones(3, dtype=bool),
        optimality=np.full(3, 2.0),
    )
    after = solver._renewed(objective, state, fetched([1.2, 0.8, 1.2], [1] * 3))
    np.testing.assert_array_equal(after.rough, [False, True, True])


def test_rounding_of_a_rough_hessian_does_not_slow_a_fit_without_a_minimum(monkeypatch):
    """A step was as short as the curvature is small beside float32."""
    monkeypatch.setattr(DenseDesign, "is_large", lambda design, width: True)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = (X[:, 0] + rng.logistic(size=300) > 0).astype(int)
    X[:, 2] = rng.random(300) < 0.3
    y[X[:, 2] == 1] = 1
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
    with pytest.warns(SeparationWarning, match="the feature x2"):
        model.fit(X, y)
    assert model.n_iter_[0] < 40


def test_the_state_of_some_models():
    ones = np.ones((1, 1, 4))
    kinks = Kinks(0.02 * ones, -9 * ones, 9 * ones)
    objective = three_models(ElasticNetPenalty(0.01 * ones, kinks))
    solver, chosen = ProximalNewton(), np.asarray([2, 0])
    state = solver.init(objective, objective.zeros())
    part = state.select(chosen, objective.select(chosen))
    assert part.last is None
    assert part.optimality is None
    for _ in range(2):
        state = solver.step(objective, state, state.report)
    part = state.select(chosen, objective.select(chosen))
    np.testing.assert_array_equal(part.parameters, state.parameters[chosen])
    np.testing.assert_array_equal(part.at.gradient, state.at.gradient[chosen])
    np.testing.assert_array_equal(part.optimality, state.optimality[chosen])
    for mine, all_of_it in zip(part.last, state.last):
        np.testing.assert_array_equal(mine, all_of_it[chosen])
    assert part.quadratics == [state.quadratics[2], state.quadratics[0]]
