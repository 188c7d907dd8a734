"""What is written is read again: pickle, joblib, skops without pickle, ONNX."""

from __future__ import annotations

import io
import pickle

import joblib
import numpy as np
import pytest
from problems import load

import xlr

WINE = load("wine", True)
LABELS = WINE[1][:, None] == np.arange(3)
FITTED = {
    "multinomial": lambda: xlr.LogisticRegression().fit(*WINE),
    "one-vs-rest": lambda: xlr.LogisticRegression(multi_class="ovr").fit(*WINE),
    "strings": lambda: xlr.LogisticRegression().fit(WINE[0], WINE[1].astype(str)),
    "cv": lambda: xlr.LogisticRegressionCV(Cs=[0.1, 1.0], cv=3).fit(*WINE),
    "labels": lambda: xlr.MultiLabelLogisticRegression().fit(WINE[0], LABELS),
}
# Where pickles look for the classes: to move them breaks what people have written.
HOMES = {
    xlr.LogisticRegression: "xlr.estimators.logistic_regression",
    xlr.LogisticRegressionCV: "xlr.estimators.logistic_regression_cv",
    xlr.MultiLabelLogisticRegression: "xlr.estimators.multi_label",
}


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return joblib.load(file)


def through_skops(model):
    """Reads no pickle: all there is to trust is the class of xlr."""
    skops = pytest.importorskip("skops.io")
    written = skops.dumps(model)
    trusted = skops.get_untrusted_types(data=written)
    assert trusted == [f"{HOMES[type(model)]}.{type(model).__name__}"]
    return skops.loads(written, trusted=trusted)


@pytest.mark.parametrize("kind", list(FITTED))
@pytest.mark.parametrize(
    "through",
    [lambda model: pickle.loads(pickle.dumps(model)), through_joblib, through_skops],
    ids=["pickle", "joblib", "skops"],
)
def test_the_same_predictions(kind, through):
    model = FITTED[kind]()
    again = through(model)
    X = WINE[0]
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.get_params() == model.get_params()


@pytest.mark.parametrize("kind", list(FITTED))
def test_the_state_is_numbers_and_arrays_alone(kind):
    """So that it depends on no class of ours but the estimator's own."""
    model = FITTED[kind]()
    assert type(model).__module__ == HOMES[type(model)]

    def plain(value):
        if isinstance(value, dict):
            return all(map(plain, value.values()))
        if isinstance(value, list | tuple):
            return all(map(plain, value))
        known = np.ndarray, np.generic, str, int, float, bool, type(None)
        return isinstance(value, known)

    assert all(map(plain, vars(model).values()))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_onnx_by_way_of_sklearn(n_classes):
    to_onnx = pytest.importorskip("skl2onnx").to_onnx
    runtime = pytest.importorskip("onnxruntime")
    X, y = WINE[0].astype(np.float32), np.minimum(WINE[1], n_classes - 1)
    model = xlr.LogisticRegression().fit(X, y)
    graph = to_onnx(model.to_sklearn(), X[:1], options={"zipmap": False})
    session = runtime.InferenceSession(graph.SerializeToString())
    labels, probabilities = session.run(None, {"X": X})
    np.testing.assert_array_equal(labels, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)
