"""Lazy predictions for the rows of Dask arrays and tables."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Chunks, Delayed, of_chunk
from xlr.inputs.dask_input import parts_beside
from xlr.inputs.features import read_features

Method = TypeVar("Method", bound=Callable[..., Any])


def chunk_by_chunk(method: Method) -> Method:
    """Extend a predictor to Dask arrays and tables, chunk by chunk.

    Its other arguments are None or have an entry for each row.
    """

    @functools.wraps(method)
    def predict(self: Any, X: Array, *others: Any, **named: Any) -> Array:
        if not arrays.is_dask(X):
            with arrays.current_device(X):
                return method(self._snapshot(), X, *others, **named)
        chunks, on_chunk, beside = _prepared(method, self, X, others, named, 2)
        # The answer for one row has the shape and the dtype of all answers.
        place = {"dtype": chunks.dtype, "device": chunks.device}
        answer = on_chunk(chunks.xp.zeros((1, chunks.n_stored), **place))
        return chunks.map(
            functools.partial(_or_empty, on_chunk, answer[:0, ...]),
            *beside,
            like=answer,
            name=method.__name__.replace("_", "-"),
        )

    return cast(Method, predict)


def mean_over_chunks(method: Method) -> Method:
    """Extend a weighted mean over the rows to Dask arrays and tables."""

    @functools.wraps(method)
    def score(
        self: Any,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        *others: Any,
        **named: Any,
    ) -> float:
        if not arrays.is_dask(X):
            with arrays.current_device(X):
                model = self._snapshot()
                return method(model, X, y, sample_weight, *others, **named)
        chunks, on_chunk, beside = _prepared(
            method, self, X, (y, sample_weight, *others), named, 0
        )
        function = functools.partial(_weighted, on_chunk)
        total, weight = chunks.map_reduce(function, *beside, name="score")
        if weight == 0:
            raise ValueError(
                "There is nothing to score: X has no rows, or their weights are zero."
            )
        return float(total / weight)

    return cast(Method, score)


def _prepared(
    method: Callable[..., Any],
    estimator: Any,
    X: Array,
    others: tuple[Any, ...],
    named: dict[str, Any],
    first: int,
) -> tuple[Chunks, Callable[..., Any], list[list[Delayed]]]:
    """Return the chunks of X, the method of a copy, and its arguments for each chunk.

    ``first`` is the position of the first of ``others`` in (y, weights, offset).
    """
    check_is_fitted(estimator, "coef_")
    given = dict(zip(("y", "sample_weight", "offset")[first:], others)) | named
    if given.get("offset") is None and estimator._has_offset:
        estimator._warn_of_missing_offset()
    chunks: Chunks = read_features(estimator, X, reset=False, chunked=True).X
    model = estimator._of_numbers()
    beside = [parts_beside(chunks, values, name) for name, values in given.items()]
    on_chunk = functools.partial(_called, method, model, chunks.n_levels, tuple(named))
    return chunks, on_chunk, beside


def _called(
    method: Callable[..., Any],
    model: Any,
    n_levels: tuple[int, ...],
    names: tuple[str, ...],
    X: Array,
    *others: Any,
) -> Any:
    n_positional = len(others) - len(names)
    named = dict(zip(names, others[n_positional:]))
    if n_levels:
        X = of_chunk(X, n_levels)
    return method(model, X, *others[:n_positional], **named)


def _or_empty(
    on_chunk: Callable[..., Array], empty: Array, X: Array, *others: Any
) -> Array:
    return on_chunk(X, *others) if X.shape[0] else empty


def _weighted(
    on_chunk: Callable[..., float], X: Array, y: Any, weight: Any, *others: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted sum of the scores of the rows, and the sum of the weights."""
    total = np.asarray(float(X.shape[0]))
    if weight is not None and X.shape[0]:
        host = arrays.to_host(weight) if arrays.is_array(weight) else weight
        total = np.sum(np.broadcast_to(np.asarray(host, dtype=float), X.shape[:1]))
    if total == 0:
        return np.zeros(()), np.zeros(())
    return np.asarray(on_chunk(X, y, weight, *others)) * total, np.asarray(total)
