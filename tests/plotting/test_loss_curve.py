"""Displays of the objective and the optimality of a fit."""

from __future__ import annotations

import numpy as np
import pytest
from problems import load
from sklearn.exceptions import NotFittedError

import xlr
from xlr.plotting import LossCurveDisplay

pytest.importorskip("matplotlib.pyplot")
X, Y = load("iris", False)
MODEL = xlr.LogisticRegression().fit(X, Y)


@pytest.mark.parametrize("metric", ["objective", "optimality"])
@pytest.mark.parametrize("against", ["iterations", "seconds"])
def test_loss_curve_draws_the_history(metric, against):
    display = LossCurveDisplay.from_estimator(MODEL, metric=metric, against=against)
    (line,) = display.lines_
    positions = MODEL.history_["seconds"]
    if against == "iterations":
        positions = np.arange(MODEL.n_iter_[0] + 1)
    np.testing.assert_array_equal(line.get_xdata(), positions)
    np.testing.assert_array_equal(line.get_ydata(), MODEL.history_[metric])
    assert display.ax_.get_yscale() == ("log" if metric == "optimality" else "linear")
    assert metric in display.ax_.get_ylabel()
    assert display.ax_.get_xlabel() in ("iteration", "seconds")
    assert display.figure_ is display.ax_.figure


def test_loss_curves_share_axes():
    first = LossCurveDisplay.from_estimator(MODEL)
    other = xlr.LogisticRegression(solver="lbfgs").fit(X, Y)
    second = LossCurveDisplay.from_estimator(
        other, ax=first.ax_, name="quasi-Newton", color="red", linestyle="--"
    )
    assert second.ax_ is first.ax_
    legend = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert legend == [MODEL.solver_, "quasi-Newton"]
    assert second.lines_[0].get_color() == "red"


def test_one_vs_rest_has_a_loss_curve_for_each_class():
    model = xlr.LogisticRegression(multi_class="ovr").fit(X, Y)
    display = LossCurveDisplay.from_estimator(model)
    assert len(display.lines_) == 3
    for k, line in enumerate(display.lines_):
        np.testing.assert_array_equal(
            line.get_ydata(), model.history_["objective"][:, k]
        )
        assert f"{k} against the rest" in line.get_label()


@pytest.mark.shared_arithmetic
def test_loss_curve_draws_fits_of_every_library(place, dtype):
    model = xlr.LogisticRegression(max_iter=50).fit(place(X), place(Y))
    (line,) = LossCurveDisplay.from_estimator(model).lines_
    assert line.get_ydata()[-1] < 0.3


def test_loss_curve_refuses_wrong_arguments():
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(xlr.LogisticRegression())
    with pytest.raises(ValueError, match=r"'optimality'.*got 'loss'"):
        LossCurveDisplay.from_estimator(MODEL, metric="loss")
    with pytest.raises(ValueError, match=r"'seconds'.*got 'hours'"):
        LossCurveDisplay.from_estimator(MODEL, against="hours")
