"""Costs of predictions: calls for one row, and memory for many classes."""

from __future__ import annotations

import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import to_numpy
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression as Theirs

import xlr

PACKAGE = str(Path(xlr.__file__).parent)
METHODS = ["decision_function", "predict", "predict_proba", "predict_log_proba"]


def n_calls(function, *args):
    """Return the number of functions of xlr that a call runs."""
    count = 0

    def count_call(frame, event, _):
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    sys.setprofile(count_call)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predict_proba_of_one_row_makes_few_calls(n_classes, dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5)).astype(dtype)
    model = xlr.LogisticRegression().fit(X, rng.integers(n_classes, size=200))
    model.predict_proba(X[:1])
    # float32 is computed in float64 and then rounded.
    assert n_calls(model.predict_proba, X[:1]) <= (30 if dtype == "float64" else 34)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("left_out", [0, -1])
def test_predictions_of_a_model_without_a_class_read_the_rows_once(n_classes, left_out):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 2)), np.arange(90) % n_classes
    weights = (y != range(n_classes)[left_out]).astype(float)
    with pytest.warns(UserWarning, match="The fit leaves them out"):
        model = xlr.LogisticRegression().fit(X, y, weights)
    assert n_calls(model.predict_proba, X[:1]) <= 30
    for wrong in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="Column 'x1' is not finite"):
            model.predict_proba([[0.0, wrong]])


@pytest.mark.parametrize("n_classes", [200, 1000])
def test_predict_proba_of_many_classes_takes_little_more_memory_than_its_result(
    n_classes,
):
    rng = np.random.default_rng(0)
    n_rows = 2_000_000 // n_classes
    X, model = rng.normal(size=(n_rows, 20)), xlr.LogisticRegression()
    model.classes_ = np.arange(n_classes)
    model.coef_ = rng.normal(size=(n_classes, 20))
    model.intercept_ = np.zeros(n_classes)
    tracemalloc.start()
    try:
        proba = model.predict_proba(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 2.5 * proba.nbytes


def seconds(function, *args):
    """Return the median CPU time of a few calls."""
    times = [time.process_time()]
    for _ in range(7):
        function(*args)
        times.append(time.process_time())
    return np.median(np.diff(times))


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_probabilities_of_many_classes_take_about_the_time_of_sklearn(method):
    rng = np.random.default_rng(0)
    X, models = rng.normal(size=(2000, 20)), (xlr.LogisticRegression(), Theirs())
    for model in models:
        model.classes_, model.coef_ = np.arange(200), rng.normal(size=(200, 20))
        model.intercept_ = np.zeros(200)
    ours, theirs = (seconds(getattr(model, method), X) for model in models)
    assert ours < 2.5 * theirs  # 0.9 on an idle machine


@pytest.mark.shared_arithmetic
@pytest.mark.parametrize("method", METHODS)
def test_predictions_in_blocks_of_rows_agree_with_scipy(method, place, dtype):
    rng = np.random.default_rng(0)
    n_rows, n_classes = 700, 300  # several blocks
    X, coef = rng.normal(size=(n_rows, 4)), rng.normal(size=(n_classes, 4))
    offset = rng.normal(size=(n_rows, n_classes))
    model = xlr.LogisticRegression()
    model.classes_, model.coef_ = np.arange(n_classes), place(coef)
    model.intercept_ = place(rng.normal(size=n_classes))
    logits = X @ coef.T + to_numpy(model.intercept_) + offset
    found = to_numpy(getattr(model, method)(place(X), place(offset)))
    expected = {
        "decision_function": logits,
        "predict": logits.argmax(axis=1),
        "predict_proba": softmax(logits, axis=1),
        "predict_log_proba": log_softmax(logits, axis=1),
    }[method]
    atol = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
