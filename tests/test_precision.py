"""float32 is float32 while a fit runs, whatever a library was set to before."""

from __future__ import annotations

import numpy as np
import pytest

import xlr
from xlr.precision import full_precision

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = (X[:, 0] > 0.1).astype(int)


def settings(torch):
    """All that torch has to say of its products of float32."""
    found = []
    for ask in (
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cuda.matmul.allow_tf32,
        lambda: torch.backends.cuda.matmul.fp32_precision,
        lambda: torch.backends.mkldnn.matmul.fp32_precision,
    ):
        try:
            found.append(ask())
        except (RuntimeError, AttributeError) as error:
            found.append(type(error))
    return found


def legacy(torch, precision):
    torch.set_float32_matmul_precision(precision)


def of_cuda(torch, precision):
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
        (legacy, "highest"),
        (legacy, "high"),
        (legacy, "medium"),
        (of_cuda, "tf32"),
        (of_cuda, "ieee"),
    ],
    ids=["highest", "high", "medium", "tf32", "ieee"],
)
def before(request, torch):
    """The settings before a fit."""
    configure, precision = request.param
    configure(torch, precision)
    return settings(torch)


def in_full(torch):
    found = settings(torch)
    assert found[:2] == ["highest", False]
    assert {"tf32", "bf16"}.isdisjoint(map(str, found[2:]))


def test_torch_is_set_and_set_back(torch, before):
    with full_precision(torch.asarray(X)):
        in_full(torch)
    assert settings(torch) == before


def test_torch_is_set_back_after_an_error(torch, before):
    with pytest.raises(ValueError, match="stop"), full_precision(torch.asarray(X)):
        raise ValueError("stop")
    assert settings(torch) == before


@pytest.mark.parametrize("fails", [False, True])
def test_a_fit_and_predictions_are_in_full(torch, before, fails, monkeypatch):
    seen = []
    real = torch.matmul

    def watched(*arguments, **options):
        in_full(torch)
        seen.append(True)
        if fails:
            raise ValueError("stop")
        return real(*arguments, **options)

    at, labels = torch.asarray(X), torch.asarray(Y)
    model = xlr.LogisticRegression(tol=1e-4)
    if not fails:
        model.fit(at, labels)
    monkeypatch.setattr(xlr.arrays.namespace(at), "matmul", watched)
    if fails:
        with pytest.raises(ValueError, match="stop"):
            model.fit(at, labels)
    else:
        model.fit(at, labels)
    assert seen
    assert settings(torch) == before


def test_jax_is_set_and_set_back():
    jax = pytest.importorskip("jax")
    with jax.default_matmul_precision("bfloat16"):
        with full_precision(jax.numpy.asarray(X)):
            assert jax.config.jax_default_matmul_precision == "highest"
        assert jax.config.jax_default_matmul_precision == "bfloat16"


@pytest.mark.gpu
def test_cupy_is_set_and_set_back():
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("CuPy sees no CUDA GPU")
    from cupy._core import _routines_linalg as linalg

    before = linalg.get_compute_type("float32")
    linalg.set_compute_type("float32", linalg.COMPUTE_TYPE_TF32)
    chosen = linalg.get_compute_type("float32")
    try:
        with full_precision(cupy.asarray(X)):
            found = linalg.get_compute_type("float32")
            assert found == linalg.COMPUTE_TYPE_DEFAULT
        assert linalg.get_compute_type("float32") == chosen
    finally:
        linalg.set_compute_type("float32", before)


def test_products_of_float32_on_a_gpu_have_seven_digits(backend, monkeypatch):
    """With TF32 they would have three."""
    if backend.name == "torch-cuda":
        torch = pytest.importorskip("torch")
        torch.set_float32_matmul_precision("high")
    rng = np.random.default_rng(1)
    a = rng.normal(size=(64, 500)).astype(np.float32)
    at = backend.xp.asarray(a, device=backend.device)
    with full_precision(at):
        found = xlr.arrays.to_host(backend.xp.matmul(at, at.T))
    if backend.name == "torch-cuda":
        torch.set_float32_matmul_precision("highest")
    exact = a.astype(np.float64) @ a.T.astype(np.float64)
    np.testing.assert_allclose(found, exact, atol=1e-3)
