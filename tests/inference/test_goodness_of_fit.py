"""Residuals, predictions and tests of the fit, against statsmodels and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy
from in_chunks import in_chunks
from optional import on_demand
from scipy import stats
from sklearn.metrics import confusion_matrix
from studies import anes96, fair, spector

import xlr

pd = on_demand("pandas")
sm = on_demand("statsmodels.api")

RESIDUALS = ["resid_response", "resid_pearson", "resid_deviance", "resid_working"]


def results_of(X, y, weights=None, offset=None, **parameters):
    parameters = {"C": np.inf, "tol": 1e-11} | parameters
    model = xlr.LogisticRegression(**parameters).fit(X, y, weights, offset=offset)
    return xlr.infer(model, X, y, weights, offset=offset, keep_data=True)


def fair_with_weights():
    """Return every sixth row of Fair's table, with counts and an offset."""
    X, y = fair()
    X, y = X[::6], y[::6]
    rng = np.random.default_rng(0)
    return X, y, rng.integers(1, 4, len(y)).astype(float), rng.normal(size=len(y))


def test_residuals_agree_with_glm():
    """``var_weights`` of GLM are R's prior weights."""
    X, y, weights, offset = fair_with_weights()
    results = results_of(X, y, weights, offset)
    model = sm.GLM(
        y, sm.add_constant(X), sm.families.Binomial(), offset, var_weights=weights
    )
    glm = model.fit(tol=1e-14)
    for name in (*RESIDUALS, "fittedvalues"):
        np.testing.assert_allclose(
            getattr(results, name), getattr(glm, name), rtol=1e-6
        )
    assert results.pearson_chi2 == pytest.approx(glm.pearson_chi2, rel=1e-8)
    np.testing.assert_allclose(
        results.predict(X[:50], offset[:50]), glm.fittedvalues[:50], rtol=1e-7
    )


def test_residuals_on_every_backend(place, dtype, assert_close):
    X, y, weights, _ = fair_with_weights()
    expected = results_of(X, y, weights)
    tol = 1e-10 if dtype == "float64" else 1e-5
    given = place(X), place(y, "int64"), place(weights)
    results = results_of(*given, tol=tol)
    rtol = 1e-6 if dtype == "float64" else 1e-2
    for name in (*RESIDUALS, "fittedvalues"):
        assert_close(getattr(results, name), getattr(expected, name), rtol=rtol)
    assert results.pearson_chi2 == pytest.approx(expected.pearson_chi2, rel=rtol)
    rounding = 1e-6 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(results.pred_table(), expected.pred_table(), rounding)
    assert_close(results.predict(place(X[:5])), expected.predict(X[:5]), rtol=rtol)


@pytest.mark.parametrize(("data", "kind"), [(fair, "Logit"), (anes96, "MNLogit")])
def test_predictions_agree_with_statsmodels(data, kind):
    X, y = data()
    results = results_of(X, y)
    fit = getattr(sm, kind)(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    np.testing.assert_array_equal(results.pred_table(), fit.pred_table())
    if kind == "Logit":
        np.testing.assert_array_equal(results.pred_table(0.3), fit.pred_table(0.3))
    expected = fit.predict()
    np.testing.assert_allclose(results.fittedvalues, expected, rtol=1e-6)
    np.testing.assert_allclose(results.predict(X), expected, rtol=1e-6)
    if kind == "MNLogit":
        observed = np.eye(7)[y]
        chi2 = ((observed - expected) ** 2 / expected).sum()
        assert results.pearson_chi2 == pytest.approx(chi2, rel=1e-7)


@pytest.mark.parametrize(
    "form", [np.asarray, lambda X: in_chunks(X, (361, 700))], ids=["dense", "chunks"]
)
def test_goodness_of_fit_with_counts_is_that_of_repeated_rows(form):
    X, y, counts, _ = fair_with_weights()
    many = np.repeat(np.arange(len(y)), counts.astype(int))
    counted = results_of(form(X), y, counts)
    repeated = results_of(X[many], y[many])
    np.testing.assert_allclose(counted.pred_table(), repeated.pred_table())
    for value in (
        lambda results: results.pearson_chi2,
        lambda results: results.pseudo_rsquared("tjur"),
        lambda results: results.hosmer_lemeshow(),
        lambda results: results.hosmer_lemeshow(7),
    ):
        np.testing.assert_allclose(value(counted), value(repeated), rtol=1e-6)


def test_tjurs_r_squared_is_a_difference_of_means():
    X, y = spector()
    p = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13).predict()
    found = results_of(X, y).pseudo_rsquared("tjur")
    assert found == pytest.approx(p[y == 1].mean() - p[y == 0].mean(), rel=1e-7)


@pytest.mark.parametrize("n_groups", [4, 10])
def test_hosmer_lemeshow_statistic_sums_over_quantile_groups(n_groups):
    X, y = fair()
    p = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13).predict()
    groups = pd.qcut(p, n_groups, labels=False)
    statistic = 0.0
    for g in range(n_groups):
        members = groups == g
        for observed, expected in (
            (y[members].sum(), p[members].sum()),
            ((1 - y[members]).sum(), (1 - p[members]).sum()),
        ):
            statistic += (observed - expected) ** 2 / expected
    found = results_of(X, y).hosmer_lemeshow(n_groups)
    assert found.statistic == pytest.approx(statistic, rel=1e-6)
    assert found.df == n_groups - 2
    assert found.pvalue == pytest.approx(stats.chi2.sf(statistic, n_groups - 2))


def test_hosmer_lemeshow_test_of_weighted_float32_rows_equals_that_of_repeated_rows():
    """A weight that is rounded would move the row at the edge of a group."""
    rng = np.random.default_rng(49)
    X = rng.normal(size=(151, 2)).astype(np.float32)
    y = (X[:, 0] + rng.logistic(size=151) > 0).astype(int)
    weights = rng.integers(0, 5, 151)
    model = xlr.LogisticRegression(C=np.inf).fit(X, y, weights)
    results = xlr.infer(model, X, y, weights, keep_data=True)
    repeated = np.repeat(X.astype(np.float64), weights, axis=0)
    expected = results_of(repeated, np.repeat(y, weights)).hosmer_lemeshow()
    found = results.hosmer_lemeshow()
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-4)


def test_hosmer_lemeshow_test_needs_three_groups():
    X = np.arange(40.0)[:, None] % 2
    y = (np.arange(40) % 3 == 0).astype(int)
    with pytest.raises(ValueError, match=r"needs three groups.*leave 1"):
        results_of(X, y).hosmer_lemeshow()
    with pytest.raises(ValueError, match="n_groups must be a whole number from 3 up"):
        results_of(*spector()).hosmer_lemeshow(2)


def test_hosmer_lemeshow_test_drops_empty_groups():
    """Two quantiles between the same two probabilities delimit an empty group."""
    X = np.asarray([5, 1, 0, 1, 2, 4, 2, 0, 2, 3, 4, 4, 5, 1, 5, 0, 3, 1, 1, 3.0])
    y = np.asarray([1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 1])
    results = results_of(X[:, None], y)
    p = np.asarray(results.fittedvalues)
    groups = pd.cut(p, np.quantile(p, np.linspace(0, 1, 6)), include_lowest=True)
    assert (groups.value_counts() == 0).sum() == 1
    frame = pd.DataFrame({"n": 1, "y": y, "p": p}).groupby(groups, observed=True).sum()
    parts = (frame.y - frame.p) ** 2 / (frame.p * (1 - frame.p / frame.n))
    test = results.hosmer_lemeshow(5)
    assert test.statistic == pytest.approx(parts.sum(), rel=1e-8)
    assert test.df == 2


def test_binary_measures_of_many_classes_are_refused():
    results = results_of(*anes96())
    for name in RESIDUALS:
        with pytest.raises(ValueError, match=f"{name} needs a fit to two classes"):
            getattr(results, name)
    for call in (
        results.hosmer_lemeshow,
        results.get_influence,
        lambda: results.pseudo_rsquared("tjur"),
    ):
        with pytest.raises(ValueError, match="needs a fit to two classes; these are 7"):
            call()
    with pytest.raises(ValueError, match="threshold must be between 0 and 1"):
        results.pred_table(1.5)


def test_rows_count_by_their_sample_weights_in_spite_of_class_weights():
    X, y = fair()
    weights = np.arange(len(y)) % 4
    model = xlr.LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-10)
    results = xlr.infer(
        model.fit(X, y, weights), X, y, weights, cov_type="HC0", keep_data=True
    )
    expected = confusion_matrix(y, model.predict(X), sample_weight=weights)
    np.testing.assert_allclose(results.pred_table(), expected, rtol=1e-9)
    p = model.predict_proba(X)[:, 1]
    pearson = np.sqrt(weights) * (y - p) / np.sqrt(p * (1 - p))
    np.testing.assert_allclose(results.resid_pearson, pearson, rtol=1e-5, atol=1e-6)
    # The leverages of the fit, with class weights, sum to the number of parameters.
    leverage = results.get_influence().hat_matrix_diag
    np.testing.assert_allclose(leverage.sum(), X.shape[1] + 1, rtol=1e-6)


def test_predictions_of_results_need_no_training_data():
    X, y = spector()
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    model = xlr.LogisticRegression(tol=1e-11).fit(table, y)
    results = xlr.infer(model, table, y)
    expected = model.predict_proba(table)[:, 1]
    np.testing.assert_allclose(results.predict(table), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="feature names"):
        results.predict(table[["b", "a", "c"]])
    lazy = results_of(X, y).predict(in_chunks(X, (20, 12)))
    assert to_numpy(lazy.compute()).shape == (32,)
