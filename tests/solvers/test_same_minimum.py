"""Minima of all solvers on random data, and F during their fits."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import xlr
from xlr.solvers import SOLVERS

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")

EPS = float(np.finfo(np.float64).eps)
SMOOTH = ["newton-cholesky", "newton-cg", "lbfgs"]
FIRST_ORDER = ["gradient-descent"]
NON_SMOOTH = ["newton-cg", "proximal-newton", "active-set"]


def test_all_solvers_are_compared():
    assert {*SMOOTH, *FIRST_ORDER, *NON_SMOOTH} == set(SOLVERS)


def problem(seed, n_samples, n_features, n_classes, sparse):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) * 10 ** rng.uniform(
        -0.5, 0.5, n_features
    )
    if sparse:
        X = np.where(rng.random(X.shape) < 0.5, 0.0, X)
    scores = X @ rng.normal(size=(n_features, n_classes)) / (X.std() or 1.0)
    y = np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)
    y[:n_classes] = np.arange(n_classes)
    weights = rng.uniform(0.1, 3, size=n_samples)
    return sp.csr_array(X) if sparse else X, y, weights


def fits(solvers, X, y, weights, **options):
    """Return the last F of each solver; check that F never rises."""
    last = {}
    for solver in solvers:
        model = xlr.LogisticRegression(
            solver=solver, tol=1e-8, max_iter=20_000, **options
        )
        model.fit(X, y, sample_weight=weights)
        losses = model.history_["objective"].reshape(len(model.history_["step"]), -1)
        # Allow for the rounding of a sum over the rows.
        rises = np.diff(losses, axis=0) / losses[:-1]
        assert rises.max(initial=0) <= 16 * EPS, solver
        last[solver] = losses[-1].sum()
    return last


problems = {
    "seed": st.integers(0, 2**32 - 1),
    "n_samples": st.integers(4, 60),
    "n_features": st.integers(1, 8),
    "n_classes": st.integers(2, 4),
    "sparse": st.booleans(),
    "fit_intercept": st.booleans(),
    "multi_class": st.sampled_from(["multinomial", "ovr"]),
}
some = hypothesis.settings(
    max_examples=20, deadline=None, derandomize=True, database=None
)


@some
@hypothesis.given(log_C=st.floats(-3, 4), **problems)
def test_solvers_reach_the_same_minimum_of_ridge(
    seed, n_samples, n_features, n_classes, sparse, log_C, **options
):
    data = problem(seed, n_samples, n_features, n_classes, sparse)
    # A fixed rate converges quickly if the penalty is similar to the curvature.
    solvers = SMOOTH + FIRST_ORDER * (-1 < log_C < 0)
    last = fits(solvers, *data, C=10**log_C, **options)
    assert max(last.values()) == pytest.approx(min(last.values()), rel=1e-10)


@some
@hypothesis.given(
    log_C=st.floats(-2, 3), l1_ratio=st.sampled_from([0.1, 0.5, 1.0]), **problems
)
def test_solvers_reach_the_same_minimum_of_elastic_net(
    seed, n_samples, n_features, n_classes, sparse, log_C, **options
):
    data = problem(seed, n_samples, n_features, n_classes, sparse)
    last = fits(NON_SMOOTH, *data, C=10**log_C, **options)
    assert max(last.values()) == pytest.approx(min(last.values()), rel=1e-10)
