"""Layer 7: standard errors, tests, intervals and marginal effects of fitted models."""

from xlr.inference.infer import infer
from xlr.inference.logit import logit
from xlr.inference.results import (
    InferenceResults,
    LikelihoodRatioTest,
    likelihood_ratio_test,
    summary_col,
)
from xlr.inputs.formula import FormulaTransformer
