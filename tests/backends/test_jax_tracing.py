"""Fits to JAX arrays: without compilation in host memory, compiled on a device.

xlr reads JAX arrays in host memory in place, with NumPy. On a device JAX computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import array_api_compat
import numpy as np
import pytest
from make_objective import make_objective
from scipy.sparse import csr_array

import xlr
from xlr.data import Scaler

jax = pytest.importorskip("jax")

COMPILATION = "/jax/core/compile/backend_compile_duration"
rng = np.random.default_rng(0)


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """Yield a list that receives the name of each function that XLA compiles."""
    names: list[str] = []

    def listen(event: str, seconds: float, **details: Any) -> None:
        if event == COMPILATION:
            names.append(details["fun_name"])

    jax.config.update("jax_enable_x64", True)
    # array-api-compat makes an empty array at its first use of JAX.
    array_api_compat.array_namespace(jax.device_put(np.zeros(1)))
    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def draw(
    n_samples: int, n_classes: int, n_features: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    """Draw features, and labels that do not depend on them."""
    X = rng.normal(size=(n_samples, n_features))
    return X, rng.integers(n_classes, size=n_samples)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_jax_fits_on_the_host_compile_nothing(n_classes, compilations):
    for n_samples in (131, 97):
        X, y = map(jax.device_put, draw(n_samples, n_classes))
        model = xlr.LogisticRegression().fit(X, y)
        found = model.coef_, model.predict(X), model.predict_proba(X)
        assert all(isinstance(values, jax.Array) for values in found)
    assert not compilations


def test_jax_compilations_are_listed(compilations):
    jax.device_put(rng.normal(size=(3, 11))) * 2.5
    assert compilations


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let JAX compute, as it does for arrays on a device."""
    in_host_memory = xlr.arrays.in_host_memory
    monkeypatch.setattr(
        "xlr.arrays.in_host_memory",
        lambda x: not isinstance(x, jax.Array) and in_host_memory(x),
    )


def test_jax_fit_on_a_device_is_compiled_and_equals_numpy(on_a_device, compilations):
    X, y = draw(120, 2)
    expected = xlr.LogisticRegression().fit(X, y)
    rows = jax.device_put(X)
    model = xlr.LogisticRegression().fit(rows, jax.device_put(y))
    assert compilations
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-7)
    proba = model.predict_proba(rows)
    np.testing.assert_allclose(proba, expected.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_jax_compiles_no_pass_for_another_number_of_rows(
    n_classes, on_a_device, compilations
):
    X, y = draw(125, n_classes, n_features=11 + n_classes)
    offset = rng.normal(size=125 if n_classes == 2 else (125, 3))
    passes = {f"jit({name})" for name in ("_sums", "value_and_gradient", "gram_sums")}
    for n_samples in (125, 122):
        rows, labels, offsets = (values[:n_samples] for values in (X, y, offset))
        expected = xlr.LogisticRegression().fit(rows, labels, offset=offsets)
        expected_proba = expected.predict_proba(rows, offset=offsets)
        rows, labels, offsets = map(jax.device_put, (rows, labels, offsets))
        compilations.clear()
        model = xlr.LogisticRegression().fit(rows, labels, offset=offsets)
        assert passes & {*compilations} == (passes if n_samples == 125 else set())
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-7)
        compilations.clear()
        proba = model.predict_proba(rows, offset=offsets)
        np.testing.assert_allclose(proba, expected_proba, atol=1e-6)
    assert len(compilations) <= 6  # operations of the last predictions


@pytest.mark.parametrize("block_bytes", [2**20, 2**8], ids=["one block", "blocks"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_jax_objective_with_filled_blocks_equals_numpy(
    n_classes, block_bytes, monkeypatch
):
    jax.config.update("jax_enable_x64", True)
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: block_bytes)
    n_outputs = 1 if n_classes == 2 else 3
    X = 3 + rng.normal(size=(75, 4))
    y = rng.integers(n_classes, size=75)
    parameters = rng.normal(size=(1, 5 * n_outputs))
    offset, weights = rng.normal(size=(75, n_outputs)), rng.integers(3, size=75)

    def evaluate(place: Any) -> list[np.ndarray]:
        scaler = Scaler(*map(place, (X.mean(axis=0), X.std(axis=0), np.ones(4))))
        objective = make_objective(
            X,
            y,
            weights,
            offset=offset,
            n_classes=n_classes,
            scaler=scaler,
            ridge=0.1,
            place=place,
        )
        w = place(parameters)
        results = [
            *objective.value_and_gradient(w),
            objective.hessian(w).blocks,
            objective.hessian_operator(w)(w),
            objective.hessian_diagonal(w),
            objective.curvature_bound(),
            objective.largest_logits(w),
            objective.class_shares,
        ]
        return [np.asarray(values) for values in results]

    for found, expected in zip(evaluate(jax.device_put), evaluate(np.asarray)):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


KINDS_OF_ROWS = {
    "jax": jax.device_put,
    "numpy": np.asarray,
    "sparse": csr_array,
    "split": lambda X: xlr.SplitMatrix([X[:, :1], X[:, 1:]]),
}


@pytest.mark.parametrize("kind", list(KINDS_OF_ROWS))
def test_jax_differentiates_predictions_in_their_offset(kind):
    X, y = draw(50, 2)
    offset = rng.normal(size=50)
    model = xlr.LogisticRegression().fit(X, y, offset=offset)
    p = model.predict_proba(X, offset)[:, 1]
    X = KINDS_OF_ROWS[kind](X)

    def total(offset):
        return model.predict_proba(X, offset)[:, 1].sum()

    slope = jax.jit(jax.grad(total))(offset)
    np.testing.assert_allclose(slope, p * (1 - p), rtol=1e-5)


def test_jax_fits_three_classes_to_bfloat16():
    X, y = draw(50, 3)
    half = jax.numpy.asarray(X, dtype=jax.numpy.bfloat16)
    model = xlr.LogisticRegression().fit(half, y)
    single = half.astype(jax.numpy.float32)
    expected = xlr.LogisticRegression().fit(single, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-4)
