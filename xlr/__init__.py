"""Logistic regression on whatever array library already holds the data."""

from xlr import datasets, plotting
from xlr.data import CategoricalMatrix, SplitMatrix
from xlr.estimators import (
    BootstrapResult,
    FirthLogisticRegression,
    LogisticPath,
    LogisticRegression,
    LogisticRegressionCV,
    MultiLabelLogisticRegression,
    SeparationWarning,
    bootstrap,
    logistic_path,
)
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.inference import (
    FormulaTransformer,
    InferenceResults,
    LikelihoodRatioTest,
    infer,
    likelihood_ratio_test,
    logit,
    summary_col,
)
from xlr.inputs.soft_labels import soft_labels
from xlr.losses import binary_cross_entropy, cross_entropy

__all__ = [
    "BootstrapResult",
    "CategoricalMatrix",
    "FirthLogisticRegression",
    "FormulaTransformer",
    "InferenceResults",
    "LikelihoodRatioTest",
    "LogisticPath",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MultiLabelLogisticRegression",
    "SeparationWarning",
    "SplitMatrix",
    "binary_cross_entropy",
    "bootstrap",
    "cross_entropy",
    "datasets",
    "infer",
    "likelihood_ratio_test",
    "log_sigmoid",
    "log_softmax",
    "logistic_path",
    "logit",
    "plotting",
    "sigmoid",
    "soft_labels",
    "softmax",
    "summary_col",
]

__version__ = "0.1.0"
