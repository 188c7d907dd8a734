"""Likelihood-ratio tests, tables of several fits, and refusal of separated classes."""

from __future__ import annotations

import numpy as np
import pytest
from in_chunks import in_chunks
from optional import on_demand
from scipy import stats
from scipy.sparse import csr_array
from studies import anes96, endometrial, fair, spector

import xlr

pd = on_demand("pandas")
sm = on_demand("statsmodels.api")


def in_thirds(X):
    return in_chunks(X, (30, 30, 19))


def results_of(X, y, cov_type="nonrobust", groups=None, **options):
    model = xlr.LogisticRegression(**{"C": np.inf, "tol": 1e-10} | options).fit(X, y)
    return xlr.infer(model, X, y, cov_type=cov_type, groups=groups)


@pytest.mark.parametrize(("data", "kind"), [(fair, "Logit"), (anes96, "MNLogit")])
def test_likelihood_ratio_test_agrees_with_statsmodels(data, kind):
    X, y = data()
    found = xlr.likelihood_ratio_test(results_of(X[:, :2], y), results_of(X, y))
    part, full = (
        getattr(sm, kind)(y, sm.add_constant(x)).fit(disp=0, tol=1e-13)
        for x in (X[:, :2], X)
    )
    statistic = 2 * (full.llf - part.llf)
    df = full.df_model - part.df_model
    np.testing.assert_allclose(found.statistic, statistic, rtol=1e-8)
    assert found.df == df
    np.testing.assert_allclose(found.pvalue, stats.chi2.sf(statistic, df), rtol=1e-6)


def test_likelihood_ratio_test_takes_weighted_rows_in_any_order():
    X, y = fair()
    weights = np.random.default_rng(0).uniform(size=len(y))
    order = np.argsort(weights)
    fits = []
    for rows, k in ((np.arange(len(y)), 2), (order, 3)):
        model = xlr.LogisticRegression(C=np.inf, tol=1e-10)
        data = X[rows, :k], y[rows], weights[rows]
        fits.append(xlr.infer(model.fit(*data), *data))
    assert xlr.likelihood_ratio_test(*fits).df == 1


def test_likelihood_ratio_test_refuses_fits_that_are_not_nested():
    X, y = spector()
    full, part = results_of(X, y), results_of(X[:, :1], y)
    weighted = results_of(X, y, class_weight="balanced", cov_type="HC0")
    firth = xlr.FirthLogisticRegression().fit(X, y)
    cases = [
        (full, part, "not nested.* full has 2 parameters against 4.*smaller"),
        (full, full, "not nested"),
        (results_of(X[1:, :1], y[1:]), full, "not nested"),
        (results_of(X[:, :1], y, C=1.0), full, "restricted fit is penalised"),
        (part, results_of(X, y, C=1.0), "full fit is penalised"),
        (part, weighted, "full fit has class weights.*without class_weight"),
        (part, xlr.infer(firth, X, y), "full fit has Firth's penalty.*Use wald_test"),
    ]
    for restricted, larger, message in cases:
        with pytest.raises(ValueError, match=message):
            xlr.likelihood_ratio_test(restricted, larger)


def test_likelihood_ratio_test_names_parameters_of_the_restricted_fit_only():
    X, y = spector()
    frame = pd.DataFrame(X, columns=["gpa", "tuce", "psi"])
    restricted, full = (
        results_of(frame[["tuce"]], y),
        results_of(frame[["gpa", "psi"]], y),
    )
    with pytest.warns(UserWarning, match="Only restricted has the parameter 'tuce'"):
        xlr.likelihood_ratio_test(restricted, full)


@pytest.mark.parametrize("cov_type", ["HC0", "cluster"])
def test_likelihood_ratio_test_warns_of_a_robust_covariance(cov_type):
    X, y = spector()
    groups = np.arange(len(y)) // 2 if cov_type == "cluster" else None
    full = results_of(X, y, cov_type, groups)
    with pytest.warns(UserWarning, match=f"ignores cov_type='{cov_type}'"):
        xlr.likelihood_ratio_test(results_of(X[:, :1], y), full)
    is_noted = "as independent, not as clusters" in " ".join(full.summary().notes)
    assert is_noted == (cov_type == "cluster")


def test_likelihood_ratio_test_refuses_estimators():
    X, y = spector()
    model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    with pytest.raises(TypeError, match="restricted must be the results"):
        xlr.likelihood_ratio_test(model, xlr.infer(model, X, y))


def test_summary_col_aligns_parameters():
    X, y = spector()
    full, part = (
        xlr.infer(xlr.LogisticRegression(C=np.inf).fit(x, y), x, y)
        for x in (X, X[:, :2])
    )
    frame = xlr.summary_col([part, full], ["part", "full"]).to_frame()
    assert frame.loc["x2", "part"] is None
    assert frame.loc["x1", "part"] == part.params[2]
    assert frame.loc["x2", "full se"] == full.bse[3]
    assert frame.loc["AIC", "full"] == full.aic
    for names in (["a"], ["a", "a"], ["a", "a se"]):
        with pytest.raises(ValueError, match="a different name for each of the 2"):
            xlr.summary_col([part, full], names)
    with pytest.raises(TypeError, match="results must be a list"):
        xlr.summary_col([part, "full"])


def test_summary_col_refuses_fits_with_other_references():
    X, y = spector()
    model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    fits = [xlr.infer(model, X, y, reference=k) for k in (0, 1)]
    with pytest.raises(ValueError, match=r"the references '0.*' and '1.*'"):
        xlr.summary_col(fits)


def test_summary_col_names_equations():
    X, y = anes96()
    results = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(X, y), X, y)
    table = xlr.summary_col([results])
    assert list(table.index[:7]) == [
        "1: intercept",
        *(f"1: x{j}" for j in range(5)),
        "2: intercept",
    ]


@pytest.mark.filterwarnings("ignore::xlr.SeparationWarning")
@pytest.mark.parametrize("form", [np.asarray, csr_array, in_thirds])
def test_inference_refuses_separated_classes(form):
    X, y = endometrial()
    X = form(X)
    model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    with pytest.raises(ValueError, match=r"no finite.*FirthLogisticRegression"):
        xlr.infer(model, X, y)


def test_intercept_and_a_feature_of_that_name_have_different_names():
    X, y = spector()
    table = pd.DataFrame(X, columns=["x", "intercept", "(intercept)"])
    results = results_of(table, y)
    expected = results_of(X, y)
    assert results.names == ["((intercept))", *table.columns]
    rows = xlr.summary_col([results]).columns["(1)"][:4]
    np.testing.assert_allclose(np.asarray(rows, float), expected.params)
    assert list(results.wald_test_terms().index) == results.names


def test_intercept_is_no_level_of_a_category_of_that_name():
    X, y = spector()
    table = pd.DataFrame({"x": X[:, 0], "intercept": np.where(X[:, 2] > 0, "b", "a")})
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10, categorical="auto")
    results = xlr.infer(model.fit(table, y), table, y)
    terms = results.wald_test_terms()
    assert list(terms.index) == ["(intercept)", "x", "intercept"]
    lines = [line.split()[0] for line in str(results.summary()).splitlines()]
    assert lines[lines.index("x") + 1] == "intercept[a]"
