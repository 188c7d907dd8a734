"""Categorical columns: one-hot columns that are never formed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data.blocks import cut, padded_size
from xlr.data.matrix import GRAM_SPEEDUP, Scaler, StandardizedMatrix
from xlr.data.sparse_matrix import (
    ENTRY_COST,
    SparseMatrix,
    dense_sandwich,
    gram_cost,
    min_block_rows,
    sparse_from_parts,
)

# Maximum ratio of the pairs of columns of codes to the one-hot columns for which
# contingency tables take less time than rows made dense.
PAIRS_PER_COLUMN = 8

# Minimum number of rows of a block for contingency tables. A table takes 0.2 ms in
# addition to its lookups. With 2,000 rows, as in other Gram matrices, a fit to 400k x
# 30 codes takes 2.6 times as long (two cores of an x86 server).
MIN_TABLE_ROWS = 2**14

# Number of rows whose indices are computed at once.
INDEX_ROWS = 2**13


@arrays.pytree("indices", "stored")
class CategoricalMatrix:
    """One-hot columns of categories, stored as one integer code per row.

    With NumPy, each block of rows is a SciPy sparse matrix. All blocks share their ones
    and row ends. In other libraries, a product looks coefficients up, and a product
    with the transpose sums by level.

    Parameters
    ----------
    codes : array or list of int, (n_rows,) or (n_rows, n_codes)
        Levels 0, 1, ... of each column; -1 for a row without a level, whose one-hot
        columns are all zero.
    n_levels : int or sequence of int
        Number of levels of each column.
    dtype : dtype, default=None
        Dtype of the products; None for the widest of the device.
    xp : namespace, default=None
        Namespace of the codes; None to find it.

    Raises
    ------
    ValueError
        If codes are not integers from -1 to n_levels - 1, or there is not one number of
        levels for each column.

    Attributes
    ----------
    indices : array of int32, (n_rows, n_codes)
        Index of the one-hot column that is 1, for each column of codes; n_columns if
        there is none.

    Examples
    --------
    >>> import numpy as np
    >>> import xlr
    >>> codes = np.asarray([0, 2, 1, 2, 0, 1])
    >>> X = xlr.CategoricalMatrix(codes, 3)
    >>> model = xlr.LogisticRegression().fit(X, [0, 1, 0, 1, 1, 1])
    >>> model.coef_.round(3)
    array([[-0.235, -0.235,  0.469]])
    """

    def __init__(
        self,
        codes: Array,
        n_levels: int | Sequence[int],
        dtype: Any = None,
        *,
        xp: Namespace | None = None,
    ) -> None:
        codes = codes if arrays.is_foreign(codes, "codes") else np.asarray(codes)
        xp = arrays.namespace(codes) if xp is None else xp
        if not xp.isdtype(codes.dtype, "integral"):
            raise ValueError(
                f"codes has dtype {codes.dtype}, expected integers. Convert it, with "
                "-1 where there is no level."
            )
        levels = [int(n) for n in np.atleast_1d(n_levels)]
        codes = codes[:, None] if codes.ndim == 1 else codes
        if codes.ndim != 2 or codes.shape[1] != len(levels) or not levels:
            raise ValueError(
                f"codes has shape {tuple(codes.shape)}, expected (n_rows, "
                f"{len(levels)}): a column for each of n_levels={levels}."
            )
        if codes.shape[0]:
            ends = xp.stack([xp.min(codes, axis=0), xp.max(codes, axis=0)])
            smallest, largest = arrays.to_host(ends)
            wrong = np.nonzero((smallest < -1) | (largest >= levels))[0]
            if wrong.size:
                j = wrong[0]
                raise ValueError(
                    f"Column {j} of codes has values from {smallest[j]} to "
                    f"{largest[j]}, expected -1 (no level) to {levels[j] - 1}. Number "
                    "the levels of each column from 0."
                )
        device = arrays.device_of(codes)
        starts = np.cumsum([0, *levels[:-1]], dtype=np.int32)
        starts = arrays.move(starts, xp=xp, device=device)

        def placed(rows: slice) -> Array:
            own = xp.astype(codes[rows, :], xp.int32, copy=False)
            return xp.where(own < 0, xp.full_like(own, sum(levels)), own + starts)

        n_rows = codes.shape[0]
        blocks = cut(n_rows, INDEX_ROWS) or [slice(0, 0)]
        indices = arrays.concat_blocks(map(placed, blocks), n_rows)
        if dtype is None:
            dtype = arrays.widest_float(xp=xp, device=device)
        self._set(indices, tuple(levels), dtype, xp)

    def _set(
        self, indices: Array, n_levels: tuple[int, ...], dtype: Any, xp: Namespace
    ) -> None:
        self.indices = self.stored = indices
        self.n_levels, self.dtype = n_levels, dtype
        self.xp, self.device = xp, arrays.device_of(indices)
        self.shape = indices.shape[0], sum(n_levels)
        n_codes, n_columns = len(n_levels), self.shape[1]
        self.product_cost = float(ENTRY_COST * n_codes)
        self.gram_cost = n_columns**2 / GRAM_SPEEDUP
        # Blocks of rows by their first and last rows, and the arrays that they share.
        # None for libraries other than NumPy.
        self._views: dict[tuple[int, int], CategoricalMatrix] | None = None
        self._shared: dict[Any, np.ndarray] | None = None
        if isinstance(indices, np.ndarray):
            self.gram_cost = gram_cost(n_codes**2, n_columns)
            self._views, self._shared = {}, {}

    def _with(
        self, indices: Array, n_levels: tuple[int, ...] = (), dtype: Any = None
    ) -> CategoricalMatrix:
        """Return a matrix of other rows, levels or dtype."""
        made = CategoricalMatrix.__new__(CategoricalMatrix)
        made._set(indices, n_levels or self.n_levels, dtype or self.dtype, self.xp)
        if made.dtype == self.dtype and not n_levels:
            made._shared = self._shared
        return made

    @cached_property
    def _sparse(self) -> SparseMatrix:
        """Return the rows as a SciPy sparse matrix, which shares the indices.

        An additional last column is for rows without a level.
        """
        return self._one_hot(self.indices, self.shape[1] + 1)

    def _one_hot(self, indices: np.ndarray, n_columns: int) -> SparseMatrix:
        """Return rows with ones in the columns of the indices."""
        assert self._shared is not None
        shared, (n_rows, width) = self._shared, indices.shape
        n = n_rows * width
        # Another thread may store fewer ones between two look-ups.
        ones = shared.get("ones")
        if ones is None or ones.size < n:
            # A bit more than needed, for blocks with another row.
            ones = shared["ones"] = np.ones(padded_size(n), dtype=self.dtype)
        ends = np.arange(0, n + 1, width, dtype=indices.dtype)
        if width == len(self.n_levels):  # of codes, not of pairs
            ends = shared.setdefault((n_rows, indices.dtype), ends)
        parts = ones[:n], np.reshape(indices, -1), ends
        rows = sparse_from_parts(csr_array, (n_rows, n_columns), parts)
        return SparseMatrix(rows, xp=self.xp, costs=(self.product_cost, self.gram_cost))

    def matvec(self, coef: Array, intercept: Array | None = None) -> Array:
        """Return X W' + b: (n_rows, m)."""
        xp = self.xp
        coef = xp.astype(coef, self.dtype, copy=False)
        no_level = xp.zeros((coef.shape[0], 1), dtype=self.dtype, device=self.device)
        coef = xp.concat([coef, no_level], axis=1)
        if self._shared is not None:
            return self._sparse.matvec(coef, intercept)
        product = xp.take(coef.T, self.indices[:, 0], axis=0)
        for j in range(1, len(self.n_levels)):
            product = product + xp.take(coef.T, self.indices[:, j], axis=0)
        if intercept is not None:
            product += xp.astype(intercept, self.dtype, copy=False)
        return product

    def transpose_matvec(self, residual: Array, total: Array | None = None) -> Array:
        """Return R'X, (m, n_columns), in the widest dtype."""
        if self._shared is not None:
            return self._sparse.transpose_matvec(residual)[:, :-1]
        residual = arrays.widened(residual, xp=self.xp)
        place = {"dtype": residual.dtype, "device": self.device}
        sums = self.xp.zeros((self.shape[1] + 1, residual.shape[1]), **place)
        return arrays.index_add(sums, self.indices, residual)[:-1, :].T

    def sandwich(self, columns: Array) -> Array:
        """Return A'A for A = [diag(u_1) X, ..., diag(u_m) X]."""
        has_few_pairs = len(self.n_levels) ** 2 <= PAIRS_PER_COLUMN * self.shape[1]
        if has_few_pairs and self._shared is not None and columns.shape[1] == 1:
            return self._contingency_tables(columns**2)
        return dense_sandwich(self, columns)

    def _contingency_tables(self, weights: np.ndarray) -> np.ndarray:
        """Return X' diag(h) X, the sums of the weights h of each pair of levels.

        A table of two columns of codes is X'h of the column of their pairs.
        """
        indices, p, start = self.indices, self.shape[1], 0
        gram = np.empty((p, p))
        dtype = np.int32 if (p + 1) ** 2 < 2**31 else np.int64
        for j, n_levels in enumerate(self.n_levels):
            stop, width = start + n_levels, p + 1 - start
            own = np.minimum(indices[:, j : j + 1] - start, n_levels)  # or no level
            pairs = own * dtype(width) + (indices[:, j:] - start)
            one_hot = self._one_hot(pairs, (n_levels + 1) * width)
            sums = one_hot.transpose_matvec(weights)
            table = np.reshape(sums, (n_levels + 1, width))[:-1, :-1]
            gram[start:stop, start:] = table
            gram[stop:, start:stop] = table[:, n_levels:].T
            start = stop
        return gram

    def sandwich_diagonal(self, weights: Array) -> Array:
        """Return the diagonal of X' diag(h) X for each column h of ``weights``."""
        return self.transpose_matvec(weights)

    def take_rows(self, rows: slice | Array) -> CategoricalMatrix:
        """Return some rows: a slice as a view, or indices on the device as a copy."""
        if not isinstance(rows, slice):
            return self._with(arrays.take_rows(self.indices, rows, xp=self.xp))
        if self._views is None:
            return self._with(self.indices[rows, :])
        ends = rows.indices(self.shape[0])[:2]
        if ends not in self._views:
            self._views[ends] = self._with(self.indices[rows, :])
        return self._views[ends]

    def take_columns(self, columns: Array) -> CategoricalMatrix:
        """Return some one-hot columns, by their ascending indices on the device.

        Rows with other levels then have no level.
        """
        xp, n_columns = self.xp, self.shape[1]
        chosen = arrays.to_host(columns)
        new = np.full(n_columns + 1, chosen.size, dtype=np.int32)
        new[chosen] = np.arange(chosen.size)
        starts = np.cumsum([0, *self.n_levels])
        counts = np.diff(np.searchsorted(chosen, starts))
        kept_codes = arrays.move(np.nonzero(counts)[0], xp=xp, device=self.device)
        indices = xp.take(self.indices, kept_codes, axis=1)
        new = arrays.move(new, xp=xp, device=self.device)
        indices = xp.reshape(xp.take(new, xp.reshape(indices, (-1,))), indices.shape)
        return self._with(indices, tuple(counts[counts > 0].tolist()))

    def astype(self, dtype: Any) -> CategoricalMatrix:
        """Return the same numbers in float32 or float64."""
        return self if dtype == self.dtype else self._with(self.indices, dtype=dtype)

    def standardized(self, scaler: Scaler) -> StandardizedMatrix:
        """Return the matrix with centring and scaling applied to the coefficients."""
        return StandardizedMatrix(self, scaler)

    def to_dense(self) -> Array:
        """Return a dense array of the one-hot columns."""
        if self._shared is not None:
            return self._sparse.to_dense()[:, :-1]
        xp, parts, ends = self.xp, [], itertools.accumulate(self.n_levels, initial=0)
        for j, (start, stop) in enumerate(itertools.pairwise(ends)):
            levels = xp.arange(start, stop, dtype=xp.int32, device=self.device)
            parts.append(xp.astype(self.indices[:, j : j + 1] == levels, self.dtype))
        return xp.concat(parts, axis=1)

    def row_slices(self, width: int, least: int, n_threads: int) -> list[slice]:
        """Cut the rows into blocks whose temporaries stay in the cache.

        A block has more entries than the sums that it adds to.
        """
        n, n_codes = self.shape[0], len(self.n_levels)
        n_rows = arrays.block_bytes(self.indices) // (8 * max(width, n_codes // 2))
        min_rows = min_block_rows(self, n_codes, least)
        if least > 1:
            min_rows = max(min_rows, MIN_TABLE_ROWS)
        return cut(n, max(n_rows, min_rows), n_threads=n_threads)
