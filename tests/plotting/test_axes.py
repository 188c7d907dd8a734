"""Displays name matplotlib where it is missing."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
sys.modules["matplotlib"] = None  # as if it were not installed
import xlr
from sklearn.datasets import load_breast_cancer
from xlr.plotting import LossCurveDisplay, ThresholdDisplay
X, y = load_breast_cancer(return_X_y=True)
model = xlr.LogisticRegression().fit(X, y)
for draw in (
    lambda: LossCurveDisplay.from_estimator(model),
    lambda: ThresholdDisplay.from_estimator(model, X, y),
):
    try:
        draw()
    except ImportError as error:
        print(error)
"""


def test_displays_name_matplotlib_where_it_is_missing():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("LossCurveDisplay requires matplotlib")
    assert second.startswith("ThresholdDisplay requires matplotlib")
    assert "pip install matplotlib" in first
