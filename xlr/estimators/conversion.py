"""Conversion of models and parameters to scikit-learn's estimators and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import get_tags

# Parameters with the same meaning.
SAME = "fit_intercept", "class_weight", "random_state", "n_jobs", "verbose"

# scikit-learn's defaults, which become xlr's defaults: in scikit-learn, the meaning of
# tol depends on the solver.
DEFAULTS = {"tol": 1e-4, "max_iter": 100, "solver": "lbfgs"}


def sklearn_model(fitted: Any) -> Any:
    """Return scikit-learn's estimator of the same model, from NumPy attributes."""
    n_rows, classes = fitted.coef_.shape[0], fitted.classes_
    if get_tags(fitted).target_tags.multi_output:
        if n_rows > 1:
            return _one_vs_rest(fitted, np.eye(n_rows, dtype=int))
        classes = np.asarray([0, 1])
    elif fitted._has_model_for_each_class:
        return _one_vs_rest(fitted, classes)
    return _logistic_regression(fitted, classes, slice(None))


def _logistic_regression(fitted: Any, classes: np.ndarray, models: slice) -> Any:
    from sklearn.linear_model import LogisticRegression

    chosen = {"C": getattr(fitted, "C_", getattr(fitted, "C", math.inf))}
    l1_ratio = getattr(fitted, "l1_ratio_", getattr(fitted, "l1_ratio", 0.0))
    if l1_ratio > 0:
        chosen |= {"l1_ratio": float(l1_ratio), "solver": "saga"}
        if LogisticRegression().penalty == "l2":  # scikit-learn 1.6 and 1.7
            chosen["penalty"] = "elasticnet"
    names = "fit_intercept", "class_weight", "tol", "max_iter", "random_state"
    same = {name: vars(fitted)[name] for name in names if hasattr(fitted, name)}
    same["warm_start"] = getattr(fitted, "warm_start", False)
    converted = LogisticRegression(**chosen, **same)
    converted.classes_ = classes
    # Use float64, as predictions of xlr do: a float32 intercept has too few digits for
    # columns far from zero.
    intercept = fitted.intercept_.astype("float64")
    intercept = intercept + getattr(fitted, "_intercept_rest", 0.0)
    converted.coef_ = fitted.coef_[models].astype("float64")
    converted.intercept_ = intercept[models]
    n_iter = np.max(getattr(fitted, "n_iter_", 0))
    converted.n_iter_ = np.full(converted.intercept_.shape, n_iter, dtype=np.int32)
    _copy_features(fitted, converted)
    return converted


def _one_vs_rest(fitted: Any, labels: np.ndarray) -> Any:
    """Return an ensemble of binary models, whose binarizer knows ``labels``."""
    from sklearn.base import clone
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    models = [
        _logistic_regression(fitted, np.asarray([0, 1]), slice(k, k + 1))
        for k in range(fitted.classes_.shape[0])
    ]
    converted = OneVsRestClassifier(clone(models[0]))
    converted.classes_, converted.estimators_ = fitted.classes_, models
    converted.label_binarizer_ = LabelBinarizer(sparse_output=True)
    converted.label_binarizer_.fit(labels)
    _copy_features(fitted, converted)
    return converted


def _copy_features(fitted: Any, converted: Any) -> None:
    converted.n_features_in_ = fitted.coef_.shape[1]
    if hasattr(fitted, "feature_names_in_"):
        converted.feature_names_in_ = fitted.feature_names_in_


def from_sklearn(kind: type, given: Any, *, searched: bool) -> Any:
    """Convert an estimator of scikit-learn, with its coefficients if it is fitted.

    Parameters
    ----------
    kind : type
        Class of the new estimator.
    given : estimator of scikit-learn
    searched : bool
        Whether the penalty is chosen by cross-validation.

    Raises
    ------
    TypeError
        If ``given`` has another type.
    """
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

    theirs = LogisticRegressionCV if searched else LogisticRegression
    is_searched = isinstance(given, LogisticRegressionCV)  # also the other kind
    if not isinstance(given, theirs) or is_searched != searched:
        raise TypeError(
            f"xlr.{kind.__name__}.from_sklearn takes scikit-learn's {theirs.__name__}; "
            f"got {given!r}."
        )
    parameters = given.get_params(deep=False)
    made = {name: parameters[name] for name in SAME}
    for name, default in DEFAULTS.items():
        if parameters[name] != default:
            made[name] = parameters[name]
    penalty = parameters.get("penalty", "deprecated")
    is_free, ratio = penalty in (None, "none"), {"l1": 1.0, "l2": 0.0}.get(penalty)
    if searched:
        l1_ratios, scoring = parameters["l1_ratios"], parameters["scoring"]
        if ratio is not None or isinstance(l1_ratios, str) or l1_ratios is None:
            l1_ratios = (ratio or 0.0,)
        if scoring is None or (isinstance(scoring, str) and scoring == "warn"):
            scoring = "accuracy"
        made |= {name: parameters[name] for name in ("cv", "refit")}
        made |= {"l1_ratios": l1_ratios, "scoring": scoring}
        made["Cs"] = (math.inf,) if is_free else parameters["Cs"]
    else:
        made["warm_start"] = parameters["warm_start"]
        made["C"] = math.inf if is_free else parameters["C"]
        if not is_free:
            made["l1_ratio"] = parameters["l1_ratio"] or 0.0 if ratio is None else ratio
        # scikit-learn up to 1.7 may fit one model per class.
        multi_class = parameters.get("multi_class", "multinomial")
        by_solver = parameters["solver"] == "liblinear" and multi_class != "multinomial"
        if multi_class == "ovr" or by_solver:
            made["multi_class"] = "ovr"
    estimator = kind(**made)
    if hasattr(given, "coef_"):
        _copy_fit(given, estimator)
    return estimator


def _copy_fit(given: Any, estimator: Any) -> None:
    """Give an estimator the coefficients of a fitted one."""
    coef = given.coef_
    estimator.coef_ = coef.toarray() if issparse(coef) else coef.copy()
    intercept = given.intercept_
    if np.ndim(intercept) == 0:  # without intercept
        intercept = np.full(coef.shape[0], float(intercept), dtype=coef.dtype)
    estimator.intercept_ = intercept.copy()
    names = ["classes_", "n_features_in_", "feature_names_in_"]
    if hasattr(given, "C_"):
        # The legacy attributes hold one number per class.
        estimator.C_ = float(np.ravel(given.C_)[0])
        l1_ratio = np.ravel(given.l1_ratio_)[0]
        estimator.l1_ratio_ = 0.0 if l1_ratio is None else float(l1_ratio)
        if not isinstance(given.scores_, dict):
            names += ["Cs_", "l1_ratios_", "scores_", "coefs_paths_"]
    for name in [*names, "n_iter_"]:
        if hasattr(given, name):
            setattr(estimator, name, getattr(given, name))
