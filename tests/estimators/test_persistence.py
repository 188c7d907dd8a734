"""Models are stored and loaded by pickle, joblib, and skops without pickle."""

from __future__ import annotations

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
from conftest import to_numpy
from problems import load

import xlr

X, Y = load("wine", True)
LABELS = Y[:, None] == np.arange(3)
FITTED = {
    "multinomial": lambda X: xlr.LogisticRegression().fit(X, Y),
    "one-vs-rest": lambda X: xlr.LogisticRegression(multi_class="ovr").fit(X, Y),
    "strings": lambda X: xlr.LogisticRegression().fit(X, Y.astype(str)),
    "cv": lambda X: xlr.LogisticRegressionCV(Cs=[0.1, 1.0], cv=3).fit(X, Y),
    "labels": lambda X: xlr.MultiLabelLogisticRegression().fit(X, LABELS),
}
# Modules that pickles name: moving a class would break stored models.
MODULES = {
    xlr.LogisticRegression: "xlr.estimators.logistic_regression",
    xlr.LogisticRegressionCV: "xlr.estimators.logistic_regression_cv",
    xlr.MultiLabelLogisticRegression: "xlr.estimators.multi_label",
}


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return joblib.load(file)


def through_skops(model):
    """Store and load without pickle, and trust only the class of xlr."""
    skops = pytest.importorskip("skops.io")
    written = skops.dumps(model)
    trusted = skops.get_untrusted_types(data=written)
    assert trusted == [f"{MODULES[type(model)]}.{type(model).__name__}"]
    return skops.loads(written, trusted=trusted)


@pytest.mark.parametrize("kind", list(FITTED))
@pytest.mark.parametrize(
    "through",
    [lambda model: pickle.loads(pickle.dumps(model)), through_joblib, through_skops],
    ids=["pickle", "joblib", "skops"],
)
def test_stored_models_predict_the_same(kind, through):
    model = FITTED[kind](X)
    again = through(model)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.get_params() == model.get_params()


@pytest.mark.parametrize("kind", list(FITTED))
def test_state_of_a_model_is_numbers_and_arrays(kind):
    """The state depends on no class of xlr except the estimator's."""
    model = FITTED[kind](X)
    assert type(model).__module__ == MODULES[type(model)]
    assert is_plain(vars(model))


@pytest.mark.parametrize("kind", list(FITTED))
def test_model_converted_to_numpy_holds_only_numpy_arrays(kind, place):
    """Both can be pickled and copied, for arrays of any library."""
    model = FITTED[kind](place(X))
    host = model.to_numpy()
    assert is_plain(vars(host))
    proba = to_numpy(model.predict_proba(place(X)))
    for stored in (host, model):
        again = copy.deepcopy(pickle.loads(pickle.dumps(stored)))
        np.testing.assert_allclose(again.predict_proba(X), proba, rtol=1e-4, atol=1e-6)


def is_plain(value):
    """Return whether a value consists of numbers, strings and NumPy arrays only."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    known = np.ndarray, np.generic, str, int, float, bool, type(None)
    return isinstance(value, known)
