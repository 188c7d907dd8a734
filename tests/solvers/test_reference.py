"""The smaller problems that second derivatives are looked at on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

import xlr
from xlr import arrays
from xlr.objective import BlockHessian
from xlr.solvers.reference import Reference, least_rows, preconditioner


@dataclass(frozen=True)
class Smaller:
    """As much of an objective as a reference looks at; samples of it know their size.

    A product with X costs a million, a Gram matrix ten thousand a row: as much as 12
    products are 1,200 rows.
    """

    n_samples: int = 100_000
    n_drawable: int = 100_000
    column_size: int = 200  # of which four times as many rows are the least
    is_large: bool = True
    gram_cost: float = 1e4
    models: tuple = ()
    drawn: tuple = field(default=())

    @property
    def design(self):
        return SimpleNamespace(product_cost=1e6, gram_cost=self.gram_cost)

    def sample(self, size, seed):
        return replace(self, drawn=(size, seed))

    def select(self, models):
        return replace(self, models=tuple(models))


def rows_drawn(**fields):
    drawn = Reference(Smaller(**fields)).sampled(seed=5).objective.drawn
    return drawn[0] if drawn else None


def test_the_least_rows_grow_with_the_features():
    assert least_rows(Smaller(column_size=30)) == 120


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ({}, 1200),
        # as many as tell a curvature from noise, whatever they cost; not many more
        ({"gram_cost": 1e6}, 800),
        ({"gram_cost": 1e3}, 3200),
        # no more than there are, or than half: the rest saves too little
        ({"n_drawable": 1000}, 1000),
        ({"n_samples": 2000}, 1000),
        # none where that leaves too few, or where the whole costs little
        ({"n_samples": 1601}, None),
        ({"n_samples": 1602}, 801),
        ({"n_drawable": 800}, None),
        ({"is_large": False}, None),
        ({"is_large": False, "n_samples": 1000}, None),
    ],
    ids=str,
)
def test_how_many_rows_are_drawn(fields, rows):
    assert rows_drawn(**fields) == rows


def test_a_sample_is_drawn_by_its_seed():
    whole = Reference(Smaller(), of=np.asarray([0, 0, 1]))
    for given, seed in ((5, 5), (None, 0)):
        sampled = whole.sampled(given)
        assert sampled.objective.drawn == (1200, seed)
        assert sampled.of is whole.of
    few = Reference(Smaller(is_large=False))
    assert few.sampled(5) is few


class Squares:
    """In place of a Hessian: numbers for each model, which can be chosen of."""

    def __init__(self, numbers):
        self.numbers = numbers

    def select(self, models):
        return Squares(self.numbers[models])


def squares(objective, parameters):
    return Squares(parameters[:, 0] ** 2)


def test_models_that_share_one_are_looked_at_where_the_first_is():
    parameters = np.asarray([[3.0], [1.0], [2.0], [5.0], [7.0]])
    shared = Reference(Smaller(), of=np.asarray([1, 0, 1, 2, 0]))
    hessian = shared.hessian(parameters, squares)
    np.testing.assert_array_equal(hessian.numbers, [9.0, 1.0, 9.0, 25.0, 1.0])
    own = Reference(Smaller()).hessian(parameters, squares)
    np.testing.assert_array_equal(own.numbers, [9.0, 1.0, 4.0, 25.0, 49.0])


def test_some_models_keep_those_that_they_share():
    chosen = np.asarray([3, 0, 2])
    own = Reference(Smaller()).select(chosen)
    assert own.objective.models == (3, 0, 2)
    assert own.of is None
    shared = Reference(Smaller(), of=np.asarray([1, 0, 1, 2, 0])).select(chosen)
    assert shared.objective.models == (1, 2)
    np.testing.assert_array_equal(shared.of, [1, 0, 0])


def test_an_estimate_that_rounding_made_indefinite_gives_way_to_its_diagonal():
    """Of two models one has a factor."""
    definite = np.asarray([[4.0, 1.0], [1.0, 2.0]])
    indefinite = np.asarray([[4.0, 2.83], [2.83, 2.0]])
    blocks = np.stack([definite, indefinite])[:, None, :, :]
    xp = arrays.namespace(blocks)
    slope = np.asarray([[1.0, 6.0], [1.0, 6.0]])
    damping = np.asarray([0.5, 0.0])
    solve = preconditioner(BlockHessian(blocks, 0.0, xp=xp), damping, slope)
    vector = np.asarray([[1.0, -2.0], [1.0, -2.0]])
    damped = definite + 0.5 * np.diag([6.0, 6.0])
    expected = [np.linalg.solve(damped, vector[0]), [1 / 4, -2 / 2]]
    np.testing.assert_allclose(solve(vector), expected)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
def test_rounding_errors_that_add_up(solver, fit_intercept):
    """An estimate in float32 of balanced categories, which are collinear."""
    X = np.repeat(np.eye(37), 6, axis=0)
    y = np.tile([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0], 19)[: len(X)]
    model = xlr.LogisticRegression(
        C=1e9, solver=solver, fit_intercept=fit_intercept, tol=1e-8
    ).fit(X, y)
    assert model.converged_
    proba = model.predict_proba(X)[::6, 1]
    np.testing.assert_allclose(proba, np.tile([1 / 3, 2 / 3], 19)[:37], rtol=1e-6)


@pytest.mark.parametrize("seed", [32, 45])
def test_columns_that_are_alike_with_next_to_no_penalty(seed):
    """Their estimate is singular but for rounding, and solving with it led nowhere."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(12, 7))[:, rng.integers(0, 7, size=14)]
    X = X * rng.choice([1, -1, 2.0], size=14)
    y = (rng.random(12) < 0.5).astype(int)
    y[:2] = 0, 1
    model = xlr.LogisticRegression(C=1000, l1_ratio=1.0, solver="newton-cg", tol=1e-8)
    assert model.fit(X, y).n_iter_[0] < 200
