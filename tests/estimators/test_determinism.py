"""Repeated fits have the same bits, in every process."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from conftest import to_numpy

import xlr

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5000, 8))
Y = (X[:, 0] + RNG.logistic(size=5000) > 0).astype(int)
THREE = Y + (X[:, 1] > 1)  # labels of three classes
SOLVERS = ["newton-cholesky", "newton-cg", "lbfgs"]


def bits(model):
    """Return a hash of the coefficients and intercepts."""
    parts = [to_numpy(model.coef_), to_numpy(model.intercept_)]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_repeated_fits_have_the_same_bits(solver, n_jobs):
    model = xlr.LogisticRegression(solver=solver, n_jobs=n_jobs)
    assert len({bits(model.fit(X, THREE)) for _ in range(3)}) == 1


@pytest.mark.shared_arithmetic
def test_repeated_fits_of_every_library_have_the_same_bits(backend, sum_dtype):
    data = backend.xp.asarray(X[:500].astype(sum_dtype), device=backend.device)
    model = xlr.LogisticRegression()
    assert len({bits(model.fit(data, THREE[:500])) for _ in range(2)}) == 1


def test_number_of_threads_changes_only_rounding():
    one, two = (xlr.LogisticRegression(n_jobs=n, tol=1e-10).fit(X, Y) for n in (1, 2))
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-8)
    objectives = one.history_["objective"][-1], two.history_["objective"][-1]
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-13)


def test_random_state_determines_the_sample_of_a_fit():
    rows = np.random.default_rng(1).normal(size=(60_000, 20))
    y = (rows[:, 0] > np.random.default_rng(2).logistic(size=60_000)).astype(int)
    fits = [
        bits(xlr.LogisticRegression(random_state=seed).fit(rows, y))
        for seed in (None, None, 7, 7)
    ]
    assert fits[0] == fits[1]
    assert fits[2] == fits[3]


def test_random_state_determines_resamples_and_folds():
    def resampled():
        model = xlr.LogisticRegression()
        return xlr.bootstrap(model, X, Y, n_resamples=20, random_state=3).coef.tobytes()

    assert resampled() == resampled()
    scores = [xlr.LogisticRegressionCV(Cs=3).fit(X, Y).scores_ for _ in range(2)]
    assert scores[0].tobytes() == scores[1].tobytes()
