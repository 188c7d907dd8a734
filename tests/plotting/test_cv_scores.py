"""Displays of cross-validation scores."""

from __future__ import annotations

import numpy as np
import pytest
from problems import load
from sklearn.exceptions import NotFittedError

import xlr
from xlr.plotting import CVScoresDisplay

plt = pytest.importorskip("matplotlib.pyplot")
X, Y = load("breast_cancer", True)
CS = [0.001, 0.01, 0.1, 1.0, 10.0]


def test_scores_display_draws_mean_and_standard_error_of_the_folds():
    model = xlr.LogisticRegressionCV(Cs=CS).fit(X, Y)
    display = CVScoresDisplay.from_estimator(model)
    scores = model.scores_[:, 0, :]
    np.testing.assert_allclose(display.mean, scores.mean(axis=0))
    expected = scores.std(axis=0, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(display.standard_error, expected)
    assert display.best_C == model.C_
    np.testing.assert_array_equal(display.line_.get_xdata(), CS)
    np.testing.assert_allclose(display.line_.get_ydata(), display.mean)
    assert display.ax_.get_xscale() == "log"
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[0] == "mean of 5 folds"
    assert f"C={model.C_:.3g}" in labels[2]


def test_one_standard_error_choice_is_the_smallest_c_within_one_error():
    # Means 0, 2, 3, 2.9 with a spread of 1 at each: 2 is within one standard error.
    scores = np.asarray([[-1.0, 1, 2, 1.9], [1.0, 3, 4, 3.9]])
    display = CVScoresDisplay(np.asarray([1.0, 2, 3, 4]), scores)
    np.testing.assert_allclose(display.standard_error, 1)
    assert (display.best_C, display.one_standard_error_C) == (3, 2)


def test_scores_display_sorts_cs_and_skips_nan_folds():
    scores = np.asarray([[3.0, 1], [np.nan, np.nan], [3.0, 2]])
    display = CVScoresDisplay(np.asarray([10.0, 1]), scores)
    np.testing.assert_array_equal(display.Cs, [1, 10])
    np.testing.assert_array_equal(display.mean, [1.5, 3])
    assert display.best_C == 10


def test_scores_display_draws_on_given_axes():
    _, ax = plt.subplots()
    model = xlr.LogisticRegressionCV(Cs=CS, scoring="roc_auc", cv=3).fit(X, Y)
    display = CVScoresDisplay.from_estimator(model, ax=ax, color="red")
    assert display.ax_ is ax
    assert display.line_.get_color() == "red"
    assert ax.get_ylabel() == "roc auc, held out"


def test_scores_display_of_an_unfitted_model_is_refused():
    with pytest.raises(NotFittedError):
        CVScoresDisplay.from_estimator(xlr.LogisticRegressionCV())
