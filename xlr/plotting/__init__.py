"""Floor 5: pictures of fits, in scikit-learn's convention for displays.

``from_estimator`` (``from_path``, ``from_results``) computes what is drawn and draws
it; ``plot`` draws it again; what was drawn on is kept as ``ax_`` and ``figure_``.
Arrays come to the host only here.
"""

from xlr.plotting.calibration import CalibrationDisplay
from xlr.plotting.coefficient_path import CoefficientPathDisplay
from xlr.plotting.cv_scores import CVScoresDisplay
from xlr.plotting.influence import InfluenceDisplay
from xlr.plotting.loss_curve import LossCurveDisplay
from xlr.plotting.threshold import ThresholdDisplay

__all__ = [
    "CVScoresDisplay",
    "CalibrationDisplay",
    "CoefficientPathDisplay",
    "InfluenceDisplay",
    "LossCurveDisplay",
    "ThresholdDisplay",
]
