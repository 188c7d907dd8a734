"""Which estimate of the Hessian is taken, what it holds, and its rounding."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy

from xlr import arrays
from xlr.design import DenseBlock, DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, PooledHessian, Responses
from xlr.objective.hessian import BlockHessian, DiagonalHessian
from xlr.penalties import L2Penalty

RNG = np.random.default_rng(0)


def objective(n, p, *, n_outputs=1, n_models=1):
    X = RNG.normal(size=(n, p))
    targets = RNG.integers(0, max(2, n_outputs), size=(n, 1)).astype(float)
    return Objective(
        DenseDesign(X, None, xp=arrays.namespace(X)),
        Responses(n_models, targets, np.ones((n, 1))),
        LogisticLoss() if n_outputs == 1 else SoftmaxLoss(n_outputs),
        L2Penalty(np.ones((1, 1, p))),
        fit_intercept=True,
        units=None,
    )


def estimate(problem, product_cost=None):
    product_cost = product_cost or problem.design.product_cost
    return problem.curvature_estimate(problem.zeros(), product_cost)


@pytest.mark.parametrize(
    ("n", "p", "times", "kind"),
    [
        # Of few rows, their factors: p^3 / 3 beside 200 products of 10 p.
        (10, 60, 1, BlockHessian),
        (10, 100, 1, DiagonalHessian),
        # Of many, the Gram matrix: n p^2 / 20, where a product has fewer rows.
        (4000, 40, 1, BlockHessian),
        (4000, 40, 1 / 50, BlockHessian),
        (4000, 40, 1 / 200, DiagonalHessian),
    ],
)
def test_a_diagonal_where_blocks_cost_more_than_their_worth(n, p, times, kind):
    problem = objective(n, p)
    assert type(estimate(problem, times * problem.design.product_cost)) is kind


FEW = {"n": 30, "p": 9}  # ten coefficients for each class


@pytest.mark.parametrize(
    ("shape", "product_cost", "pools"),
    [
        ({"n_outputs": 2}, 270, True),
        ({"n_outputs": 3}, 270, True),
        ({"n_outputs": 3, "n_models": 2}, 270, True),
        ({"n_outputs": 3}, 2400, False),
        ({"n_outputs": 3, "n_models": 3}, 2400, True),
        ({"n_models": 3}, 270, False),
    ],
    ids=str,
)
def test_classes_are_pooled_where_their_blocks_are_as_large_as_x(
    shape, product_cost, pools, monkeypatch
):
    """Those of all models together; but not the blocks of one class each."""
    monkeypatch.setattr("xlr.objective.second_order.FEW_NUMBERS", 150)
    found = estimate(objective(**FEW, **shape), product_cost)
    assert type(found) is (PooledHessian if pools else BlockHessian)
    # Few numbers may be held, however small X is.
    monkeypatch.setattr("xlr.objective.second_order.FEW_NUMBERS", 10_000)
    assert type(estimate(objective(**FEW, **shape), product_cost)) is BlockHessian


@pytest.mark.parametrize("n_models", [1, 2])
@pytest.mark.parametrize(("n_outputs", "few"), [(1, 1), (6, 1), (6, 10_000)])
def test_its_size_is_what_is_factorised(n_outputs, few, n_models, monkeypatch):
    monkeypatch.setattr("xlr.objective.second_order.FEW_NUMBERS", few)
    sizes = []
    solver = arrays.positive_definite_solver

    def watched(matrices, *, xp):
        sizes.append(matrices.size)
        return solver(matrices, xp=xp)

    monkeypatch.setattr("xlr.arrays.positive_definite_solver", watched)
    problem = objective(**FEW, n_outputs=n_outputs, n_models=n_models)
    estimate(problem).solver(np.zeros(n_models))
    # The pooled one keeps the intercepts apart.
    pools = few == 1 and n_outputs > 1
    share = (9 / 10) ** 2 if pools else 1
    assert sizes == [pytest.approx(share * n_models * problem.estimate_size)]


@pytest.mark.parametrize("few", [1, 10_000], ids=["pooled", "blocks"])
def test_it_is_made_in_float32(few, monkeypatch):
    monkeypatch.setattr("xlr.objective.second_order.FEW_NUMBERS", few)
    seen = []
    gram = DenseBlock.gram

    def watched(self, columns):
        seen.extend([self.rows.dtype, columns.dtype])
        return gram(self, columns)

    monkeypatch.setattr(DenseBlock, "gram", watched)
    estimate(objective(**FEW, n_outputs=3))
    assert set(seen) == {np.dtype("float32")}


@pytest.mark.parametrize("rough", [False, True])
def test_columns_that_are_sums_of_others_do_not_break_it(place, dtype, xp, rough):
    """Of rows in float32 it is not better known than to float32."""
    # The fewer columns, the less there is to cover the rounding of their sums.
    p = 60 if rough or dtype == "float32" else 2
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(500, p))
        X = np.concatenate([X, X[:, :2] @ rng.normal(size=(2, 2))], axis=1)
        y = rng.integers(0, 2, size=(500, 1)).astype(float)
        problem = Objective(
            DenseDesign(place(X), None, xp=xp),
            Responses(1, place(y), place(np.ones((500, 1)))),
            LogisticLoss(),
            L2Penalty(place(np.zeros((1, 1, p + 2)))),
            fit_intercept=True,
            units=None,
        )
        at = problem.place(0.3 * rng.normal(size=problem.zeros().shape))
        solve = problem.hessian(at, rough=rough).solver(problem.place(np.zeros(1)))
        found = solve(problem.place(np.ones(at.shape)))
        assert np.isfinite(to_numpy(found)).all()
