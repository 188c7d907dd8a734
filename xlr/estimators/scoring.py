"""Scores of models on rows that they were not fitted on."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.metrics import make_scorer

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Delayed, call, fetch, map_reduce, row_slices
from xlr.estimators.folds import small_counts
from xlr.estimators.linear_classifier import LinearClassifier
from xlr.estimators.logits import logits
from xlr.estimators.problem import loss_of
from xlr.estimators.rows import Rows
from xlr.inputs.chunk_look import ChunkRows
from xlr.inputs.dask_input import parts_beside
from xlr.inputs.features import Features, read_features
from xlr.inputs.labels import encode
from xlr.inputs.weights import place_weights
from xlr.losses import Loss
from xlr.threads import ALONE, Workers

__all__ = [
    "HeldOutLikelihood",
    "HeldOutScore",
    "ScoredModel",
    "best_models",
    "clipped_loss",
    "knowing_classes",
    "metadata_of",
    "score_chunks",
]

# X for a scorer, the weights of its rows and the models to score.
Held = tuple[Any, np.ndarray | None, Sequence["ScoredModel"]]


class HeldOutLikelihood:
    """Mean log-likelihood of the rows that a fold left out: minus the log-loss.

    scikit-learn's ``'neg_log_loss'``, computed from logits, for many models at a time.
    Chunks of Dask are read once for all folds.

    Parameters
    ----------
    rows : Rows
    weights : array of shape (n_samples,) or None
        Sample weights in the widest dtype; None for chunks, which hold their own.
    tests : list of ndarrays
        Row numbers that each fold left out.
    pool : Workers
        Threads for rows in memory.
    """

    def __init__(
        self, rows: Rows, weights: Array | None, tests: list[np.ndarray], pool: Workers
    ) -> None:
        self._rows = rows
        self._weights = weights
        self._tests = tests
        self._pool = pool

    def __call__(self, folds: np.ndarray, coef: Array, intercept: Array) -> np.ndarray:
        """Return the scores, (n_folds, n_models), of coefficients (n_folds, n_models,
        n_outputs, n_features).
        """
        rows, tests = self._rows, [self._tests[fold] for fold in folds]
        features, loss = rows.features, loss_of(rows.labels.classes.shape[0])
        if rows.chunk_rows is None:
            labels = features.place(rows.labels.codes, features.dtype)
            of_rows = features, labels, self._weights
            scores = []
            for i, test in enumerate(tests):
                model = coef[i, ...], intercept[i, ...]
                total, weight = _loss_sums(loss, *of_rows, test, *model, self._pool)
                scores.append(-arrays.to_host(total / weight))
            return np.stack(scores)
        X: Any = features.X
        function = partial(_chunk_losses, loss, rows.labels.classes, coef, intercept)
        counts = X.cut(small_counts(tests, X.shape[0]))
        total, weight = X.over_chunks(
            function, rows.chunk_rows, counts, name="held-out-loss"
        )
        return -arrays.to_host(total / weight[:, None])


@arrays.quiet()
def _loss_sums(
    loss: Loss,
    features: Features,
    labels: Array,
    weights: Array,
    row_ids: np.ndarray,
    coef: Array,
    intercept: Array,
    pool: Workers = ALONE,
) -> tuple[Array, Array]:
    """Return the weighted sums of the losses, (n_models,), and of the weights, ()."""
    xp, X = features.xp, features.X
    if not row_ids.shape[0]:
        zero = xp.zeros_like(weights[:1])
        return xp.broadcast_to(zero, (coef.shape[0],)), zero[0]
    rows = features.place(row_ids, None)

    def kernel(part: slice) -> tuple[Array, Array]:
        here = rows[part]
        chosen = arrays.take_rows(X, here, xp=xp)
        targets = xp.take(labels, here)
        value = clipped_loss(loss, chosen, targets, coef, intercept, xp=xp)
        weight = xp.take(weights, here)
        value = xp.astype(value, weight.dtype, copy=False)
        return xp.sum(weight[:, None] * value, axis=0), xp.sum(weight)

    width = 4 * coef.shape[0] * coef.shape[1]
    step = row_slices(X, width, n_threads=pool.n, xp=xp)[0].stop
    n_rows = rows.shape[0]
    slices = [slice(i, min(i + step, n_rows)) for i in range(0, n_rows, step)]
    total, weight = map_reduce(kernel, slices, pool)
    return total, weight


def _chunk_losses(
    loss: Loss,
    classes: Array,
    coef: Array,
    intercept: Array,
    X: Array,
    rows: ChunkRows,
    counts: np.ndarray,
) -> tuple[Array, Array]:
    """Return the sums of :func:`_loss_sums` for each fold of a chunk."""
    features = Features(X, arrays.namespace(X), arrays.device_of(X), None)
    labels = features.place(rows.among(classes).codes, X.dtype)
    ids = np.arange(X.shape[0])
    sums = [
        _loss_sums(
            loss,
            features,
            labels,
            rows.weights,
            np.repeat(ids, counts[:, fold]),
            coef[fold, ...],
            intercept[fold, ...],
        )
        for fold in range(coef.shape[0])
    ]
    total, weight = (features.xp.stack(list(part)) for part in zip(*sums))
    return total, weight


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

    For chunks of Dask the scorer gets row numbers as X, and models that know their
    logits: those are brought here, fold by fold.

    Parameters
    ----------
    scorer : callable
    rows : Rows
    y : ndarray of shape (n_samples,)
    metadata : dict
        What the scorer gets: arrays with a row for each of X, or other values. Chunks
        hold the weights of their rows themselves.
    tests : list of ndarrays
        Row numbers that each fold left out.
    """

    def __init__(
        self,
        scorer: Callable[..., float],
        rows: Rows,
        y: np.ndarray,
        metadata: dict[str, Any],
        tests: list[np.ndarray],
    ) -> None:
        self._scorer = scorer
        self._rows = rows
        self._classes = arrays.to_host(rows.labels.classes)
        self._y = y
        self._metadata = metadata
        self._tests = tests

    def __call__(self, folds: np.ndarray, coef: Array, intercept: Array) -> np.ndarray:
        """Return the scores, as :class:`HeldOutLikelihood` does."""
        in_chunks = self._rows.chunk_rows is not None
        of_fold = self._in_chunks if in_chunks else self._in_memory
        scores = []
        for i, fold in enumerate(folds):
            test = self._tests[fold]
            test = np.sort(test) if in_chunks else test
            X, weights, models = of_fold(test, coef[i, ...], intercept[i, ...])
            given = metadata_of(test, self._metadata, self._y.shape[0])
            if weights is not None and "sample_weight" in given:
                given["sample_weight"] = weights
            y = self._y[test]
            scores.append([float(self._scorer(m, X, y, **given)) for m in models])
        return np.asarray(scores)

    def _in_memory(self, test: np.ndarray, coef: Array, intercept: Array) -> Held:
        features = self._rows.features
        X = arrays.take_rows(features.X, features.place(test, None), xp=features.xp)
        models = [
            ScoredModel(
                coef_=coef[i, ...],
                intercept_=intercept[i, ...],
                classes_=self._classes,
                n_features_in_=X.shape[1],
            )
            for i in range(coef.shape[0])
        ]
        return X, None, models

    def _in_chunks(self, test: np.ndarray, coef: Array, intercept: Array) -> Held:
        X: Any = self._rows.features.X
        rows: Any = self._rows.chunk_rows
        is_test = np.zeros(X.shape[0], dtype=bool)
        is_test[test] = True
        function = partial(_logits_and_weights, coef, intercept)
        X.n_passes += 1
        found = _fetched(function, X.parts, rows, X.cut(is_test))
        logits, weights = map(np.concatenate, zip(*found))
        models = [
            _KnownLogits(logits[:, i, :], self._classes) for i in range(coef.shape[0])
        ]
        return test[:, None], weights, models


def score_chunks(
    model: LinearClassifier,
    scorer: Callable[..., float],
    X: Any,
    y: Any,
    metadata: dict[str, Any],
) -> float:
    """Score a fitted model on rows of Dask with a scorer of scikit-learn's.

    Logits, labels and weights are brought here.
    """
    chunks: Any = read_features(model, X, reset=False, chunked=True).X
    given = {"y": y, "sample_weight": metadata.get("sample_weight")}
    parts = [parts_beside(chunks, values, name) for name, values in given.items()]
    found = _fetched(partial(_answer, ScoredModel.of(model)), chunks.parts, *parts)
    logits, labels, *weights = map(np.concatenate, zip(*filter(None, found)))
    if weights:
        metadata = {**metadata, "sample_weight": weights[0]}
    known = _KnownLogits(logits, arrays.to_host(model.classes_))
    return float(scorer(known, np.arange(labels.shape[0])[:, None], labels, **metadata))


def _fetched(
    function: Callable[..., Any], *parts: Sequence[Delayed]
) -> tuple[Any, ...]:
    results = [call(function, *chunk, name="held-out-logits") for chunk in zip(*parts)]
    return fetch(results, *parts)[0]


def _answer(
    model: ScoredModel, X: Array, y: Any, sample_weight: Any
) -> tuple[np.ndarray, ...] | None:
    """Return logits, (n_rows, n_outputs), labels and any weights, on the host."""
    n_rows = X.shape[0]
    if n_rows == 0:
        return None
    logits = arrays.to_host(model.decision_function(X)).reshape(n_rows, -1)
    labels = encode(y, n_rows)
    on_host = arrays.to_host(labels.classes)[arrays.to_host(labels.codes)]
    if sample_weight is None:
        return logits, on_host
    features = Features(X, arrays.namespace(X), arrays.device_of(X), None)
    return logits, on_host, arrays.to_host(place_weights(sample_weight, features))


def _logits_and_weights(
    coef: Array, intercept: Array, X: Array, rows: ChunkRows, is_test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, (n_rows, n_models, n_outputs), and weights, on the host."""
    test = np.nonzero(is_test)[0]
    xp, (n_models, n_outputs, n_features) = arrays.namespace(X), coef.shape
    coef = xp.reshape(coef, (-1, n_features))
    found = logits(arrays.rows(X, test), coef, xp.reshape(intercept, (-1,)), xp=xp)
    weights = arrays.to_host(arrays.rows(rows.weights, test))
    return arrays.to_host(found).reshape(-1, n_models, n_outputs), weights


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


class _KnownLogits(ScoredModel):
    """A fitted model of which only the logits of some rows are known."""

    def __init__(self, logits: np.ndarray, classes: np.ndarray) -> None:
        super().__init__(coef_=logits, classes_=classes)

    def _of_rows(
        self, answer: Callable[..., Array], X: Array, offset: Array | None = None
    ) -> Array:
        return answer(self.coef_, xp=arrays.namespace(self.coef_))
