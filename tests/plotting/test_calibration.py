"""scikit-learn's calibration display with models of xlr."""

from __future__ import annotations

import numpy as np
from problems import load
from sklearn.calibration import calibration_curve

import xlr
from xlr.plotting import CalibrationDisplay


def test_calibration_display_takes_a_model_and_a_class():
    X, y = load("breast_cancer", True)
    labels = np.asarray(["benign", "malignant"])[1 - y]
    model = xlr.LogisticRegression().fit(X, labels)
    options = {"n_bins": 8, "strategy": "quantile"}
    display = CalibrationDisplay.from_estimator(
        model, X, labels, pos_label="benign", **options
    )
    observed, predicted = calibration_curve(y, model.predict_proba(X)[:, 0], **options)
    np.testing.assert_allclose(display.prob_pred, predicted)
    np.testing.assert_allclose(display.prob_true, observed)
