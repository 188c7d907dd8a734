"""Log-likelihood of the null model, whose intercepts are fitted to an offset."""

from __future__ import annotations

import numpy as np
import pytest
from in_chunks import in_chunks
from scipy.optimize import brentq, minimize
from scipy.special import expit

import xlr


def log_likelihood(intercepts, y, offset):
    """Return the log-likelihood of intercepts: one for two classes, else one each."""
    logits = offset + intercepts
    if logits.shape[1] == 1:
        logits = np.column_stack([np.zeros(len(y)), logits])
    own = np.take_along_axis(logits, y[:, None], axis=1)
    return float(-np.log(np.exp(logits - own).sum(axis=1)).sum())


@pytest.mark.shared_arithmetic
@pytest.mark.parametrize(("C", "n_columns"), [(np.inf, 2), (1.0, 100)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_null_likelihood_ignores_collinear_columns(place, C, n_columns, n_classes):
    rng = np.random.default_rng(0)
    outputs = 1 if n_classes == 2 else n_classes
    X = rng.normal(size=(60, n_columns))
    X = np.column_stack([X, X[:, 0]])
    y, offset = rng.integers(0, n_classes, 60), rng.normal(size=(60, outputs))
    best = minimize(
        lambda b: -log_likelihood(b, y, offset), np.zeros(outputs), tol=1e-10
    )
    data, labels, added = place(X), place(y, "int64"), place(np.squeeze(offset))
    model = xlr.LogisticRegression(C=C).fit(data, labels, offset=added)
    results = xlr.infer(model, data, labels, offset=added)
    assert results.llnull == pytest.approx(-best.fun, rel=1e-6)


def null_log_likelihood(y, offset, weights):
    """Return the log-likelihood of the best intercept, by its score equation."""
    bracket = -offset.max() - 60, -offset.min() + 60
    best = brentq(lambda b: weights @ (y - expit(b + offset)), *bracket, xtol=1e-13)
    margin = np.where(y == 1, 1, -1) * (best + offset)
    return float(-weights @ np.logaddexp(0, -margin))


FAR_OFFSETS = {
    "30": np.full(200, 30.0),
    "-300": np.full(200, -300.0),
    "1e4": np.full(200, 1e4),
    "30 and noise": 30 + 5 * np.random.default_rng(0).normal(size=200),
    "wide": 50 * np.random.default_rng(0).normal(size=200),
    "some far": np.repeat([0.0, 0.0, 0.0, 80.0], 50),
}


@pytest.mark.parametrize("name", FAR_OFFSETS)
@pytest.mark.parametrize(
    "weigh", [np.ones_like, lambda x: 1e-3 + x**4], ids=["equal", "unequal"]
)
def test_null_likelihood_with_far_offsets_solves_the_score_equation(name, weigh):
    offset, rng = FAR_OFFSETS[name], np.random.default_rng(5)
    x = rng.normal(size=200)
    y = (x + rng.logistic(size=200) > 0).astype(int)
    weights, X = weigh(x), np.column_stack([x, rng.normal(size=200)])
    expected = null_log_likelihood(y, offset, weights)
    rows = X, y, weights, offset
    fits = [(np.inf, rows), (1.0, rows)]
    if name == "some far":
        fits.append((1.0, [in_chunks(values, (90, 110)) for values in rows]))
    for C, given in fits:
        features, labels, counts, added = given
        model = xlr.LogisticRegression(C=C)
        model.fit(features, labels, counts, offset=added)
        results = xlr.infer(model, features, labels, counts, offset=added)
        assert results.llnull == pytest.approx(expected, rel=1e-9)


def test_constant_offset_changes_no_likelihood():
    x = np.random.default_rng(5).normal(size=(200, 1))
    y = (x[:, 0] + np.random.default_rng(5).logistic(size=200) > 0).astype(int)
    offset = np.full(200, 30.0)
    for model in (xlr.LogisticRegression(C=np.inf), xlr.FirthLogisticRegression()):
        with_offset, plain = (
            xlr.infer(model.fit(x, y, offset=added), x, y, offset=added)
            for added in (offset, None)
        )
        assert with_offset.llnull == pytest.approx(plain.llnull, rel=1e-9)
        assert with_offset.llf == pytest.approx(plain.llf, rel=1e-9)


def test_null_likelihood_of_separated_classes_with_firths_penalty():
    """The penalty of k parameters adds k / 2 rows to each class of the null model."""
    rng, y = np.random.default_rng(0), np.repeat(np.arange(6), 20)
    Z = np.column_stack([np.ones(120), y + 0.3 * rng.normal(size=120)])
    model = xlr.FirthLogisticRegression().fit(Z[:, 1:], y)
    results = xlr.infer(model, Z[:, 1:], y, profile=False)
    shares = np.full(6, 1 / 6)
    penalty = 2 * np.log(shares).sum() + 5 * np.linalg.slogdet(Z.T @ Z)[1]
    expected = 20 * np.log(shares).sum() + penalty / 2
    assert results.llnull == pytest.approx(expected, rel=1e-9)


@pytest.mark.shared_arithmetic
@pytest.mark.parametrize("far", [[0.0, 30.0, -30.0], [100.0, 0.0, 0.0]])
def test_null_likelihood_of_many_classes_ignores_constant_offsets(place, dtype, far):
    """Constant offsets change only the intercepts."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 3 % 2 + (np.arange(60) > 50)
    data, labels = place(X), place(y, "int64")
    offset = place(np.tile(far, (60, 1)))
    tol = 1e-6 if dtype == "float64" else 1e-4
    model = xlr.LogisticRegression(tol=tol).fit(data, labels, offset=offset)
    results = xlr.infer(model, data, labels, offset=offset)
    counts = np.bincount(y)
    expected = counts @ np.log(counts / 60)
    assert results.llnull == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_model_of_constant_columns_has_no_degrees_of_freedom(seed):
    y = np.random.default_rng(seed).integers(0, 2, 23)
    X = np.full((23, 1), 3.0)
    results = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(X, y), X, y)
    assert results.df_model == 0
    assert np.isnan(results.llr_pvalue)  # as in statsmodels
