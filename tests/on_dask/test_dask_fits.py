"""Fits to chunks of any sizes equal fits to the same rows in memory."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np
import pytest
from in_chunks import in_chunks, of_unknown_sizes

import xlr

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

pytestmark = pytest.mark.usefixtures("in_this_thread")

N = 240


@cache
def problem(n_classes):
    """Return columns of different scales and offsets, sorted by class."""
    rng = np.random.default_rng(n_classes)
    Z = rng.normal(size=(N, 4))
    logits = Z @ rng.normal(size=(4, n_classes))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    X = Z * [1.0, 1e3, 1e-2, 7.0] + [0.0, 5e3, -3.0, 1e2]
    order = np.argsort(y, kind="stable")
    return X[order], y[order]


WEIGHTS = np.random.default_rng(0).uniform(0.1, 2, N)
WEIGHTS[60:120] = 0
SIZES = (60, 60, 0, 1, 119)


def assert_same(model, expected, X, rtol=1e-10, **offset):
    """Compare F and the probabilities with those of the fit in memory."""
    found, F = (m.history_["objective"][-1] for m in (model, expected))
    np.testing.assert_allclose(found, F, rtol=rtol)
    p, q = (m.predict_proba(X, **offset) for m in (model, expected))
    np.testing.assert_allclose(p, q, atol=rtol**0.5)
    for name in ("coef_", "intercept_", "classes_"):
        values, others = getattr(model, name), getattr(expected, name)
        assert (values.shape, values.dtype) == (others.shape, others.dtype)
    np.testing.assert_array_equal(model.classes_, expected.classes_)
    assert model.solver_ == expected.solver_


def chunk_sizes(n):
    """Return a strategy for chunk sizes of n rows; some chunks may be empty."""
    edges = st.lists(st.integers(0, n), max_size=8)
    return edges.map(lambda inner: np.diff([0, *sorted(inner), n]).tolist())


@hypothesis.given(chunk_sizes(N), st.integers(2, 3), st.booleans(), st.integers(0, 3))
@hypothesis.settings(max_examples=8, deadline=None, derandomize=True, database=None)
def test_any_chunk_sizes_give_the_fit_in_memory(sizes, n_classes, unknown, seed):
    rng = np.random.default_rng(seed)
    X, y = problem(n_classes)
    order, weights = rng.permutation(N), rng.integers(0, 3, N)
    data = X[order], y[order], weights
    lazy = [in_chunks(values, sizes) for values in data]
    if unknown:
        lazy = [of_unknown_sizes(values) for values in lazy]
    model = xlr.LogisticRegression(tol=1e-9, random_state=seed).fit(*lazy)
    assert_same(model, xlr.LogisticRegression(tol=1e-9).fit(*data), X)


def test_fit_of_chunks_starts_on_a_sample():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 6)) + 3
    y = (X @ [1, -1, 0.5, 0.5, 0, 0] - 3 + rng.logistic(size=len(X)) > 0).astype(int)
    order = np.argsort(y, kind="stable")  # most chunks have a single class
    X, y = X[order], y[order]
    sizes = (20_000, 9_000, 0, 1_000)
    model = xlr.LogisticRegression(tol=1e-8)
    model.fit(in_chunks(X, sizes), in_chunks(y, sizes))
    assert_same(model, xlr.LogisticRegression(tol=1e-8).fit(X, y), X)
    assert model.n_passes_ <= 8


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int8", "bool"])
def test_dtype_of_chunks_gives_the_fit_in_memory(dtype):
    X, y = problem(3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    X = X > 0 if dtype == "bool" else np.round(3 * X).astype(dtype)
    expected = xlr.LogisticRegression(tol=1e-6).fit(X, y)
    model = xlr.LogisticRegression(tol=1e-6)
    model.fit(in_chunks(X, SIZES), in_chunks(y, SIZES))
    assert_same(model, expected, X, rtol=1e-6 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X + np.asarray([1e6, 0, -1e8, 0]),
        lambda X: X * [1e-150, 1e-90, 1e-30, 1],
        lambda X: X * [1e150, 1e90, 1e30, 1],
        lambda X: X * [0, 1, 1, 1] + [7.7, 0, 0, 0],
        lambda X: X * [0, 1, 1, 1] + np.arange(N)[:, None] // 60 * [1, 0, 0, 0],
        lambda X: X[:, [0, 1, 2, 2]],
    ],
    ids=["far", "tiny", "huge", "constant", "constant in chunks", "duplicate"],
)
def test_fit_of_chunks_takes_columns_of_any_scale(change):
    X, y = problem(2)
    X = change((X - X.mean(axis=0)) / X.std(axis=0))
    model = xlr.LogisticRegression(tol=1e-9)
    model.fit(in_chunks(X, SIZES), in_chunks(y, SIZES))
    assert_same(model, xlr.LogisticRegression(tol=1e-9).fit(X, y), X)


@pytest.mark.parametrize("weight", [2.5, np.float64(2.5)])
def test_fit_of_chunks_takes_a_number_as_sample_weight(weight):
    X, y = problem(2)
    model = xlr.LogisticRegression(tol=1e-9)
    model.fit(in_chunks(X, SIZES), in_chunks(y, SIZES), weight)
    assert_same(model, xlr.LogisticRegression(tol=1e-9).fit(X, y, np.full(N, 2.5)), X)


def test_warm_start_of_chunks_continues_the_last_fit():
    X, y = problem(3)
    lazy = in_chunks(X, SIZES), in_chunks(y, SIZES)
    model = xlr.LogisticRegression(tol=1e-9, warm_start=True).fit(*lazy)
    n_iter = model.n_iter_
    assert model.fit(*lazy).n_iter_ <= 1 < n_iter
    start = {"coef_init": model.coef_, "intercept_init": model.intercept_}
    again = xlr.LogisticRegression(tol=1e-9).fit(*lazy, **start)
    assert again.n_iter_ <= 1
    assert_same(again, model, X)
    with pytest.raises(ValueError, match=r"coef_init has shape \(3, 3\)"):
        again.fit(*lazy, coef_init=model.coef_[:, :3])


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_every_scheduler_gives_the_fit_in_memory(scheduler):
    X, y = problem(3)
    pools = {
        "threads": lambda: ThreadPoolExecutor(3),
        # Without a pool, Dask starts new processes for each pass.
        "processes": lambda: ProcessPoolExecutor(1, get_context("spawn")),
    }
    with pools[scheduler]() as pool, dask.config.set(scheduler=scheduler, pool=pool):
        model = xlr.LogisticRegression(tol=1e-9)
        model.fit(in_chunks(X, SIZES), in_chunks(y, SIZES))
    assert_same(model, xlr.LogisticRegression(tol=1e-9).fit(X, y), X)


def test_fit_of_chunks_is_deterministic():
    X, y = problem(3)
    lazy = in_chunks(X, SIZES), in_chunks(y, SIZES)

    def fitted(seed, scheduler="synchronous"):
        with dask.config.set(scheduler=scheduler):
            return xlr.LogisticRegression(random_state=seed).fit(*lazy).coef_

    for seed in (None, 0, 1):
        np.testing.assert_array_equal(fitted(seed), fitted(seed))
        np.testing.assert_array_equal(fitted(seed), fitted(seed, "threads"))


def test_number_of_passes_counts_the_reads_of_chunks():
    X, y = problem(2)
    reads = []

    def read(block):
        reads.append(len(block))
        return block

    lazy = da.map_blocks(
        read, in_chunks(X, SIZES), dtype=X.dtype, meta=np.empty((0, 0))
    )
    model = xlr.LogisticRegression().fit(lazy, in_chunks(y, SIZES))
    full = [size for size in SIZES if size]
    assert sorted(reads) == sorted([0, *full * model.n_passes_])
