"""Scores of models on rows that they were not fitted on."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import make_scorer

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block, Delayed, Targets, call, fetch, of_chunk
from xlr.estimators._cross_validation import small_counts
from xlr.estimators.base import (
    LinearClassifier,
    class_codes,
    labels_of,
    log_probabilities,
    logits,
    one_or_more,
    probabilities,
)
from xlr.estimators.dataset import LabelledDataset, loss_of
from xlr.functions import log_sigmoid
from xlr.inputs.dask_input import parts_beside
from xlr.inputs.features import Features, is_matrix, read_features
from xlr.inputs.labels import read_labels
from xlr.inputs.weights import place_weights
from xlr.losses import Loss

# X for a scorer, the weights of its rows and the models to score.
Held = tuple[Any, np.ndarray | None, Sequence["ScoredModel"]]


def held_out_likelihood(
    dataset: LabelledDataset, tests: list[np.ndarray], coef: Array, intercept: Array
) -> np.ndarray:
    """Return the mean log-likelihood of the rows that folds left out.

    It is scikit-learn's ``'neg_log_loss'``, computed from logits, for all models in one
    pass.

    Parameters
    ----------
    dataset : LabelledDataset
    tests : list of ndarrays
        Row numbers that each fold left out.
    coef : array of shape (n_folds, n_models, n_outputs, n_features)
    intercept : array of shape (n_folds, n_models, n_outputs)
        In the widest dtype.

    Returns
    -------
    ndarray of shape (n_folds, n_models)
    """
    rows = dataset.rows
    loss = loss_of(dataset.totals.shape[0])
    counts = rows.place_rows(small_counts(tests, rows.n_samples), on_device=False)
    total, weight = rows.map_reduce(
        _held_out_loss,
        loss,
        dataset.class_weights.one_vs_rest,
        coef,
        intercept,
        width=4 * coef.shape[1] * coef.shape[2],
        per_row=counts,
    )
    return -arrays.to_host(total / weight[:, None])


@arrays.quiet()
def _held_out_loss(
    block: Block,
    loss: Loss,
    one_vs_rest: bool,
    coef: Array,
    intercept: Array,
    counts: np.ndarray,
) -> tuple[Array, Array]:
    """Return the weighted sums of the losses, (n_folds, n_models), and the weights.

    No probability is below eps, as in scikit-learn's ``log_loss``.
    """
    xp, dtype = block.xp, block.matrix.dtype
    n_folds, n_models, n_outputs, n_features = coef.shape
    most = -math.log(float(xp.finfo(dtype).eps))
    numbers, sums = np.arange(counts.shape[0]), []
    for fold in range(n_folds):
        ids = np.repeat(numbers, counts[:, fold])
        ids = arrays.move(ids, xp=xp, device=arrays.device_of(block.weights))
        columns = xp.reshape(coef[fold, ...], (-1, n_features))
        constants = xp.reshape(intercept[fold, ...], (-1,))
        eta = logits(block.matrix.take_rows(ids), columns, constants)
        eta = xp.reshape(eta, (-1, n_models, n_outputs))
        if block.offset is not None:
            eta = eta + xp.take(block.offset, ids, axis=0)[:, None, :]
        if one_vs_rest:  # whose probabilities are divided by their sum
            eta = log_sigmoid(eta)
        labels = xp.take(xp.astype(block.labels, dtype), ids, axis=0)
        value, _ = loss.value_and_gradient(eta, labels, xp=xp)
        value = xp.astype(arrays.within(value, None, most, xp=xp), block.weights.dtype)
        weights = xp.take(block.weights, ids, axis=0)
        sums.append((xp.sum(weights * value, axis=0), xp.sum(weights)))
    total, weight = (xp.stack(list(part)) for part in zip(*sums))
    return total, weight


def held_out_scores(
    scorer: Callable[..., float],
    dataset: LabelledDataset,
    y: np.ndarray,
    metadata: dict[str, Any],
    tests: list[np.ndarray],
    coef: Array,
    intercept: Array,
) -> np.ndarray:
    """Return what a scorer of scikit-learn's gives for the rows that folds left out.

    For chunks of Dask the scorer gets row numbers as X, and models that know their
    logits: those are brought here, fold by fold.

    Parameters
    ----------
    scorer : callable
    dataset : LabelledDataset
    y : ndarray of shape (n_samples,)
    metadata : dict
        What the scorer gets: arrays with a row for each of X, or other values. Chunks
        hold the weights of their rows themselves.
    tests, coef, intercept
        As for :func:`held_out_likelihood`.

    Returns
    -------
    ndarray of shape (n_folds, n_models)
    """
    in_memory, scores = dataset.rows.in_memory, []
    of_fold = _in_memory if in_memory else _in_chunks
    if "sample_weight" in metadata:
        weights = None
        if in_memory:
            weights = place_weights(metadata["sample_weight"], dataset.features)
        metadata = metadata | {"sample_weight": weights}
    for i, test in enumerate(tests):
        test = test if in_memory else np.sort(test)
        X, weights, models = of_fold(dataset, test, coef[i, ...], intercept[i, ...])
        given = metadata_of(test, metadata, y.shape[0])
        if weights is not None and "sample_weight" in given:
            given["sample_weight"] = weights
        scores.append([float(scorer(m, X, y[test], **given)) for m in models])
    return np.asarray(scores)


def _in_memory(
    dataset: LabelledDataset, test: np.ndarray, coef: Array, intercept: Array
) -> Held:
    features, xp = dataset.features, dataset.features.xp
    X, ids = features.X, features.place(test, None)
    X = X.take_rows(ids) if is_matrix(X) else arrays.take_rows(X, ids, xp=xp)
    classes, models = arrays.to_host(dataset.classes), []
    offset = dataset.rows.offset
    if offset is not None:
        offset = one_or_more(xp.take(offset, ids, axis=0), xp=xp)
    for i in range(coef.shape[0]):
        model = LinearClassifier()
        model.coef_, model.intercept_ = coef[i, ...], intercept[i, ...]
        model._one_vs_rest = dataset.class_weights.one_vs_rest
        models.append(ScoredModel.of(model, classes, offset))
    return X, None, models


def _in_chunks(
    dataset: LabelledDataset, test: np.ndarray, coef: Array, intercept: Array
) -> Held:
    chunks: Any = dataset.rows.chunks
    is_test = np.zeros(dataset.rows.n_samples, dtype=bool)
    is_test[test] = True
    function = partial(_logits_and_weights, coef, intercept, chunks.X.n_levels)
    chunks.X.n_passes += 1
    parts = chunks.X.parts, chunks.targets, chunks.X.cut(is_test)
    logits, weights = map(np.concatenate, zip(*_fetched(function, *parts)))
    classes = arrays.to_host(dataset.classes)
    models = [
        ScoredModel(
            partial(_known, logits[:, i, :]), classes, dataset.class_weights.one_vs_rest
        )
        for i in range(coef.shape[0])
    ]
    return test[:, None], weights, models


def _known(logits: np.ndarray, X: Array) -> np.ndarray:
    return logits


def score_chunks(
    model: LinearClassifier,
    scorer: Callable[..., float],
    X: Any,
    y: Any,
    offset: Any,
    metadata: dict[str, Any],
) -> float:
    """Score a fitted model on rows of Dask with a scorer of scikit-learn's.

    Logits, labels and weights are brought here.
    """
    chunks: Any = read_features(model, X, reset=False, chunked=True).X
    sample_weight = metadata.get("sample_weight")
    given = {"y": y, "offset": offset, "sample_weight": sample_weight}
    if offset is None and model._has_offset:
        model._warn_of_missing_offset()
    parts = [parts_beside(chunks, values, name) for name, values in given.items()]
    answer = partial(_answer, model._of_numbers(), chunks.n_levels)
    found = _fetched(answer, chunks.parts, *parts)
    logits, labels, *weights = map(np.concatenate, zip(*filter(None, found)))
    if weights:
        metadata = {**metadata, "sample_weight": weights[0]}
    classes = arrays.to_host(model.classes_)
    known = ScoredModel(
        partial(_known, logits), classes, model._has_model_for_each_class
    )
    return float(scorer(known, np.arange(labels.shape[0])[:, None], labels, **metadata))


def _fetched(
    function: Callable[..., Any], *parts: Sequence[Delayed]
) -> tuple[Any, ...]:
    results = [call(function, *chunk, name="held-out-logits") for chunk in zip(*parts)]
    return fetch(results, *parts)[0]


def _answer(
    model: LinearClassifier,
    n_levels: tuple[int, ...],
    X: Array,
    y: Any,
    offset: Any,
    sample_weight: Any,
) -> tuple[np.ndarray, ...] | None:
    """Return logits, (n_rows, n_outputs), labels and any weights, on the host."""
    n_rows = X.shape[0]
    if n_rows == 0:
        return None
    found = model.decision_function(of_chunk(X, n_levels), offset)
    logits = arrays.to_host(found).reshape(n_rows, -1)
    classes, codes = map(arrays.to_host, read_labels(y, n_rows))
    on_host = classes[codes]
    if sample_weight is None:
        return logits, on_host
    features = Features(X, arrays.namespace(X), arrays.device_of(X), None)
    return logits, on_host, arrays.to_host(place_weights(sample_weight, features))


def _logits_and_weights(
    coef: Array,
    intercept: Array,
    n_levels: tuple[int, ...],
    X: Array,
    targets: Targets,
    is_test: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, (n_rows, n_models, n_outputs), and weights, on the host."""
    test = np.nonzero(is_test)[0]
    xp, (n_models, n_outputs, n_features) = arrays.namespace(X), coef.shape
    coef = xp.reshape(coef, (-1, n_features))
    rows = of_chunk(arrays.rows(X, test), n_levels)
    found = logits(rows, coef, xp.reshape(intercept, (-1,)))
    found = xp.reshape(found, (-1, n_models, n_outputs))
    if targets.offset is not None:
        found = found + arrays.rows(targets.offset, test)[:, None, :]
    weights = arrays.to_host(arrays.rows(targets.weights[:, 0], test))
    return arrays.to_host(found), weights


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
    """Return a scorer with all classes as the ``labels`` of its metric, if it has such.

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


class ScoredModel(ClassifierMixin, BaseEstimator):
    """A fitted model as scikit-learn's scorers want it, with NumPy answers.

    Their metrics are NumPy's but with scikit-learn's ``array_api_dispatch``: then the
    answers stay where X is.

    Parameters
    ----------
    decide : callable
        Takes X to logits, as :meth:`LinearClassifier.decision_function` returns them.
    classes : ndarray of shape (n_classes,)
    one_vs_rest : bool, default=False
    """

    coef_: Array
    intercept_: Array

    def __init__(
        self,
        decide: Callable[[Array], Array],
        classes: np.ndarray,
        one_vs_rest: bool = False,
    ) -> None:
        self.decide = decide
        self.one_vs_rest = one_vs_rest
        self.classes_ = classes

    @classmethod
    def of(
        cls, model: LinearClassifier, classes: np.ndarray, offset: Any = None
    ) -> ScoredModel:
        """Return a fitted model with its coefficients, for scorers that read them."""
        decide = partial(model.decision_function, offset=offset)
        scored = cls(decide, classes, model._has_model_for_each_class)
        scored.coef_, scored.intercept_ = model.coef_, model.intercept_
        return scored

    def fit(self, X: Array, y: Array) -> ScoredModel:
        """Do nothing: the model is fitted."""
        return self

    def decision_function(self, X: Array) -> Array:
        """Return the logits."""
        return self._of_logits(one_or_more, X)

    def predict_proba(self, X: Array) -> Array:
        """Return the probabilities of the classes."""
        answer = partial(probabilities, one_vs_rest=self.one_vs_rest)
        return self._of_logits(answer, X)

    def predict_log_proba(self, X: Array) -> Array:
        """Return the logarithms of the probabilities."""
        answer = partial(log_probabilities, one_vs_rest=self.one_vs_rest)
        return self._of_logits(answer, X)

    def predict(self, X: Array) -> Array:
        """Return the most probable classes."""
        return labels_of(self._of_logits(class_codes, X), self.classes_)

    def _of_logits(self, answer: Callable[..., Array], X: Array) -> Array:
        found = self.decide(X)
        if not get_config()["array_api_dispatch"]:
            found = np.array(arrays.to_host(found))  # answers may overwrite it
        columns = found[:, None] if found.ndim == 1 else found
        return answer(columns, xp=arrays.namespace(columns))
