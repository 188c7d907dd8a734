"""Categorical columns: one-hot columns that are never formed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from xlr import arrays
from xlr.arrays import Array, Device, Namespace
from xlr.data.blocks import cut, map_reduce
from xlr.data.matrix import StandardizedMatrix
from xlr.data.scaler import Scaler
from xlr.data.sparse_matrix import SparseMatrix
from xlr.lookups import add_by_index, look_up

# Multiply-adds of a dense product in the time of a look-up, and in the time of counting
# a row in a contingency table: 2 ns and 3 ns for 500,000 rows of 30 columns with 2,000
# levels, on one core of an x86 server.
LOOKUP_COST = 4
COUNT_COST = 6

# Cells of the table of columns that are looked up together: 64 kilobytes. And rows for
# each cell, so that making the table costs little.
MAX_CELLS = 2**13
ROWS_PER_CELL = 8

# Ones of a sparse copy whose products take less time than look-ups: these have more
# calls, and half the time for each row.
MOST_ENTRIES = 2**21

# Rows of contingency tables that are counted at a time, whose codes stay in the cache.
COUNTED_ROWS = 2**15


@arrays.traced("indices")
class CategoricalMatrix:
    """Columns of category codes as a :class:`Matrix` of their one-hot columns.

    A product looks coefficients up, and a product with the transpose adds up by level:
    no column is formed. Columns of few levels are looked up together, in a table of
    the sums of their coefficients. The second derivatives are contingency tables.

    Parameters
    ----------
    codes : array of int, (n_rows,) or (n_rows, n_codes)
        Levels 0, 1, ... of each column; -1 where a row has none, all of whose one-hot
        columns are zero.
    n_levels : int or sequence of int
        Number of levels of each column.
    dtype : dtype, default=None
        To compute in; None for the widest of the device.
    xp : namespace, default=None
        That of the codes.

    Raises
    ------
    ValueError
        If codes are outside of -1 to n_levels - 1, or there is not one number of levels
        for each column.

    Attributes
    ----------
    indices : array of int32, (n_rows, n_groups)
        Number of the one-hot column that is 1, for each column of codes; n_columns
        where there is none. Where columns are looked up together, the cell of their
        table, which has n + 1 places for n levels, the last for none; the tables of
        the groups follow each other.

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
        xp = arrays.namespace(codes) if xp is None else xp
        levels = [n_levels] if isinstance(n_levels, int) else [int(n) for n in n_levels]
        codes = codes[:, None] if codes.ndim == 1 else codes
        if codes.ndim != 2 or codes.shape[1] != len(levels) or not levels:
            raise ValueError(
                f"codes has shape {tuple(codes.shape)}, expected (n_rows, "
                f"{len(levels)}): a column for each of n_levels={levels}."
            )
        if codes.shape[0]:
            ends = xp.stack([xp.min(codes, axis=0), xp.max(codes, axis=0)])
            least, most = arrays.to_host(ends)
            wrong = np.nonzero((least < -1) | (most >= levels))[0]
            if wrong.size:
                j = wrong[0]
                raise ValueError(
                    f"Column {j} of codes has values from {least[j]} to {most[j]}, "
                    f"expected -1 (no level) to {levels[j] - 1}. Pass the number of "
                    "each level, from 0 up."
                )
        device = arrays.device_of(codes)
        groups = _grouped(levels, min(MAX_CELLS, codes.shape[0] // ROWS_PER_CELL))
        codes, start, indices = xp.astype(codes, xp.int32), 0, []
        shares = len(groups) < len(levels)
        for group in groups:
            index = xp.zeros_like(codes[:, 0])
            for j in range(*group):
                own = codes[:, j]
                none = levels[j] if shares else sum(levels) - start
                own = xp.where(own < 0, xp.full_like(own, none), own)
                index = index * (levels[j] + 1) + own
            indices.append(index + start)
            start += _size(levels[slice(*group)]) if shares else levels[group[0]]
        indices = xp.stack(indices, axis=1)
        if dtype is None:
            dtype = arrays.widest_float(xp=xp, device=device)
        self._set(indices, tuple(levels), groups, dtype, xp)

    def _set(
        self,
        indices: Array,
        n_levels: tuple[int, ...],
        groups: tuple[tuple[int, int], ...],
        dtype: Any,
        xp: Namespace,
    ) -> None:
        self.indices = indices
        self.n_levels = n_levels
        self.groups = groups
        self.dtype = dtype
        self.xp = xp
        self.shape = indices.shape[0], sum(n_levels)
        q = len(n_levels)
        self._shares = len(groups) < q  # look-ups
        self._n_cells = self.shape[1] + 1
        if self._shares:
            self._n_cells = sum(_size(n_levels[slice(*group)]) for group in groups)
        self.product_cost = float(LOOKUP_COST * len(groups))
        self.gram_cost = COUNT_COST * q * (q + 1) / 2

    def _with(self, indices: Array, dtype: Any) -> CategoricalMatrix:
        made = CategoricalMatrix.__new__(CategoricalMatrix)
        made._set(indices, self.n_levels, self.groups, dtype, self.xp)
        return made

    @property
    def stored(self) -> Array:
        """The indices."""
        return self.indices

    @property
    def device(self) -> Device:
        """The device of the indices."""
        return arrays.device_of(self.indices)

    def matvec(self, coef: Array, intercept: Array | None = None) -> Array:
        """Return X W' + b: (n_rows, m)."""
        xp, m, start, tables = self.xp, coef.shape[0], 0, []
        coef = xp.astype(coef, self.dtype, copy=False)
        none = xp.zeros_like(coef[:, :1])
        for group in self.groups if self._shares else ():
            table = none[:, 0][None, :]
            for n in self.n_levels[slice(*group)]:
                own = xp.concat([coef[:, start : start + n], none], axis=1).T
                table = xp.reshape(table[:, None, :] + own[None, :, :], (-1, m))
                start += n
            tables.append(table)
        tables = tables or [xp.concat([coef, none], axis=1).T]
        product = look_up(xp.concat(tables, axis=0), self.indices, xp=xp)
        if intercept is not None:
            product += xp.astype(intercept, self.dtype, copy=False)
        return product

    def transpose_matvec(self, residual: Array, total: Array | None = None) -> Array:
        """Return R'X, (m, n_columns), in the widest dtype."""
        xp, m, start, sums = self.xp, residual.shape[1], 0, []
        residual = arrays.widened(residual, xp=xp)
        cells = add_by_index(self.indices, residual, self._n_cells, xp=xp)
        if not self._shares:
            return cells[:-1, :].T
        for group in self.groups:
            levels = self.n_levels[slice(*group)]
            size = _size(levels)
            table = xp.reshape(
                cells[start : start + size, :], (*(n + 1 for n in levels), m)
            )
            start += size
            for j, n in enumerate(levels):
                others = tuple(k for k in range(len(levels)) if k != j)
                own = xp.sum(table, axis=others) if others else table
                sums.append(own[:n, :])
        return xp.concat(sums, axis=0).T

    def sandwich(self, columns: Array) -> Array:
        """Return A'A for A = [u_1 X, ..., u_m X]: (m n_columns, m n_columns).

        Two columns of codes have their weighted contingency table there.
        """
        xp, m, n_levels = self.xp, columns.shape[1], self.n_levels
        pairs = list(itertools.combinations_with_replacement(range(m), 2))
        weights = [columns[:, i] * columns[:, k] for i, k in pairs]
        weights = arrays.widened(xp.stack(weights, axis=1), xp=xp)
        q = len(n_levels)
        slices = cut(self.shape[0], COUNTED_ROWS, n_threads=1)
        if not arrays.in_host_memory(self.indices):
            slices = [slice(0, self.shape[0])]
        tables = map_reduce(lambda rows: self._tables(rows, weights[rows, :]), slices)
        blocks: list[list[Any]] = [[None] * q for _ in range(q)]
        for (a, b), table in zip(itertools.combinations(range(q), 2), tables):
            table = xp.reshape(table, (n_levels[a] + 1, n_levels[b] + 1, -1))
            table = table[:-1, :-1, :]
            blocks[a][b], blocks[b][a] = table, xp.permute_dims(table, (1, 0, 2))
        diagonal = self.transpose_matvec(weights).T
        starts = itertools.accumulate(n_levels, initial=0)
        for a, (start, n) in enumerate(zip(starts, n_levels)):
            eye = xp.eye(n, dtype=diagonal.dtype, device=self.device)
            blocks[a][a] = eye[:, :, None] * diagonal[start : start + n, :]
        gram = xp.concat([xp.concat(row, axis=1) for row in blocks], axis=0)
        place = np.zeros((m, m), dtype=int)
        for number, (i, k) in enumerate(pairs):
            place[i, k] = place[k, i] = number
        rows = [xp.concat([gram[:, :, k] for k in row], axis=1) for row in place]
        return xp.concat(rows, axis=0)

    def _tables(self, rows: slice, weights: Array) -> tuple[Array, ...]:
        """Return the contingency table of each pair of columns: (n_cells, m)."""
        codes, sizes = self.take_rows(rows).codes(), [n + 1 for n in self.n_levels]
        tables = []
        for a, own in enumerate(codes):
            for b in range(a + 1, len(codes)):
                cells = (own * sizes[b] + codes[b])[:, None]
                size = sizes[a] * sizes[b]
                tables.append(add_by_index(cells, weights, size, xp=self.xp))
        return tuple(tables)

    def sandwich_diagonal(self, weights: Array) -> Array:
        """Return the diagonal of X' diag(h) X for each column h: (m, n_columns)."""
        return self.transpose_matvec(weights)

    def explicit(self) -> CategoricalMatrix:
        """Return the matrix itself."""
        return self

    def take_rows(self, rows: slice | Array) -> CategoricalMatrix:
        """Return some rows: a slice as a view, or numbers on the device as a copy."""
        if isinstance(rows, slice):
            return self._with(self.indices[rows, :], self.dtype)
        indices = arrays.take_rows(self.indices, rows, xp=self.xp)
        return self._with(indices, self.dtype)

    def take_columns(self, columns: Array) -> CategoricalMatrix:
        """Return some one-hot columns, by their ascending numbers on the device.

        The other levels of a column become none.
        """
        chosen, start, parts, n_levels = arrays.to_host(columns), 0, [], []
        for own, n in zip(self.codes(), self.n_levels):
            here = chosen[(chosen >= start) & (chosen < start + n)] - start
            start += n
            if here.size:
                new = np.full(n + 1, -1, dtype=np.int32)
                new[here] = np.arange(here.size)
                new = arrays.move(new, xp=self.xp, device=self.device)
                parts.append(self.xp.take(new, own))
                n_levels.append(here.size)
        codes = self.xp.stack(parts, axis=1)
        return CategoricalMatrix(codes, n_levels, self.dtype, xp=self.xp)

    def codes(self) -> list[Array]:
        """Return the codes of each column; its number of levels where there is none."""
        start, codes, none = 0, [], self.shape[1]
        for number, group in enumerate(self.groups):
            levels = self.n_levels[slice(*group)]
            index, own = self.indices[:, number], []
            if not self._shares:
                end = self.xp.full_like(index, start + levels[0])
                index = self.xp.where(index == none, end, index)
            index = index - start
            for n in reversed(levels[1:]):
                rest = index // (n + 1)
                own.append(index - rest * (n + 1))
                index = rest
            codes += [index, *reversed(own)]
            start += _size(levels) if self._shares else levels[0]
        return codes

    def astype(self, dtype: Any) -> CategoricalMatrix:
        """Return the same numbers in float32 or float64."""
        return self._with(self.indices, dtype)

    def standardized(self, scaler: Scaler) -> StandardizedMatrix:
        """Return the matrix with centred and scaled columns, by the coefficients.

        A sparse copy of few rows on the host: its products take fewer calls.
        """
        n_entries = self.shape[0] * len(self.n_levels)
        if isinstance(self.indices, np.ndarray) and n_entries <= MOST_ENTRIES:
            sparse = SparseMatrix(self._to_sparse(), xp=self.xp)
            return sparse.standardized(scaler)
        return StandardizedMatrix(self, scaler)

    def _to_sparse(self) -> csr_array:
        codes = np.stack(self.codes(), axis=1)
        is_known = codes < np.asarray(self.n_levels)
        starts = np.cumsum([0, *self.n_levels[:-1]])
        columns = (codes + starts)[is_known].astype(np.int32)
        ends = np.concatenate([[0], np.cumsum(is_known.sum(axis=1))]).astype(np.int32)
        ones = np.ones(columns.size, dtype=self.dtype)
        return csr_array((ones, columns, ends), shape=self.shape)

    def to_dense(self) -> Array:
        """Return a dense array of the one-hot columns."""
        xp, parts = self.xp, []
        for own, n in zip(self.codes(), self.n_levels):
            levels = xp.arange(n, dtype=own.dtype, device=self.device)
            parts.append(xp.astype(own[:, None] == levels, self.dtype))
        return xp.concat(parts, axis=1)

    def row_slices(self, width: int, least: int, n_threads: int) -> list[slice]:
        """Cut the rows into blocks whose temporaries stay in the cache.

        Contingency tables, of which ``least`` tells, are added up once for each thread:
        they may have more cells than a block has rows.
        """
        n, size = self.shape[0], 8 * max(1, width)
        n_rows = arrays.block_bytes(self.indices) // size
        if least > 1:
            n_rows = math.ceil(n / n_threads)
        return cut(n, max(1, least, n_rows), n_threads=n_threads)


def _grouped(levels: Sequence[int], most: int) -> tuple[tuple[int, int], ...]:
    """Return slices of columns whose joint tables have up to so many cells."""
    edges = [0]
    for j in range(1, len(levels)):
        if _size(levels[edges[-1] : j + 1]) > most:
            edges.append(j)
    return tuple(itertools.pairwise([*edges, len(levels)]))


def _size(levels: Sequence[int]) -> int:
    """Return the number of cells in the table of some columns."""
    return math.prod(n + 1 for n in levels)
