"""Fitted models and parameters to scikit-learn's estimators, and from them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import get_tags

# Parameters that mean the same.
SAME = "fit_intercept", "class_weight", "random_state", "n_jobs", "verbose"

# Defaults of scikit-learn, which those of xlr replace: there the solver decides
# what tol is a bound on.
DEFAULTS = {"tol": 1e-4, "max_iter": 100, "solver": "lbfgs"}


def sklearn_model(fitted: Any) -> Any:
    """Return scikit-learn's estimator of the same model, from NumPy attributes."""
    n_rows = fitted.coef_.shape[0]
    if get_tags(fitted).target_tags.multi_output:
        if n_rows == 1:
            return _logistic_regression(fitted, np.asarray([0, 1]), slice(None))
        return _one_vs_rest(fitted, fitted.classes_, np.eye(n_rows, dtype=int))
    if not fitted._has_model_for_each_class:
        return _logistic_regression(fitted, fitted.classes_, slice(None))
    return _one_vs_rest(fitted, fitted.classes_, fitted.classes_)


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
    # In float64, in which xlr predicts: an intercept of float32 has too few digits for
    # columns far from zero.
    intercept = fitted.intercept_.astype("float64")
    converted.coef_ = fitted.coef_[models].astype("float64")
    converted.intercept_ = intercept[models]
    rest = getattr(fitted, "_intercept_rest", None)
    if rest is not None:
        converted.intercept_ = converted.intercept_ + rest[models]
    n_iter = np.atleast_1d(getattr(fitted, "n_iter_", 0))
    if n_iter.shape != intercept.shape:  # of a cross-validation
        n_iter = np.full(intercept.shape, n_iter.max(), dtype=np.int32)
    converted.n_iter_ = n_iter[models]
    _copy_features(fitted, converted)
    return converted


def _one_vs_rest(fitted: Any, classes: np.ndarray, labels: np.ndarray) -> Any:
    """Return an ensemble of binary models, whose binarizer knows ``labels``."""
    from sklearn.base import clone
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    models = [
        _logistic_regression(fitted, np.asarray([0, 1]), slice(k, k + 1))
        for k in range(classes.shape[0])
    ]
    converted = OneVsRestClassifier(clone(models[0]))
    converted.classes_, converted.estimators_ = classes, models
    converted.label_binarizer_ = LabelBinarizer(sparse_output=True)
    converted.label_binarizer_.fit(labels)
    _copy_features(fitted, converted)
    return converted


def _copy_features(fitted: Any, converted: Any) -> None:
    converted.n_features_in_ = fitted.coef_.shape[1]
    if hasattr(fitted, "feature_names_in_"):
        converted.feature_names_in_ = fitted.feature_names_in_


def from_sklearn(kind: type, given: Any, *, searched: bool) -> Any:
    """Return an estimator of xlr with the parameters of one of scikit-learn.

    And with its coefficients, if it is fitted.

    Parameters
    ----------
    kind : type
        The estimator to make.
    given : estimator of scikit-learn
    searched : bool
        Whether the penalty is chosen by cross-validation.

    Raises
    ------
    TypeError
        If ``given`` is of another kind.
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
    if searched:
        made |= _search(parameters, penalty)
    else:
        made |= _strength(parameters, penalty)
        made["warm_start"] = parameters["warm_start"]
        if _is_one_vs_rest(parameters):
            made["multi_class"] = "ovr"
    estimator = kind(**made)
    if hasattr(given, "coef_"):
        _copy_fit(given, estimator)
    return estimator


def _strength(parameters: dict[str, Any], penalty: Any) -> dict[str, Any]:
    """Return C and l1_ratio; the penalty is a name, None or 'deprecated'."""
    if penalty in (None, "none"):
        return {"C": math.inf}
    ratios = {"l1": 1.0, "l2": 0.0}
    l1_ratio = ratios.get(penalty, parameters["l1_ratio"] or 0.0)
    return {"C": parameters["C"], "l1_ratio": l1_ratio}


def _search(parameters: dict[str, Any], penalty: Any) -> dict[str, Any]:
    """Return the parameters of a cross-validation."""
    l1_ratios = parameters["l1_ratios"]
    if penalty in ("l1", "l2") or isinstance(l1_ratios, str) or l1_ratios is None:
        l1_ratios = (1.0,) if penalty == "l1" else (0.0,)
    scoring = parameters["scoring"]
    if scoring is None or (isinstance(scoring, str) and scoring == "warn"):
        scoring = "accuracy"
    Cs = (math.inf,) if penalty in (None, "none") else parameters["Cs"]
    same = {name: parameters[name] for name in ("cv", "refit")}
    return {**same, "Cs": Cs, "l1_ratios": l1_ratios, "scoring": scoring}


def _is_one_vs_rest(parameters: dict[str, Any]) -> bool:
    """Return whether scikit-learn up to 1.7 fits a model for each class."""
    multi_class = parameters.get("multi_class", "multinomial")
    by_solver = parameters["solver"] == "liblinear" and multi_class != "multinomial"
    return multi_class == "ovr" or by_solver


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
        # A number for each class, with the legacy attributes.
        estimator.C_ = float(np.ravel(given.C_)[0])
        l1_ratio = np.ravel(given.l1_ratio_)[0]
        estimator.l1_ratio_ = 0.0 if l1_ratio is None else float(l1_ratio)
        if not isinstance(given.scores_, dict):
            names += ["Cs_", "l1_ratios_", "scores_", "coefs_paths_"]
    names += ["n_iter_"]
    for name in names:
        if hasattr(given, name):
            setattr(estimator, name, getattr(given, name))
