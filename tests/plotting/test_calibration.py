"""Calibration displays: predicted probabilities against observed frequencies."""

import numpy as np
import pytest
from optional import on_demand
from problems import load
from sklearn.calibration import calibration_curve

import xlr
from xlr.plotting import CalibrationDisplay

proportion = on_demand("statsmodels.stats.proportion")


def test_calibration_curve_agrees_with_sklearn_and_statsmodels():
    rng = np.random.default_rng(0)
    p = rng.random(1000)
    y = (rng.random(1000) < p**2).astype(int)
    display = CalibrationDisplay.from_predictions(y, p, n_bins=8, alpha=0.1)
    observed, predicted = calibration_curve(y, p, n_bins=8, strategy="quantile")
    np.testing.assert_allclose(display.predicted, predicted)
    np.testing.assert_allclose(display.observed, observed)
    events = display.observed * display.counts
    lower, upper = proportion.proportion_confint(
        events, display.counts, 0.1, method="wilson"
    )
    np.testing.assert_allclose(display.lower, lower, atol=1e-15)
    np.testing.assert_allclose(display.upper, upper)
    points, _, _ = display.errorbar_
    np.testing.assert_array_equal(points.get_ydata(), display.observed)


def test_calibration_display_takes_an_estimator_and_a_class():
    X, y = load("breast_cancer", True)
    labels = np.asarray(["benign", "malignant"])[1 - y]
    model = xlr.LogisticRegression().fit(X, labels)
    benign = CalibrationDisplay.from_estimator(model, X, labels, pos_label="benign")
    other = CalibrationDisplay.from_estimator(model, X, labels)
    assert other.pos_label == "malignant"
    np.testing.assert_allclose(benign.predicted, 1 - other.predicted[::-1], atol=0.05)
    assert "benign" in benign.ax_.get_xlabel()
    assert benign.plot(color="C3") is benign


def test_calibration_display_refuses_wrong_arguments():
    X, y = load("wine", True)
    model = xlr.LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="two classes"):
        CalibrationDisplay.from_estimator(model, X, y)
    with pytest.raises(ValueError, match="n_bins must be from 1"):
        CalibrationDisplay.from_predictions([0, 1], [0.1, 0.9])
    with pytest.raises(ValueError, match=r"No label in y_true is pos_label=1\..*'yes'"):
        CalibrationDisplay.from_predictions(["no", "yes"], [0.1, 0.9], n_bins=2)
    for logits in ([-2.0, 3.0], [0.5, np.nan]):
        with pytest.raises(ValueError, match=r"expected 0 to 1\. Pass a column of"):
            CalibrationDisplay.from_predictions([0, 1], logits, n_bins=2)
