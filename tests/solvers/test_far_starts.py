"""Fits from far starts or with far offsets, where F has almost no curvature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import entropy

import xlr

SMOOTH = [(solver, {}) for solver in ("newton-cholesky", "newton-cg", "lbfgs")]
BOUNDED = [
    (solver, {"lower": -1e9})
    for solver in ("proximal-newton", "active-set", "newton-cg")
]
solvers = pytest.mark.parametrize(("solver", "bounds"), SMOOTH + BOUNDED)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 5))
COEF = RNG.normal(size=(3, 5))
LABELS = RNG.integers(0, 3, size=80)


@pytest.mark.shared_arithmetic
@pytest.mark.parametrize(("n_classes", "C"), [(2, np.inf), (3, 1.0)])
@solvers
def test_far_start_ends_at_the_minimum(solver, bounds, C, n_classes, place, dtype):
    tol = 1e-7 if dtype == "float64" else 1e-4
    data = place(X), place(np.minimum(LABELS, n_classes - 1))
    model = xlr.LogisticRegression(C=C, solver=solver, tol=tol, **bounds)
    least = model.fit(*data).history_["objective"][-1]
    for scale in (100.0, 1e4):
        start = place(scale * COEF[: model.coef_.shape[0]])
        model.fit(*data, coef_init=start)
        assert model.converged_
        assert model.history_["objective"][-1] <= least * (1 + tol)


@solvers
def test_start_with_f_above_f_at_zero_is_replaced_by_the_null_model(solver, bounds):
    start, y = 0.3 * COEF[0], np.minimum(LABELS, 1)
    # Gradient descent keeps its start.
    descent = xlr.LogisticRegression(solver="gradient-descent", max_iter=1, tol=1.0)
    at_start = descent.fit(X, y, coef_init=start).history_["objective"][0]
    assert np.log(2) < at_start < np.log(3)
    model = xlr.LogisticRegression(solver=solver, **bounds)
    model.fit(X, y, coef_init=start)
    null_value = entropy(np.bincount(y) / len(y))
    assert model.history_["objective"][0] == pytest.approx(null_value)


def test_far_start_of_one_model_keeps_the_starts_of_others():
    model = xlr.LogisticRegression(multi_class="ovr", solver="newton-cholesky")
    start = model.fit(X, LABELS).coef_.copy()
    start[1] = 1e4
    model.fit(X, LABELS, coef_init=start)
    at_start = model.history_["objective"][0]
    share = np.mean(LABELS == 1)
    assert at_start[1] == pytest.approx(entropy([share, 1 - share]))
    assert (at_start[[0, 2]] < 0.69).all()  # below log(2)


@pytest.mark.parametrize(("seed", "scale"), [(0, 1e4), (2, 1e4), (3, 1000.0)])
@solvers
def test_fit_with_far_offsets_converges(solver, bounds, seed, scale):
    rng = np.random.default_rng(seed)
    offset = scale * rng.normal(size=80)
    model = xlr.LogisticRegression(solver=solver, tol=1e-8, **bounds)
    model.fit(rng.normal(size=(80, 5)), rng.integers(0, 2, size=80), offset=offset)
    assert model.converged_


@pytest.mark.parametrize("solver", [solver for solver, _ in SMOOTH])
def test_unpenalised_fit_with_far_offsets_is_stationary(solver):
    """Without curvature, conjugate gradients need the damping."""
    rng = np.random.default_rng(2)
    offset, features = 1e4 * rng.normal(size=60), rng.normal(size=(60, 4))
    y = rng.integers(0, 2, 60)
    model = xlr.LogisticRegression(C=np.inf, solver=solver, tol=1e-7, max_iter=400)
    model.fit(features, y, offset=offset)
    gradient = features.T @ (expit(model.decision_function(features, offset)) - y) / 60
    assert model.converged_
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@solvers
def test_softmax_fit_with_far_offsets_converges(solver, bounds):
    """The curvature vanishes at the start, but not after a step."""
    rng = np.random.default_rng(8)
    model = xlr.LogisticRegression(solver=solver, tol=1e-8, **bounds)
    offset = 4000 * rng.normal(size=(80, 3))
    model.fit(X[:, :2], LABELS, offset=offset)
    assert model.converged_
