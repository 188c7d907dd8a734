"""Influence and probability intervals of single rows, against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand
from scipy.special import expit, logit
from scipy.stats import norm
from studies import anes96, fair, spector

import xlr

sm = on_demand("statsmodels.api")

UNPENALISED = {"C": np.inf, "tol": 1e-11}


@pytest.mark.parametrize("data", [spector, fair])
def test_influence_as_glm(data):
    X, y = data()
    results = xlr.infer(xlr.LogisticRegression(**UNPENALISED).fit(X, y), X, y)
    found = results.get_influence()
    model = sm.GLM(y, sm.add_constant(X), sm.families.Binomial()).fit(tol=1e-14)
    expected = model.get_influence()
    np.testing.assert_allclose(found.hat_matrix_diag, expected.hat_matrix_diag)
    np.testing.assert_allclose(found.resid_pearson, model.resid_pearson)
    np.testing.assert_allclose(found.resid_studentized, expected.resid_studentized)
    np.testing.assert_allclose(found.cooks_distance, expected.cooks_distance[0])


def test_influence_on_every_backend(place, dtype, assert_close):
    X, y = spector()
    at, labels = place(X), place(y, "int64")
    tol = 1e-9 if dtype == "float64" else 1e-4
    model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(at, labels)
    found = xlr.infer(model, at, labels).get_influence()
    reference = sm.GLM(y, sm.add_constant(X), sm.families.Binomial()).fit(tol=1e-14)
    expected = reference.get_influence().cooks_distance[0]
    rtol = 1e-6 if dtype == "float64" else 2e-2
    assert_close(found.cooks_distance, expected, rtol=rtol)


def test_leverages_sum_to_the_degrees_of_freedom():
    X, y = fair()
    model = xlr.LogisticRegression(C=1e-3, tol=1e-10).fit(X, y)
    results = xlr.infer(model, X, y)
    total = results.get_influence().hat_matrix_diag.sum()
    np.testing.assert_allclose(total, results.effective_df)
    assert results.effective_df < 9


def test_influence_is_of_two_classes():
    X, y = anes96()
    results = xlr.infer(xlr.LogisticRegression(**UNPENALISED).fit(X, y), X, y)
    with pytest.raises(ValueError, match="two classes"):
        results.get_influence()


@pytest.mark.parametrize("data", [spector, fair])
def test_intervals_of_two_classes(data):
    X, y = data()
    results = xlr.infer(xlr.LogisticRegression(**UNPENALISED).fit(X, y), X, y)
    new = X[::3] + 0.1
    found = results.predict_interval(new, alpha=0.1)
    model = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    expected = model.get_prediction(sm.add_constant(new)).summary_frame(alpha=0.1)
    for name, values in (
        ("predicted", found.proba),
        ("se", found.se),
        ("ci_lower", found.lower),
        ("ci_upper", found.upper),
    ):
        np.testing.assert_allclose(values[:, 1], expected[name], rtol=1e-8)
    np.testing.assert_allclose(found.lower[:, 0], 1 - found.upper[:, 1])


def test_intervals_of_many_classes():
    """The delta method by differences of softmax, with statsmodels' covariance."""
    X, y = anes96()
    results = xlr.infer(xlr.LogisticRegression(**UNPENALISED).fit(X, y), X, y)
    new = X[::200]
    found = results.predict_interval(new)
    model = sm.MNLogit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    covariance = np.asarray(model.cov_params())
    exog = sm.add_constant(new)

    def proba(params):
        eta = np.column_stack([np.zeros(len(new)), exog @ params.reshape(6, -1).T])
        return np.exp(eta - np.logaddexp.reduce(eta, axis=1)[:, None])

    at = np.asarray(model.params).T.reshape(-1)
    np.testing.assert_allclose(found.proba, proba(at), rtol=1e-8)
    steps = 1e-6 * np.eye(at.size)
    jacobian = np.stack([(proba(at + s) - proba(at - s)) / 2e-6 for s in steps])
    variance = np.einsum("iak,ij,jak->ak", jacobian, covariance, jacobian)
    np.testing.assert_allclose(found.se, np.sqrt(variance), rtol=1e-6)
    p = found.proba
    reach = norm.isf(0.025) * found.se / (p * (1 - p))
    np.testing.assert_allclose(found.upper, expit(logit(p) + reach), rtol=1e-8)


def test_intervals_with_an_offset():
    X, y = spector()
    offset = np.linspace(-1, 1, len(y))
    model = xlr.LogisticRegression(**UNPENALISED).fit(X, y, offset=offset)
    results = xlr.infer(model, X, y, offset=offset)
    found = results.predict_interval(X, offset)
    np.testing.assert_allclose(found.proba, model.predict_proba(X, offset))
    np.testing.assert_allclose(
        results.predict_interval(X).proba, model.predict_proba(X)
    )


@pytest.mark.parametrize("data", [spector, anes96])
def test_extreme_rows_have_their_probabilities_with_intervals_around_them(data):
    X, y = data()
    model = xlr.LogisticRegression(**UNPENALISED).fit(X, y)
    far = 1e4 * np.eye(X.shape[1])
    rows = np.concatenate([far, -far])
    found = xlr.infer(model, X, y).predict_interval(rows)
    np.testing.assert_allclose(found.proba, model.predict_proba(rows), rtol=1e-9)
    assert np.isfinite(found.se).all()
    assert (found.lower >= 0).all()
    assert (found.lower <= found.proba).all()
    assert (found.proba <= found.upper).all()
    assert (found.upper <= 1).all()


def test_refuses_other_features_and_libraries():
    X, y = spector()
    results = xlr.infer(xlr.LogisticRegression(**UNPENALISED).fit(X, y), X, y)
    with pytest.raises(ValueError, match="features"):
        results.predict_interval(X[:, :2])
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            results.predict_interval(np.where(X[0, 0] == X, bad, X))
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="another library"):
        results.predict_interval(torch.asarray(X))
