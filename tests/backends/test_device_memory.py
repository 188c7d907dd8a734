"""Out-of-memory errors of drivers, which become MemoryError with a sentence."""

from __future__ import annotations

import numpy as np
import pytest

import xlr
from xlr import arrays

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 5))
Y = (X[:, 0] + RNG.logistic(size=400) > 0).astype(int)


class OutOfMemoryError(RuntimeError):
    """Error with the name of torch's."""


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nAnd so on."),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 2147483648 bytes."),
    ],
    ids=["torch", "jax"],
)
def test_out_of_memory_error_of_a_driver_becomes_memory_error(error, monkeypatch):
    torch = pytest.importorskip("torch")
    x = torch.asarray(X)
    monkeypatch.setattr(arrays, "free_bytes", lambda x: 1000)
    with (
        pytest.raises(
            MemoryError, match=r"cpu ran out of memory with 1e\+03 bytes free"
        ) as raised,
        arrays.memory_errors(x),
    ):
        raise error
    message = str(raised.value)
    assert "Tried to allocate 2 GiB." in message or "2147" in message
    assert "And so on" not in message
    assert raised.value.__cause__ is error


def test_fit_without_device_memory_raises_memory_error(monkeypatch):
    torch = pytest.importorskip("torch")
    from xlr.solvers import NewtonCholesky

    def fail(self, objective, start):
        raise OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(NewtonCholesky, "init", fail)
    monkeypatch.setattr(arrays, "numpy_view", lambda x, **options: x)
    with pytest.raises(MemoryError, match=r"\(CUDA out of memory\.\)"):
        xlr.LogisticRegression().fit(torch.asarray(X), Y)


def test_other_error_of_a_driver_is_unchanged():
    with pytest.raises(RuntimeError, match="no such kernel"), arrays.memory_errors(X):
        raise RuntimeError("no such kernel")
