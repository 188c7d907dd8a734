"""Marginal effects, against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from in_chunks import in_chunks
from optional import on_demand
from scipy.sparse import csr_array
from studies import anes96, fair, spector

import xlr

sm = on_demand("statsmodels.api")


@pytest.mark.parametrize("data", [spector, fair])
def test_effects_of_two_classes_as_statsmodels(data):
    X, y = data()
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    for cov_type in ("nonrobust", "HC0"):
        table = xlr.infer(model, X, y, cov_type=cov_type, keep_data=True).get_margeff(
            alpha=0.1
        )
        fit = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13, cov_type=cov_type)
        expected = fit.get_margeff()
        for name, values in (
            ("dy/dx", expected.margeff),
            ("std err", expected.margeff_se),
            ("z", expected.tvalues),
            ("P>|z|", expected.pvalues),
            ("[0.05", expected.conf_int(0.1)[:, 0]),
        ):
            np.testing.assert_allclose(
                table.columns[name], values, rtol=1e-8, atol=1e-14
            )


def test_effects_of_many_classes_as_statsmodels():
    X, y = anes96()
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    table = xlr.infer(model, X, y, keep_data=True).get_margeff()
    expected = sm.MNLogit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13).get_margeff()
    np.testing.assert_allclose(
        table.columns["dy/dx"], expected.margeff.T.reshape(-1), rtol=1e-7, atol=1e-12
    )
    np.testing.assert_allclose(
        table.columns["std err"], expected.margeff_se.T.reshape(-1), rtol=1e-7
    )
    assert table.to_frame().shape == (35, 6)
    # Probabilities sum to one.
    total = table.columns["dy/dx"].reshape(7, 5).sum(axis=0)
    np.testing.assert_allclose(total, 0, atol=1e-14)


def test_effects_with_counts_equal_those_of_repeated_rows():
    X, y = spector()
    counts = np.arange(len(y)) % 3 + 1
    many = np.repeat(np.arange(len(y)), counts)
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11)
    counted = xlr.infer(
        model.fit(X, y, counts), X, y, counts, keep_data=True
    ).get_margeff()
    repeated = xlr.infer(
        model.fit(X[many], y[many]), X[many], y[many], keep_data=True
    ).get_margeff()
    for name in ("dy/dx", "std err"):
        np.testing.assert_allclose(counted.columns[name], repeated.columns[name])


def test_effects_of_aliased_columns_are_refused():
    X, y = spector()
    X = np.column_stack([X, X[:, 0]])
    results = xlr.infer(
        xlr.LogisticRegression(C=np.inf).fit(X, y), X, y, keep_data=True
    )
    with pytest.raises(ValueError, match="x3 = x0"):
        results.get_margeff()


METHODS = ["dydx", "eyex", "dyex", "eydx"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("at", ["mean", "zero", "overall"])
def test_effects_at_rows_as_statsmodels(at, method):
    """At all rows, passed as an array, they are the overall effects."""
    for data, kind, rtol in ((spector, "Logit", 1e-7), (anes96, "MNLogit", 1e-6)):
        if kind == "MNLogit" and method.endswith("ex"):
            continue  # statsmodels raises
        X, y = data()
        model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
        results = xlr.infer(model, X, y, keep_data=True)
        table = results.get_margeff(X if at == "overall" else at, method)
        fit = getattr(sm, kind)(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
        expected = fit.get_margeff(at=at, method=method)
        effects, errors, *_ = table.columns.values()
        for ours, theirs in (
            (effects, expected.margeff),
            (errors, expected.margeff_se),
        ):
            np.testing.assert_allclose(ours, theirs.T.reshape(-1), rtol, atol=1e-12)


@pytest.mark.parametrize("method", ["dy", "ey"])
def test_effects_of_logarithms_of_features_are_scaled_by_the_row(method):
    X, y = anes96()
    results = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(X, y), X, y)
    row = X[[3]]
    plain, scaled = (results.get_margeff(row, method + of) for of in ("dx", "ex"))
    factor = np.tile(row[0], 7)
    for ours, theirs, f in zip(
        scaled.columns.values(), plain.columns.values(), (factor, np.abs(factor))
    ):
        np.testing.assert_allclose(ours, theirs * f, rtol=1e-10)


@pytest.mark.parametrize("form", [csr_array, lambda X: in_chunks(X, (12, 20))])
def test_effects_at_the_mean_of_sparse_rows_and_of_chunks(form):
    X, y = spector()
    counts = np.arange(len(y)) % 3 + 1.0
    found = []
    for rows in (X, form(X)):
        model = xlr.LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
        model.fit(rows, y, counts)
        results = xlr.infer(model, rows, y, counts, keep_data=True)
        found.append(results.get_margeff("mean", "eyex"))
    rows = np.average(X, axis=0, weights=counts)[None, :]
    found.append(results.get_margeff(rows, "eyex"))
    for table in found[1:]:
        for name, values in found[0].columns.items():
            np.testing.assert_allclose(table.columns[name], values, rtol=1e-6)


def test_effects_refuse_wrong_arguments():
    X, y = spector()
    results = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(X, y), X, y)
    with pytest.raises(ValueError, match="at must be 'overall', 'mean'"):
        results.get_margeff("all")
    with pytest.raises(ValueError, match="method must be one of"):
        results.get_margeff("mean", "dx")
    with pytest.raises(ValueError, match="at=X"):
        results.get_margeff(method="eyex")
    with pytest.raises(ValueError, match="features"):
        results.get_margeff(X[:, :2])
