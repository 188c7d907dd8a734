"""Conversion of estimators from and to scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import get_tags

# Parameters with the same meaning.
SHARED_PARAMETERS = "fit_intercept", "class_weight", "random_state", "n_jobs", "verbose"

# scikit-learn's defaults, which become xlr's defaults: in scikit-learn, the meaning of
# tol depends on the solver.
SKLEARN_DEFAULTS = {"tol": 1e-4, "max_iter": 100, "solver": "lbfgs"}


def sklearn_model(fitted: Any) -> Any:
    """Convert a fitted model with NumPy attributes to scikit-learn's estimator."""
    n_rows, classes = fitted.coef_.shape[0], fitted.classes_
    if get_tags(fitted).target_tags.multi_output:
        if n_rows > 1:
            return _one_vs_rest(fitted, np.eye(n_rows, dtype=int))
        classes = np.asarray([0, 1])
    elif fitted._is_one_vs_rest:
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
    rounding = getattr(fitted, "_intercept_rounding", 0.0)
    converted.coef_ = fitted.coef_[models].astype("float64")
    converted.intercept_ = (fitted.intercept_.astype("float64") + rounding)[models]
    n_iter = np.max(getattr(fitted, "n_iter_", 0))
    converted.n_iter_ = np.full(converted.intercept_.shape, n_iter, dtype=np.int32)
    _copy_features(fitted, converted)
    return converted


def _one_vs_rest(fitted: Any, labels: np.ndarray) -> Any:
    """Return a OneVsRestClassifier whose label binarizer is fitted to ``labels``."""
    from sklearn.base import clone
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    models = [
        _logistic_regression(fitted, np.asarray([0, 1]), slice(k, k + 1))
        for k in range(fitted.classes_.shape[0])
    ]
    converted = OneVsRestClassifier(clone(models[0]))
    converted.classes_, converted.estimators_ = fitted.classes_, models
    converted.label_binarizer_ = LabelBinarizer(sparse_output=True).fit(labels)
    _copy_features(fitted, converted)
    return converted


def _copy_features(fitted: Any, converted: Any) -> None:
    converted.n_features_in_ = fitted.coef_.shape[1]
    if hasattr(fitted, "feature_names_in_"):
        converted.feature_names_in_ = fitted.feature_names_in_


def from_sklearn(kind: type, given: Any, *, cross_validated: bool) -> Any:
    """Convert an estimator of scikit-learn, with its coefficients if it is fitted.

    Parameters
    ----------
    kind : type
        Class of the new estimator.
    given : estimator of scikit-learn
    cross_validated : bool
        Whether the penalty is chosen by cross-validation.

    Raises
    ------
    TypeError
        If ``given`` has another type.
    """
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

    expected = LogisticRegressionCV if cross_validated else LogisticRegression
    # LogisticRegressionCV is a subclass of LogisticRegression.
    is_cross_validated = isinstance(given, LogisticRegressionCV)
    if not isinstance(given, expected) or is_cross_validated != cross_validated:
        raise TypeError(
            f"xlr.{kind.__name__}.from_sklearn takes scikit-learn's "
            f"{expected.__name__}; got {given!r}."
        )
    theirs = given.get_params(deep=False)
    parameters = {name: theirs[name] for name in SHARED_PARAMETERS}
    for name, default in SKLEARN_DEFAULTS.items():
        if theirs[name] != default:
            parameters[name] = theirs[name]
    penalty = theirs.get("penalty", "deprecated")
    is_unpenalised = penalty is None
    ratio = {"l1": 1.0, "l2": 0.0}.get(penalty)
    if cross_validated:
        l1_ratios, scoring = theirs["l1_ratios"], theirs["scoring"]
        if ratio is not None or isinstance(l1_ratios, str) or l1_ratios is None:
            l1_ratios = (ratio or 0.0,)
        if scoring in (None, "warn"):
            scoring = "accuracy"
        parameters |= {"l1_ratios": l1_ratios, "scoring": scoring}
        parameters |= {name: theirs[name] for name in ("cv", "refit")}
        parameters["Cs"] = (math.inf,) if is_unpenalised else theirs["Cs"]
    else:
        parameters["warm_start"] = theirs["warm_start"]
        parameters["C"] = math.inf if is_unpenalised else theirs["C"]
        l1_ratio = theirs["l1_ratio"] or 0.0
        parameters["l1_ratio"] = l1_ratio if ratio is None else ratio
        # scikit-learn up to 1.7 may fit one model per class.
        multi_class = theirs.get("multi_class", "multinomial")
        by_solver = theirs["solver"] == "liblinear" and multi_class != "multinomial"
        if multi_class == "ovr" or by_solver:
            parameters["multi_class"] = "ovr"
    estimator = kind(**parameters)
    if hasattr(given, "coef_"):
        _copy_fitted_attributes(given, estimator)
    return estimator


def _copy_fitted_attributes(given: Any, estimator: Any) -> None:
    """Copy the fitted attributes of scikit-learn's estimator."""
    estimator.solver_ = given.solver
    # scikit-learn stores no reason for the end: all iterations count as unconverged.
    estimator.converged_ = bool(np.max(getattr(given, "n_iter_", 0)) < given.max_iter)
    coef = given.coef_
    estimator.coef_ = coef.toarray() if issparse(coef) else coef.copy()
    # Without intercepts it may be a number.
    estimator.intercept_ = np.full(coef.shape[0], given.intercept_, dtype=coef.dtype)
    names = ["classes_", "n_features_in_", "feature_names_in_", "n_iter_"]
    if hasattr(given, "C_"):
        # The legacy attributes hold one number per class.
        estimator.C_ = float(np.ravel(given.C_)[0])
        estimator.l1_ratio_ = float(np.ravel(given.l1_ratio_)[0] or 0.0)
        if not isinstance(given.scores_, dict):
            names += ["Cs_", "l1_ratios_", "scores_", "coefs_paths_"]
    for name in names:
        if hasattr(given, name):
            setattr(estimator, name, getattr(given, name))
