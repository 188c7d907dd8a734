"""Chunks of another library than NumPy: torch stands in for CuPy, which Dask knows."""

from __future__ import annotations

import numpy as np
import pytest

import xlr

da = pytest.importorskip("dask.array")
torch = pytest.importorskip("torch")

N_ROWS, N_FEATURES, CHUNK = 2000, 4, 500


def in_chunks(values: np.ndarray):
    """A Dask array whose chunks are tensors; Dask makes none of its own accord."""
    pieces = [torch.tensor(values[i : i + CHUNK]) for i in range(0, N_ROWS, CHUNK)]
    beside = (0,) * (values.ndim - 1)
    name = f"tensors-{values.ndim}-{id(values)}"
    graph = {(name, i, *beside): piece for i, piece in enumerate(pieces)}
    chunks = ((CHUNK,) * len(pieces), *((n,) for n in values.shape[1:]))
    return da.Array(graph, name, chunks=chunks, meta=pieces[0][:0])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, N_FEATURES)) * [1, 10, 1, 1] + [0, 5, 0, 0]
    noise = rng.gumbel(size=(N_ROWS, 3))
    y = (X @ rng.normal(size=(N_FEATURES, 3)) / 3 + noise).argmax(axis=1)
    return X, y


def test_fits_and_stays_in_the_library_of_the_chunks(data):
    X, y = data
    here = xlr.LogisticRegression(tol=1e-10).fit(X, y)
    there = xlr.LogisticRegression(tol=1e-10).fit(in_chunks(X), in_chunks(y))
    assert isinstance(there.coef_, torch.Tensor)
    assert isinstance(there.classes_, torch.Tensor)
    np.testing.assert_allclose(there.coef_.numpy(), here.coef_, rtol=0, atol=1e-7)
    assert there.score(in_chunks(X), in_chunks(y)) == here.score(X, y)


def test_cross_validates(data):
    X, y = data
    here = xlr.LogisticRegressionCV(Cs=3, tol=1e-9).fit(X, y)
    there = xlr.LogisticRegressionCV(Cs=3, tol=1e-9).fit(in_chunks(X), in_chunks(y))
    np.testing.assert_allclose(there.scores_, here.scores_, rtol=1e-7)
    assert there.C_ == here.C_


def test_has_standard_errors(data):
    X, y = data
    here = xlr.LogisticRegression(tol=1e-10).fit(X, y)
    there = xlr.LogisticRegression(tol=1e-10).fit(in_chunks(X), in_chunks(y))
    expected = xlr.infer(here, X, y, cov_type="HC0").bse
    found = xlr.infer(there, in_chunks(X), in_chunks(y), cov_type="HC0").bse
    np.testing.assert_allclose(found, expected, rtol=1e-7)
