"""Displays of influence."""

import numpy as np
from studies import spector

import xlr
from xlr.plotting import InfluenceDisplay


def test_influence_display_draws_rows_and_contours_of_cooks_distance():
    X, y = spector()
    model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    display = InfluenceDisplay.from_results(results)
    influence = results.get_influence()
    drawn = np.column_stack([influence.hat_matrix_diag, influence.resid_studentized])
    np.testing.assert_allclose(display.points_.get_offsets(), drawn)
    largest = np.argsort(-influence.cooks_distance)[:5]
    assert [int(label.get_text()) for label in display.labels_] == largest.tolist()
    # The row with the largest Cook's distance lies on its contour.
    curve = display.ax_.get_lines()[2]
    row = largest[0]
    at = np.interp(display.leverage[row], curve.get_xdata(), curve.get_ydata())
    np.testing.assert_allclose(at, abs(display.residual[row]), rtol=2e-3)
    assert display.plot(n_labels=0).labels_ == []
