"""Average marginal effects, against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand
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
