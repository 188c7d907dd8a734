"""Estimates, standard errors and tests of fitted models, against statsmodels."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest
from conftest import to_numpy
from optional import on_demand
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from studies import anes96, fair, sex2, spector

import xlr

pd = on_demand("pandas")
sm = on_demand("statsmodels.api")

RTOL = 1e-8
# Attributes that results of xlr and of statsmodels share.
SHARED = [
    "params",
    "bse",
    "pvalues",
    "llf",
    "llnull",
    "llr",
    "llr_pvalue",
    "aic",
    "bic",
    "prsquared",
    "df_model",
    "df_resid",
]


def unpenalised(X, y, sample_weight=None, offset=None, **parameters):
    """Return an unpenalised fit."""
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11, **parameters)
    return model.fit(X, y, sample_weight, offset=offset)


def sex2_without_separation():
    """Return sex2 without the column of diaphragms, which implies a case."""
    X, y, counts = sex2()
    return X[:, :5], y, counts


def assert_same(ours, theirs, names=SHARED):
    for name in names:
        actual, expected = getattr(ours, name), np.asarray(getattr(theirs, name))
        # P-values below 1e-14 count as zero.
        atol = 1e-14 if "pvalue" in name else 0
        np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=atol, err_msg=name)


@pytest.mark.parametrize("data", [spector, fair])
def test_results_of_two_classes_agree_with_statsmodels(data):
    X, y = data()
    results = xlr.infer(unpenalised(X, y), X, y)
    reference = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    assert_same(results, reference)
    np.testing.assert_allclose(results.zvalues, reference.tvalues, rtol=RTOL)
    np.testing.assert_allclose(results.cov_params(), reference.cov_params(), rtol=RTOL)
    for alpha in (0.05, 0.32):
        expected = reference.conf_int(alpha)
        np.testing.assert_allclose(results.conf_int(alpha), expected, rtol=RTOL)
    assert results.nobs == len(y)


def test_results_of_many_classes_agree_with_statsmodels():
    X, y = anes96()
    results = xlr.infer(unpenalised(X, y), X, y)
    reference = sm.MNLogit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    assert_same(results, reference)
    np.testing.assert_allclose(
        results.cov_params(), reference.cov_params(), rtol=1e-7, atol=1e-12
    )
    expected = reference.conf_int()
    np.testing.assert_allclose(results.conf_int(), expected, rtol=1e-7)
    assert results.equations == [str(k) for k in range(1, 7)]


@pytest.mark.parametrize(("data", "kind"), [(fair, "Logit"), (anes96, "MNLogit")])
def test_estimates_of_a_default_fit_are_exact(data, kind):
    X, y = data()
    model = xlr.LogisticRegression(C=np.inf, tol=1e-4).fit(X, y)
    results = xlr.infer(model, X, y)
    reference = getattr(sm, kind)(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    error = (results.params - np.asarray(reference.params)) / results.bse
    assert np.abs(error).max() < 1e-8
    assert_same(results, reference, ["llf", "aic"])


def test_results_without_intercept_agree_with_statsmodels():
    X, y = spector()
    X = X - X.mean(axis=0)
    results = xlr.infer(unpenalised(X, y, fit_intercept=False), X, y)
    reference = sm.Logit(y, X).fit(disp=0, tol=1e-13)
    assert_same(results, reference, ["params", "bse", "pvalues", "llf", "aic", "bic"])
    assert results.names == ["x0", "x1", "x2"]
    # Without an intercept, the null model is empty.
    np.testing.assert_allclose(results.llnull, len(y) * np.log(0.5))
    assert round(results.df_model, 9) == 3


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_results_with_offset_and_frequencies_agree_with_glm(fit_intercept):
    X, y, counts = sex2_without_separation()
    offset = np.linspace(-1, 1, len(y))
    model = unpenalised(
        X, y, sample_weight=counts, offset=offset, fit_intercept=fit_intercept
    )
    results = xlr.infer(model, X, y, counts, offset=offset)
    exog = sm.add_constant(X) if fit_intercept else X
    binomial = sm.families.Binomial()
    reference = sm.GLM(y, exog, binomial, offset=offset, freq_weights=counts)
    reference = reference.fit(tol=1e-14)
    assert_same(results, reference, ["params", "bse", "pvalues", "llf", "aic"])
    assert results.nobs == 239
    if fit_intercept:
        np.testing.assert_allclose(results.llnull, reference.llnull, rtol=RTOL)


def test_results_with_counts_are_those_of_repeated_rows():
    X, y, counts = sex2_without_separation()
    many = np.repeat(np.arange(len(y)), counts.astype(int))
    for cov_type in ("nonrobust", "HC0", "HC1", "HC2", "HC3"):
        counted = xlr.infer(
            unpenalised(X, y, sample_weight=counts), X, y, counts, cov_type=cov_type
        )
        repeated = xlr.infer(
            unpenalised(X[many], y[many]), X[many], y[many], cov_type=cov_type
        )
        assert_same(counted, repeated, ["params", "bse", "llf", "llnull", "bic"])


def test_robust_covariances_agree_with_statsmodels():
    X, y = fair()
    model = unpenalised(X, y)
    n, k = len(y), X.shape[1] + 1
    logit = sm.Logit(y, sm.add_constant(X))
    reference = logit.fit(disp=0, tol=1e-13, cov_type="HC0")
    robust = xlr.infer(model, X, y, cov_type="HC0")
    assert_same(robust, reference, ["params", "bse", "pvalues", "llf"])
    # statsmodels has the factor of HC1 for linear models only.
    corrected = xlr.infer(model, X, y, cov_type="HC1")
    np.testing.assert_allclose(
        corrected.bse, np.asarray(reference.bse) * np.sqrt(n / (n - k)), rtol=RTOL
    )
    groups = np.random.default_rng(0).integers(0, 700, n)
    keywords = {"groups": groups}
    reference = logit.fit(disp=0, tol=1e-13, cov_type="cluster", cov_kwds=keywords)
    for labels in (groups, [f"county {g}" for g in groups]):
        clustered = xlr.infer(model, X, y, cov_type="cluster", groups=labels)
        assert_same(clustered, reference, ["bse", "pvalues"])


def test_robust_covariances_of_many_classes_agree_with_statsmodels():
    X, y = anes96()
    model = unpenalised(X, y)
    exog = sm.add_constant(X)
    logit = sm.MNLogit(y, exog)
    reference = logit.fit(disp=0, tol=1e-13, cov_type="HC0")
    robust = xlr.infer(model, X, y, cov_type="HC0")
    np.testing.assert_allclose(robust.bse, reference.bse, rtol=RTOL)
    groups = np.arange(len(y)) % 40
    clustered = xlr.infer(model, X, y, cov_type="cluster", groups=groups)
    keywords = {"groups": groups}
    reference = logit.fit(disp=0, tol=1e-13, cov_type="cluster", cov_kwds=keywords)
    # statsmodels' correction counts the parameters of one equation; xlr counts all.
    n, k_one, k_all = len(y), exog.shape[1], exog.shape[1] * 6
    factor = np.sqrt((n - k_one) / (n - k_all))
    ratio = clustered.bse / np.asarray(reference.bse)
    assert np.allclose(ratio, 1, rtol=RTOL) or np.allclose(ratio, factor, rtol=RTOL)


def test_results_agree_on_every_backend(place, dtype):
    X, y = spector()
    data, labels = place(X), place(y, "int64")
    tol = 1e-10 if dtype == "float64" else 1e-4
    model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(data, labels)
    for cov_type, options in (
        ("nonrobust", {}),
        ("HC0", {}),
        ("cluster", {"groups": np.arange(len(y)) % 8}),
    ):
        options = options | {"cov_type": cov_type, "keep_data": True}
        results = xlr.infer(model, data, labels, **options)
        groups = options.get("groups")
        keywords = {} if groups is None else {"cov_kwds": {"groups": groups}}
        logit = sm.Logit(y, sm.add_constant(X))
        reference = logit.fit(disp=0, tol=1e-13, cov_type=cov_type, **keywords)
        rtol = 1e-7 if dtype == "float64" else 5e-3
        for name in ("params", "bse", "llf", "llnull"):
            expected = np.asarray(getattr(reference, name))
            np.testing.assert_allclose(getattr(results, name), expected, rtol=rtol)
    effects = results.get_margeff().columns["dy/dx"]
    np.testing.assert_allclose(effects, reference.get_margeff().margeff, rtol=rtol)
    interval = results.predict_interval(data)
    expected = reference.get_prediction().summary_frame()
    np.testing.assert_allclose(
        to_numpy(interval.proba)[:, 1], expected["predicted"], rtol=20 * rtol
    )
    lower = to_numpy(interval.lower)[:, 1]
    np.testing.assert_allclose(lower, expected["ci_lower"], rtol=20 * rtol)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
def test_covariance_of_a_penalised_fit_is_a_sandwich(cov_type):
    X, y = fair()
    model = xlr.LogisticRegression(C=0.01, tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, cov_type=cov_type)
    Z = sm.add_constant(X)
    p = 1 / (1 + np.exp(-(X @ model.coef_[0] + model.intercept_[0])))
    information = Z.T @ (Z * (p * (1 - p))[:, None])
    penalty = np.diag([0.0, *np.full(X.shape[1], 1 / 0.01)])
    bread = np.linalg.inv(information + penalty)
    scores = Z * (y - p)[:, None]
    meat = information if cov_type == "nonrobust" else scores.T @ scores
    expected = bread @ meat @ bread
    np.testing.assert_allclose(results.cov_params(), expected, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(results.effective_df, np.trace(bread @ information))
    assert np.isnan(results.llr_pvalue)
    assert "penalised" in results.notes[0]
    assert "NA (penalised)" in str(results.summary())


def test_penalised_sandwich_is_the_infinitesimal_jackknife():
    """Sum outer products of the derivatives of the estimates in the weight of each row.

    The derivative in the weight of a row is (I + P)^-1 g (Efron 1982, the infinitesimal
    jackknife). The test takes it by differences.
    """
    X, y = anes96()
    X, y = X[::20, :3], np.minimum(y[::20], 2)
    C, step = 0.1, 1e-3

    def estimates(weights):
        model = xlr.LogisticRegression(C=C, tol=1e-12).fit(X, y, weights)
        coef = np.column_stack([model.intercept_, model.coef_])
        return model, (coef[1:] - coef[:1]).reshape(-1)

    derivatives = []
    for row in np.eye(len(y)):
        _, more = estimates(1 + step * row)
        _, less = estimates(1 - step * row)
        derivatives.append((more - less) / (2 * step))
    model, _ = estimates(None)
    results = xlr.infer(model, X, y, cov_type="HC0")
    expected = np.transpose(derivatives) @ derivatives
    np.testing.assert_allclose(results.cov_params(), expected, rtol=1e-4, atol=1e-9)


def test_errors_of_a_lasso_hold_its_zeros_fixed():
    X, y = fair()
    model = xlr.LogisticRegression(C=0.01, l1_ratio=1, tol=1e-11).fit(X, y)
    kept = model.coef_[0] != 0
    assert 0 < kept.sum() < kept.size
    results = xlr.infer(model, X, y)
    assert (np.isnan(results.bse) == [False, *~kept]).all()
    # An L1 penalty has no curvature: invert the information of the remaining columns.
    Z = sm.add_constant(X[:, kept])
    p = model.predict_proba(X)[:, 1]
    covariance = np.linalg.inv(Z.T @ (Z * (p * (1 - p))[:, None]))
    expected = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(results.bse[[True, *kept]], expected, rtol=1e-7)
    np.testing.assert_allclose(results.effective_df, kept.sum() + 1)
    estimates = np.append(model.intercept_, model.coef_)
    np.testing.assert_allclose(results.params, estimates, rtol=1e-6, atol=1e-12)
    assert "at zero under the L1 penalty" in " ".join(results.notes)


def test_errors_after_cross_validation_are_those_of_the_chosen_model():
    X, y = fair()
    search = xlr.LogisticRegressionCV(Cs=[0.01, 1], tol=1e-10).fit(X, y)
    single = xlr.LogisticRegression(C=search.C_, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(
        xlr.infer(search, X, y).bse, xlr.infer(single, X, y).bse, rtol=1e-6
    )


def test_summary_of_a_table_has_its_column_names():
    data = sm.datasets.spector.load_pandas()
    y = data.endog.astype(int)
    results = xlr.infer(unpenalised(data.exog, y), data.exog, y)
    assert results.names == ["intercept", "GPA", "TUCE", "PSI"]
    frame = results.summary().to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.index) == results.names
    assert list(frame.columns) == [
        "coef",
        "std err",
        "z",
        "P>|z|",
        "[0.025",
        "0.975]",
    ]
    text = str(results.summary())
    for part in ("GPA", "Log-likelihood", "-12.89", "0.001502", "McFadden"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_summary_of_many_classes_has_a_block_for_each_equation():
    X, y = anes96()
    summary = xlr.infer(unpenalised(X, y), X, y).summary()
    frame = summary.to_frame()
    assert frame.shape == (36, 6)
    assert frame.loc[("3", "x2"), "coef"] == frame["coef"].iloc[15]
    assert str(summary).count("coef ") == 6


def test_odds_ratios_are_exponentials_of_coefficients():
    X, y = spector()
    results = xlr.infer(unpenalised(X, y), X, y)
    frame = results.odds_ratios(0.1).to_frame()
    np.testing.assert_allclose(frame["odds ratio"], np.exp(results.params[1:]))
    np.testing.assert_allclose(frame["[0.05"], np.exp(results.conf_int(0.1)[1:, 0]))
    np.testing.assert_allclose(frame["0.95]"], np.exp(results.conf_int(0.1)[1:, 1]))


def test_class_weight_needs_a_robust_covariance():
    X, y = fair()
    model = unpenalised(X, y, class_weight={0: 1.0, 1: 3.0})
    with pytest.raises(ValueError, match="class_weight"):
        xlr.infer(model, X, y)
    results = xlr.infer(model, X, y, cov_type="HC0")
    weights = np.where(y == 1, 3.0, 1.0)
    Z, p = sm.add_constant(X), model.predict_proba(X)[:, 1]
    inverse = np.linalg.inv(Z.T @ (Z * (weights * p * (1 - p))[:, None]))
    scores = Z * (weights * (y - p))[:, None]
    expected = inverse @ scores.T @ scores @ inverse
    np.testing.assert_allclose(results.cov_params(), expected, rtol=1e-7)


def test_results_with_class_weight_have_no_likelihood():
    """Multiplied class weights give the same fit: they are not counts of rows."""
    X, y = fair()
    model = unpenalised(X, y, class_weight={0: 1.0, 1: 3.0})
    results = xlr.infer(model, X, y, cov_type="HC0", keep_data=True)
    for name in ("llf", "llnull", "llr_pvalue", "prsquared", "deviance", "aic", "bic"):
        assert np.isnan(getattr(results, name)), name
    assert np.isnan(results.pseudo_rsquared("nagelkerke"))
    assert "the weights of class_weight are not counts" in " ".join(results.notes)
    assert re.search("LR P-value +NA\n", str(results.summary()))
    for method in (
        results.profile_conf_int,
        results.hosmer_lemeshow,
        lambda: results.score_test(X[:, :1] ** 2),
    ):
        with pytest.raises(ValueError, match=r"counts of rows.*class_weight"):
            method()


@pytest.mark.parametrize(("n", "n_rare"), [(2000, 6), (50_000, 500), (50_000, 20_000)])
@pytest.mark.parametrize("seed", range(4))
def test_all_levels_in_a_sparse_matrix_are_aliased_as_in_a_dense_one(n, n_rare, seed):
    rng = np.random.default_rng(seed)
    level = rng.permutation(np.arange(n) < n_rare).astype(int)
    X, y = np.eye(2)[level], (np.arange(n) * 7 // 2) % 2
    model = xlr.LogisticRegression(C=np.inf)
    dense = xlr.infer(model.fit(X, y), X, y)
    sparse = xlr.infer(model.fit(csr_array(X), y), csr_array(X), y)
    np.testing.assert_array_equal(np.isnan(sparse.bse), [False, False, True])
    np.testing.assert_allclose(sparse.bse, dense.bse, rtol=1e-6)
    assert sparse.df_model == dense.df_model == 1


def test_aliased_columns_have_no_estimates_as_in_r():
    X, y = spector()
    doubled = np.column_stack([X, X[:, 0] + 2 * X[:, 1], np.ones(len(y))])
    results = xlr.infer(unpenalised(doubled, y), doubled, y)
    reference = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    assert (np.isnan(results.params) == [False] * 4 + [True] * 2).all()
    for name in ("params", "bse"):
        np.testing.assert_allclose(
            getattr(results, name)[:4], getattr(reference, name), rtol=1e-7
        )
    np.testing.assert_allclose(results.aic, reference.aic)
    assert results.notes[0] == "Collinear columns are left out: x3, x4."
    assert "NA" in str(results.summary())
    with pytest.raises(ValueError, match="determined: x3, x4"):
        xlr.infer(unpenalised(doubled, y), doubled, y, collinear="raise")


def test_infer_refuses_wrong_arguments():
    X, y = spector()
    model = unpenalised(X, y)
    lists = np.fromiter(([k] for k in y), dtype=object)
    cases = [
        ({"cov_type": "HC9"}, "cov_type must be one of"),
        ({"collinear": "drop"}, "collinear must be"),
        ({"cov_type": "cluster"}, "needs groups"),
        ({"groups": y}, "takes no groups"),
        ({"cov_type": "cluster", "groups": y[:3]}, "the cluster of"),
        ({"cov_type": "cluster", "groups": lists}, "name no group.* or strings"),
        ({"cov_type": "cluster", "groups": 0 * y}, "only one cluster"),
        ({"sample_weight": np.arange(1, len(y) + 1)}, "not the optimum on these rows"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            xlr.infer(model, X, y, **options)
    with pytest.raises(ValueError, match="not the optimum on these rows"):
        xlr.infer(model, X + 1e-3 * X**2, y)
    theirs = LogisticRegression(C=1e9).fit(X, y)
    theirs.coef_ = theirs.coef_ + 0.1
    with pytest.raises(ValueError, match=r"from_sklearn, call model\.fit\(X, y\)"):
        xlr.infer(xlr.LogisticRegression.from_sklearn(theirs), X, y)
    with pytest.raises(ValueError, match="classes"):
        xlr.infer(model, X, y + 1)
    with pytest.raises(TypeError, match="must be one of xlr"):
        xlr.infer(object(), X, y)
    several = xlr.LogisticRegression(multi_class="ovr").fit(*anes96())
    with pytest.raises(ValueError, match="several models"):
        xlr.infer(several, *anes96())


def test_infer_takes_less_than_a_quarter_of_the_memory_of_x():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 50))
    y = (X @ rng.normal(size=50) / 7 + rng.logistic(size=len(X)) > 0).astype(int)
    model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    tracemalloc.start()
    try:
        xlr.infer(model, X, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 4


def test_notes_say_that_a_fit_did_not_converge():
    X, y = spector()
    model = xlr.LogisticRegression(C=np.inf, max_iter=2)
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(X, y)
    results = xlr.infer(model, X, y)
    assert not results.converged
    assert "did not converge" in results.notes[-1]
