"""Arrays and tables of Dask as chunks of rows: X, and values for each row of X."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.dask_graph import Delayed, call, fetch, literal, parts_of
from xlr.data import ChunkedMatrix, Matrix, PerRow
from xlr.inputs.categories import Encoder, table_levels
from xlr.inputs.tables import check_2d, check_n_rows, native
from xlr.text import warn


def example_rows(X: Any) -> Any:
    """Return rows in memory, with the columns and dtypes of X of Dask.

    Raises
    ------
    TypeError, ValueError
        If X is not a dense matrix, or its number of columns is not known.
    """
    if _is_dask_table(X):
        return X._meta_nonempty.ffill().bfill()  # of a nullable column: a value and NA
    _refuse_collection(X, "X")
    check_2d(X.shape)
    if np.isnan(X.shape[1]):
        raise ValueError(
            "The number of columns of X is not known. Call X.compute_chunk_sizes(), or "
            "build X with known chunks of columns."
        )
    meta = X._meta
    refuse_sparse_or_masked(meta)
    xp = arrays.namespace(meta)
    return xp.ones((1, X.shape[1]), dtype=meta.dtype, device=arrays.device_of(meta))


def chunks_of(X: Any, like: Matrix, encoder: Encoder | None = None) -> ChunkedMatrix:
    """Return the chunks of the rows of a Dask array or table.

    Parameters
    ----------
    X : array or table of Dask
    like : Matrix
        A row of the kind of the chunks.
    encoder : Encoder, default=None
        Encoder of a table with categorical columns.

    Warns
    -----
    UserWarning
        If the columns are in several chunks.
    """
    if _is_dask_table(X):
        read = partial(_numbers, dtype=str(like.dtype).rpartition(".")[2])
        if encoder is not None:
            read = partial(encoder.encode, read_numbers=read)
        parts = [call(read, part, name="table") for part in parts_of(X)]
        return ChunkedMatrix(parts, (float("nan"),) * len(parts), like, X)
    if len(X.chunks[1]) > 1:
        warn(
            f"The columns of X are in {len(X.chunks[1])} chunks. Each pass over the "
            "rows joins them, which moves all of X between workers. Join them once: "
            "X.rechunk({1: -1}).persist()."
        )
        X = X.rechunk({1: -1})
    if isinstance(X._meta, np.ndarray) and X.dtype != like.stored.dtype:
        X = X.astype(like.stored.dtype)  # as scikit-learn reads rows in memory
    return ChunkedMatrix(parts_of(X), tuple(X.chunks[0]), like, X)


def _numbers(table: Any, dtype: str) -> Array:
    """Return the numbers of a partition of a table."""
    if hasattr(type(table), "to_cupy"):
        return table.to_cupy(dtype=dtype)
    return table.to_numpy(dtype=dtype, na_value=np.nan)


def label_levels(y: Any) -> list[Any] | None:
    """Return the levels of a categorical y in its order, also of Dask; else None."""
    return table_levels(y._meta if _is_dask_table(y) else y)


def map_partitions(function: Callable[[Any], Any], X: Any) -> tuple[Any, ...]:
    """Return the results of a function of each partition of a Dask table."""
    parts = parts_of(X)
    return fetch([call(function, part, name="levels") for part in parts], parts)[0]


def load_columns(table: Any, names: set[str]) -> Any:
    """Load columns of a Dask table into memory; return other tables unchanged."""
    if not _is_dask_table(table):
        return table
    chosen = [name for name in table.columns if str(name) in names]
    return fetch([table[chosen]])[0][0]


def split_like(X: ChunkedMatrix, values: Any, name: str) -> list[Delayed]:
    """Split values for each row into one part for each chunk of X.

    Parameters
    ----------
    X : ChunkedMatrix
    values : array or column of any library or of Dask, a number or None
    name : str
        Name of the argument, for messages.

    Raises
    ------
    TypeError
        If the values are a collection of Dask other than an array, table or column.
    ValueError
        If the rows are not the rows of X, or cannot be split into its chunks.

    Warns
    -----
    UserWarning
        If the chunks differ from the chunks of X, and the values are rechunked.
    """
    n_chunks = len(X.tasks)
    if values is None or (name == "sample_weight" and isinstance(values, Real)):
        return [literal(values)] * n_chunks
    if not arrays.is_dask(values):
        return _split_in_memory(X, values, name)
    if not _is_dask_table(values):
        _refuse_collection(values, name)
        check_n_rows(name, values.shape, X.shape[0])
        own = values.chunks[0]
        if own != X.row_counts and not np.isnan([*own, *X.row_counts]).any():
            warn(
                f"{name} has other chunks than X, and each call rechunks it. Rechunk "
                f"it once: {name}.rechunk(X.chunks[:1])."
            )
            values = values.rechunk((X.row_counts, *values.chunks[1:]))
    parts = parts_of(values)
    if len(parts) != n_chunks:
        raise ValueError(
            f"{name} is in {len(parts)} chunks and X in {n_chunks}. Take both from one "
            "table, or call compute_chunk_sizes() on both."
        )
    return parts


def rows_like(
    X: ChunkedMatrix, values: Any, name: str, read: Callable[[Any], Array]
) -> PerRow:
    """Split values as :func:`split_like` does, and read each chunk that has rows."""
    parts = [
        call(read, part, name=name) if n_rows else part
        for part, n_rows in zip(split_like(X, values, name), X.row_counts)
    ]
    return PerRow(parts, None)


def _split_in_memory(X: ChunkedMatrix, values: Any, name: str) -> list[Delayed]:
    """Split values in memory into the chunks of X."""
    if np.isnan(X.row_counts).any():
        raise ValueError(
            f"The sizes of the chunks of X are not known, and {name} is in memory. "
            "Pass it as a Dask array or column, or find the sizes: "
            "X.compute_chunk_sizes(), or for a table X.to_dask_array(lengths=True)."
        )
    if not arrays.is_foreign(values):
        values = np.asarray(native(values))
    check_n_rows(name, values.shape, X.shape[0])
    parts = X.cut(values)
    X.persisted.extend(parts)
    return parts


def _is_dask_table(X: Any) -> bool:
    return hasattr(type(X), "_meta_nonempty")


def _refuse_collection(values: Any, name: str) -> None:
    """Raise TypeError for collections of Dask that are not arrays, such as bags."""
    if not hasattr(type(values), "chunks"):
        kind = type(values).__name__
        raise TypeError(f"{name} is a {kind} of Dask. Pass an array or table of Dask.")


def refuse_sparse_or_masked(chunk: Any) -> None:
    """Raise TypeError for sparse and masked chunks."""
    kind = type(chunk)
    if arrays.is_sparse(chunk) or kind.__module__.split(".")[0] == "sparse":
        raise TypeError(
            f"The chunks of X are sparse, of type {kind.__name__}; they must be dense. "
            "Convert them with X.map_blocks(lambda chunk: chunk.toarray()), or with "
            "chunk.todense() in it. Or pass a scipy.sparse matrix, in memory."
        )
    if isinstance(chunk, np.ma.MaskedArray):
        raise TypeError(
            "The chunks of X are masked arrays. Drop the rows with masked entries, or "
            "fill the entries: dask.array.ma.filled(X, 0.0)."
        )
