"""JAX's jit, vmap and grad and torch's autograd of functions and predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import make_backend, to_numpy
from optional import on_demand

import xlr
from xlr import arrays

mpmath = on_demand("mpmath")

LOGITS = [-1000.0, -700.0, -40.0, -1.0, 0.0, 1e-9, 1.0, 40.0, 700.0, 1000.0]
# Logits of three classes: ties, nearly certain classes, and nearly impossible ones.
ROWS = [
    [0.0, 0.0, 0.0],
    [100.0, 0.0, -3.0],
    [1000.0, 1000.0, 0.0],
    [0.0, -1000.0, 1.0],
    [-2.0, 0.0, 1.0],
    [-600.0, 2.0, -30.0],
]
CODES = np.asarray([0, 0, 1, 2, 0, 1])
TARGETS = np.linspace(0.0, 1.0, len(LOGITS))
WEIGHTS = np.arange(1.0, 7.0)
# The absolute tolerance counts only near the smallest float64.
TOLERANCES = {"rtol": 1e-14, "atol": 1e-300}


@pytest.fixture(params=["jax", "torch"])
def backend(request: pytest.FixtureRequest) -> Any:
    return make_backend(request.param)


def jacobian_on(backend: Any, function: Any, values: Any) -> np.ndarray:
    """Return the Jacobian of a function by torch's autograd or JAX's jit and grad."""
    z = backend.xp.asarray(np.asarray(values))
    if backend.name == "torch":
        import torch

        return to_numpy(torch.autograd.functional.jacobian(function, z))
    import jax

    return to_numpy(jax.jit(jax.jacrev(function))(z))


@pytest.fixture
def jacobian(backend: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function for Jacobians that fails if xlr reads values on the host."""

    def refuse(x: Any) -> None:
        raise AssertionError("xlr reads values on the host")

    def compute(function: Any, values: Any) -> np.ndarray:
        with monkeypatch.context() as patch:
            patch.setattr(arrays, "to_host", refuse)
            return jacobian_on(backend, function, values)

    return compute


def exact_gradient(function: Any, z: Any) -> list[float]:
    """Return central differences in each argument, in 800 digits."""
    with mpmath.workdps(800):
        z, step = [mpmath.mpf(v) for v in z], mpmath.mpf(10) ** -150
        gradient = []
        for k in range(len(z)):
            high, low = list(z), list(z)
            high[k], low[k] = high[k] + step, low[k] - step
            gradient.append(float((function(*high) - function(*low)) / (2 * step)))
        return gradient


def log_sigmoid(z: Any) -> Any:
    return -mpmath.log(1 + mpmath.exp(-z))


def log_softmax(*z: Any, k: int) -> Any:
    return z[k] - mpmath.log(sum(map(mpmath.exp, z)))


FORMULAS = {
    "sigmoid": lambda z: mpmath.exp(log_sigmoid(z)),
    "log_sigmoid": log_sigmoid,
    "softmax": lambda *z, k: mpmath.exp(log_softmax(*z, k=k)),
    "log_softmax": log_softmax,
}


def exact_rows(name: str, row: list[float]) -> list[list[float]]:
    """Return the gradient of each class's entry of a function of three logits."""
    function = FORMULAS[name]
    return [exact_gradient(lambda *z, k=k: function(*z, k=k), row) for k in range(3)]


@pytest.mark.parametrize("name", ["sigmoid", "log_sigmoid"])
def test_functions_of_one_logit_have_exact_derivatives(name, jacobian):
    found = np.diagonal(jacobian(getattr(xlr, name), LOGITS))
    expected = [exact_gradient(FORMULAS[name], [z])[0] for z in LOGITS]
    np.testing.assert_allclose(found, expected, **TOLERANCES)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_functions_of_all_logits_have_exact_derivatives(name, jacobian):
    found = jacobian(getattr(xlr, name), ROWS)
    for i, row in enumerate(ROWS):
        np.testing.assert_allclose(found[i, :, i], exact_rows(name, row), **TOLERANCES)


def test_cross_entropy_has_exact_derivatives(backend, jacobian):
    y, weights = backend.xp.asarray(CODES), backend.xp.asarray(WEIGHTS)
    total = WEIGHTS.sum()
    if backend.name == "jax":
        import jax

        # Under jit, the labels are traced too: their values are unknown.
        loss = jax.jit(xlr.cross_entropy)
        found = jacobian(lambda z: loss(z, y, weights), ROWS)
    else:
        z = backend.xp.asarray(np.asarray(ROWS)).requires_grad_()
        xlr.cross_entropy(z, y, weights).backward()
        found = to_numpy(z.grad)
    for row, code, weight, actual in zip(ROWS, CODES, WEIGHTS, found):
        expected = exact_gradient(lambda *z, k=code: -log_softmax(*z, k=k), row)
        expected = np.asarray(expected) * weight / total
        np.testing.assert_allclose(actual, expected, **TOLERANCES)


def test_binary_cross_entropy_has_exact_derivatives(backend, jacobian):
    y = backend.xp.asarray(TARGETS)
    n = len(LOGITS)
    found = jacobian(lambda z: xlr.binary_cross_entropy(z, y), LOGITS)
    for z, target, actual in zip(LOGITS, TARGETS, found):

        def loss(z, y=float(target)):
            return -y * log_sigmoid(z) - (1 - y) * log_sigmoid(-z)

        expected = exact_gradient(loss, [z])[0] / n
        # For a soft label, the terms of sigmoid(z) - y cancel.
        np.testing.assert_allclose(actual, expected, rtol=1e-14, atol=1e-17)
    # The loss is linear in soft targets, and a mean weighted by the weights.
    z = backend.xp.asarray(np.asarray(LOGITS))
    found = jacobian(lambda y: xlr.binary_cross_entropy(z, y), TARGETS)
    np.testing.assert_allclose(found, -np.asarray(LOGITS) / n, atol=1e-15)
    losses = [
        float(xlr.binary_cross_entropy(z[i : i + 1], y[i : i + 1])) for i in range(n)
    ]
    found = jacobian(lambda s: xlr.binary_cross_entropy(z, y, s), np.ones(n))
    expected = (losses - np.mean(losses)) / n
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["sigmoid", "log_sigmoid", "softmax", "log_softmax"])
def test_functions_are_vectorised_by_vmap(name, backend):
    function, z = getattr(xlr, name), backend.xp.asarray(np.asarray(ROWS))
    if backend.name == "torch":
        import torch

        found = torch.func.vmap(function)(z)
    else:
        import jax

        found = jax.jit(jax.vmap(function))(z)
    np.testing.assert_allclose(to_numpy(found), function(np.asarray(ROWS)), rtol=1e-15)


@pytest.mark.parametrize("name", ["predict_proba", "predict_log_proba"])
def test_predictions_have_exact_derivatives(name, backend):
    """With these coefficients, the logits are X, nearly certain classes included."""
    model = xlr.LogisticRegression()
    model.coef_, model.intercept_, model.classes_ = np.eye(3), np.zeros(3), np.arange(3)
    found = jacobian_on(backend, getattr(model, name), ROWS)
    function = {"predict_proba": "softmax", "predict_log_proba": "log_softmax"}[name]
    for i, row in enumerate(ROWS):
        expected = exact_rows(function, row)
        np.testing.assert_allclose(found[i, :, i], expected, **TOLERANCES)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "name", ["decision_function", "predict_proba", "predict_log_proba"]
)
def test_derivatives_of_predictions_of_a_fit_equal_central_differences(name, n_classes):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    model = xlr.LogisticRegression().fit(X, rng.integers(n_classes, size=40))
    predict, rows, step = getattr(model, name), X[:4], 1e-5
    # A model fitted to NumPy arrays also predicts from tensors.
    found = torch.autograd.functional.jacobian(predict, torch.as_tensor(rows))
    for i, j in np.ndindex(rows.shape):
        high, low = rows.copy(), rows.copy()
        high[i, j] += step
        low[i, j] -= step
        expected = (predict(high) - predict(low)) / (2 * step)
        np.testing.assert_allclose(found[..., i, j], expected, rtol=1e-6, atol=1e-9)
