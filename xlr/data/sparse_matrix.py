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
    max_mean_to_std,
)

# Costs in multiply-adds of a dense product that take the same time: of a stored entry,
# whose column must be looked up; of a pair of entries of a row in a Gram matrix; and of
# adding and standardizing an entry of a Gram matrix. With 8 for the last, fits to 50k x
# 300 and 200k x 500 entries take 1.5 times as long (two cores of an x86 server).
ENTRY_COST = 4
PAIR_COST = 25
ADDITION_COST = 64

# Maximum entries of a block of rows made dense for a Gram matrix (64 MB), and its
# minimum rows, which take precedence: adding the sums must cost less than the products.
MAX_DENSE_ENTRIES = 2**23
MIN_DENSE_ROWS = 1024


class SparseMatrix:
    """A sparse CSR array in canonical form as a :class:`Matrix`.

    Parameters
    ----------
    csr : sparse CSR array of shape (n_rows, n_columns)
    xp : namespace
        Namespace of the entries.
    costs : tuple of two floats, default=None
        Times of a product and of a Gram matrix per row, if they are known.
    """

    def __init__(
        self, csr: Any, *, xp: Namespace, costs: tuple[float, float] | None = None
    ) -> None:
        self._csr = csr
        self._csc_transpose = _csc_transpose(csr)
        self.xp = xp
        self.device = arrays.device_of(csr.data)
        self.dtype = csr.dtype
        self.shape = csr.shape
        self.stored = csr.data
        self.product_cost, self.gram_cost = costs or _costs(csr, xp=xp)
        self._views: dict[tuple[int, int], SparseMatrix] = {}

    def _with(self, csr: Any) -> SparseMatrix:
        """Return a matrix of other rows or entries, of the same costs."""
        return SparseMatrix(csr, xp=self.xp, costs=(self.product_cost, self.gram_cost))

    def _with_entries(self, data: Array) -> SparseMatrix:
        """Return a matrix with other entries at the same positions."""
        csr = self._csr
        parts = data, csr.indices, csr.indptr
        return self._with(sparse_from_parts(type(csr), csr.shape, parts))

    @cached_property
    def _by_column(self) -> Any:
        return self._csr.tocsc()

    def matvec(self, coef: Array, intercept: Array | None = None) -> Array:
        """Return X W' + b: (n_rows, m)."""
        product = _times(self._csr, self.xp.astype(coef, self.dtype, copy=False).T)
        if intercept is not None:
            product += self.xp.astype(intercept, self.dtype, copy=False)
        return product

    def transpose_matvec(self, residual: Array, total: Array | None = None) -> Array:
        """Return R'X, (m, n_columns), in the widest dtype."""
        product = _times(self._csc_transpose, residual).T
        return arrays.widened(product, xp=self.xp)

    def sandwich(self, columns: Array) -> Array:
        """Return A'A for A = [diag(u_1) X, ..., diag(u_m) X].

        The products are of pairs of entries, or of dense rows.
        """
        if columns.shape[1] == 1 and self.gram_cost < self.shape[1] ** 2 / GRAM_SPEEDUP:
            A = self._csr.multiply(columns).tocsr()
            return arrays.widened((A.T @ A).toarray(), xp=self.xp)
        return dense_sandwich(self, columns)

    def sandwich_diagonal(self, weights: Array) -> Array:
        """Return the diagonal of X' diag(h) X for each column h of ``weights``."""
        return self._with_entries(self._csr.data**2).transpose_matvec(weights)

    def take_rows(self, rows: slice | Array) -> SparseMatrix:
        """Return some rows; a slice shares its entries."""
        if not isinstance(rows, slice):
            return self._with(self._csr[rows, :])
        start, stop, _ = rows.indices(self.shape[0])
        if (start, stop) not in self._views:
            X = self._csr
            ends = X.indptr[start : stop + 1]
            first, last = arrays.to_host(ends[[0, -1]]).tolist()
            parts = X.data[first:last], X.indices[first:last], ends - first
            view = sparse_from_parts(type(X), (stop - start, X.shape[1]), parts)
            self._views[start, stop] = self._with(view)
        return self._views[start, stop]

    def take_columns(self, columns: Array) -> SparseMatrix:
        """Return a copy of some columns, by their indices on the device."""
        return SparseMatrix(self._by_column[:, columns].tocsr(), xp=self.xp)

    def astype(self, dtype: Any) -> SparseMatrix:
        """Return the same numbers in float32 or float64."""
        if dtype == self.dtype:
            return self
        return self._with_entries(self.xp.astype(self._csr.data, dtype))

    def standardized(self, scaler: Scaler) -> StandardizedMatrix:
        """Return the matrix with centred and scaled columns.

        Zeros stay zeros: centring and scaling are applied to the coefficients. Entries
        are copied only to keep digits: large means are subtracted, because a Gram
        matrix would subtract their squares.
        """
        xp, mean = self.xp, scaler.mean
        max_ratio = max(4.0, max_mean_to_std(self.dtype, xp=xp) ** 0.5)
        is_far = xp.abs(mean) > max_ratio * scaler.scale
        if not arrays.to_host(xp.any(is_far)):
            return StandardizedMatrix(self, scaler)
        csr = _shifted(self._csr, xp.astype(mean, self.dtype), is_far, xp=xp)
        scaler = scaler._replace(mean=xp.where(is_far, xp.zeros_like(mean), mean))
        return StandardizedMatrix(SparseMatrix(csr, xp=xp), scaler)

    def to_dense(self) -> Array:
        """Return a dense array of the same numbers."""
        return self._csr.toarray()

    def row_slices(self, width: int, least: int, n_threads: int) -> list[slice]:
        """Cut the rows into a block for each thread, or more for wide temporaries.

        A block has more entries than the sums to which it adds.
        """
        n, n_entries = self.shape[0], max(1, self._csr.nnz)
        size = self.xp.finfo(self.dtype).bits // 8
        block = arrays.block_bytes(self.stored)
        # Only temporaries must fit: products with entries do not wait for memory.
        n_rows = block // (size * width)
        if 8 * n * max(n_entries / n, width) > block:
            n_rows = min(n_rows, math.ceil(n / n_threads))
        min_rows = min_block_rows(self, n_entries / n, least)
        return cut(n, max(n_rows, min_rows), n_threads=n_threads)


def _times(matrix: Any, columns: Array) -> Array:
    """Return a sparse matrix times columns; a vector takes less time than a column."""
    if columns.shape[1] == 1:
        return (matrix @ columns[:, 0])[:, None]
    return matrix @ columns


def dense_sandwich(matrix: Any, columns: Array) -> Array:
    """Return A'A for A = [diag(u_1) X, ..., diag(u_m) X], by dense blocks of rows."""

    def gram(rows: slice) -> tuple[Array]:
        dense = DenseMatrix(matrix.take_rows(rows).to_dense(), xp=matrix.xp)
        return (dense.sandwich(columns[rows, :]),)

    (n_rows, p), m = matrix.shape, columns.shape[1]
    step = max(MIN_DENSE_ROWS, MAX_DENSE_ENTRIES // (m * p))
    (total,) = map_reduce(gram, cut(n_rows, step))
    return total


def canonical(X: Any) -> Any:
    """Return a sparse CSR array with sorted columns, each at most once in a row."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _shifted(csr: Any, shift: Array, chosen: Array, *, xp: Namespace) -> Any:
    """Subtract a number from all rows of the chosen columns.

    This stores few further entries: a mean far from zero, in standard deviations, is
    that of a column with few zeros.
    """
    n_samples, (columns,) = csr.shape[0], xp.nonzero(chosen)
    ends = columns.shape[0] * xp.arange(n_samples + 1, device=arrays.device_of(columns))
    indices = xp.tile(xp.astype(columns, csr.indices.dtype), (n_samples,))
    entries = xp.tile(xp.take(shift, columns), (n_samples,))
    return csr - type(csr)((entries, indices, ends), shape=csr.shape)


def sparse_from_parts(
    kind: Any, shape: tuple[int, int], parts: tuple[Array, ...]
) -> Any:
    """Return a sparse array of entries, indices and row ends, without a copy.

    SciPy's constructor would copy a part that is less than half of its array.
    """
    matrix = kind(shape, dtype=parts[0].dtype)
    matrix.data, matrix.indices, matrix.indptr = parts
    matrix.has_canonical_format = True  # CuPy would wait for the device to check
    return matrix


def _csc_transpose(csr: Any) -> Any:
    """Return the transpose without a copy."""
    parts = csr.data, csr.indices, csr.indptr
    csr_class: Any = type(csr)
    return sparse_from_parts(_csc_class(csr_class), csr.shape[::-1], parts)


@cache
def _csc_class(csr_class: Any) -> Any:
    return type(csr_class((1, 1)).T)


def _costs(csr: Any, *, xp: Namespace) -> tuple[float, float]:
    """Return the times of a product and of a Gram matrix per row."""
    lengths = xp.astype(xp.diff(csr.indptr), xp.float64)
    n_pairs = float(arrays.to_host(xp.sum(lengths * lengths)))
    n_rows, n_columns = csr.shape
    # At least one entry: costs are divisors.
    pairs_per_row = max(1.0, n_pairs) / n_rows
    return ENTRY_COST * max(1, csr.nnz) / n_rows, gram_cost(pairs_per_row, n_columns)


def min_block_rows(matrix: Any, n_entries: float, least: int) -> int:
    """Return the rows of a block whose products take longer than adding its sums.

    ``n_entries`` is the number of entries per row. Only passes with Gram matrices have
    a ``least``, the minimum rows of a block, above 1.
    """
    p = matrix.shape[1]
    for_gram = ADDITION_COST * p**2 / matrix.gram_cost if least > 1 else 0
    return math.ceil(max(least, p / n_entries, for_gram))


def gram_cost(pairs: float, n_features: int) -> float:
    """Return the time of a Gram matrix per row, given its pairs of entries."""
    return min(PAIR_COST * pairs, n_features**2 / GRAM_SPEEDUP)
