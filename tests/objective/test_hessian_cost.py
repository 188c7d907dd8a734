"""What a Hessian is reckoned to cost, beside passes of value and gradient."""

from __future__ import annotations

import numpy as np
import pytest

from xlr import arrays
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses, row_space
from xlr.penalties import ElasticNetPenalty, Kinks, L2Penalty


def objective(n=400, p=8, *, models=1, n_classes=2, strength=None, resample_of=None):
    X = np.random.default_rng(0).normal(size=(n, p))
    y = np.arange(n) % n_classes
    strength = np.ones((1, 1, p)) if strength is None else strength
    counts = None if resample_of is None else np.ones((n, models))
    return Objective(
        DenseDesign(X, None, xp=arrays.namespace(X)),
        Responses(
            models,
            y[:, None].astype(float),
            np.ones((n, 1)),
            counts,
            resample_of=resample_of,
        ),
        LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes),
        L2Penalty(strength),
        fit_intercept=True,
        units=None,
    )


@pytest.fixture
def small_blocks(monkeypatch):
    """So that a few rows fill several."""
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**14)


def test_models_that_share_a_pass_make_a_hessian_dearer_in_passes(small_blocks):
    """A column more costs an eighth of what the first one does, so by no more than
    nine times.
    """
    costs = [objective(models=m).hessian_cost for m in (1, 2, 8, 9, 64, 1024)]
    assert (np.diff(costs) > 0).all()
    assert 8 < costs[-1] / costs[0] < 9


def test_of_one_column_it_does_not_matter_what_another_costs(small_blocks, monkeypatch):
    costs = []
    for column in (1 / 8, 1 / 2):
        monkeypatch.setattr("xlr.objective.second_order.COLUMN_COST", column)
        costs.append((objective().hessian_cost, objective(models=8).hessian_cost))
    assert costs[0][0] == pytest.approx(costs[1][0])
    assert costs[0][1] > 1.5 * costs[1][1]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_more_features_make_it_dearer(n_classes, small_blocks):
    """Of many features, in proportion: their squares by what a pass takes."""
    costs = [objective(p=p, n_classes=n_classes).hessian_cost for p in (8, 128, 256)]
    assert 1 < costs[0] < costs[1]
    assert 1.2 < costs[2] / costs[1] < 2


def test_more_classes_make_it_dearer(small_blocks):
    few, many = (objective(p=64, n_classes=k).hessian_cost for k in (8, 16))
    assert 2 < many / few < 3


def test_of_little_data_it_costs_a_pass():
    assert objective(n=20, p=2).hessian_cost == 1


def test_of_little_data_and_many_features_it_costs_their_squares():
    costs = [objective(n=50, p=p).hessian_cost for p in (250, 500, 1000)]
    assert costs[0] > 1
    assert 4 < costs[1] / costs[0] < 8
    assert 4 < costs[2] / costs[1] < 8
    together = objective(n=50, p=500, models=20).hessian_cost
    assert costs[1] < together < 20 * costs[1]


def test_of_one_block_of_many_rows_their_number_does_not_matter(monkeypatch):
    """A Hessian and a pass take time in proportion to them."""
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**30)
    few, many = (objective(n, 200).hessian_cost for n in (4_000, 8_000))
    assert few > 1
    assert 0.98 < many / few < 1.02
    # Of twice the classes there are four times the blocks; a pass takes up to twice.
    few, many = (objective(4_000, 64, n_classes=k).hessian_cost for k in (4, 8))
    assert 2 < many / few < 4


def test_the_space_of_the_rows_is_of_one_penalty(small_blocks):
    one = np.full((1, 1, 400), 0.1)
    for strength, reduces in [
        (one, True),
        (np.concatenate([one, 2 * one]), False),
        (np.where(np.arange(400) < 1, 0.0, one), False),
    ]:
        wide = objective(20, 400, models=len(strength), strength=strength)
        assert (row_space(wide) is not None) == reduces


@pytest.mark.parametrize(("of", "are_few"), [([0, 0, 1, 1], True), ([0, 1, 2], False)])
def test_resamples_are_pooled_where_that_is_far_fewer_models(of, are_few):
    many = objective(models=len(of), resample_of=np.asarray(of))
    pooled = many.pooled()
    assert (pooled is not None) == are_few
    if pooled is not None:
        assert pooled[0].n_models == len(set(of))
        np.testing.assert_array_equal(pooled[1], of)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_equal_changes_of_all_classes_have_the_mean_curvature(fit_intercept):
    problem = objective(n_classes=3, strength=np.zeros((1, 1, 8)))
    problem = Objective(
        problem.design,
        problem.responses,
        problem.loss,
        problem.penalty,
        fit_intercept=fit_intercept,
        units=None,
    )
    at = 0.1 * np.random.default_rng(1).normal(size=problem.zeros().shape)
    found = problem.hessian_on_host(at)
    q = problem.column_size
    Z = np.column_stack([problem.design.X, np.ones(400)])[:, :q]
    logits = np.exp(Z @ at.reshape(3, q).T)
    p = logits / logits.sum(axis=1, keepdims=True)
    middle = np.einsum("ik,kl->ikl", p, np.eye(3)) - np.einsum("ik,il->ikl", p, p)
    exact = np.einsum("ikl,ia,ib->kalb", middle, Z, Z).reshape(3 * q, 3 * q) / 400
    filled = found - exact
    direction = np.tile(np.eye(q)[0], 3) / np.sqrt(3)
    size = np.trace(exact) / (3 * q)
    assert direction @ filled @ direction == pytest.approx(size)
    # And nothing beside them.
    other = np.r_[np.eye(q)[0], -np.eye(q)[0], np.zeros(q)]
    np.testing.assert_allclose(filled @ other, 0, atol=1e-14)


def test_bounds_leave_less_of_the_curvature_along_equal_changes():
    """All of it where there are none, none of it where a penalty decides, and else so
    little that a Newton step comes as far as the bounds.
    """
    far, nothing = np.inf, np.zeros((1, 1, 8))
    free = objective(n_classes=3, strength=nothing)
    ridge, lasso, lower, upper = (np.asarray([[part]]) for part in np.zeros((4, 8)))
    lower, upper = lower - far, upper + far
    lower[..., 1], upper[..., 2] = -1, 1
    lower[..., 3], upper[..., 3] = -1, 1
    lasso[..., 4] = lasso[..., 5] = 0.1
    lower[..., 5] = lower[..., 6] = 0
    ridge[..., 6] = 0.1
    bounded = free.with_penalty(ElasticNetPenalty(ridge, Kinks(lasso, lower, upper)))

    def along_equal_changes(problem):
        """Where the loss has none."""
        found = problem.hessian_on_host(problem.zeros())
        equal = np.tile(np.eye(problem.column_size), (3, 1))
        return np.diagonal(equal.T @ found @ equal)

    share = along_equal_changes(bounded) / along_equal_changes(free)
    np.testing.assert_allclose(share[[4, 5]], 0, atol=1e-12)
    assert along_equal_changes(bounded)[6] == pytest.approx(3 * 0.1)
    np.testing.assert_allclose(share[[0, 7, 8]], 1)
    np.testing.assert_allclose(share[[1, 2, 3]], 1e-3)


@pytest.fixture
def calls_cost_nothing(monkeypatch):
    """And a pass for more columns costs as much for each."""
    monkeypatch.setattr("xlr.objective.second_order.CALL_COST", 0.0)
    monkeypatch.setattr("xlr.objective.second_order.COLUMN_COST", 1e12)


def test_of_little_data_it_is_a_gram_matrix_and_its_factor(calls_cost_nothing):
    """np^2 / 2 and p^3 / 3, beside np: as many rows as p / 1.5 make both alike."""
    few, many = (objective(n=n, p=90).hessian_cost for n in (60, 600))
    assert few / many == pytest.approx((1 / 2 + 1 / 2) / (1 / 2 + 1 / 20), rel=1e-6)


def test_of_little_data_it_goes_with_the_classes(calls_cost_nothing):
    """Their squares, by a pass for as many columns."""
    few, many = (objective(n=90, p=30, n_classes=k).hessian_cost for k in (4, 8))
    gram, factor = 90 / 2, 30 / 3
    expected = 2 * (gram + 8 * factor) / (gram + 4 * factor)
    assert many / few == pytest.approx(expected, rel=1e-6)
