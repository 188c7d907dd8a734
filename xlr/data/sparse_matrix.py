"""Sparse matrices: products without a dense copy."""

from __future__ import annotations

import math
from functools import cache, cached_property
from typing import Any

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data.blocks import cut, map_reduce
from xlr.data.matrix import (
    GRAM_SPEEDUP,
    DenseMatrix,
    Scaler,
    StandardizedMatrix,
    farthest_mean,
)

# Multiply-adds of a dense product in the time of one stored entry, whose column must be
# looked up; and in the time of a pair of entries of a row in a Gram matrix.
ENTRY_COST = 4
PAIR_COST = 25

# Multiply-adds of a dense product in the time of adding a number to a Gram matrix, and
# of standardizing it there.
ADDITION_COST = 8

# Size of a block of rows that is made dense for a Gram matrix, and its minimum rows:
# the addition of matrices then costs less than the products.
DENSE_NUMBERS = 2**23
LEAST_DENSE_ROWS = 1024

# Scales, and inverses of scales, whose squares stay within the range of float32.
FAR = 1e9


class SparseMatrix:
    """A sparse CSR array in canonical form as a :class:`Matrix`.

    Parameters
    ----------
    rows : sparse CSR array of shape (n_rows, n_columns)
    xp : namespace
        Namespace of the entries.
    costs : tuple of two floats, default=None
        Times of a product and of a Gram matrix per row, if they are known.
    """

    def __init__(
        self, rows: Any, *, xp: Namespace, costs: tuple[float, float] | None = None
    ) -> None:
        self._rows = rows
        self._transposed = _transposed(rows)
        self.xp = xp
        self.device = arrays.device_of(rows.data)
        self.dtype = rows.dtype
        self.shape = rows.shape
        self.stored = rows.data
        self.product_cost, self.gram_cost = costs or _costs(rows, xp=xp)
        self._views: dict[tuple[int, int], SparseMatrix] = {}

    def _with(self, rows: Any) -> SparseMatrix:
        """Return a matrix of other rows, of the same costs."""
        return SparseMatrix(rows, xp=self.xp, costs=(self.product_cost, self.gram_cost))

    def _with_entries(self, data: Array) -> SparseMatrix:
        """Return other entries in the same places."""
        rows = self._rows
        parts = data, rows.indices, rows.indptr
        return self._with(of_parts(type(rows), self.shape, parts))

    @cached_property
    def _by_column(self) -> Any:
        return self._rows.tocsc()

    def matvec(self, coef: Array, intercept: Array | None = None) -> Array:
        """Return X W' + b: (n_rows, m)."""
        coef = self.xp.astype(coef, self.dtype, copy=False)
        if coef.shape[0] == 1:
            product = (self._rows @ coef[0, :])[:, None]
        else:
            product = self._rows @ coef.T
        if intercept is not None:
            product += self.xp.astype(intercept, self.dtype, copy=False)
        return product

    def transpose_matvec(self, residual: Array, total: Array | None = None) -> Array:
        """Return R'X, (m, n_columns), in the widest dtype."""
        if residual.shape[1] == 1:
            product = (self._transposed @ residual[:, 0])[None, :]
        else:
            product = (self._transposed @ residual).T
        return arrays.widened(product, xp=self.xp)

    def sandwich(self, columns: Array) -> Array:
        """Return A'A for A = [u_1 X, ..., u_m X], by pairs of entries or dense rows."""
        if columns.shape[1] == 1 and self.gram_cost < self.shape[1] ** 2 / GRAM_SPEEDUP:
            A = self._rows.multiply(columns).tocsr()
            return arrays.widened((A.T @ A).toarray(), xp=self.xp)
        return dense_sandwich(self, columns)

    def sandwich_diagonal(self, weights: Array) -> Array:
        """Return the diagonal of X' diag(h) X for each column h of ``weights``."""
        return self._with_entries(self._rows.data**2).transpose_matvec(weights)

    def explicit(self) -> SparseMatrix:
        """Return the matrix itself: it is never made dense."""
        return self

    def take_rows(self, rows: slice | Array) -> SparseMatrix:
        """Return some rows; a slice shares its entries."""
        if not isinstance(rows, slice):
            return self._with(self._rows[rows, :])
        start, stop, _ = rows.indices(self.shape[0])
        if (start, stop) not in self._views:
            whole = self._rows
            ends = whole.indptr[start : stop + 1]
            first, last = arrays.to_host(ends[[0, -1]]).tolist()
            entries = whole.data[first:last], whole.indices[first:last], ends - first
            shape = stop - start, whole.shape[1]
            view = of_parts(type(whole), shape, entries)
            self._views[start, stop] = self._with(view)
        return self._views[start, stop]

    def take_columns(self, columns: Array) -> SparseMatrix:
        """Return a copy of some columns, by their indices on the device."""
        return SparseMatrix(self._by_column[:, columns].tocsr(), xp=self.xp)

    def astype(self, dtype: Any) -> SparseMatrix:
        """Return the same numbers in float32 or float64."""
        if dtype == self.dtype:
            return self
        return self._with_entries(self.xp.astype(self._rows.data, dtype))

    def standardized(self, scaler: Scaler) -> StandardizedMatrix:
        """Return the matrix with centred and scaled columns.

        Zeros stay zeros: the change is applied to the coefficients. Entries are copied
        only to keep digits. Means far from zero are subtracted, because a Gram matrix
        would subtract their squares. Entries are scaled if their squares might exceed
        the range of float32.
        """
        xp, rows = self.xp, self._rows
        mean, scale = scaler.mean, scaler.scale
        farthest = max(4.0, farthest_mean(self.dtype, xp=xp) ** 0.5)
        far = xp.abs(mean) > farthest * scale
        extreme = (scale >= FAR) | (1 / scale >= FAR)
        has_far, has_extreme = arrays.to_host(xp.stack([xp.any(far), xp.any(extreme)]))
        if not (has_far or has_extreme):
            return StandardizedMatrix(self, scaler)
        if has_far:
            rows = _shifted(rows, xp.astype(mean, self.dtype), far, xp=xp)
            mean = xp.where(far, xp.zeros_like(mean), mean)
        if has_extreme:
            entries = rows.data / xp.take(xp.astype(scale, self.dtype), rows.indices)
            rows = of_parts(
                type(rows), self.shape, (entries, rows.indices, rows.indptr)
            )
            mean, scale = mean / scale, xp.ones_like(scale)
        matrix = SparseMatrix(rows, xp=xp)
        return StandardizedMatrix(matrix, Scaler(mean, scale, scaler.varies))

    def to_dense(self) -> Array:
        """Return a dense array of the same numbers."""
        return self._rows.toarray()

    def row_slices(self, width: int, least: int, n_threads: int) -> list[slice]:
        """Cut the rows into a block for each thread, or more for wide temporaries.

        A block has more entries than the sums that it adds to.
        """
        n, n_entries = self.shape[0], max(1, self._rows.nnz)
        size = self.xp.finfo(self.dtype).bits // 8
        block = arrays.block_bytes(self.stored)
        n_rows = block // (size * width)  # products do not wait for memory
        if 8 * n * max(n_entries / n, width) > block:
            n_rows = min(n_rows, math.ceil(n / n_threads))
        enough = enough_rows(self, n_entries / n, least)
        return cut(n, max(n_rows, enough), n_threads=n_threads)


def dense_sandwich(matrix: Any, columns: Array) -> Array:
    """Return A'A for A = [u_1 X, ..., u_m X], with rows made dense block by block."""

    def gram(rows: slice) -> tuple[Array]:
        dense = DenseMatrix(matrix.take_rows(rows).to_dense(), xp=matrix.xp)
        return (dense.sandwich(columns[rows, :]),)

    (n_rows, p), m = matrix.shape, columns.shape[1]
    step = max(LEAST_DENSE_ROWS, DENSE_NUMBERS // (m * p))
    (total,) = map_reduce(gram, cut(n_rows, step))
    return total


def canonical(X: Any) -> Any:
    """Return a sparse CSR array with sorted columns, each at most once in a row."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _shifted(rows: Any, shift: Array, chosen: Array, *, xp: Namespace) -> Any:
    """Subtract a number from all rows of the chosen columns.

    Few of these rows are zero, because the mean is close to most of the values.
    """
    n_samples, (columns,) = rows.shape[0], xp.nonzero(chosen)
    ends = columns.shape[0] * xp.arange(n_samples + 1, device=arrays.device_of(columns))
    places = xp.astype(columns, rows.indices.dtype)
    everywhere = xp.tile(xp.take(shift, columns), (n_samples,))
    parts = everywhere, xp.tile(places, (n_samples,)), ends
    return rows - type(rows)(parts, shape=rows.shape)


def of_parts(kind: Any, shape: tuple[int, int], parts: tuple[Array, ...]) -> Any:
    """Return a sparse array of entries, indices and row ends, without a copy.

    SciPy's constructor would copy a part that is less than half of its array.
    """
    made = kind(shape, dtype=parts[0].dtype)
    made.data, made.indices, made.indptr = parts
    made.has_canonical_format = True  # CuPy would wait for the device to check
    return made


def _transposed(rows: Any) -> Any:
    """Return the transpose without a copy."""
    parts = rows.data, rows.indices, rows.indptr
    kind: Any = type(rows)
    return of_parts(_by_column(kind), rows.shape[::-1], parts)


@cache
def _by_column(kind: Any) -> Any:
    return type(kind((1, 1)).T)


def _costs(rows: Any, *, xp: Namespace) -> tuple[float, float]:
    """Return the times of a product and of a Gram matrix per row."""
    lengths = xp.astype(xp.diff(rows.indptr), xp.float64)
    pairs = float(arrays.to_host(xp.mean(lengths * lengths)))
    n_rows, n_columns = rows.shape
    return ENTRY_COST * rows.nnz / n_rows, gram_cost(pairs, n_columns)


def enough_rows(matrix: Any, n_entries: float, least: int) -> int:
    """Return the rows of a block whose products take longer than adding its sums.

    ``n_entries`` is the number of entries per row. Only passes with Gram matrices have
    a ``least`` above 1.
    """
    p = matrix.shape[1]
    of_gram = ADDITION_COST * p**2 / matrix.gram_cost if least > 1 else 0
    return math.ceil(max(least, p / n_entries, of_gram))


def gram_cost(pairs: float, n_features: int) -> float:
    """Return the time of a Gram matrix per row, given its pairs of entries."""
    return min(PAIR_COST * pairs, n_features**2 / GRAM_SPEEDUP)
