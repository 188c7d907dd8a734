"""Coefficients set by hand: three public attributes are enough to predict."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.linear_model
from conftest import to_numpy
from scipy.special import expit, softmax
from sklearn.base import clone

import xlr

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3))
COEF, INTERCEPT = RNG.normal(size=(5, 3)), RNG.normal(size=5)
ESTIMATORS = [
    xlr.LogisticRegression(),
    xlr.LogisticRegression(multi_class="ovr"),
    xlr.LogisticRegressionCV(scoring="accuracy"),
    xlr.FirthLogisticRegression(),
    xlr.MultiLabelLogisticRegression(),
]


def expected_probabilities(estimator, n_classes):
    """Return probabilities of the classes or labels, by SciPy."""
    n_columns = 1 if n_classes == 2 else n_classes
    logits = X @ COEF[:n_columns].T + INTERCEPT[:n_columns]
    p = expit(logits)
    if isinstance(estimator, xlr.MultiLabelLogisticRegression):
        return p
    if n_classes == 2:
        return np.c_[1 - p, p]
    one_vs_rest = getattr(estimator, "multi_class", None) == "ovr"
    return p / p.sum(axis=1, keepdims=True) if one_vs_rest else softmax(logits, axis=1)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_coefficients_set_by_hand_predict(estimator, n_classes, place, dtype):
    model = clone(estimator)
    n_columns = 1 if n_classes == 2 else n_classes
    model.classes_ = np.arange(n_classes) * 10
    model.coef_ = place(COEF[:n_columns])
    model.intercept_ = place(INTERCEPT[:n_columns])
    expected = expected_probabilities(model, n_classes)
    atol = 1e-12 if dtype == "float64" else 1e-5
    found = to_numpy(model.predict_proba(place(X)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
    log_found = to_numpy(model.predict_log_proba(place(X)))
    np.testing.assert_allclose(np.exp(log_found), expected, rtol=0, atol=atol)
    predicted = to_numpy(model.predict(place(X)))
    if isinstance(model, xlr.MultiLabelLogisticRegression):
        np.testing.assert_array_equal(predicted, expected > 0.5)
    else:
        np.testing.assert_array_equal(predicted, 10 * expected.argmax(axis=1))
        assert model.score(place(X), predicted) == 1
    with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 3"):
        model.predict(place(X[:, :2]))


@pytest.mark.filterwarnings("ignore:These columns have means up to")
@pytest.mark.shared_arithmetic
def test_intercept_set_after_a_fit_replaces_the_fitted_one(place):
    """A fit to far float32 columns privately keeps digits that intercept_ lacks."""
    rng = np.random.default_rng(0)
    rows = 1e5 + rng.normal(size=(60, 3))
    model = xlr.LogisticRegression().fit(place(rows), rng.integers(2, size=60))
    model.coef_, model.intercept_ = place(COEF[:1]), place(INTERCEPT[:1])
    logits = to_numpy(place(X)) @ to_numpy(model.coef_)[0] + to_numpy(model.intercept_)
    found = to_numpy(model.decision_function(place(X)))
    np.testing.assert_allclose(found, logits, rtol=1e-5, atol=1e-6)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("n_columns", [1, 3])
def test_intercept_may_be_a_number_as_in_sklearn(n_columns, place):
    theirs, ours = sklearn.linear_model.LogisticRegression(), xlr.LogisticRegression()
    for model in (theirs, ours):
        model.classes_ = np.arange(max(2, n_columns))
        model.coef_, model.intercept_ = COEF[:n_columns], 0.5
    found = to_numpy(ours.predict_proba(place(X)))
    np.testing.assert_allclose(found, theirs.predict_proba(X), atol=1e-5)
