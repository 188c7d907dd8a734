"""Arrays and tables of Dask as chunks of rows: X, and what comes with it."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Chunks, Delayed, call, fetch, literal, parts_of
from xlr.inputs.categories import Encoder, Levels, find_levels
from xlr.inputs.tables import native
from xlr.text import warn


def stand_in(X: Any) -> Any:
    """Return a few rows such as those of a Dask array or table, in memory.

    Raises
    ------
    TypeError, ValueError
        If X is no dense matrix, or the number of its columns is not known.
    """
    _refuse_collection(X, "X")
    if _is_table(X):
        return X._meta_nonempty
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got an X of shape {X.shape} instead. Reshape your "
            "data: X.reshape(-1, 1) for a single feature, X.reshape(1, -1) for a "
            "single row."
        )
    if np.isnan(X.shape[1]):
        raise ValueError(
            "The number of columns of X is not known. Call X.compute_chunk_sizes(), or "
            "build X with the chunks of its columns known."
        )
    meta = X._meta
    refuse_kind(meta)
    xp = arrays.namespace(meta)
    return xp.ones((1, X.shape[1]), dtype=meta.dtype, device=arrays.device_of(meta))


def chunks_of(X: Any, like: Array, *, xp: Namespace) -> Chunks:
    """Return the chunks of the rows of a Dask array or table.

    Parameters
    ----------
    X : array or table of Dask
    like : array of shape (n, n_features)
        Rows as they are to be.
    xp : namespace
        Of those.

    Warns
    -----
    UserWarning
        If the columns are in several chunks.
    """
    source = X
    if _is_table(X):
        matrix = partial(_matrix, str(like.dtype))
        parts = [call(matrix, part, name="table") for part in parts_of(X)]
        counts = (float("nan"),) * len(parts)
    else:
        if len(X.chunks[1]) > 1:
            warn(
                f"The columns of X are in {len(X.chunks[1])} chunks. They are brought "
                "together for each pass over the rows, which moves all of X between "
                "workers. Do so once: X.rechunk({1: -1}).persist().",
            )
            X = X.rechunk({1: -1})
        if X.dtype != like.dtype:
            X = X.astype(like.dtype)
        parts, counts = parts_of(X), X.chunks[0]
    return Chunks(
        parts,
        tuple(counts),
        like.shape[1],
        dtype=like.dtype,
        device=arrays.device_of(like),
        xp=xp,
        source=source,
    )


def find_levels_in_chunks(X: Any, names: list[str]) -> tuple[dict[str, Levels], ...]:
    """Return what :func:`find_levels` finds in each partition of a Dask table."""
    parts = parts_of(X)
    looks = [call(partial(find_levels, names), part, name="levels") for part in parts]
    return fetch(looks, parts)[0]


def coded_chunks(X: Any, encoder: Encoder, dtype: Any) -> Chunks:
    """Return the partitions of a Dask table as numbers and codes of categories."""
    encode = partial(_numbers_and_codes, encoder, dtype)
    parts = [call(encode, part, name="categories") for part in parts_of(X)]
    return Chunks(
        parts,
        (float("nan"),) * len(parts),
        len(encoder.columns),
        dtype=np.dtype(dtype),
        device="cpu",
        xp=arrays.namespace(np.zeros(0)),
        source=X,
        n_levels=encoder.n_levels,
    )


def _numbers_and_codes(encoder: Encoder, dtype: Any, table: Any) -> np.ndarray:
    codes = encoder.codes(table).astype(dtype)
    if not encoder.numeric:
        return codes
    return np.concatenate([_matrix(dtype, encoder.numbers(table)), codes], axis=1)


def parts_beside(X: Chunks, values: Any, name: str) -> list[Delayed]:
    """Return the part of the values that belongs to each chunk of X.

    Parameters
    ----------
    X : Chunks
    values : array or column of any library, Dask's included, a number or None
    name : str
        For messages.

    Raises
    ------
    ValueError
        If it has other rows than X, or cannot be brought into its chunks.

    Warns
    -----
    UserWarning
        If it is in other chunks, and cut again.
    DataConversionWarning
        If y is a matrix of one column.
    """
    n_chunks = len(X.parts)
    if values is None or (name == "sample_weight" and isinstance(values, Real)):
        return [literal(values)] * n_chunks
    is_lazy = arrays.is_dask(values)
    if is_lazy:
        _refuse_collection(values, name)
    if name == "y":
        values = _column(values)
    if not is_lazy:
        return _cut(X, values, name)
    if _is_table(values):
        parts = parts_of(values)
        if len(parts) != n_chunks:
            raise ValueError(
                f"{name} is in {len(parts)} partitions and X in {n_chunks} chunks. "
                "Take both from one table, or give both known chunks of the same sizes."
            )
        return parts
    _refuse_number(values, name)
    if values.ndim > 1 and len(values.chunks[1]) > 1:
        values = values.rechunk({1: -1})
    own = values.chunks[0]
    if 0 in own and all(n > 0 for n in X.row_counts):  # a fit leaves empty ones out
        values = values.blocks[[i for i, n in enumerate(own) if n]]
        own = values.chunks[0]
    if own != X.row_counts and not np.isnan([*own, *X.row_counts]).any():
        if sum(own) != sum(X.row_counts):
            raise ValueError(
                f"X and {name} have inconsistent numbers of samples: "
                f"{int(sum(X.row_counts))} rows of X, {int(sum(own))} of {name}. Pass "
                "one for each row."
            )
        warn(
            f"{name} is in other chunks than X, and is cut again as X is. Do so once: "
            f"{name}.rechunk(X.chunks[:1]).",
        )
        values = values.rechunk((X.row_counts, *values.chunks[1:]))
    if len(values.chunks[0]) != n_chunks:
        raise ValueError(
            f"{name} is in {len(values.chunks[0])} chunks and X in {n_chunks}, of "
            "sizes that are not all known. Call compute_chunk_sizes() on both."
        )
    return parts_of(values)


def _column(y: Any) -> Any:
    """Return the one column of a matrix; anything else as it is."""
    if getattr(y, "ndim", 1) != 2 or y.shape[1] != 1:
        return y
    warn(
        "A column-vector y was passed when a 1d array was expected. Please change the "
        "shape of y to (n_samples,), for example using ravel().",
        DataConversionWarning,
    )
    return y[y.columns[0]] if hasattr(type(y), "columns") else y[:, 0]


def _cut(X: Chunks, values: Any, name: str) -> list[Delayed]:
    """Cut values in memory as X is."""
    if np.isnan(X.row_counts).any():
        raise ValueError(
            f"The sizes of the chunks of X are not known, so that {name}, which is in "
            "memory, cannot be cut as they are. Pass it as a Dask array or column, or "
            "find them out first: X.compute_chunk_sizes(), and for a table "
            "X.to_dask_array(lengths=True)."
        )
    if not arrays.is_array(values):
        values = np.asarray(native(values))
    _refuse_number(values, name)
    if values.shape[0] != X.shape[0]:
        raise ValueError(
            f"X and {name} have inconsistent numbers of samples: {X.shape[0]} rows of "
            f"X, {values.shape[0]} of {name}. Pass one for each row."
        )
    parts = X.cut(values)
    X.kept.extend(parts)
    return parts


def _refuse_number(values: Array, name: str) -> None:
    if values.ndim == 0:
        raise ValueError(
            f"{name} is a single number, of shape (). Pass one for each row of X."
        )


def _is_table(X: Any) -> bool:
    return hasattr(type(X), "_meta_nonempty")


def _refuse_collection(values: Any, name: str) -> None:
    """Raise TypeError for what is neither an array nor a table or a column."""
    if not (_is_table(values) or hasattr(type(values), "chunks")):
        raise TypeError(
            f"{name} is a {type(values).__name__} of Dask, whose rows and columns are "
            "not known. Make an array or a table of it, for instance with "
            "dask.array.from_delayed or dask.dataframe.from_delayed."
        )


def refuse_kind(chunk: Any) -> None:
    """Refuse chunks that are sparse or masked.

    Raises
    ------
    TypeError
        If these are not.
    """
    kind = type(chunk)
    if arrays.is_sparse(chunk) or kind.__module__.split(".")[0] == "sparse":
        raise TypeError(
            f"The chunks of X are sparse, of type {kind.__name__}; those of a Dask "
            "array are to be dense. Make them so, with X.map_blocks(lambda chunk: "
            "chunk.toarray()) or chunk.todense(); or pass a scipy.sparse matrix, in "
            "memory."
        )
    if isinstance(chunk, np.ma.MaskedArray):
        raise TypeError(
            "The chunks of X are masked arrays, and what is masked is not known. Drop "
            "those rows, or put numbers in their places: dask.array.ma.filled(X, 0.0)."
        )


def _matrix(dtype: str, table: Any) -> Array:
    """Return a partition of a table as an array."""
    if hasattr(type(table), "to_cupy"):
        return table.to_cupy(dtype=dtype)
    return table.to_numpy(dtype=dtype, na_value=np.nan)
