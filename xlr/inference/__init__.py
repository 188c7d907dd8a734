"""Floor 7: the numbers a statistician asks for, of a fitted model and its rows."""

from xlr.inference.comparison import LikelihoodRatioTest, likelihood_ratio_test
from xlr.inference.infer import infer
from xlr.inference.results import InferenceResults

__all__ = [
    "InferenceResults",
    "LikelihoodRatioTest",
    "infer",
    "likelihood_ratio_test",
]
