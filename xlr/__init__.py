"""Logistic regression on whatever array library already holds the data."""

from xlr import datasets, plotting
from xlr.estimators import (
    BootstrapResult,
    LogisticPath,
    LogisticRegression,
    LogisticRegressionCV,
    MultiLabelLogisticRegression,
    bootstrap,
    logistic_path,
)
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.losses import binary_cross_entropy, cross_entropy

__all__ = [
    "BootstrapResult",
    "LogisticPath",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MultiLabelLogisticRegression",
    "binary_cross_entropy",
    "bootstrap",
    "cross_entropy",
    "datasets",
    "log_sigmoid",
    "log_softmax",
    "logistic_path",
    "plotting",
    "sigmoid",
    "softmax",
]

__version__ = "0.1.0"
