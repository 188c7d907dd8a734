"""Displays of precision, recall and F1 against the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy
from problems import load
from sklearn.metrics import f1_score, precision_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xlr
from xlr.plotting import ThresholdDisplay

pytest.importorskip("matplotlib.pyplot")
X, Y = load("breast_cancer", True)
X = X[:, :2]  # so that the classes overlap
MODEL = xlr.LogisticRegression().fit(X, Y)
WEIGHTS = np.linspace(0.5, 2, len(Y))


@pytest.mark.parametrize("pos_label", [0, 1])
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["equal", "unequal"])
def test_threshold_curves_agree_with_scikit_learn(pos_label, sample_weight):
    display = ThresholdDisplay.from_estimator(
        MODEL, X, Y, pos_label=pos_label, sample_weight=sample_weight
    )
    probability = MODEL.predict_proba(X)[:, pos_label]
    assert (np.diff(display.thresholds) > 0).all()
    options = {"sample_weight": sample_weight, "zero_division": 0}
    for i in range(0, len(display.thresholds), 80):
        chosen = probability >= display.thresholds[i]
        for curve, score in (
            (display.precision, precision_score),
            (display.recall, recall_score),
            (display.f1, f1_score),
        ):
            expected = score(pos_label == Y, chosen, **options)
            assert curve[i] == pytest.approx(expected, abs=1e-12)
    for line, curve in zip(
        display.lines_, (display.precision, display.recall, display.f1)
    ):
        np.testing.assert_array_equal(line.get_xdata(), display.thresholds)
        np.testing.assert_array_equal(line.get_ydata(), curve)


def test_best_threshold_has_the_largest_f1():
    display = ThresholdDisplay.from_estimator(MODEL, X, Y)
    probability = MODEL.predict_proba(X)[:, 1]
    others = [f1_score(Y, probability >= t) for t in np.linspace(0, 0.99, 200)]
    assert display.best_f1 >= max(others)
    best = f1_score(Y, probability >= display.best_threshold)
    assert display.best_f1 == pytest.approx(best, abs=1e-12)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[:3] == ["precision", "recall", "F1"]
    assert f"{display.best_f1:.3f} at {display.best_threshold:.3f}" in labels[3]


def test_threshold_display_takes_arrays_of_every_library(place, dtype):
    model = xlr.LogisticRegression().fit(place(X), place(Y))
    display = ThresholdDisplay.from_estimator(
        model, place(X), place(Y), sample_weight=place(WEIGHTS)
    )
    expected = ThresholdDisplay.from_estimator(MODEL, X, Y, sample_weight=WEIGHTS)
    assert display.best_f1 == pytest.approx(expected.best_f1, abs=1e-5)
    again = ThresholdDisplay.from_predictions(
        to_numpy(place(Y)), model.predict_proba(place(X))[:, 1]
    )
    assert 0 < again.best_threshold < 1


def test_threshold_display_takes_a_pipeline_with_string_labels():
    names = np.asarray(["bad", "good"])[Y]
    model = make_pipeline(StandardScaler(), xlr.LogisticRegression()).fit(X, names)
    display = ThresholdDisplay.from_estimator(model, X, names)
    assert display.pos_label == "good"
    assert "good" in display.ax_.get_xlabel()
    other = ThresholdDisplay.from_estimator(model, X, names, pos_label="bad")
    assert other.best_f1 != display.best_f1


def test_threshold_display_refuses_wrong_arguments():
    iris = load("iris", False)
    three = xlr.LogisticRegression().fit(*iris)
    with pytest.raises(ValueError, match="draws two classes; the estimator has 3"):
        ThresholdDisplay.from_estimator(three, *iris)
    with pytest.raises(ValueError, match=r"pos_label=7 is not a class: \[0, 1\]"):
        ThresholdDisplay.from_estimator(MODEL, X, Y, pos_label=7)
    with pytest.raises(ValueError, match="No label in y_true is pos_label=7"):
        ThresholdDisplay.from_predictions(Y, MODEL.predict_proba(X)[:, 1], pos_label=7)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        ThresholdDisplay.from_predictions(Y, MODEL.decision_function(X))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ThresholdDisplay.from_predictions(Y[:-1], MODEL.predict_proba(X)[:, 1])
