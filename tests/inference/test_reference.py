"""The reference class, with which equations compare the others."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand
from studies import anes96, spector

import xlr

sm = on_demand("statsmodels.api")


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_equations_against_a_reference_agree_with_mnlogit(cov_type):
    """statsmodels compares with the first class, so the test renumbers the classes."""
    X, y = anes96()
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, reference=3, cov_type=cov_type, keep_data=True)
    order = [3, 0, 1, 2, 4, 5, 6]
    again = np.argsort(order)[y]
    fit = sm.MNLogit(again, sm.add_constant(X))
    fit = fit.fit(disp=0, tol=1e-13, cov_type=cov_type)
    np.testing.assert_allclose(results.params, fit.params, rtol=1e-6)
    np.testing.assert_allclose(results.bse, fit.bse, rtol=1e-6)
    assert results.equations == ["0", "1", "2", "4", "5", "6"]
    assert results.reference == "3"
    assert "against 3" in str(results.summary())
    test = results.wald_test("`4: x0` = 0")
    z = fit.tvalues[1, 3]
    assert test.statistic == pytest.approx(z**2, rel=1e-6)
    # Statistics that do not compare classes do not change.
    plain = xlr.infer(model, X, y, cov_type=cov_type, keep_data=True)
    for method in ("get_margeff", "pred_table"):
        ours, theirs = (getattr(each, method)() for each in (results, plain))
        if method == "get_margeff":
            ours, theirs = (table.columns["std err"] for table in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    np.testing.assert_allclose(results.predict(X), plain.predict(X))


def test_second_class_as_reference_changes_the_signs():
    X, y = spector()
    labels = np.asarray(["fail", "pass"])[y]
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, labels)
    first, second = (
        xlr.infer(model, X, labels, reference=label) for label in ("fail", "pass")
    )
    np.testing.assert_allclose(second.params, -first.params)
    np.testing.assert_allclose(second.conf_int(), -first.conf_int()[:, ::-1])
    np.testing.assert_allclose(second.predict(X), first.predict(X))
    assert "first class against the second" in " ".join(second.notes)
    with pytest.raises(
        ValueError, match=r"one of the classes, \['fail', 'pass'\]; got"
    ):
        xlr.infer(model, X, labels, reference="passed")


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_reference_of_a_categorical_y_is_its_first_level(kind):
    X, y = anes96()
    levels, labels = ["low", "mid", "high"], np.asarray(["low", "mid", "high"])[y // 3]
    if kind == "pandas":
        pd = on_demand("pandas")
        labels = pd.Series(pd.Categorical(labels, categories=levels, ordered=True))
    else:
        pl = on_demand("polars")
        labels = pl.Series(labels.tolist(), dtype=pl.Enum(levels))
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, labels)
    assert xlr.infer(model, X, labels).reference == "low"
    assert xlr.infer(model, X, labels, reference="mid").reference == "mid"
    assert xlr.infer(model, X, np.asarray(labels)).reference == "high"
