"""Scores of models on rows in chunks that they were not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Delayed, call, fetch, map_reduce, row_slices
from xlr.estimators.folds import small_counts
from xlr.estimators.logits import logits
from xlr.estimators.problem import loss_of
from xlr.estimators.rows import Rows
from xlr.estimators.scoring import ScoredModel, clipped_loss, metadata_of
from xlr.inputs.chunk_look import ChunkRows
from xlr.inputs.dask_input import parts_beside
from xlr.inputs.features import Features, read_features
from xlr.inputs.labels import encode
from xlr.inputs.weights import place_weights
from xlr.losses import Loss

__all__ = ["ChunkedLikelihood", "ChunkedScore", "score_chunks"]


class ChunkedLikelihood:
    """Mean log-likelihood of the rows that folds left out, for all folds in one pass.

    Parameters
    ----------
    rows : Rows
        In chunks.
    tests : list of ndarrays
        The numbers of the rows that each fold left out.
    """

    def __init__(self, rows: Rows, tests: list[np.ndarray]) -> None:
        self._rows = rows
        self._tests = tests

    def __call__(self, folds: np.ndarray, coef: Array, intercept: Array) -> np.ndarray:
        """For coefficients (n_folds, n_models, n_outputs, n_features): (n_folds,
        n_models).
        """
        rows, X = self._rows, self._rows.features.X
        counts = small_counts([self._tests[fold] for fold in folds], X.shape[0])
        classes = rows.labels.classes
        loss = loss_of(classes.shape[0])
        function = partial(_losses_left_out, loss, classes, coef, intercept)
        total, weight = X.over_chunks(
            function, rows.chunk_rows, X.cut(counts), name="held-out-loss"
        )
        return -arrays.to_host(total / weight[:, None])


@arrays.quiet()
def _losses_left_out(
    loss: Loss,
    classes: Array,
    coef: Array,
    intercept: Array,
    X: Array,
    rows: ChunkRows,
    counts: np.ndarray,
) -> tuple[Array, Array]:
    """Sums of the losses, (n_folds, n_models), and of the weights, (n_folds,)."""
    xp, rows = arrays.namespace(X), rows.among(classes)
    place = {"xp": xp, "device": arrays.device_of(X)}
    targets = arrays.move(rows.codes, **place, dtype=X.dtype)
    counts = arrays.move(counts, **place, dtype=rows.weights.dtype)

    def kernel(part: slice) -> tuple[Array, Array]:
        weights = rows.weights[part, None] * counts[part, :]
        totals = []
        for fold in range(coef.shape[0]):
            model = coef[fold, ...], intercept[fold, ...]
            value = clipped_loss(loss, X[part, :], targets[part], *model, xp=xp)
            value = xp.astype(value, weights.dtype, copy=False)
            totals.append(weights[:, fold] @ value)
        return xp.stack(totals), xp.sum(weights, axis=0)

    width = 4 * coef.shape[1] * coef.shape[2]
    total, weight = map_reduce(kernel, row_slices(X, width, xp=xp))
    return total, weight


class ChunkedScore:
    """A scorer of scikit-learn's on the rows that a fold left out.

    It gets the numbers of the rows in the place of X, and a model that knows its
    answers for them: logits are brought here, fold by fold.

    Parameters
    ----------
    scorer : callable
    rows : Rows
        In chunks.
    y : ndarray of shape (n_samples,)
    weighted : bool
        Whether the scorer gets the weights of the rows.
    metadata : dict
        What it gets beside, as :class:`HeldOutScore`.
    tests : list of ndarrays
    """

    def __init__(
        self,
        scorer: Callable[..., float],
        rows: Rows,
        y: np.ndarray,
        weighted: bool,
        metadata: dict[str, Any],
        tests: list[np.ndarray],
    ) -> None:
        self._scorer = scorer
        self._rows = rows
        self._y = y
        self._weighted = weighted
        self._metadata = metadata
        self._tests = tests

    def __call__(self, folds: np.ndarray, coef: Array, intercept: Array) -> np.ndarray:
        """As :class:`ChunkedLikelihood`."""
        scores = [
            self._of_fold(np.sort(self._tests[fold]), coef[i, ...], intercept[i, ...])
            for i, fold in enumerate(folds)
        ]
        return np.asarray(scores)

    def _of_fold(self, test: np.ndarray, coef: Array, intercept: Array) -> list[float]:
        X: Any = self._rows.features.X
        is_test = np.zeros(X.shape[0], dtype=bool)
        is_test[test] = True
        parts = [X.parts, self._rows.chunk_rows, X.cut(is_test)]
        function = partial(_logits_and_weights, coef, intercept)
        X.n_passes += 1
        logits, weights = map(np.concatenate, zip(*_fetched(function, parts)))
        metadata = metadata_of(test, self._metadata, X.shape[0])
        if self._weighted:
            metadata["sample_weight"] = weights
        classes = arrays.to_host(self._rows.labels.classes)
        return [
            float(
                self._scorer(
                    _Answers(logits[:, model, :], classes),
                    test[:, None],
                    self._y[test],
                    **metadata,
                )
            )
            for model in range(coef.shape[0])
        ]


def score_chunks(
    model: Any,
    scorer: Callable[..., float],
    X: Any,
    y: Any,
    metadata: dict[str, Any],
) -> float:
    """What a scorer of scikit-learn's says of a fitted model, for rows of Dask.

    Logits, labels and weights are brought here.
    """
    chunks: Any = read_features(model, X, reset=False, chunked=True).X
    parts = [
        chunks.parts,
        parts_beside(chunks, y, "y"),
        parts_beside(chunks, metadata.get("sample_weight"), "sample_weight"),
    ]
    answer = partial(_answer, ScoredModel.of(model))
    answers = [part for part in _fetched(answer, parts) if part is not None]
    logits, labels, *weights = map(np.concatenate, zip(*answers))
    if weights:
        metadata = {**metadata, "sample_weight": weights[0]}
    numbers = np.arange(labels.shape[0])[:, None]
    known = _Answers(logits, arrays.to_host(model.classes_))
    return float(scorer(known, numbers, labels, **metadata))


def _answer(
    model: ScoredModel, X: Array, y: Any, sample_weight: Any
) -> tuple[np.ndarray, ...] | None:
    """Logits, (n_rows, n_outputs), labels and any weights, on the host."""
    n_rows = X.shape[0]
    if n_rows == 0:
        return None
    logits = arrays.to_host(model.decision_function(X)).reshape(n_rows, -1)
    features = Features(X, arrays.namespace(X), arrays.device_of(X), None)
    labels = encode(y, n_rows)
    on_host = arrays.to_host(labels.classes)[arrays.to_host(labels.codes)]
    if sample_weight is None:
        return logits, on_host
    return logits, on_host, arrays.to_host(place_weights(sample_weight, features))


def _fetched(
    function: Callable[..., Any], parts: list[Sequence[Delayed]]
) -> tuple[Any, ...]:
    results = [call(function, *chunk, name="held-out-logits") for chunk in zip(*parts)]
    return fetch(results, *parts)[0]


def _logits_and_weights(
    coef: Array, intercept: Array, X: Array, rows: ChunkRows, is_test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of some rows, (n_rows, n_models, n_outputs) and (n_rows,), on the host."""
    test = np.nonzero(is_test)[0]
    xp, (n_models, n_outputs, n_features) = arrays.namespace(X), coef.shape
    coef = xp.reshape(coef, (-1, n_features))
    found = logits(arrays.rows(X, test), coef, xp.reshape(intercept, (-1,)), xp=xp)
    weights = arrays.to_host(arrays.rows(rows.weights, test))
    return arrays.to_host(found).reshape(-1, n_models, n_outputs), weights


class _Answers(ScoredModel):
    """A fitted model of which only the logits of some rows are known."""

    def __init__(self, logits: np.ndarray, classes: np.ndarray) -> None:
        super().__init__(coef_=logits, classes_=classes)

    def _of_rows(
        self, answer: Callable[..., Array], X: Array, offset: Array | None = None
    ) -> Array:
        return answer(self.coef_, xp=arrays.namespace(self.coef_))
