"""Displays advise to install matplotlib if it is missing."""

from __future__ import annotations

import sys

import pytest
from problems import load

import xlr
from xlr.plotting import LossCurveDisplay, ThresholdDisplay


def test_displays_advise_to_install_matplotlib(monkeypatch):
    X, y = load("breast_cancer", True)
    model = xlr.LogisticRegression().fit(X, y)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    advice = "requires matplotlib.*pip install matplotlib"
    with pytest.raises(ImportError, match=f"LossCurveDisplay {advice}"):
        LossCurveDisplay.from_estimator(model)
    with pytest.raises(ImportError, match=f"ThresholdDisplay {advice}"):
        ThresholdDisplay.from_estimator(model, X, y)
