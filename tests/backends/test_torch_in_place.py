"""Fits to torch tensors in host memory, which NumPy reads in place.

On a device torch computes, as it does in the tests that use the fixture ``backend``.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import xlr

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 6))
Y = (X[:, 0] + rng.logistic(size=400) > 0).astype(np.int64)
WEIGHTS = rng.uniform(0.5, 2.0, size=400)


def tensors(*values):
    return [torch.asarray(each) for each in values]


def assert_tensors(found, expected):
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize(
    "labels", [Y, (X[:, :2] > 0).sum(axis=1)], ids=["two classes", "three classes"]
)
def test_fit_to_tensors_equals_numpy(labels):
    model = xlr.LogisticRegression().fit(*tensors(X, labels, WEIGHTS))
    expected = xlr.LogisticRegression().fit(X, labels, WEIGHTS)
    for name in ("coef_", "intercept_", "classes_"):
        assert_tensors(getattr(model, name), getattr(expected, name))
    # torch computes predictions, whose gradients may be wanted.
    proba = model.predict_proba(torch.asarray(X)).numpy()
    np.testing.assert_allclose(proba, expected.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: torch.asarray(np.asfortranarray(x)),
        lambda x: torch.asarray(np.repeat(x, 2, axis=0))[::2],
        lambda x: torch.asarray(x).requires_grad_(),
        lambda x: torch.nn.Parameter(torch.asarray(x)),
    ],
    ids=["column-major", "every second row", "requires_grad", "parameter"],
)
def test_fit_to_any_tensor_equals_numpy(view):
    model = xlr.LogisticRegression().fit(view(X), torch.asarray(Y))
    expected = xlr.LogisticRegression().fit(X, Y)
    np.testing.assert_allclose(model.coef_.numpy(), expected.coef_, rtol=1e-9)
    assert not model.coef_.requires_grad


def test_fit_to_bfloat16_tensors_is_computed_by_torch():
    """NumPy has no bfloat16."""
    half = torch.asarray(X).to(torch.bfloat16)
    model = xlr.LogisticRegression().fit(half, torch.asarray(Y))
    expected = xlr.LogisticRegression().fit(half.float().numpy(), Y)
    assert model.coef_.dtype == torch.float32
    np.testing.assert_allclose(model.coef_.numpy(), expected.coef_, rtol=1e-4)


def test_fit_to_tensors_copies_none_of_them():
    large = torch.asarray(rng.normal(size=(50_000, 40)))
    labels = torch.asarray(rng.integers(2, size=50_000))
    xlr.LogisticRegression().fit(large[:100], labels[:100])  # imports and caches
    tracemalloc.start()
    try:
        xlr.LogisticRegression(n_jobs=1).fit(large, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.8 * large.nbytes
