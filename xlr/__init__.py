"""Logistic regression on whatever array library already holds the data."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from xlr.inputs.labels import soft_labels
from xlr.losses import binary_cross_entropy, cross_entropy

if TYPE_CHECKING:
    from xlr import datasets, plotting
    from xlr.inference import (
        FormulaTransformer,
        InferenceResults,
        LikelihoodRatioTest,
        likelihood_ratio_test,
        summary_col,
    )
    from xlr.inference.infer import infer
    from xlr.inference.logit import logit

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


def __getattr__(name: str) -> Any:
    """Import inference, plotting and datasets at their first use.

    They are a quarter of the modules, and most fits need none of them.
    """
    if name not in __all__:
        raise AttributeError(f"module 'xlr' has no attribute {name!r}")
    if name in ("datasets", "plotting"):
        return import_module(f"xlr.{name}")
    return getattr(import_module("xlr.inference"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
