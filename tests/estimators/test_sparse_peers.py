"""Elastic-net fits and paths against glum and skglm, on real data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from problems import load

import xlr


def two_classes(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised columns without constant ones, and labels 0 and 1."""
    X, y = load(name, True)
    X = X[:, X.std(axis=0) > 0]
    return X, (y if name == "breast_cancer" else y > y.mean()).astype(int)


def by_glum(X, y, C, l1_ratio):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from its dependencies
        from glum import GeneralizedLinearRegressor

        model = GeneralizedLinearRegressor(
            family="binomial",
            alpha=1 / (C * len(y)),
            l1_ratio=l1_ratio,
            gradient_tol=1e-11,
            max_iter=5_000,
        )
        return model.fit(X, y.astype(X.dtype))


def by_skglm(X, y, C, l1_ratio):
    pytest.importorskip("skglm")
    assert l1_ratio == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skglm import SparseLogisticRegression

        model = SparseLogisticRegression(
            alpha=1 / (C * len(y)), tol=1e-11, max_iter=1_000, max_epochs=100_000
        )
        return model.fit(X, y)


def elastic_net_objective(coef, intercept, X, y, C, l1_ratio) -> float:
    """Return F, by NumPy."""
    logits = X @ np.ravel(coef) + float(np.ravel(intercept)[0])
    penalty = l1_ratio * np.abs(coef) + (1 - l1_ratio) / 2 * np.square(coef)
    return float(
        np.logaddexp(0, (1 - 2 * y) * logits).mean() + penalty.sum() / C / len(y)
    )


@pytest.mark.parametrize("name", ["breast_cancer", "digits"])
@pytest.mark.parametrize("C", [0.02, 0.5])
@pytest.mark.parametrize(
    ("peer", "l1_ratio"), [(by_glum, 1.0), (by_glum, 0.5), (by_skglm, 1.0)]
)
def test_elastic_net_agrees_with_glum_and_skglm(name, C, peer, l1_ratio):
    X, y = two_classes(name)
    theirs = peer(X, y, C, l1_ratio)
    for solver in ("auto", "active-set"):
        ours = xlr.LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-10, solver=solver)
        ours.fit(X, y)
        found = elastic_net_objective(ours.coef_, ours.intercept_, X, y, C, l1_ratio)
        expected = elastic_net_objective(
            theirs.coef_, theirs.intercept_, X, y, C, l1_ratio
        )
        assert found <= expected * (1 + 1e-12)
        assert expected <= found * (1 + 1e-9)
        coef = np.ravel(theirs.coef_)
        assert (coef == 0).any()
        np.testing.assert_array_equal(ours.coef_[0] != 0, coef != 0)
        np.testing.assert_allclose(ours.coef_[0], coef, atol=1e-5)


def test_path_agrees_with_glum():
    X, y = two_classes("breast_cancer")
    path = xlr.logistic_path(X, y, n_Cs=15, tol=1e-10)
    for C, coef, intercept in zip(path.Cs[1:], path.coefs[1:], path.intercepts[1:]):
        theirs = by_glum(X, y, C, 1.0)
        found = elastic_net_objective(coef, intercept, X, y, C, 1.0)
        expected = elastic_net_objective(theirs.coef_, theirs.intercept_, X, y, C, 1.0)
        assert found <= expected * (1 + 1e-12)
        np.testing.assert_allclose(coef[0], theirs.coef_, atol=1e-4)
