"""What passes hold at a time, and in which dtype: time and memory, not numbers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from conftest import to_numpy

from xlr import arrays
from xlr.design import DenseBlock, DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses
from xlr.penalties import L2Penalty

BLOCK = 2**16


def objective(n, p, *, n_outputs=1, n_models=1, counted=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    targets = rng.integers(0, max(2, n_outputs), size=(n, 1)).astype(float)
    counts = rng.integers(0, 3, size=(n, n_models)).astype(np.uint8)
    resamples = np.zeros(n_models, dtype=int)
    return Objective(
        DenseDesign(X, None, xp=arrays.namespace(X)),
        Responses(
            n_models,
            targets,
            np.ones((n, 1)),
            counts if counted else None,
            resample_of=resamples if counted else None,
        ),
        LogisticLoss() if n_outputs == 1 else SoftmaxLoss(n_outputs),
        L2Penalty(np.ones((1, 1, p))),
        fit_intercept=True,
        units=None,
    )


def at_pooled(problem, at):
    pooled, of = problem.pooled()
    return problem.at_pooled(pooled, at[:1, :], of)


PASSES = {
    "value and gradient": lambda problem, at: problem.value_and_gradient(at),
    "curvature": lambda problem, at: problem.curvature(at),
    "product": lambda problem, at: problem.curvature_product(at, at),
    "diagonal": lambda problem, at: problem.hessian_diagonal(at),
    "bound": lambda problem, at: problem.curvature_bound(),
    "hessian": lambda problem, at: problem.hessian(at),
    "rough hessian": lambda problem, at: problem.hessian(at, rough=True),
    "class hessians": lambda problem, at: problem.class_hessians(at),
    "pooled hessian": lambda problem, at: problem.pooled_hessian(at),
    "resamples": at_pooled,
}


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: BLOCK)


@pytest.mark.parametrize(
    "shape",
    [
        {"n": 1500, "p": 32},
        {"n": 3000, "p": 2, "n_outputs": 16},
        {"n": 3000, "p": 2, "n_models": 48, "counted": True},
        {"n": 3000, "p": 2, "n_outputs": 16, "n_models": 2, "counted": True},
        {"n": 1500, "p": 8, "n_outputs": 8},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", PASSES)
def test_a_pass_holds_a_few_blocks_at_a_time(name, shape, small_blocks):
    """Beside its result, whatever there is most of: rows, classes or models."""
    if name == "resamples" and "counted" not in shape:
        pytest.skip("of models that are counted")
    problem = objective(**shape)
    at = problem.zeros()
    PASSES[name](problem, at)  # what is held for later
    tracemalloc.start()
    found = PASSES[name](problem, at)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is not None
    # A Hessian has products of rows with each class, and roots of all curvatures.
    assert peak - after < (12 if "hessian" in name else 4) * BLOCK


@pytest.mark.parametrize(
    "name", [each for each in PASSES if "hessian" in each or each == "resamples"]
)
def test_a_block_is_worth_the_matrices_that_it_adds(name, monkeypatch):
    """It has no fewer rows than they have, or of resamples than X has columns."""
    seen = []
    block = DenseDesign.block

    def watched(self, rows):
        seen.append(rows.stop - rows.start)
        return block(self, rows)

    monkeypatch.setattr(DenseDesign, "block", watched)
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 1)
    problem = objective(2000, 16, n_outputs=4, n_models=2, counted=True)
    PASSES[name](problem, problem.zeros())
    assert len(seen) > 1
    together = name in ("hessian", "rough hessian")
    assert min(seen) >= (64 if together else 16)


@pytest.mark.parametrize("rough", [True, False])
@pytest.mark.parametrize("name", ["hessian", "class_hessians", "pooled_hessian"])
def test_rough_products_are_in_float32(name, rough, monkeypatch):
    """Which takes half the time."""
    seen = []
    gram = DenseBlock.gram

    def watched(self, columns):
        seen.extend([self.rows.dtype, columns.dtype])
        return gram(self, columns)

    monkeypatch.setattr(DenseBlock, "gram", watched)
    problem = objective(40, 2, n_outputs=3)
    getattr(problem, name)(problem.zeros(), rough=rough)
    assert set(seen) == {np.dtype("float32" if rough else "float64")}


@pytest.mark.parametrize(
    ("p", "n_models", "holds"),
    [
        (8, 1, True),
        (8, 16, True),
        (8, 17, False),
        (200, 17, True),
        (200, 50, True),
        (200, 51, False),
    ],
)
def test_the_curvature_of_rows_is_held_where_it_is_small(p, n_models, holds):
    """For a few columns of W, or beside many of X; the product is the same."""
    problem = objective(60, p, n_models=n_models)
    rng = np.random.default_rng(1)
    at, vector = rng.normal(size=(2, *problem.zeros().shape)) / p
    curvature = problem.curvature(at)
    assert isinstance(curvature, dict) == holds
    found = problem.curvature_product(curvature, vector)
    np.testing.assert_allclose(found, problem.curvature_product(at, vector), rtol=1e-12)


def test_many_classes_make_x_large(small_blocks):
    """Where their logits fill several blocks, though X does not."""
    assert not objective(1000, 2).is_large
    assert objective(1000, 2, n_outputs=16).is_large


def test_numbers_from_the_host_are_placed_in_a_dtype(xp, place):
    X = place(np.ones((3, 2)))
    problem = Objective(
        DenseDesign(X, None, xp=xp),
        Responses(1, place(np.ones((3, 1))), place(np.ones((3, 1)))),
        LogisticLoss(),
        L2Penalty(place(np.ones((1, 1, 2)))),
        fit_intercept=True,
        units=None,
    )
    values = np.arange(4, dtype=np.float32)
    wide = problem.place(values)
    assert wide.dtype == problem.zeros().dtype
    assert problem.place(values, xp.int32).dtype == xp.int32
    np.testing.assert_array_equal(to_numpy(wide), values)


@pytest.mark.parametrize("n_models", [1, 3])
def test_the_mean_square_of_the_rows_counts_the_intercept(n_models):
    problem = objective(50, 4, n_models=n_models, counted=n_models > 1)
    weights = np.ones((50, 1)) if n_models == 1 else problem.responses.counts
    squares = (problem.design.X**2).sum(axis=1)
    expected = weights.T @ (squares + 1)
    np.testing.assert_allclose(problem.squared_rows(), expected, rtol=1e-12)
    problem.fit_intercept = False
    found = problem.squared_rows()
    np.testing.assert_allclose(found, weights.T @ squares, rtol=1e-12)
