"""Tests of linear hypotheses, and measures of the fit."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from optional import on_demand
from sklearn.datasets import load_iris
from studies import anes96, spector

import xlr

pd = on_demand("pandas")
sm = on_demand("statsmodels.api")


def results_of(X, y, **options):
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    return xlr.infer(model, X, y, **options)


@pytest.mark.parametrize(("data", "kind"), [(spector, "Logit"), (anes96, "MNLogit")])
def test_linear_hypotheses_agree_with_statsmodels(data, kind):
    X, y = data()
    results = results_of(X, y)
    fit = getattr(sm, kind)(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    n_params = results.cov_params().shape[0]
    rng = np.random.default_rng(0)
    R, q = rng.integers(-2, 3, (3, n_params)).astype(float), rng.normal(size=3)
    params = np.asarray(fit.params).T.reshape(-1)
    covariance = R @ np.asarray(fit.cov_params()) @ R.T
    distance = R @ params - q
    table = results.t_test(R, q, alpha=0.1)
    z = distance / np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(table.columns["coef"], R @ params, rtol=1e-7)
    np.testing.assert_allclose(table.columns["z"], z, rtol=1e-7)
    found = results.wald_test(R, q)
    expected = distance @ np.linalg.solve(covariance, distance)
    np.testing.assert_allclose(found.statistic, expected, rtol=1e-7)
    assert found.df == 3
    if kind == "Logit":
        theirs = fit.t_test((R, q))
        np.testing.assert_allclose(table.columns["z"], theirs.tvalue, rtol=1e-7)
        interval = np.stack(list(table.columns.values())[-2:], axis=1)
        np.testing.assert_allclose(interval, theirs.conf_int(0.1), rtol=1e-7)
        theirs = fit.wald_test((R, q), scalar=True)
        np.testing.assert_allclose(found.statistic, theirs.statistic, rtol=1e-7)
        np.testing.assert_allclose(found.pvalue, theirs.pvalue, rtol=1e-6)


def test_linear_hypotheses_exclude_aliased_columns():
    X, y = spector()
    doubled = results_of(np.column_stack([X, X[:, 0]]), y)
    expected = results_of(X, y).wald_test([0, 1, -1, 0])
    np.testing.assert_allclose(doubled.wald_test([0, 1, -1, 0, 0]), expected, rtol=1e-6)
    assert np.isnan(doubled.t_test([0, 0, 0, 0, 1]).columns["z"]).all()
    with pytest.raises(ValueError, match="without a standard error"):
        doubled.wald_test([0, 0, 0, 0, 1])


def test_linear_hypotheses_refuse_wrong_arguments():
    results = results_of(*spector())
    cases = [
        ([1, 0], 0, r"shape \(2,\).*expected \(m, 4\)"),
        (np.eye(4), [0, 1], r"q_matrix \(2,\)"),
        ([0, np.nan, 0, 1], 0, "NaN or infinity"),
        ([[0, 1, 0, 0], [0, 2, 0, 0]], 0, "not independent"),
    ]
    for R, q, message in cases:
        with pytest.raises(ValueError, match=message):
            results.wald_test(R, q)


def test_deviances_and_pseudo_rsquared_agree_with_glm():
    X, y = spector()
    results = results_of(X, y)
    fit = sm.GLM(y, sm.add_constant(X), sm.families.Binomial()).fit(tol=1e-14)
    assert results.deviance == pytest.approx(fit.deviance, rel=1e-9)
    assert results.null_deviance == pytest.approx(fit.null_deviance, rel=1e-9)
    for kind in ("mcf", "cs"):
        expected = fit.pseudo_rsquared(kind)
        assert results.pseudo_rsquared(kind) == pytest.approx(expected, rel=1e-9)
    nagelkerke = results.pseudo_rsquared("cs") / (1 - np.exp(2 * fit.llnull / len(y)))
    assert results.pseudo_rsquared("nagelkerke") == pytest.approx(nagelkerke, rel=1e-9)
    with pytest.raises(ValueError, match="kind must be one of 'mcf'"):
        results.pseudo_rsquared("mcfadden")


def test_string_hypotheses_are_those_of_a_matrix():
    pytest.importorskip("formulaic")
    X, y = spector()
    results = results_of(pd.DataFrame(X, columns=["gpa", "tuce score", "psi"]), y)
    equations = "gpa = psi, 2*`tuce score` = 1"
    R, q = [[0, 1, 0, -1], [0, 0, 2, 0]], [0, 1]
    np.testing.assert_allclose(results.wald_test(equations), results.wald_test(R, q))
    assert str(results.t_test(equations)) == str(results.t_test(R, q))
    for wrong in ("gpa = age", "gpa * psi = 1", "gpa ="):
        with pytest.raises(ValueError, match="not linear equations of the parameters"):
            results.wald_test(wrong)
    with pytest.raises(ValueError, match="one sign ="):
        results.wald_test("gpa = psi = 0")
    with pytest.raises(ValueError, match=r"'x1 = 2'; got q_matrix=3"):
        results.wald_test("gpa", 3)


def test_string_hypotheses_have_signs_on_both_sides():
    pytest.importorskip("formulaic")
    X, y = spector()
    results = results_of(pd.DataFrame(X, columns=["gpa", "tuce, score", "psi"]), y)
    equations = "gpa = -1, -psi = -`tuce, score`, psi = +2 - gpa"
    R = [[0, 1, 0, 0], [0, 0, 1, -1], [0, 1, 0, 1]]
    expected = results.t_test(R, [-1, 0, 2])
    assert str(results.t_test(equations)) == str(expected)


def test_term_of_equal_coefficients_is_tested_once():
    X, y = load_iris(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = xlr.LogisticRegression(C=0.1, l1_ratio=1.0, tol=1e-10).fit(X, y)
    # Of x2, only the reference has a coefficient: both equations report minus it.
    np.testing.assert_array_equal(model.coef_[:, 2] != 0, [True, False, False])
    results = xlr.infer(model, X, y)
    terms, names = results.wald_test_terms(), results.parameter_names
    i, j = terms.index.index("x2"), next(k for k, n in enumerate(names) if "x2" in n)
    assert terms.columns["df constraint"][i] == 1
    z = results.params[j] / results.bse[j]
    np.testing.assert_allclose(terms.columns["chi2"][i], z**2, rtol=1e-9)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC1", "cluster"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [0.1, 1e4])
def test_term_of_a_penalised_category_equals_the_test_of_all_levels_but_one(
    C, n_classes, cov_type
):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"a": rng.normal(size=300), "g": rng.choice(list("bcde"), 300)}
    )
    y = (rng.integers(0, n_classes, 300) * (table["g"] != "b")).to_numpy()
    model = xlr.LogisticRegression(C=C, categorical="auto", tol=1e-9).fit(table, y)
    groups = np.arange(300) % 20 if cov_type == "cluster" else None
    results = xlr.infer(model, table, y, cov_type=cov_type, groups=groups)
    terms, names = results.wald_test_terms(), results.parameter_names
    # The penalty makes the sum of the levels zero.
    levels = np.asarray(["g[" in name for name in names])
    all_but_one = levels & np.asarray(["g[e]" not in name for name in names])
    expected = results.wald_test(np.eye(len(names))[all_but_one])
    i = terms.index.index("g")
    np.testing.assert_allclose(terms.columns["chi2"][i], expected.statistic, rtol=1e-6)
    assert terms.columns["df constraint"][i] == expected.df == 3 * (n_classes - 1)
    with pytest.raises(ValueError, match="not independent"):
        results.wald_test(np.eye(len(names))[levels])


def test_terms_are_the_columns_of_a_table_in_spite_of_brackets():
    smf = pytest.importorskip("statsmodels.formula.api")
    rng = np.random.default_rng(0)
    levels = np.asarray(["low [n.e.c.]", "high [top]", "mid"])
    table = pd.DataFrame(
        {
            "pay [gross]": rng.normal(size=300),
            "How? [price]": levels[rng.integers(3, size=300)],
            "How? [staff]": rng.choice(["u", "v"], 300),
        }
    )
    y = (rng.random(300) < 1 / (1 + np.exp(-table["pay [gross]"]))).astype(int)
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11, categorical="auto")
    results = xlr.infer(model.fit(table, y), table, y)
    found = results.wald_test_terms()
    assert list(found.index) == ["intercept", *table.columns]
    renamed = table.set_axis(["pay", "price", "staff"], axis=1).assign(y=y)
    fit = smf.logit("y ~ price + staff + pay", renamed).fit(disp=0, tol=1e-13)
    theirs = fit.wald_test_terms(scalar=True).table.loc[
        ["Intercept", "pay", "price", "staff"]
    ]
    np.testing.assert_allclose(
        found.columns["chi2"], theirs["statistic"].astype(float), rtol=1e-6
    )
    lines = [line.split("  ")[0] for line in str(results.summary()).splitlines()]
    at = lines.index("How? [price][high [top]]")
    assert lines[at + 1] == "How? [price][low [n.e.c.]]"


def test_string_hypotheses_need_formulaic(monkeypatch):
    for name in ("formulaic", "formulaic.utils.constraints"):
        monkeypatch.setitem(sys.modules, name, None)
    results = results_of(*spector())
    with pytest.raises(ImportError, match="need formulaic: pip install"):
        results.t_test("x0 = 0")


def test_string_hypotheses_span_equations():
    X, y = anes96()
    results = results_of(X, y)
    R = np.zeros((2, 36))
    R[0, [1, 7]], R[1, 35] = [1, -1], 1
    expected = results.wald_test(R)
    found = results.wald_test("`1: x0` = `2: x0`, `6: x4`")
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("data", "kind"), [(spector, "Logit"), (anes96, "MNLogit")])
def test_wald_test_terms_agree_with_statsmodels(data, kind):
    X, y = data()
    exog = sm.add_constant(
        pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    )
    results = results_of(X, y)
    fit = getattr(sm, kind)(y, exog).fit(disp=0, tol=1e-13)
    table = results.wald_test_terms(
        combine_terms=["x"],
        extra_constraints=[("two", np.eye(len(results.bse.T.ravel()))[1:3])],
    ).to_frame()
    params = np.asarray(fit.params).T.reshape(-1)
    covariance = np.asarray(fit.cov_params())
    positions = np.arange(params.size) % len(results.names)
    terms = {name: positions == i for i, name in enumerate(results.names)}
    terms |= {"x": positions > 0, "two": np.isin(np.arange(params.size), [1, 2])}
    for name, members in terms.items():
        b, V = params[members], covariance[np.ix_(members, members)]
        row = table.loc[name]
        assert row["chi2"] == pytest.approx(b @ np.linalg.solve(V, b), rel=1e-7)
        assert row["df constraint"] == members.sum()
    if kind == "Logit":
        theirs = fit.wald_test_terms(combine_terms=["x"]).table
        np.testing.assert_allclose(
            table["P>chi2"].iloc[:5], theirs["pvalue"].astype(float), rtol=1e-6
        )
    assert list(results.wald_test_terms(True, combine_terms=["x1"]).index) == ["x1"]
    with pytest.raises(ValueError, match="No parameter has 'z' in its name"):
        results.wald_test_terms(combine_terms=["z"])


def test_wald_test_terms_omit_aliased_parameters():
    X, y = spector()
    table = results_of(np.column_stack([X, X[:, 0]]), y).wald_test_terms(
        combine_terms=["x"]
    )
    assert np.isnan(table.columns["chi2"][4])
    assert table.columns["df constraint"].tolist() == [1, 1, 1, 1, 0, 3]


@pytest.mark.parametrize("has_category", [False, True])
def test_wald_test_terms_merge_levels_but_not_numbers(has_category):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(90, 2)), columns=["depth[in]", "depth[out]"])
    if has_category:
        table["race"] = np.asarray(["a", "b", "c"])[np.arange(90) % 3]
    y = rng.integers(0, 2, 90)
    model = xlr.LogisticRegression(C=np.inf, categorical="auto").fit(table, y)
    terms = xlr.infer(model, table, y).wald_test_terms().to_frame()["df constraint"]
    expected = {"intercept": 1, "depth[in]": 1, "depth[out]": 1}
    assert dict(terms) == expected | ({"race": 2} if has_category else {})


def test_repr_of_a_test_shows_plain_numbers():
    assert "np.float64" not in repr(results_of(*spector()).wald_test([0, 1, 0, 0]))
