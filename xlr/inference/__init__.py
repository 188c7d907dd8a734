"""Layer 5: inference for fitted models, from the rows of the fit."""

from xlr.inference.comparison import (
    LikelihoodRatioTest,
    likelihood_ratio_test,
    summary_col,
)
from xlr.inference.infer import infer
from xlr.inference.results import InferenceResults

__all__ = [
    "InferenceResults",
    "LikelihoodRatioTest",
    "infer",
    "likelihood_ratio_test",
    "summary_col",
]
