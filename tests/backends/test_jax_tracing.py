"""Fits read JAX arrays in host memory in place, and compile nothing.

On a device JAX computes, as it does in the tests of the objective and the solvers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import array_api_compat
import numpy as np
import pytest

import xlr

jax = pytest.importorskip("jax")

COMPILATION = "/jax/core/compile/backend_compile_duration"
rng = np.random.default_rng(0)


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    found: list[str] = []

    def listen(event: str, seconds: float, **details: Any) -> None:
        if event == COMPILATION:
            found.append(event)

    jax.config.update("jax_enable_x64", True)
    # array-api-compat makes an empty array at its first use of JAX.
    array_api_compat.array_namespace(jax.device_put(np.zeros(1)))
    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


def problem(n_samples: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(n_samples, 7))
    return X, rng.integers(n_classes, size=n_samples)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_jax_fits_on_the_host_compile_nothing(n_classes, compilations):
    for n_samples in (131, 97):
        X, y = map(jax.device_put, problem(n_samples, n_classes))
        model = xlr.LogisticRegression().fit(X, y)
        found = model.coef_, model.predict(X), model.predict_proba(X)
        assert all(isinstance(values, jax.Array) for values in found)
    assert not compilations


def test_jax_compilations_are_counted(compilations):
    jax.device_put(rng.normal(size=(3, 11))) * 2.5
    assert compilations


@pytest.mark.slow_on_jax
def test_jax_computes_on_a_device(monkeypatch, compilations):
    X, y = problem(120, 2)
    expected = xlr.LogisticRegression().fit(X, y)
    in_host_memory = xlr.arrays.in_host_memory
    monkeypatch.setattr(
        "xlr.arrays.in_host_memory",
        lambda x: not isinstance(x, jax.Array) and in_host_memory(x),
    )
    rows = jax.device_put(X)
    model = xlr.LogisticRegression().fit(rows, jax.device_put(y))
    assert compilations
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-7)
    proba = model.predict_proba(rows)
    np.testing.assert_allclose(proba, expected.predict_proba(X), atol=1e-6)
