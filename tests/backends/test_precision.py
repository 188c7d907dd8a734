"""Precision of float32 products and sums in fits, at any setting of the library."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import why_not
from problems import objective
from sklearn.linear_model import LogisticRegression

import xlr
from xlr.precision import full_precision

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = (X[:, 0] > 0.1).astype(int)


def settings(torch):
    """Return torch's settings for float32 products, or the error of each."""
    values = []
    for read in (
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cuda.matmul.allow_tf32,
        lambda: torch.backends.cuda.matmul.fp32_precision,
        lambda: torch.backends.mkldnn.matmul.fp32_precision,
    ):
        try:
            values.append(read())
        except (RuntimeError, AttributeError) as error:
            values.append(type(error))
    return values


def set_legacy(torch, precision):
    torch.set_float32_matmul_precision(precision)


def set_cuda(torch, precision):
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this torch has no such setting")
    torch.backends.cuda.matmul.fp32_precision = precision


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    yield torch
    torch.set_float32_matmul_precision("highest")


@pytest.fixture(
    params=[
        (set_legacy, "highest"),
        (set_legacy, "high"),
        (set_legacy, "medium"),
        (set_cuda, "tf32"),
        (set_cuda, "ieee"),
    ],
    ids=["highest", "high", "medium", "tf32", "ieee"],
)
def user_settings(request, torch):
    """Change torch's settings, as a user may; return them."""
    configure, precision = request.param
    configure(torch, precision)
    return settings(torch)


def assert_full_precision(torch):
    legacy, allow_tf32, *others = settings(torch)
    assert (legacy, allow_tf32) == ("highest", False)
    assert {"tf32", "bf16"}.isdisjoint(map(str, others))


@pytest.mark.parametrize("fails", [False, True])
def test_fit_has_full_precision_and_restores_settings(
    torch, user_settings, fails, monkeypatch
):
    # Let torch compute, as it does on a device.
    monkeypatch.setattr(xlr.arrays, "numpy_view", lambda x, **options: x)
    n_products = 0
    real = torch.matmul

    def watched(*arguments, **options):
        nonlocal n_products
        assert_full_precision(torch)
        n_products += 1
        if fails:
            raise ValueError("stop")
        return real(*arguments, **options)

    rows, labels = torch.asarray(X), torch.asarray(Y)
    model = xlr.LogisticRegression(tol=1e-4)
    monkeypatch.setattr(xlr.arrays.namespace(rows), "matmul", watched)
    if fails:
        with pytest.raises(ValueError, match="stop"):
            model.fit(rows, labels)
    else:
        model.fit(rows, labels)
    assert n_products
    assert settings(torch) == user_settings


@pytest.mark.gpu
def test_cupy_precision_setting_is_restored():
    if reason := why_not("cupy"):
        pytest.skip(reason)
    import cupy
    from cupy._core import _routines_linalg as linalg

    default = linalg.get_compute_type("float32")
    linalg.set_compute_type("float32", linalg.COMPUTE_TYPE_TF32)
    user_setting = linalg.get_compute_type("float32")
    try:
        with full_precision(cupy.asarray(X)):
            inside = linalg.get_compute_type("float32")
            assert inside == linalg.COMPUTE_TYPE_DEFAULT
        assert linalg.get_compute_type("float32") == user_setting
    finally:
        linalg.set_compute_type("float32", default)


def test_products_of_float32_have_seven_digits(backend):
    """On a GPU, products in TF32 would have three."""
    if backend.name == "torch-cuda":
        torch = pytest.importorskip("torch")
        torch.set_float32_matmul_precision("high")
    rng = np.random.default_rng(1)
    a = rng.normal(size=(64, 500)).astype(np.float32)
    moved = backend.xp.asarray(a, device=backend.device)
    with full_precision(moved):
        found = xlr.arrays.to_host(backend.xp.matmul(moved, moved.T))
    if backend.name == "torch-cuda":
        torch.set_float32_matmul_precision("highest")
    exact = a.astype(np.float64) @ a.T.astype(np.float64)
    np.testing.assert_allclose(found, exact, atol=1e-3)


@pytest.mark.shared_arithmetic
def test_sums_of_float32_rows_are_as_good_as_float64(backend):
    """F of the fit to float32 rows is the lowest F, both computed in float64."""
    if not backend.supports("float64"):
        pytest.skip(f"{backend.device} has no float64 to sum in")
    rng = np.random.default_rng(6)
    X = rng.normal([0, 10, 100, -1000], 1, size=(60_000, 4)).astype(np.float32)
    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    y = (rng.logistic(size=60_000) < centred @ [1, -1, 0.5, 0.2]).astype(int)
    best = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(centred, y)
    lowest = objective(best.coef_, best.intercept_, centred, y, 1.0)
    model = xlr.LogisticRegression(tol=1e-8)
    model.fit(backend.xp.asarray(X, device=backend.device), y)
    assert model.to_numpy().coef_.dtype == np.float32
    found = model.to_sklearn()  # float64 keeps all digits of the intercept
    F = objective(found.coef_, found.intercept_, X.astype(np.float64), y, 1.0)
    assert abs(F - lowest) <= 1e-13 * lowest
