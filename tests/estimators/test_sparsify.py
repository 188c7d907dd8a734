"""Conversions of coefficients to a sparse matrix and back to an array."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from conftest import to_numpy
from scipy.sparse import csr_array, issparse
from sklearn.exceptions import NotFittedError

import xlr

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
Y = (2 * X[:, :3] + RNG.gumbel(size=(90, 3))).argmax(axis=1)
FITS = {
    "lasso": lambda X: xlr.LogisticRegression(C=0.1, l1_ratio=1.0).fit(X, Y),
    "binary": lambda X: xlr.LogisticRegression(warm_start=True).fit(X, Y > 0),
    "ovr": lambda X: xlr.LogisticRegression(multi_class="ovr").fit(X, Y),
    "cv": lambda X: xlr.LogisticRegressionCV(Cs=[0.1], cv=2).fit(X, Y),
    "firth": lambda X: xlr.FirthLogisticRegression().fit(X, Y > 0),
    "multi-label": lambda X: xlr.MultiLabelLogisticRegression().fit(X, np.eye(3)[Y]),
}
METHODS = ["decision_function", "predict", "predict_proba", "predict_log_proba"]


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("kind", list(FITS))
def test_sparsified_model_predicts_the_same(kind, place, dtype, assert_close):
    model = FITS[kind](place(X))
    expected = {name: to_numpy(getattr(model, name)(place(X))) for name in METHODS}
    coef = to_numpy(model.coef_)
    assert model.sparsify().sparsify() is model
    assert issparse(model.coef_)
    assert model.coef_.nnz == np.count_nonzero(coef)
    for form in (model, model.to_numpy(), pickle.loads(pickle.dumps(model))):
        for name, values in expected.items():
            found = to_numpy(getattr(form, name)(place(X)))
            np.testing.assert_allclose(found, values, rtol=1e-6)
    np.testing.assert_allclose(
        model.predict_proba(csr_array(X)), expected["predict_proba"], rtol=1e-4
    )
    assert model.densify().densify() is model
    assert_close(model.coef_, coef)


def test_warm_start_and_inference_take_sparsified_coefficients():
    model = FITS["binary"](X)
    coef = model.coef_
    model.sparsify().fit(X, Y > 0)
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-4)
    sparse = xlr.infer(model.sparsify(), X, Y > 0).params
    dense = xlr.infer(model.densify(), X, Y > 0).params
    np.testing.assert_array_equal(sparse, dense)


def test_sparsified_model_converts_to_sklearn():
    model = FITS["lasso"](X)
    expected = model.to_sklearn().predict_proba(X)
    found = model.sparsify().to_sklearn()
    assert issparse(found.coef_)
    np.testing.assert_allclose(found.predict_proba(X), expected, rtol=1e-12)


@pytest.mark.parametrize("method", ["sparsify", "densify"])
def test_sparsify_and_densify_need_a_fit(method):
    with pytest.raises(NotFittedError):
        getattr(xlr.LogisticRegression(), method)()
