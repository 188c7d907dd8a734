"""The reference class, with which equations compare the others."""

from __future__ import annotations

from operator import attrgetter, methodcaller

import numpy as np
import pytest
from optional import on_demand
from studies import anes96, spector

import xlr

pa, pd = on_demand("pyarrow"), on_demand("pandas")
sm = on_demand("statsmodels.api")

METHODS = "dydx", "eyex", "eydx", "dyex"  # the first and third take dummies


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
    assert (first.classes, second.classes) == (["fail", "pass"], ["pass", "fail"])
    assert second.class_totals.tolist() == first.class_totals[::-1].tolist()
    assert "fail against pass" in str(second.summary())
    with pytest.raises(
        ValueError, match=r"one of the classes, \['fail', 'pass'\]; got"
    ):
        xlr.infer(model, X, labels, reference="passed")


@pytest.mark.parametrize("soft", [False, True])
def test_results_belong_to_the_class_that_is_not_the_reference(soft):
    """The results equal those of a fit with the classes exchanged."""
    X, y = spector()
    labels, own = (y, 1 - y) if not soft else map(xlr.soft_labels, (y / 1, 1 - y))
    options = {"sample_weight": 1 + y, "offset": X[:, 1] / 9}
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, labels, **options)
    results = xlr.infer(model, X, labels, **options, reference=1, keep_data=True)
    options["offset"] = offset = -options["offset"]
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, own, **options)
    expected = xlr.infer(model, X, own, **options, keep_data=True)
    found = results.params[0] + X @ results.params[1:] + offset
    np.testing.assert_allclose(results.predict(X, offset), 1 / (1 + np.exp(-found)))

    names = "params", "fittedvalues", "resid_deviance", "resid_working"
    calls = [methodcaller("get_margeff", method=method) for method in METHODS]
    calls += [methodcaller("get_margeff", "mean", m, dummy=True) for m in METHODS[::2]]
    numbers = [
        *map(attrgetter, names),
        *(lambda fit, call=call: list(call(fit).columns.values()) for call in calls),
        methodcaller("predict_interval", X, offset),
        methodcaller("pred_table", 0.3),
        methodcaller("pseudo_rsquared", "tjur"),
        methodcaller("hosmer_lemeshow", 5),
        lambda fit: fit.get_influence().summary_frame(),
    ]
    for function in numbers:
        ours, theirs = map(function, (results, expected))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-10)
    assert "on P(0)" in results.get_margeff().title


def test_logit_adds_an_offset_to_the_log_odds_of_the_class_compared():
    X, y = spector()
    table = pd.DataFrame(X, columns=["gpa", "tuce", "psi"])
    table["outcome"] = pd.Categorical.from_codes(y, ["pass", "fail"])
    table["codes"], table["known"] = y, table.tuce / 9
    found, expected = (
        xlr.logit(f"{label} ~ gpa + psi", table, offset="known")
        for label in ("outcome", "codes")
    )
    np.testing.assert_allclose(found.params, expected.params)
    np.testing.assert_allclose(
        *(r.predict(table, table.known) for r in (found, expected))
    )
    for known in (table.known.tolist(), pa.array(table.known)):
        found = xlr.logit("outcome ~ gpa + psi", table, offset=known)
        np.testing.assert_allclose(found.params, expected.params)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_reference_of_a_categorical_y_is_its_first_level(kind):
    X, y = anes96()
    levels, labels = ["low", "mid", "high"], np.asarray(["low", "mid", "high"])[y // 3]
    if kind == "pandas":
        labels = pd.Series(pd.Categorical(labels, categories=levels, ordered=True))
    else:
        pl = on_demand("polars")
        labels = pl.Series(labels.tolist(), dtype=pl.Enum(levels))
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, labels)
    assert xlr.infer(model, X, labels).reference == "low"
    assert xlr.infer(model, X, labels, reference="mid").reference == "mid"
    assert xlr.infer(model, X, np.asarray(labels)).reference == "high"
