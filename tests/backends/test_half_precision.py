"""Fits to X in float16 or bfloat16, which is not copied; results are float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import GPU_BACKENDS, make_backend, to_numpy

import xlr
from xlr import arrays
from xlr.data import DenseMatrix, Targets, TrainingData, column_statistics

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(300, 4)) * [1, 8, 0.25, 1] + [0, 4, 0, 1]).round(2)
CODES = (X @ RNG.normal(size=(4, 3)) + RNG.gumbel(size=(300, 3))).argmax(axis=1)
BACKENDS_AND_DTYPES = [
    ("torch", "float16"),
    ("torch", "bfloat16"),
    ("jax", "float16"),
    ("jax", "bfloat16"),
    ("torch-cuda", "float16"),
    ("torch-cuda", "bfloat16"),
    ("cupy", "float16"),
]
PARAMETERS = [
    pytest.param(pair, marks=[pytest.mark.gpu] if pair[0] in GPU_BACKENDS else [])
    for pair in BACKENDS_AND_DTYPES
]


@pytest.fixture(params=PARAMETERS, ids="-".join)
def half(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """Return X in half precision, and the same values in float32."""
    name, dtype = request.param
    backend = make_backend(name)
    xp = backend.xp
    single = xp.asarray(X.astype(np.float32), device=backend.device)
    low = xp.astype(single, getattr(xp, dtype))
    return low, xp.astype(low, xp.float32)


@pytest.fixture
def half_of_torch() -> Any:
    torch = pytest.importorskip("torch")
    return torch.asarray(X, dtype=torch.float16)


@pytest.mark.shared_arithmetic
@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (CODES > 0, {}),
        (CODES, {}),
        (CODES, {"multi_class": "ovr"}),
        (CODES > 0, {"l1_ratio": 0.5, "C": 0.1}),
        (CODES, {"solver": "newton-cg"}),
    ],
    ids=["two classes", "three classes", "one-vs-rest", "elastic net", "newton-cg"],
)
def test_half_precision_fit_equals_that_of_float32(half, labels, options):
    low, single = half
    model = xlr.LogisticRegression(tol=1e-4, **options)
    expected = model.fit(single, labels).coef_
    found = model.fit(low, labels)
    assert found.coef_.dtype == found.intercept_.dtype == expected.dtype
    np.testing.assert_allclose(to_numpy(found.coef_), to_numpy(expected), atol=1e-5)
    assert found.converged_
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        here, there = getattr(found, method)(low), getattr(found, method)(single)
        assert here.dtype == there.dtype
        np.testing.assert_allclose(to_numpy(here), to_numpy(there), atol=1e-6)
    assert (to_numpy(found.predict(low)) == to_numpy(found.predict(single))).all()


@pytest.mark.shared_arithmetic
def test_half_precision_scores_and_standard_errors_equal_those_of_float32(half):
    low, single = half
    cv = xlr.LogisticRegressionCV(Cs=3, cv=3, tol=1e-4)
    labels = CODES > 0
    expected = cv.fit(single, labels).scores_
    np.testing.assert_allclose(cv.fit(low, labels).scores_, expected, rtol=1e-4)
    model = xlr.LogisticRegression(C=np.inf, tol=1e-4).fit(single, labels)
    expected = xlr.infer(model, single, labels)
    model = xlr.LogisticRegression(C=np.inf, tol=1e-4).fit(low, labels)
    found = xlr.infer(model, low, labels)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-4)
    interval = found.predict_interval(low)
    assert interval.proba.dtype == model.coef_.dtype


def test_half_precision_fit_makes_no_copy_of_x(half_of_torch, monkeypatch):
    """Rows are converted at most four blocks of ten at a time."""
    xp = arrays.namespace(half_of_torch)
    monkeypatch.setattr(arrays, "block_bytes", lambda x: 10 * 4 * 4)
    sizes = []
    real = xp.astype

    def watched(x, *arguments, **options):
        if arrays.is_half(x):
            sizes.append(x.shape[0])
        return real(x, *arguments, **options)

    monkeypatch.setattr(xp, "astype", watched)
    model = xlr.LogisticRegression(tol=1e-4).fit(half_of_torch, CODES > 0)
    model.predict_proba(half_of_torch)
    assert 0 < max(sizes) <= 40


def test_half_precision_sums_do_not_overflow(half_of_torch):
    """Sums over 100,000 rows exceed 65504, the largest float16."""
    X = half_of_torch[:1, :].repeat(100_000, 1) * 0 + 1
    X[::2, :] = 3
    xp = arrays.namespace(X)
    weights = xp.ones((100_000, 1), dtype=xp.float64)
    matrix = DenseMatrix(X, xp=xp)
    data = TrainingData(matrix, Targets(1, weights, weights))
    statistics = column_statistics(data)
    np.testing.assert_allclose(to_numpy(statistics.mean), 2, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(statistics.std), 1, rtol=1e-6)
    assert matrix.dtype == xp.float32
    block = matrix.take_rows(slice(0, 100_000))
    total = block.transpose_matvec(xp.ones((100_000, 1), dtype=xp.float32))
    np.testing.assert_allclose(to_numpy(total), 200_000, rtol=1e-6)


def test_half_precision_fit_on_numpy_gives_float64():
    model = xlr.LogisticRegression().fit(X.astype(np.float16), CODES)
    assert model.coef_.dtype == np.float64


def test_half_precision_dtypes_are_recognised():
    assert arrays.is_half(np.empty(0, dtype=np.float16))
    assert not arrays.is_half(np.empty(0))
