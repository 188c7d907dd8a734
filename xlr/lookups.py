"""Sums of table rows that indices name, and sums of values with equal indices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array

from xlr import arrays
from xlr.arrays import Array, Namespace

# Rows of one product on the host, whose unit entries stay in the cache; or as many rows
# for each sum, since sums are added up once for each product.
HOST_ROWS = 2**13
ROWS_FOR_EACH_SUM = 1 / 8

# Numbers of a dense selection, where a library cannot add by index.
MAX_SELECTION = 2**22


def look_up(table: Array, indices: Array, *, xp: Namespace) -> Array:
    """Return the sums of the table rows that each row of indices names.

    Parameters
    ----------
    table : array of shape (n_indices, m)
    indices : array of int32, (n_rows, k)
    xp : namespace

    Returns
    -------
    array of shape (n_rows, m)
    """
    if isinstance(table, np.ndarray):
        shape = indices.shape[0], table.shape[1]
        table = _vector_or_matrix(table)
        found = np.empty((indices.shape[0], *table.shape[1:]), dtype=table.dtype)
        for rows, selection in _selections(
            csr_array, indices, table.shape[0], table.dtype
        ):
            found[rows] = selection @ table
        return found.reshape(shape)
    found = xp.take(table, indices[:, 0], axis=0)
    for j in range(1, indices.shape[1]):
        found = found + xp.take(table, indices[:, j], axis=0)
    return found


def add_by_index(indices: Array, values: Array, size: int, *, xp: Namespace) -> Array:
    """Return the sums of the rows of values that name each index.

    Parameters
    ----------
    indices : array of int32, (n_rows, k)
    values : array of shape (n_rows, m)
    size : int
        Number of indices.
    xp : namespace

    Returns
    -------
    array of shape (size, m)
    """
    if isinstance(values, np.ndarray):
        if indices.shape[1] == 1:
            counts = [np.bincount(indices[:, 0], own, size) for own in values.T]
            return np.stack(counts, axis=1)
        values = _vector_or_matrix(values)
        total = np.zeros((size, *values.shape[1:]), dtype=values.dtype)
        for rows, selection in _selections(csc_array, indices, size, values.dtype):
            total += selection @ values[rows]
        return total.reshape(size, -1)
    place = {"dtype": values.dtype, "device": arrays.device_of(values)}
    sums = xp.zeros((size, values.shape[1]), **place)
    for j in range(indices.shape[1]):
        sums = _added(sums, indices[:, j], values, xp=xp)
    return sums


def _vector_or_matrix(x: np.ndarray) -> np.ndarray:
    """Return a vector for one column: SciPy's product with it is faster."""
    x = np.ascontiguousarray(x)
    return x[:, 0] if x.shape[1] == 1 else x


def _added(sums: Any, index: Array, values: Array, *, xp: Namespace) -> Array:
    """Return the sums with each row of values added at its index."""
    if hasattr(sums, "index_add"):  # torch
        return sums.index_add(0, index, values)
    if hasattr(sums, "at"):  # JAX
        return sums.at[index].add(values)
    if hasattr(sums, "scatter_add"):  # CuPy
        sums.scatter_add(index, values)
        return sums
    device = arrays.device_of(index)
    levels = xp.arange(sums.shape[0], dtype=index.dtype, device=device)
    step = max(1, MAX_SELECTION // sums.shape[0])
    for start in range(0, index.shape[0], step):
        rows = slice(start, min(start + step, index.shape[0]))
        selection = xp.astype(index[rows][:, None] == levels, values.dtype)
        sums = sums + xp.matmul(selection.T, values[rows, :])
    return sums


def _selections(
    kind: Any, indices: np.ndarray, size: int, dtype: Any
) -> Iterator[tuple[slice, Any]]:
    """Yield slices of rows, each with a sparse matrix of ones at their indices.

    The matrix is one object, whose indices change: SciPy's constructor, which copies
    and checks them, takes as long as a product.

    Parameters
    ----------
    kind : csr_array or csc_array
        csc_array for the transposed matrix.
    """
    n_rows, k = indices.shape
    step = min(n_rows, max(HOST_ROWS, int(ROWS_FOR_EACH_SUM * size)))
    ones = np.ones(step * k, dtype=dtype)
    ends = np.arange(0, ones.size + 1, k, dtype=np.int32)
    n_before, selection = 0, kind((0, 0), dtype=dtype)
    for start in range(0, n_rows, max(step, 1)):
        rows = slice(start, min(start + step, n_rows))
        n = rows.stop - start
        if n != n_before:
            shape = (n, size) if kind is csr_array else (size, n)
            n_before, selection = n, kind(shape, dtype=dtype)
            selection.data, selection.indptr = ones[: n * k], ends[: n + 1]
        selection.indices = indices[rows].reshape(-1)
        yield rows, selection
