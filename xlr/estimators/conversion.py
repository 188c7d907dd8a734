"""The same fitted model as an estimator of scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["as_logistic_regression", "as_one_vs_rest"]


def _copy_of_features(fitted: Any, converted: Any) -> None:
    converted.n_features_in_ = fitted.n_features_in_
    if hasattr(fitted, "feature_names_in_"):
        converted.feature_names_in_ = fitted.feature_names_in_


def _logistic_regression(fitted: Any, classes: np.ndarray, models: slice) -> Any:
    from sklearn.linear_model import LogisticRegression

    converted = LogisticRegression(
        C=fitted.C,
        fit_intercept=fitted.fit_intercept,
        class_weight=fitted.class_weight,
        tol=fitted.tol,
        max_iter=fitted.max_iter,
        warm_start=fitted.warm_start,
        random_state=fitted.random_state,
    )
    converted.classes_ = classes
    # In float64, in which xlr predicts: an intercept of float32 has too few digits for
    # columns far from zero.
    intercept = fitted.intercept_.astype("float64") + fitted._intercept_rest
    converted.coef_ = fitted.coef_[models].astype("float64")
    converted.intercept_ = intercept[models]
    converted.n_iter_ = fitted.n_iter_[models]
    _copy_of_features(fitted, converted)
    return converted


def as_logistic_regression(fitted: Any) -> Any:
    """scikit-learn's ``LogisticRegression``, from a fit with NumPy attributes."""
    return _logistic_regression(fitted, fitted.classes_, slice(None))


def as_one_vs_rest(fitted: Any) -> Any:
    """scikit-learn's ``OneVsRestClassifier``, from a one-vs-rest fit, likewise."""
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
    converted.label_binarizer_.fit(fitted.classes_)
    _copy_of_features(fitted, converted)
    return converted
