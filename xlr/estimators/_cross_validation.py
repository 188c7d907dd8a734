"""Cross-validation: the rows of the folds, the scores of their models, and a choice."""

from __future__ import annotations

import copy
import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from xlr import arrays, numpy_namespace
from xlr.arrays import Array
from xlr.data import Block, is_matrix
from xlr.estimators._resamples import count_rows
from xlr.estimators.base import (
    LinearClassifier,
    class_codes,
    linear_predictor,
    log_probabilities,
    one_or_more,
    probabilities,
)
from xlr.functions import log_sigmoid
from xlr.inputs.dataset import LabelledDataset, loss_of
from xlr.inputs.features import Features
from xlr.inputs.labels import on_host
from xlr.losses import Loss


def read_folds(
    splitter: Any, y: np.ndarray, metadata: dict[str, Any]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the row numbers of the training and of the test rows of each fold.

    Parameters
    ----------
    splitter : scikit-learn splitter
    y : ndarray of shape (n_samples,)
        Labels, on the host.
    metadata : dict
        Metadata for the splitter, such as ``groups``.

    Raises
    ------
    ValueError
        If there are no folds, or if a fold is not a pair of row numbers or tests on no
        row.
    """
    n_samples = y.shape[0]
    # A splitter needs only the number of rows of X, so X does not move.
    splits = list(splitter.split(np.zeros((n_samples, 1)), y, **metadata))
    if not splits:
        raise ValueError("cv has no folds: give it at least one (train, test) pair.")
    trains, tests = (
        # Row numbers may count from the end, or be a mask.
        [np.arange(n_samples)[split[part]] for split in splits]
        for part in (0, 1)
    )
    if not all(test.size for test in tests):
        raise ValueError("cv has a fold without rows to test on.")
    return trains, tests


# -- scores ----------------------------------------------------------------------------


def held_out_likelihood(
    dataset: LabelledDataset, tests: list[np.ndarray], coef: Array, intercept: Array
) -> np.ndarray:
    """Return the mean log-likelihood of the held-out rows of each fold.

    It is scikit-learn's ``'neg_log_loss'``, computed from logits, for all models in one
    pass.

    Parameters
    ----------
    dataset : LabelledDataset
    tests : list of ndarrays
        Row numbers of the held-out rows of each fold.
    coef : array of shape (n_folds, n_models, n_outputs, n_features)
    intercept : array of shape (n_folds, n_models, n_outputs)
        In the accumulation dtype.

    Returns
    -------
    ndarray of shape (n_folds, n_models)
        NaN for a fold whose held-out rows have no weight.
    """
    data = dataset.labelled_data
    loss = loss_of(dataset.totals.shape[0])
    counts = data.place_rows(count_rows(tests, data.n_samples))
    arguments = loss, dataset.class_weights.one_vs_rest, coef, intercept
    width = 4 * coef.shape[1] * coef.shape[2]
    total, weight = data.map_reduce(
        _held_out_loss, *arguments, width=width, per_row=counts
    )
    with arrays.quiet():
        return -arrays.to_host(total / weight[:, None])


@arrays.quiet()
def _held_out_loss(
    block: Block,
    loss: Loss,
    one_vs_rest: bool,
    coef: Array,
    intercept: Array,
    counts: np.ndarray,
) -> tuple[Array, ...]:
    """Return the weighted sums of the losses, (n_folds, n_models), and the weights.

    No probability is below eps of the widest dtype, as in scikit-learn's
    ``LogisticRegressionCV``.
    """
    xp, dtype = block.xp, block.matrix.dtype
    max_logit = float(xp.finfo(dtype).max) / 4  # so that differences are finite
    max_loss = -math.log(float(xp.finfo(block.accumulation_dtype).eps))
    numbers, sums = np.arange(counts.shape[0]), []
    for fold in range(coef.shape[0]):
        ids = np.repeat(numbers, counts[:, fold])
        ids = arrays.move(ids, xp=xp, device=arrays.device_of(block.weights))
        eta = _logits_of_models(block, ids, coef[fold, ...], intercept[fold, ...])
        if one_vs_rest:  # its probabilities are divided by their sum
            eta = log_sigmoid(eta)
        labels = xp.take(xp.astype(block.labels, dtype), ids, axis=0)
        # A class without weight has an infinite intercept.
        eta = arrays.clip(eta, -max_logit, max_logit, xp=xp)
        value, _ = loss.value_and_gradient(eta, labels, xp=xp)
        value = arrays.clip(value, None, max_loss, xp=xp)
        weights = xp.take(block.weights, ids, axis=0)
        sums.append((xp.sum(weights * value, axis=0), xp.sum(weights)))
    return tuple(xp.stack(list(part)) for part in zip(*sums))


def held_out_scores(
    scorer: Callable[..., float],
    dataset: LabelledDataset,
    y: np.ndarray,
    metadata: dict[str, Any],
    tests: list[np.ndarray],
    coef: Array,
    intercept: Array,
) -> np.ndarray:
    """Return the scores of the held-out rows of each fold, by a scikit-learn scorer.

    Each model that the scorer gets holds the logits of the scored rows, on the host.
    One pass computes the logits of all models of a fold. The rows are in ascending
    order; with chunks of Dask, X holds row numbers.

    Parameters
    ----------
    scorer : callable
    dataset : LabelledDataset
    y : ndarray of shape (n_samples,)
    metadata : dict
        Metadata for the scorer: arrays with an entry for each row of X, or other
        values.
    tests, coef, intercept
        As in :func:`held_out_likelihood`.

    Returns
    -------
    ndarray of shape (n_folds, n_models)
    """
    data, features = dataset.labelled_data, dataset.features
    one_vs_rest = dataset.class_weights.one_vs_rest
    metadata, scores = on_host(metadata), []
    for i, test in enumerate(map(np.sort, tests)):
        w, b = coef[i, ...], intercept[i, ...]
        counts = data.place_rows(count_rows([test], data.n_samples))
        options = {"width": w.shape[0] * w.shape[1], "combine": operator.add}
        blocks = data.map_reduce(_test_logits, w, b, per_row=counts, **options)
        logits, X = np.concatenate(blocks), test[:, None]
        if data.in_memory:
            X, ids, xp = features.X, features.place(test, None), features.xp
            X = X.take_rows(ids) if is_matrix(X) else arrays.take_rows(X, ids, xp=xp)
        given = {
            name: np.asarray(v)[test] if np.shape(v)[:1] == y.shape else v
            for name, v in metadata.items()
        }
        for k in range(w.shape[0]):
            model = LinearClassifier()
            model.coef_, model.intercept_ = w[k, ...], b[k, ...]
            model.classes_, model._one_vs_rest = dataset.classes, one_vs_rest
            model._has_offset = data.targets.offset is not None
            scored = ScoredModel(model, X, logits[:, k, :])
            scores.append(float(scorer(scored, X, y[test], **given)))
    return np.asarray(scores).reshape(len(tests), -1)


def _test_logits(
    block: Block, coef: Array, intercept: Array, counts: np.ndarray
) -> tuple[np.ndarray]:
    """Return the logits of the counted rows: (n_rows, n_models, n_outputs)."""
    ids = np.repeat(np.arange(counts.shape[0]), counts[:, 0])
    ids = arrays.move(ids, xp=block.xp, device=block.matrix.device)
    return (arrays.to_host(_logits_of_models(block, ids, coef, intercept)),)


def _logits_of_models(block: Block, ids: Array, coef: Array, intercept: Array) -> Array:
    """Return the logits of some rows for each model: (n_rows, n_models, n_outputs)."""
    xp, shape = block.xp, coef.shape
    coef, intercept = xp.reshape(coef, (-1, shape[2])), xp.reshape(intercept, (-1,))
    eta = linear_predictor(block.matrix.take_rows(ids), coef, intercept)
    eta = xp.reshape(eta, (-1, *shape[:2]))
    if block.offset is None:
        return eta
    return eta + xp.take(block.offset, ids, axis=0)[:, None, :]


def with_class_labels(
    scorer: Callable[..., float], classes: np.ndarray
) -> Callable[..., float]:
    """Return a scorer with all classes as the ``labels`` of its metric, if possible.

    Scored rows may lack some classes. scikit-learn's ``LogisticRegressionCV`` does the
    same.
    """
    metric: Any = getattr(scorer, "_score_func", None)
    taken = {} if metric is None else inspect.signature(metric).parameters
    if "labels" not in taken:
        return scorer
    known: dict[str, Any] = {"labels": classes}
    if "pos_label" in taken and classes.shape[0] == 2:
        known["pos_label"] = classes[1]
    changed: Any = copy.copy(scorer)
    changed._kwargs = {**known, **changed._kwargs}
    return changed


class ScoredModel(ClassifierMixin, BaseEstimator):
    """A fitted model for the scorers of scikit-learn, with NumPy results.

    It has the attributes that the fit stored, for scorers that read them.

    Parameters
    ----------
    model : LinearClassifier
        The model, which predicts any other rows.
    X : array or matrix
        The rows to score.
    logits : ndarray of shape (n_samples,) or (n_samples, n_columns)
        Logits of these rows.
    """

    def __init__(self, model: LinearClassifier, X: Any, logits: np.ndarray) -> None:
        self.__dict__.update(vars(model))
        self.classes_ = arrays.to_host(model.classes_)
        self.model, self.X, self.logits = model, X, logits
        self.is_ovr = model._is_one_vs_rest

    def fit(self, X: Array, y: Array) -> ScoredModel:
        """Do nothing: the model is fitted."""
        return self

    def _logits(self, X: Array, offset: Array | None) -> np.ndarray:
        """Return the logits of rows: (n_rows, n_columns)."""
        logits = self.logits
        if X is not self.X:
            logits = arrays.to_host(self.model.decision_function(X, offset))
        # A class without weight has an infinite intercept, which metrics refuse. The
        # result is a copy, which functions of the logits may overwrite.
        largest = np.finfo(logits.dtype).max
        return np.clip(logits, -largest, largest).reshape(logits.shape[0], -1)

    def decision_function(self, X: Array, offset: Array | None = None) -> np.ndarray:
        """Return the logits."""
        return one_or_more(self._logits(X, offset), xp=numpy_namespace)

    def predict_proba(self, X: Array, offset: Array | None = None) -> np.ndarray:
        """Return the probabilities of the classes."""
        return probabilities(self._logits(X, offset), self.is_ovr, xp=numpy_namespace)

    def predict_log_proba(self, X: Array, offset: Array | None = None) -> np.ndarray:
        """Return the logarithms of the probabilities."""
        logits = self._logits(X, offset)
        return log_probabilities(logits, self.is_ovr, xp=numpy_namespace)

    def predict(self, X: Array, offset: Array | None = None) -> np.ndarray:
        """Return the most probable classes."""
        codes = class_codes(self._logits(X, offset), xp=numpy_namespace)
        return self.classes_[codes]


# -- choice of a model -----------------------------------------------------------------


@arrays.quiet()
def mean_over_folds(
    coef: np.ndarray, intercept: np.ndarray, features: Features
) -> dict[str, Array]:
    """Average the models of the folds, in the format of :meth:`Problem.coefficients`.

    A class counts only in the models that have it; in the others, its intercept is
    infinite. If no model has it, its intercept stays that of the first fold.

    Parameters
    ----------
    coef : ndarray of shape (n_folds, n_logits, n_features)
    intercept : ndarray of shape (n_folds, n_logits)
    features : Features
    """
    mean = np.ma.masked_invalid(intercept).mean(axis=0).filled(intercept[0])
    is_left_out = np.broadcast_to(np.isinf(intercept)[..., None], coef.shape)
    mean_coef = np.ma.array(coef, mask=is_left_out).mean(axis=0).filled(0.0)
    rounded = features.place(mean, features.dtype)
    rest = np.where(np.isinf(mean), 0.0, mean - arrays.to_host(rounded))
    return {
        "coef_": features.place(mean_coef, features.dtype),
        "intercept_": rounded,
        "_intercept_rounding": features.place(rest, features.accumulation_dtype),
    }


@arrays.quiet()
def best_models(scores: np.ndarray, *, by_fold: bool) -> np.ndarray:
    """Return the index of the model with the highest mean score, or one per fold.

    Parameters
    ----------
    scores : ndarray of shape (n_folds, n_models)
        NaN for a model without a score, which does not count.
    by_fold : bool

    Returns
    -------
    ndarray of int, (1,) or (n_folds,)

    Raises
    ------
    ValueError
        If no model has a score, or if a fold has no score.
    """
    if not by_fold:
        n_known = np.sum(~np.isnan(scores), axis=0, keepdims=True)
        scores = np.nansum(scores, axis=0, keepdims=True) / n_known
    if np.isnan(scores).all(axis=1).any():
        raise ValueError(
            f"All scores{' of a fold' * by_fold} are NaN, so no model is the best. Use "
            "a scoring that returns numbers, or other folds."
        )
    return np.nanargmax(scores, axis=1)
