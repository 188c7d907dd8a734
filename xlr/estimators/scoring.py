"""Scores of models on rows that they were not fitted on."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.metrics import make_scorer

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import map_reduce, row_slices
from xlr.estimators.linear_classifier import LinearClassifier
from xlr.estimators.logits import logits
from xlr.estimators.problem import loss_of
from xlr.inputs.features import Features
from xlr.inputs.labels import Labels
from xlr.losses import Loss
from xlr.threads import Workers

__all__ = [
    "HeldOutLikelihood",
    "HeldOutScore",
    "ScoredModel",
    "best_models",
    "clipped_loss",
    "knowing_classes",
    "metadata_of",
]


class HeldOutLikelihood:
    """Mean log-likelihood of the rows that a fold left out: minus the log-loss.

    scikit-learn's ``'neg_log_loss'``, computed from logits, for many models at a time.

    Parameters
    ----------
    features : Features
    labels : Labels
    weights : array of shape (n_samples,)
        In the widest dtype.
    tests : list of ndarrays
        The numbers of the rows that each fold left out.
    workers : Workers
    """

    def __init__(
        self,
        features: Features,
        labels: Labels,
        weights: Array,
        tests: list[np.ndarray],
        workers: Workers,
    ) -> None:
        self._features = features
        self._loss = loss_of(labels.classes.shape[0])
        self._targets = features.place(labels.codes, features.dtype)
        self._weights = weights
        self._tests = tests
        self._workers = workers

    def __call__(self, folds: np.ndarray, coef: Array, intercept: Array) -> np.ndarray:
        """For coefficients (n_folds, n_models, n_outputs, n_features): (n_folds,
        n_models).
        """
        scores = [
            self._of_fold(fold, coef[i, ...], intercept[i, ...])
            for i, fold in enumerate(folds)
        ]
        return np.stack(scores)

    @arrays.quiet()
    def _of_fold(self, fold: int, coef: Array, intercept: Array) -> np.ndarray:
        xp, X = self._features.xp, self._features.X
        rows = self._features.place(self._tests[fold], None)

        def kernel(part: slice) -> tuple[Array, Array]:
            here = rows[part]
            chosen = arrays.take_rows(X, here, xp=xp)
            targets = xp.take(self._targets, here)
            value = clipped_loss(self._loss, chosen, targets, coef, intercept, xp=xp)
            weight = xp.take(self._weights, here)
            value = xp.astype(value, weight.dtype, copy=False)
            return xp.sum(weight[:, None] * value, axis=0), xp.sum(weight)

        width = 4 * coef.shape[0] * coef.shape[1]
        cut = row_slices(X, width, n_threads=self._workers.n, xp=xp)
        step, n_rows = cut[0].stop, rows.shape[0]
        slices = [slice(i, min(i + step, n_rows)) for i in range(0, n_rows, step)]
        total, weight = map_reduce(kernel, slices, self._workers)
        return -arrays.to_host(total / weight)


def clipped_loss(
    loss: Loss,
    X: Array,
    targets: Array,
    coef: Array,
    intercept: Array,
    *,
    xp: Namespace,
) -> Array:
    """The loss of rows for some models, (n_rows, n_models), as log_loss has it.

    Parameters
    ----------
    loss : Loss
    X : array of shape (n_rows, n_features)
    targets : array of shape (n_rows,)
    coef : array of shape (n_models, n_outputs, n_features)
    intercept : array of shape (n_models, n_outputs)
    xp : namespace
    """
    n_models, n_outputs, n_features = coef.shape
    columns = xp.reshape(coef, (-1, n_features))
    found = logits(X, columns, xp.reshape(intercept, (-1,)), xp=xp)
    found = xp.reshape(found, (-1, n_models, n_outputs))
    value, _ = loss.value_and_gradient(found, targets[:, None], xp=xp)
    # No probability below eps, as in scikit-learn's log_loss.
    most = -math.log(float(xp.finfo(value.dtype).eps))
    return arrays.within(value, None, most, xp=xp)


class HeldOutScore:
    """A scorer of scikit-learn's on the rows that a fold left out.

    Parameters
    ----------
    scorer : callable
    features : Features
    classes : array of shape (n_classes,)
    y : ndarray of shape (n_samples,)
    metadata : dict
        What the scorer gets beside: arrays with a row for each of X, or other values.
    tests : list of ndarrays
    """

    def __init__(
        self,
        scorer: Callable[..., float],
        features: Features,
        classes: Array,
        y: np.ndarray,
        metadata: dict[str, Any],
        tests: list[np.ndarray],
    ) -> None:
        self._scorer = scorer
        self._features = features
        self._classes = arrays.to_host(classes)
        self._y = y
        self._metadata = metadata
        self._tests = tests

    def __call__(self, folds: np.ndarray, coef: Array, intercept: Array) -> np.ndarray:
        """As :class:`HeldOutLikelihood`."""
        scores = [
            self._of_fold(fold, coef[i, ...], intercept[i, ...])
            for i, fold in enumerate(folds)
        ]
        return np.asarray(scores)

    def _of_fold(self, fold: int, coef: Array, intercept: Array) -> list[float]:
        features, rows = self._features, self._tests[fold]
        X = arrays.take_rows(features.X, features.place(rows, None), xp=features.xp)
        metadata = metadata_of(rows, self._metadata, self._y.shape[0])
        models = [
            ScoredModel(
                coef_=coef[i, ...],
                intercept_=intercept[i, ...],
                classes_=self._classes,
                n_features_in_=X.shape[1],
            )
            for i in range(coef.shape[0])
        ]
        return [
            float(self._scorer(model, X, self._y[rows], **metadata)) for model in models
        ]


def metadata_of(
    rows: np.ndarray, metadata: dict[str, Any], n_samples: int
) -> dict[str, Any]:
    """Return what belongs to some rows of metadata; other values as they are."""
    host = {
        name: arrays.to_host(values) if arrays.is_array(values) else values
        for name, values in metadata.items()
    }
    return {
        name: np.asarray(values)[rows]
        if np.shape(values)[:1] == (n_samples,)
        else values
        for name, values in host.items()
    }


def knowing_classes(
    scorer: Callable[..., float], classes: np.ndarray
) -> Callable[..., float]:
    """The same with all classes as the ``labels`` of its metric, if that has such.

    Rows to score may lack some. As in scikit-learn's ``LogisticRegressionCV``.
    """
    metric: Any = getattr(scorer, "_score_func", None)
    taken = {} if metric is None else inspect.signature(metric).parameters
    if "labels" not in taken:
        return scorer
    known: dict[str, Any] = {"labels": classes}
    if "pos_label" in taken and classes.shape[0] == 2:
        known["pos_label"] = classes[1]
    made: Any = scorer
    return make_scorer(
        metric,
        greater_is_better=made._sign > 0,
        response_method=made._response_method,
        **{**known, **made._kwargs},
    )


def best_models(scores: np.ndarray, *, by_fold: bool) -> np.ndarray:
    """The numbers of the models with the highest mean score, or the highest of a fold.

    Parameters
    ----------
    scores : ndarray of shape (n_folds, n_models)
        NaN where a model has none: it does not count.
    by_fold : bool

    Returns
    -------
    ndarray of int, (n_folds,)
        All the same but with ``by_fold``.

    Raises
    ------
    ValueError
        If no model has a score, or none in some fold.
    """
    known = ~np.isnan(scores)
    if not (known.any(axis=1).all() if by_fold else known.any()):
        raise ValueError(
            "The scores of all models are NaN, so none is the best: let scoring give "
            "numbers, or use folds on which it can."
        )
    if by_fold:
        return np.nanargmax(scores, axis=1)
    total, n_known = np.nansum(scores, axis=0), known.sum(axis=0)
    mean = np.where(n_known > 0, total / np.maximum(n_known, 1), -np.inf)
    return np.full(scores.shape[0], np.argmax(mean))


class ScoredModel(LinearClassifier):
    """A fitted model as scikit-learn's scorers want it, with NumPy answers.

    Their metrics are NumPy's but with scikit-learn's ``array_api_dispatch``: then the
    answers stay where X is.
    """

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)

    def fit(self, X: Array, y: Array) -> ScoredModel:
        """Nothing: it is fitted."""
        return self

    @classmethod
    def of(cls, fitted: LinearClassifier) -> ScoredModel:
        """The same model as a fitted estimator."""
        names = "coef_", "intercept_", "_intercept_rest", "classes_", "n_features_in_"
        known = vars(fitted)
        attributes = {name: known[name] for name in names if name in known}
        attributes["classes_"] = arrays.to_host(fitted.classes_)
        return cls(**attributes)

    def _of_rows(
        self, answer: Callable[..., Array], X: Array, offset: Array | None = None
    ) -> Array:
        found = super()._of_rows(answer, X, offset)
        return found if get_config()["array_api_dispatch"] else arrays.to_host(found)
