"""Influence and probability intervals of single rows, against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand
from scipy.sparse import csr_array
from scipy.special import expit, logit
from scipy.stats import norm
from studies import anes96, fair, spector

import xlr

sm = on_demand("statsmodels.api")

UNPENALISED = {"C": np.inf, "tol": 1e-11}


@pytest.mark.parametrize("data", [spector, fair])
def test_influence_agrees_with_glm(data):
    X, y = data()
    results = xlr.infer(
        xlr.LogisticRegression(**UNPENALISED).fit(X, y), X, y, keep_data=True
    )
    found = results.get_influence()
    model = sm.GLM(y, sm.add_constant(X), sm.families.Binomial()).fit(tol=1e-14)
    expected = model.get_influence()
    np.testing.assert_allclose(found.hat_matrix_diag, expected.hat_matrix_diag)
    np.testing.assert_allclose(found.resid_pearson, model.resid_pearson)
    np.testing.assert_allclose(found.resid_studentized, expected.resid_studentized)
    np.testing.assert_allclose(found.cooks_distance, expected.cooks_distance[0])


# R: Cook's distances for x = 0, 0, 1, 1, 2, 2, 3, 3 and y = 1, 0, 1, 0, ...
WEIGHTED_COOK = [0.5529, 1.7154, 1.0171, 1.5303, 1.3204, 1.8543, 4.1601, 1.2554]


def test_influence_of_weighted_rows_agrees_with_r():
    X, y = np.repeat(np.arange(4.0), 2)[:, None], np.tile([1, 0], 4)
    weights = np.asarray([2, 18, 5, 15, 9, 11, 12, 4])
    model = xlr.LogisticRegression(**UNPENALISED).fit(X, y, weights)
    found = xlr.infer(model, X, y, weights, keep_data=True).get_influence()
    np.testing.assert_allclose(found.cooks_distance, WEIGHTED_COOK, atol=6e-5)


def weighted_studies():
    """Yield X, y, weights, offset and class weights of several fits."""
    rng = np.random.default_rng(0)
    for draw in (lambda n: rng.integers(0, 4, n), lambda n: rng.uniform(1e-3, 1e3, n)):
        for data in (spector, fair):
            X, y = data()
            yield X, y, draw(len(y)).astype(float), rng.normal(size=len(y)), None
    X, y = fair()
    yield X, y, None, None, {0: 1.0, 1: 3.0}
    yield X, y, rng.uniform(0.5, 2, len(y)), None, {0: 1.0, 1: 3.0}


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_influence_of_weighted_rows_agrees_with_glm(form):
    """``var_weights`` of GLM are R's prior weights."""
    for X, y, weights, offset, class_weight in weighted_studies():
        model = xlr.LogisticRegression(**UNPENALISED, class_weight=class_weight)
        given = (form(X), y, weights)
        model.fit(*given, offset=offset)
        results = xlr.infer(
            model, *given, offset=offset, cov_type="HC0", keep_data=True
        )
        found = results.get_influence()
        s = np.ones(len(y)) if weights is None else weights
        s = s if class_weight is None else s * np.where(y == 1, class_weight[1], 1.0)
        binomial = sm.families.Binomial()
        positive = s > 0  # statsmodels divides by the weights
        added = None if offset is None else offset[positive]
        exog = sm.add_constant(X)[positive]
        glm = sm.GLM(y[positive], exog, binomial, offset=added, var_weights=s[positive])
        glm = glm.fit(tol=1e-14)
        expected = glm.get_influence()
        for name, values in (
            ("hat_matrix_diag", expected.hat_matrix_diag),
            ("resid_pearson", glm.resid_pearson),
            ("resid_studentized", expected.resid_studentized),
            ("cooks_distance", expected.cooks_distance[0]),
        ):
            ours = getattr(found, name)
            np.testing.assert_allclose(ours[positive], values, rtol=1e-6, atol=1e-9)
            assert (ours[~positive] == 0).all()


@pytest.mark.parametrize(
    "model",
    [
        xlr.LogisticRegression(C=0.5, tol=1e-11),
        xlr.FirthLogisticRegression(tol=1e-11),
        xlr.LogisticRegressionCV(Cs=[0.3], cv=3, tol=1e-11),
    ],
)
def test_cooks_distance_removes_all_copies_of_a_row(model):
    """The oracle is a Newton step without the copies, from the optimum."""
    X, y = spector()
    counts = np.arange(len(y)) % 3 + 1
    model.fit(X, y, counts)
    results = xlr.infer(model, X, y, counts, keep_data=True)
    Z = sm.add_constant(X)
    p = model.predict_proba(X)[:, 1]
    C = np.inf if isinstance(model, xlr.FirthLogisticRegression) else 0.5
    C = getattr(model, "C_", C)
    penalty = np.diag([0.0, 1 / C, 1 / C, 1 / C])
    information = Z.T @ (Z * (counts * p * (1 - p))[:, None])
    hessian = information + penalty
    df = np.trace(np.linalg.solve(hessian, information))
    expected = []
    for z, pi, yi, s in zip(Z, p, y, counts):
        without = hessian - s * pi * (1 - pi) * np.outer(z, z)
        step = np.linalg.solve(without, s * (yi - pi) * z)
        expected.append(step @ hessian @ step / df)
    found = results.get_influence()
    np.testing.assert_allclose(found.cooks_distance, expected, rtol=1e-6)


def test_influence_agrees_on_every_backend(place, dtype, assert_close):
    X, y = spector()
    weights = np.arange(len(y)) % 3 + 0.5
    data, labels, row_weights = place(X), place(y, "int64"), place(weights)
    tol = 1e-9 if dtype == "float64" else 1e-4
    model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(data, labels, row_weights)
    found = xlr.infer(model, data, labels, row_weights, keep_data=True).get_influence()
    binomial = sm.families.Binomial()
    glm = sm.GLM(y, sm.add_constant(X), binomial, var_weights=weights).fit(tol=1e-14)
    rtol = 1e-6 if dtype == "float64" else 2e-2
    assert_close(found.cooks_distance, glm.get_influence().cooks_distance[0], rtol=rtol)
    assert_close(found.resid_pearson, glm.resid_pearson, rtol=rtol)
    model = xlr.LogisticRegression(**UNPENALISED).fit(X, y, weights)
    expected = xlr.infer(model, X, y, weights, keep_data=True).get_influence()
    rtol, atol = (1e-6, 1e-9) if dtype == "float64" else (2e-2, 1e-3)
    for name in ("dfbetas", "dffits_internal"):
        values = getattr(expected, name)
        assert_close(getattr(found, name), values, rtol=rtol, atol=atol)


def test_leverages_sum_to_the_effective_degrees_of_freedom():
    X, y = fair()
    model = xlr.LogisticRegression(C=1e-3, tol=1e-10).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    total = results.get_influence().hat_matrix_diag.sum()
    np.testing.assert_allclose(total, results.effective_df)
    assert results.effective_df < 9


def test_influence_frame_agrees_with_statsmodels():
    X, y = spector()
    model = xlr.LogisticRegression(**UNPENALISED).fit(X, y)
    found = xlr.infer(model, X, y, keep_data=True).get_influence()
    glm = sm.GLM(y, sm.add_constant(X), sm.families.Binomial()).fit(tol=1e-14)
    expected = glm.get_influence()
    np.testing.assert_allclose(found.dfbetas, expected.dfbetas, rtol=1e-6)
    dffits = expected.d_fittedvalues_scaled
    np.testing.assert_allclose(found.dffits_internal, dffits, rtol=1e-6)
    frame, theirs = found.summary_frame(), expected.summary_frame()
    np.testing.assert_allclose(frame, theirs, rtol=1e-6)
    assert frame.columns[0] == "dfb_intercept"
    assert list(frame.columns[1:]) == [
        c.replace("x1", "x0").replace("x2", "x1").replace("x3", "x2")
        for c in theirs.columns[1:]
    ]


def test_dfbetas_of_weighted_rows_are_newton_steps_without_them():
    X, y = (part[::6] for part in fair())
    weights = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    given = csr_array(X), y, weights
    model = xlr.LogisticRegression(**UNPENALISED).fit(*given)
    results = xlr.infer(model, *given, keep_data=True)
    found = results.get_influence()
    Z, p = np.insert(X, 0, 1, axis=1), results.fittedvalues
    hessian = Z.T @ (Z * (weights * p * (1 - p))[:, None])
    for i in (0, 17, 600):
        without = hessian - weights[i] * p[i] * (1 - p[i]) * np.outer(Z[i], Z[i])
        step = np.linalg.solve(without, weights[i] * (y[i] - p[i]) * Z[i])
        np.testing.assert_allclose(found.dfbetas[i], step / results.bse, rtol=1e-6)


@pytest.mark.parametrize("data", [spector, fair])
def test_intervals_of_two_classes_agree_with_statsmodels(data):
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


def test_intervals_of_many_classes_agree_with_the_delta_method():
    """The oracle takes differences of the softmax and the covariance of statsmodels."""
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
    half_width = norm.isf(0.025) * found.se / (p * (1 - p))
    np.testing.assert_allclose(found.upper, expit(logit(p) + half_width), rtol=1e-8)


def test_intervals_take_an_offset():
    X, y = spector()
    offset = np.linspace(-1, 1, len(y))
    model = xlr.LogisticRegression(**UNPENALISED).fit(X, y, offset=offset)
    results = xlr.infer(model, X, y, offset=offset)
    found = results.predict_interval(X, offset)
    np.testing.assert_allclose(found.proba, model.predict_proba(X, offset))
    without = model.predict_proba(X, 0 * offset)
    with pytest.warns(UserWarning, match="predicts here without one"):
        found = results.predict_interval(X)
    np.testing.assert_allclose(found.proba, without)


@pytest.mark.parametrize("data", [spector, anes96])
def test_intervals_of_extreme_rows_contain_their_probabilities(data):
    X, y = data()
    model = xlr.LogisticRegression(C=np.inf, tol=1e-13).fit(X, y)
    far = 1e4 * np.eye(X.shape[1])
    rows = np.concatenate([far, -far])
    found = xlr.infer(model, X, y).predict_interval(rows)
    np.testing.assert_allclose(found.proba, model.predict_proba(rows), rtol=1e-9)
    assert np.isfinite(found.se).all()
    assert (found.lower >= 0).all()
    assert (found.lower <= found.proba).all()
    assert (found.proba <= found.upper).all()
    assert (found.upper <= 1).all()


def test_intervals_have_the_library_and_dtype_of_the_new_rows(
    place, dtype, assert_close
):
    X, y = spector()
    results = xlr.infer(xlr.LogisticRegression(**UNPENALISED).fit(X, y), X, y)
    expected = results.predict_interval(X)
    for name, values in zip(expected._fields, results.predict_interval(place(X))):
        rtol = 1e-9 if dtype == "float64" else 2e-4
        assert_close(values, getattr(expected, name), rtol=rtol)


def test_predict_interval_refuses_other_features():
    X, y = spector()
    results = xlr.infer(xlr.LogisticRegression(**UNPENALISED).fit(X, y), X, y)
    with pytest.raises(ValueError, match="features"):
        results.predict_interval(X[:, :2])
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            results.predict_interval(np.where(X[0, 0] == X, bad, X))
