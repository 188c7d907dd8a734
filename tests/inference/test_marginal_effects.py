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
def test_effects_of_two_classes_agree_with_statsmodels(data):
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


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_effects_average_over_rows_without_class_weights(dtype):
    X, y = fair()
    X, weights = X.astype(dtype), np.arange(len(y)) % 3
    model = xlr.LogisticRegression(C=np.inf, class_weight="balanced")
    model.fit(X, y, weights)
    results = xlr.infer(model, X, y, weights, cov_type="HC0", keep_data=True)
    p = model.predict_proba(X.astype(np.float64))[:, 1]
    slope = np.average(p * (1 - p), weights=weights)
    found = results.get_margeff().columns["dy/dx"]
    np.testing.assert_allclose(found, slope * model.coef_[0], rtol=1e-4)
    means = np.average(X, axis=0, weights=weights)[None, :].astype(dtype)
    at_mean, expected = (
        results.get_margeff(at).columns["dy/dx"] for at in ("mean", means)
    )
    np.testing.assert_allclose(at_mean, expected, rtol=1e-5)


def test_effects_of_many_classes_agree_with_statsmodels():
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


def test_effects_with_counts_are_those_of_repeated_rows():
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
    with pytest.raises(ValueError, match="again: x3"):
        results.get_margeff()


@pytest.mark.parametrize("method", ["dydx", "eyex", "dyex", "eydx"])
@pytest.mark.parametrize("at", ["mean", "zero", "overall", "rows"])
def test_effects_at_rows_agree_with_statsmodels(at, method):
    """Effects at all rows, passed as an array, are the overall effects."""
    for data, kind, rtol in ((spector, "Logit", 1e-7), (anes96, "MNLogit", 1e-6)):
        if kind == "MNLogit" and method.endswith("ex"):
            continue  # statsmodels raises
        X, y = data()
        model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
        results = xlr.infer(model, X, y, keep_data=True)
        table = results.get_margeff(X if at == "rows" else at, method)
        fit = getattr(sm, kind)(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
        expected = fit.get_margeff("overall" if at == "rows" else at, method)
        effects, errors, *_ = table.columns.values()
        for ours, theirs in (
            (effects, expected.margeff),
            (errors, expected.margeff_se),
        ):
            np.testing.assert_allclose(ours, theirs.T.reshape(-1), rtol, atol=1e-12)


@pytest.mark.parametrize("outcome", ["dy", "ey"])
def test_effects_of_log_features_are_effects_times_the_features(outcome):
    X, y = anes96()
    results = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(X, y), X, y)
    row = X[[3]]
    plain, scaled = (
        results.get_margeff(row, outcome + feature) for feature in ("dx", "ex")
    )
    factor = np.tile(row[0], 7)
    for ours, theirs, f in zip(
        scaled.columns.values(), plain.columns.values(), (factor, np.abs(factor))
    ):
        np.testing.assert_allclose(ours, theirs * f, rtol=1e-10)


@pytest.mark.parametrize(
    "form", [csr_array, lambda X: in_chunks(X, (12, 20))], ids=["sparse", "chunks"]
)
def test_effects_at_the_mean_are_the_same_for_sparse_rows_and_chunks(form):
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


def fair_with_dummy():
    """Return every sixth row of Fair's table, with a dummy column."""
    X, y = fair()
    X, y = X[::6].copy(), y[::6]
    X[:, 0] = X[:, 0] > 3
    return X, y


@pytest.mark.parametrize("method", ["dydx", "eydx"])
@pytest.mark.parametrize("at", ["overall", "mean"])
def test_effects_of_dummies_agree_with_statsmodels(at, method):
    X, y = fair_with_dummy()
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    effects, errors, *_ = results.get_margeff(at, method, dummy=True).columns.values()
    fit = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    expected = fit.get_margeff(at, method, dummy=True)
    np.testing.assert_allclose(effects, expected.margeff, rtol=1e-7)
    np.testing.assert_allclose(errors, expected.margeff_se, rtol=1e-7)


def test_effects_of_spectors_dummy_agree_with_stata():
    """Stata: logit grade gpa tuce i.psi; margins, dydx(*) atmeans."""
    X, y = spector()
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    effect, error, *_ = results.get_margeff("mean", dummy=True).columns.values()
    assert effect[2] == pytest.approx(0.4564984, abs=5e-8)
    assert error[2] == pytest.approx(0.1810537, abs=5e-8)


@pytest.mark.parametrize("takes_log", [False, True])
def test_effects_of_dummies_on_many_classes_agree_with_differences(takes_log):
    """The delta method of the oracle takes differences of the softmax."""
    X, y = anes96()
    X = np.column_stack([X, X[:, 1] > 3])
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    X[:, 0] = 1.0
    method = "eydx" if takes_log else "dydx"
    table = results.get_margeff(X, method, dummy=True)

    def mean_outcome(params, rows):
        eta = params.reshape(6, -1) @ np.insert(rows, 0, 1, axis=1).T
        eta = np.insert(eta.T, 0, 0, axis=1)
        log_p = eta - np.logaddexp.reduce(eta, axis=1)[:, None]
        return (log_p if takes_log else np.exp(log_p)).mean(axis=0)

    def effect(params):
        low, high = X.copy(), X.copy()
        low[:, 5], high[:, 5] = 0, 1
        return mean_outcome(params, high) - mean_outcome(params, low)

    at = results.params.T.reshape(-1)
    steps = 1e-5 * np.eye(at.size)
    found, errors = (
        np.reshape(table.columns[name], (7, 6))
        for name in (next(iter(table.columns)), "std err")
    )
    np.testing.assert_allclose(found[:, 5], effect(at), rtol=1e-7)
    jacobian = np.stack([(effect(at + s) - effect(at - s)) / 2e-5 for s in steps])
    variance = np.einsum("ak,ab,bk->k", jacobian, results.cov_params(), jacobian)
    np.testing.assert_allclose(errors[:, 5], np.sqrt(variance), rtol=1e-6)


def test_effects_agree_on_every_backend(place, dtype):
    X, y = fair_with_dummy()
    weights = np.arange(len(y)) % 3 + 1.0
    tol = 1e-9 if dtype == "float64" else 1e-5
    found = []
    for rows, labels, s in (
        (X, y, weights),
        (place(X), place(y, "int64"), place(weights)),
    ):
        model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(rows, labels, s)
        results = xlr.infer(model, rows, labels, s, keep_data=True)
        found.append(
            [results.get_margeff(at, dummy=True) for at in ("overall", "mean")]
        )
    for expected, table in zip(*found):
        for name in ("dy/dx", "std err"):
            rtol = 1e-6 if dtype == "float64" else 2e-3
            np.testing.assert_allclose(
                table.columns[name], expected.columns[name], rtol, atol=1e-6
            )


def test_effects_after_a_fit_in_threads_are_those_of_one_thread():
    """``infer`` ends its thread pool, so that the effects are computed without it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 4)).round()
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    one, two = (
        xlr.infer(model.fit(X, y), X, y, keep_data=True)
        for model in (xlr.LogisticRegression(n_jobs=n) for n in (1, 2))
    )
    for options in ({"at": "mean"}, {"dummy": True}):
        expected, found = (each.get_margeff(**options) for each in (one, two))
        for name, values in expected.columns.items():
            np.testing.assert_allclose(found.columns[name], values, rtol=1e-6)


@pytest.mark.parametrize("dummy", [False, True])
def test_effects_of_a_lasso_have_no_errors_at_zero(dummy):
    X, y = fair()
    model = xlr.LogisticRegression(C=0.01, l1_ratio=1).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    columns = results.get_margeff(dummy=dummy).columns
    for name in ("std err", "P>|z|", "[0.025", "0.975]"):
        np.testing.assert_array_equal(np.isnan(columns[name]), model.coef_[0] == 0)


def test_effects_refuse_wrong_arguments():
    X, y = spector()
    results = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(X, y), X, y)
    with pytest.raises(ValueError, match="at must be one of 'overall', 'mean'"):
        results.get_margeff("an array")
    with pytest.raises(ValueError, match="method must be one of"):
        results.get_margeff("mean", "dx")
    with pytest.raises(ValueError, match="method must be 'dydx' or 'eydx'"):
        results.get_margeff(X, "eyex", dummy=True)
    with pytest.raises(ValueError, match=r"dummy=True\) needs the training data"):
        results.get_margeff(X, dummy=True)
    with pytest.raises(ValueError, match="at contains NaN"):
        results.get_margeff(np.full_like(X, np.nan))
    with pytest.raises(ValueError, match="features"):
        results.get_margeff(X[:, :2])
