"""Fits with the mandatory part of the array API standard 2023.12, and its linalg.

array-api-strict refuses the parts that its flags disable.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy
from optional import on_demand
from sklearn.datasets import load_iris

import xlr

strict = on_demand("array_api_strict")

X, Y = load_iris(return_X_y=True)
BINARY = (Y == 2).astype(int)
WIDE = np.random.default_rng(0).normal(size=(30, 200))
FLAGS = {
    "api_version": "2023.12",
    "data_dependent_shapes": False,
    "boolean_indexing": False,
}
PARAMETERS = {
    "newton-cholesky": {},
    "one-vs-rest": {"multi_class": "ovr", "class_weight": "balanced"},
    "no penalty": {"C": np.inf, "tol": 1e-9},
    "newton-cg": {"solver": "newton-cg"},
    "lbfgs": {"solver": "lbfgs", "tol": 1e-8},
    "l1": {"l1_ratio": 1.0, "tol": 1e-8},
    "active-set": {"l1_ratio": 0.5, "solver": "active-set", "tol": 1e-8},
    "bounds": {"upper": 0.1, "tol": 1e-8},
}


@pytest.fixture
def place():
    """Yield a function that places arrays in array-api-strict without options."""
    with strict.ArrayAPIStrictFlags(**FLAGS):
        yield strict.asarray


def assert_close(actual, expected):
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", list(PARAMETERS))
def test_standard_suffices_for_fits_and_predictions(kind, place):
    y = BINARY if kind == "no penalty" else Y
    model = xlr.LogisticRegression(**PARAMETERS[kind]).fit(place(X), place(y))
    expected = xlr.LogisticRegression(**PARAMETERS[kind]).fit(X, y)
    assert_close(model.coef_, expected.coef_)
    assert_close(model.predict_proba(place(X)), expected.predict_proba(X))
    assert_close(model.predict_log_proba(place(X)), expected.predict_log_proba(X))
    assert_close(model.predict(place(X)), expected.predict(X))
    assert model.score(place(X), place(y)) == expected.score(X, y)


def test_standard_suffices_for_more_columns_than_rows(place):
    y = np.arange(30) % 2
    model = xlr.LogisticRegression(tol=1e-9).fit(place(WIDE), place(y))
    assert_close(model.coef_, xlr.LogisticRegression(tol=1e-9).fit(WIDE, y).coef_)


def test_standard_suffices_for_every_estimator(place):
    placed, y = place(X), place(BINARY)
    firth = xlr.FirthLogisticRegression().fit(placed, y)
    assert_close(firth.coef_, xlr.FirthLogisticRegression().fit(X, BINARY).coef_)
    cv = xlr.LogisticRegressionCV(Cs=3).fit(placed, y)
    assert_close(cv.coef_, xlr.LogisticRegressionCV(Cs=3).fit(X, BINARY).coef_)
    labels = Y[:, None] == np.arange(3)
    model = xlr.MultiLabelLogisticRegression().fit(placed, place(labels))
    assert_close(model.coef_, xlr.MultiLabelLogisticRegression().fit(X, labels).coef_)
    path = xlr.logistic_path(placed, y, n_Cs=3)
    assert_close(path.coefs, xlr.logistic_path(X, BINARY, n_Cs=3).coefs)


def test_standard_suffices_for_inference(place):
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10)
    found = xlr.infer(model.fit(place(X), place(BINARY)), place(X), place(BINARY))
    expected = xlr.infer(model.fit(X, BINARY), X, BINARY)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-5)


def test_standard_suffices_for_functions(place):
    assert_close(xlr.softmax(place(X)), xlr.softmax(X))
    assert_close(xlr.log_sigmoid(place(X)), xlr.log_sigmoid(X))
    assert_close(xlr.cross_entropy(place(X), place(Y)), xlr.cross_entropy(X, Y))
    expected = xlr.binary_cross_entropy(X[:, 0], BINARY)
    assert_close(xlr.binary_cross_entropy(place(X[:, 0]), place(BINARY)), expected)
