"""What fits cost: a solver that still ends at the minimum may have become slow.

Passes over the rows are counted, in calls for gradients, products with the Hessian and
Hessians.  The bounds are a tenth above what fits took when this was written.
"""

from __future__ import annotations

import numpy as np
import pytest
from problems import load, tightest_sklearn

import xlr
from xlr.objective import Objective

COUNTED = ("value_and_gradient", "hessian_product", "hessian")


def counting(name, counts):
    method = getattr(Objective, name)

    def counted(self, *args, **kwargs):
        counts[name] += 1
        return method(self, *args, **kwargs)

    return counted


@pytest.fixture
def effort(monkeypatch):
    """Counts of the passes since the test began."""
    counts = dict.fromkeys(COUNTED, 0)
    for name in COUNTED:
        monkeypatch.setattr(Objective, name, counting(name, counts))
    return counts


def many_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 6)) * [1, 2, 3, 4, 5, 6] + 1
    scores = X @ rng.normal(size=(6, 3)) / 4
    return X, np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)


def many_features():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 600)) + rng.normal(size=(100, 1))
    return X, (X[:, :5].sum(axis=1) + rng.logistic(size=100) > 2).astype(int)


DATA = {
    "many rows": many_rows,
    "many features": many_features,
    **{name: lambda name=name: load(name, False) for name in ("breast_cancer", "wine")},
    "digits": lambda: load("digits", True),
}

FITS = {
    "cholesky": ("breast_cancer", {"solver": "newton-cholesky"}),
    "cholesky, weak penalty": ("wine", {"solver": "newton-cholesky", "C": 1e4}),
    "cholesky, ovr": ("wine", {"solver": "newton-cholesky", "multi_class": "ovr"}),
    "cholesky, many rows": ("many rows", {"solver": "newton-cholesky"}),
    "cg": ("wine", {"solver": "newton-cg"}),
    "cg, weak penalty": ("breast_cancer", {"solver": "newton-cg", "C": 1e4}),
    "cg, many classes": ("digits", {"solver": "newton-cg"}),
    "cg, many rows": ("many rows", {"solver": "newton-cg"}),
    "cg, many features": ("many features", {"solver": "newton-cg"}),
    "cg, lasso": ("wine", {"solver": "newton-cg", "l1_ratio": 1.0}),
    "lbfgs": ("breast_cancer", {"solver": "lbfgs"}),
    "lbfgs, weak penalty": ("wine", {"solver": "lbfgs", "C": 100.0}),
    "lbfgs, many classes": ("digits", {"solver": "lbfgs"}),
    "proximal": ("breast_cancer", {"solver": "proximal-newton", "l1_ratio": 1.0}),
    "proximal, ovr": (
        "wine",
        {"solver": "proximal-newton", "l1_ratio": 0.5, "multi_class": "ovr"},
    ),
    "proximal, many rows": (
        "many rows",
        {"solver": "proximal-newton", "l1_ratio": 1.0},
    ),
    "active set": ("many features", {"solver": "active-set", "l1_ratio": 1.0}),
    "active set, weak penalty": (
        "many features",
        {"solver": "active-set", "l1_ratio": 0.9, "C": 100.0},
    ),
}

# Gradients, products with the Hessian, Hessians.
TOOK = {
    "cholesky": (10, 0, 8),
    "cholesky, weak penalty": (19, 0, 16),
    "cholesky, ovr": (10, 0, 7),
    "cholesky, many rows": (13, 0, 4),
    "cg": (10, 27, 0),
    "cg, weak penalty": (12, 35, 0),
    "cg, many classes": (9, 51, 0),
    "cg, many rows": (12, 20, 0),
    "cg, many features": (12, 58, 0),
    "cg, lasso": (46, 479, 0),
    "lbfgs": (92, 0, 0),
    "lbfgs, weak penalty": (106, 0, 0),
    "lbfgs, many classes": (114, 0, 0),
    "proximal": (10, 0, 8),
    "proximal, ovr": (10, 0, 8),
    "proximal, many rows": (10, 0, 6),
    "active set": (20, 0, 12),
    "active set, weak penalty": (41, 0, 26),
    "path": (154, 0, 10),
}


@pytest.mark.parametrize("fit", list(FITS))
def test_a_fit_costs_no_more_than_it_did(fit, effort, monkeypatch):
    name, options = FITS[fit]
    if name == "many rows":  # so that they are begun on samples, as a million would be
        monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**14)
    model = xlr.LogisticRegression(**options).fit(*DATA[name]())
    assert model.converged_
    assert_no_more(effort, TOOK[fit])


def test_a_path_costs_no_more_than_it_did(effort):
    path = xlr.logistic_path(*many_features(), n_Cs=20)
    assert_no_more(effort, TOOK["path"])
    # and says how long it took, model by model
    assert (path.seconds > 0).all()
    assert path.seconds.sum() < 60


def test_damped_steps_leave_nothing_to_take_back():
    """Nearly separable classes, where the first steps are damped."""
    X, y = load("digits", False)
    model = xlr.LogisticRegression(C=1e4, solver="newton-cholesky").fit(X, y)
    theirs = tightest_sklearn("digits", False, 1e4)
    assert model.n_iter_[0] < 4 * theirs.n_iter_[0]


def assert_no_more(effort, took):
    for name, bound in zip(COUNTED, took):
        assert effort[name] <= bound + max(1, bound // 10), effort


def test_many_classes_are_learnt_in_fewer_passes(effort):
    """Gradients alone, against gradients and products; on samples, too."""
    passes = {}
    rng = np.random.default_rng(0)
    centres, y = rng.normal(size=(40, 64)) / 2, rng.integers(0, 40, size=8000)
    X = centres[y] + rng.normal(size=(8000, 64)) * np.arange(1, 65) ** -0.5
    for solver in ("auto", "newton-cg"):
        before = sum(effort.values())
        model = xlr.LogisticRegression(solver=solver).fit(X, y)
        passes[solver] = sum(effort.values()) - before
        assert model.converged_
    assert passes["auto"] < passes["newton-cg"] / 2
