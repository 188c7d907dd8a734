"""More features than rows: the same problem in the space of the rows."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from conftest import to_numpy

from xlr.design import DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses, row_space
from xlr.penalties import L2Penalty

N, P = 24, 96
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P)) + 1
STRENGTH = RNG.uniform(0.5, 2, size=(1, 1, P))


@pytest.fixture
def make(xp, place, not_compiled_for_long, monkeypatch):
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**8)

    def make(
        X=X, *, n_outputs=1, n_models=1, fit_intercept=True, offset=False, scale=1.0
    ):
        n = len(X)
        shift = np.linspace(-2, 2, n * n_outputs).reshape(n, n_outputs)
        targets = RNG.integers(0, max(2, n_outputs), size=(n, n_models))
        return Objective(
            DenseDesign(place(X), None, place(shift) if offset else None, xp=xp),
            Responses(n_models, place(targets.astype(float)), place(np.ones((n, 1)))),
            LogisticLoss() if n_outputs == 1 else SoftmaxLoss(n_outputs),
            L2Penalty(place(scale * STRENGTH[..., : X.shape[1]])),
            fit_intercept=fit_intercept,
            units=None,
        )

    return make


def in_the_space(reduced, seed=1):
    """Parameters of the smaller problem that are sums of its rows."""
    n_columns, n = reduced.n_columns, reduced.n_samples
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(n_columns, n)) @ to_numpy(reduced.design.X) / n
    intercept = np.linspace(-1, 1, n_columns)
    return reduced.join(reduced.place(v), reduced.place(intercept))


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"fit_intercept": False},
        {"n_models": 2},
        {"n_outputs": 3},
        {"n_outputs": 3, "n_models": 2, "offset": True},
        {"scale": 2.0**20},
        {"scale": 2.0**-20},
    ],
    ids=str,
)
def test_f_is_the_same_there(kind, make):
    """To float32, and the ridge that is added to the kernel for its sake."""
    objective = make(**kind)
    reduced, back = row_space(objective)
    assert reduced.n_samples == reduced.n_features == N
    inside = in_the_space(reduced)
    expected = to_numpy(reduced.value_and_gradient(inside).value)
    found = to_numpy(objective.value_and_gradient(back(inside)).value)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("scale", [2.0**-20, 1.0, 2.0**20])
def test_its_design_is_in_float32_with_columns_of_size_one(make, scale, xp):
    """Whatever the strength of the penalty: the unit of the kernel is free."""
    design = row_space(make(scale=scale, offset=True))[0].design
    assert design.X.dtype == design.offset.dtype == xp.float32
    assert np.mean(to_numpy(design.X) ** 2) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_depend_on_each_other(make, backend, seed):
    """Rounding alone would make their kernel indefinite."""
    if not backend.supports("float64"):
        pytest.skip("a kernel so close to singular is factorised in float64")
    rng = np.random.default_rng(seed)
    objective = make(rng.normal(size=(N, 4)) @ rng.normal(size=(4, P)))
    reduced, back = row_space(objective)
    inside = in_the_space(reduced)
    expected = to_numpy(reduced.value_and_gradient(inside).value)
    found = to_numpy(objective.value_and_gradient(back(inside)).value)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_only_where_it_is_much_smaller(make):
    assert row_space(make(X[:, : 2 * N])) is not None
    assert row_space(make(X[:, : 2 * N - 1])) is None
    assert row_space(make(X[:, : N + 1])) is None


def test_only_where_rows_can_be_had_and_fill_several_blocks(make, monkeypatch):
    objective = make()
    objective.has_rows = False
    assert row_space(objective) is None
    objective.has_rows = True
    assert row_space(objective) is not None
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**21)
    assert row_space(objective) is None


def test_only_where_the_kernel_is_worth_its_factor(make, monkeypatch):
    """It takes the cube of the rows; a product, the rows times the columns."""
    # The package has a function of the same name.
    module = importlib.import_module("xlr.objective.row_space")
    monkeypatch.setattr(module, "MOST_PRODUCTS", N / 8)
    assert row_space(make(X[:, : 3 * N])) is not None
    assert row_space(make(X[:, : 2 * N])) is None
