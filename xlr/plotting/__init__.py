"""Plots of fits and predictions, as scikit-learn's displays.

``from_estimator`` (``from_predictions``, ``from_path``, ``from_results``) computes what
is drawn and draws it; ``plot`` draws it again. Arrays come to the host only here.
"""

from xlr.plotting.fits import (
    CoefficientPathDisplay,
    CVScoresDisplay,
    InfluenceDisplay,
    LossCurveDisplay,
)
from xlr.plotting.predictions import CalibrationDisplay, ThresholdDisplay

__all__ = [
    "CVScoresDisplay",
    "CalibrationDisplay",
    "CoefficientPathDisplay",
    "InfluenceDisplay",
    "LossCurveDisplay",
    "ThresholdDisplay",
]
