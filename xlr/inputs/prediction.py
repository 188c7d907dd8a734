"""Rows to predict: X in memory at once, and X of Dask chunk by chunk."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.data import ChunkedMatrix
from xlr.inputs.dask_input import split_like
from xlr.inputs.features import read_features

Method = TypeVar("Method", bound=Callable[..., Any])


def chunk_by_chunk(method: Method) -> Method:
    """Extend a predictor to Dask arrays and tables, with lazy results."""

    @functools.wraps(method)
    def predict(self: Any, X: Array, offset: Any = None) -> Array:
        given = () if offset is None else (offset,)
        if isinstance(X, np.ndarray) or not arrays.is_dask(X):
            # Fits in other threads replace all attributes at once (set_fitted), and do
            # not change this copy.
            model = object.__new__(type(self))
            model.__dict__ = self.__dict__
            with arrays.current_device(X):
                return method(model, X, *given)
        chunks, model = _chunks_and_model(self, X, offset)
        # The result for a row has the shape and the dtype of all results.
        answer = method(model, chunks.like)
        return chunks.map(
            functools.partial(_of_chunk, method, model, answer[:0, ...]),
            split_like(chunks, offset, "offset"),
            like=answer,
            name=method.__name__.replace("_", "-"),
        )

    return cast(Method, predict)


def sum_rows(
    function: Callable[..., tuple[np.ndarray, ...]],
    model: Any,
    X: Array,
    given: dict[str, Any],
) -> tuple[np.ndarray, ...]:
    """Return ``function(model, X, *given.values())``, summed over chunks of Dask."""
    if not arrays.is_dask(X):
        return function(model, X, *given.values())
    chunks, model = _chunks_and_model(model, X, given["offset"])
    values = (split_like(chunks, v, name) for name, v in given.items())
    function = functools.partial(function, model)
    return chunks.map_reduce(function, chunks.tasks, *values, name="score")


def rows_of_scorer(X: Array, n_rows: int) -> Array:
    """Return the rows to pass to a scorer: X, or their numbers if X is of Dask."""
    return np.arange(n_rows)[:, None] if arrays.is_dask(X) else X


def check_in_memory(name: str, rows: Any) -> None:
    """Raise TypeError for rows of Dask."""
    if arrays.is_dask(rows):
        raise TypeError(
            f"{name} needs rows in memory. Those of Dask are not: pass X.compute()."
        )


def _chunks_and_model(model: Any, X: Any, offset: Any) -> tuple[ChunkedMatrix, Any]:
    """Return the chunks of X, and a copy of the model that predicts them.

    The copy accepts rows without column names and without offset.
    """
    check_is_fitted(model, "coef_")
    if offset is None:
        model._warn_of_missing_offset()
    chunks: ChunkedMatrix = read_features(model, X, reset=False, chunked=True).X
    predictor = copy.copy(model)
    predictor._has_offset = False
    if hasattr(model, "feature_names_in_"):
        predictor._chunk_names = model.coef_names_
        del predictor.feature_names_in_
    return chunks, predictor


def _of_chunk(
    method: Callable[..., Array], model: Any, empty: Array, X: Array, offset: Any
) -> Array:
    if X.shape[0] == 0:
        return empty
    return method(model, X) if offset is None else method(model, X, offset)
