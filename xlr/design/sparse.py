"""A sparse matrix, seen in standardised units without a copy that is dense."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.cached import cached_property
from xlr.design.blocks import (
    add,
    cut,
    draw_rows,
    reduce_over_blocks,
    rows_per_block,
)
from xlr.design.dense import GRAM_SPEEDUP
from xlr.design.standardisation import Standardisation, farthest_mean
from xlr.threads import ALONE, Workers

__all__ = ["SparseBlock", "SparseDesign", "row_costs"]

# A product with an entry of a sparse matrix takes as long as so many with those of a
# dense one: its place has to be read, and what is there fetched.
ENTRY_COST = 4

# The same for a pair of entries of a row in a Gram matrix.
PAIR_COST = 25

# Numbers that are made dense at a time for Gram matrices, and rows at the least, so
# that adding the matrices up costs less than they do.
DENSE_NUMBERS = 2**23
LEAST_DENSE_ROWS = 1024

# Scales, and inverses of scales, up to which entries keep within the range of float32
# through all that is done with them.
FAR = 1e9


class SparseBlock:
    """Rows of a sparse design, and the products a pass needs of them.

    Parameters
    ----------
    rows : sparse CSR array of shape (n_rows, p)
    units : Standardisation or None
        What :meth:`SparseDesign.fold` and :meth:`SparseDesign.unfold` change.
    offset : array of shape (n_rows, n_outputs) or None
        What is added to the logits; None for nothing.
    pairwise : bool, default=True
        Whether a Gram matrix costs less pair by pair of entries than of dense rows.
    xp : namespace
    """

    def __init__(
        self,
        rows: Any,
        units: Standardisation | None,
        offset: Array | None = None,
        *,
        pairwise: bool = True,
        xp: Namespace,
    ) -> None:
        self.rows = rows
        self.offset = offset
        self._units = units
        self._pairwise = pairwise
        self._xp = xp
        self._columns = _transposed(rows)

    def matvec(self, coef: Array) -> Array:
        """The rows times each row w of ``coef``: (n_columns, p) to (n_rows, n_columns).

        On a folded design, w is what :meth:`SparseDesign.fold` makes of coefficients.
        """
        if coef.shape[0] == 1:
            return (self.rows @ coef[0, :])[:, None]
        return self.rows @ coef.T

    def rmatvec(self, residual: Array) -> Array:
        """Sums over the rows weighted by each column r: (n_rows, n_columns) to
        (n_columns, p), for :meth:`SparseDesign.unfold` on a folded design.
        """
        if residual.shape[1] == 1:
            return (self._columns @ residual[:, 0])[None, :]
        return (self._columns @ residual).T

    def weighted_sums(self, weights: Array, slope: Array) -> Array:
        """Sums over the rows times a slope (n_rows,) with each row of weights:
        (n_sums, n_rows) to (n_sums, p), for :meth:`SparseDesign.unfold`.
        """
        return self.rmatvec((weights * slope).T)

    def gram_diagonal(self, curvature: Array) -> Array:
        """Diagonal of Z' diag(h) Z for each column h, as rows: (n_columns, p)."""
        xp = self._xp
        squares = self._with_entries(self.rows.data * self.rows.data)
        diagonal = squares.rmatvec(curvature)
        if self._units is None:
            return diagonal
        mean, total = self._units.mean, xp.sum(curvature, axis=0)[:, None]
        diagonal = diagonal - (2 * self.rmatvec(curvature) - total * mean) * mean
        # What cancels may leave less than nothing.
        diagonal = xp.maximum(diagonal, xp.zeros_like(diagonal))
        if self._units.varies is not None:
            diagonal = diagonal * self._units.varies
        return diagonal / self._units.scale / self._units.scale

    def for_gram(self, dtype: Any, *, folded: bool) -> SparseBlock:
        """The rows for :meth:`gram`, in some dtype: folded, as they always are."""
        return self._with_entries(self._xp.astype(self.rows.data, dtype, copy=False))

    def gram(self, columns: Array) -> tuple[Array, Array]:
        """A'A and U'A for A = [u_1 x Z, ..., u_m x Z], with U of shape (n_rows, m).

        Of shape (m p, m p) and (m, m p).
        """
        xp, (n_rows, p), m = self._xp, self.rows.shape, columns.shape[1]
        if m == 1 and self._pairwise:
            A = self.rows.multiply(columns).tocsr()
            return (A.T @ A).toarray(), (A.T @ columns[:, 0])[None, :]

        def kernel(part: slice) -> tuple[Array, Array]:
            u, rows = columns[part, :], self.rows[part, :].toarray()
            A = xp.reshape(u[:, :, None] * rows[:, None, :], (-1, m * p))
            return xp.matmul(A.T, A), xp.matmul(u.T, A)

        step = max(LEAST_DENSE_ROWS, DENSE_NUMBERS // (m * p))
        return reduce_over_blocks(kernel, add, cut(n_rows, step, n_threads=1))

    def _with_entries(self, data: Array) -> SparseBlock:
        """Other entries in the same places."""
        parts = data, self.rows.indices, self.rows.indptr
        rows = _filled(type(self.rows)(self.rows.shape, dtype=data.dtype), parts)
        return SparseBlock(rows, self._units, pairwise=self._pairwise, xp=self._xp)


class SparseDesign:
    """A sparse X of shape (n_samples, n_features), seen in standardised units.

    The change of units is left to the coefficients, so that what is zero stays zero and
    there is no copy: z.w + b = x.(w / scale) + (b - mean.(w / scale)).  There is one
    only where digits would be lost: less the means that are large against the
    deviation, and scaled where squares of the entries might leave the range of their
    dtype.

    Parameters
    ----------
    X : sparse CSR array of shape (n_samples, n_features)
        In canonical form.
    standardisation : Standardisation or None
        As :func:`standardise_sparse` finds it; None leaves the rows as they are.
    offset : array of shape (n_samples, n_outputs), default=None
        What is added to the logits, as a column with a coefficient of one would be.
    workers : Workers
        Threads for passes over the rows.
    dtype : dtype, default=None
        To compute in; None for that of X.
    xp : namespace
    """

    def __init__(
        self,
        X: Any,
        standardisation: Standardisation | None,
        offset: Array | None = None,
        *,
        workers: Workers = ALONE,
        dtype: Any = None,
        xp: Namespace,
    ) -> None:
        X = X if dtype is None else X.astype(dtype)
        self.xp = xp
        self.dtype = X.dtype
        self.device = arrays.device_of(X.data)
        self.workers = workers
        self.offset = offset
        self.n_samples, self.n_features = X.shape
        self.n_drawable = self.n_samples
        self._rows, self._units = X, standardisation
        self._by_column: Any = None
        self._views: dict[tuple[int, int], Any] = {}
        if standardisation is not None:
            self._rows, self._units = _within_reach(X, standardisation, xp=xp)

    @property
    def product_cost(self) -> float:
        """Time of a product with a vector, in multiply-adds of a dense matrix."""
        return self.n_samples * self._row_costs[0] + self.n_features

    @property
    def gram_cost(self) -> float:
        """Time that a row adds to that of a Gram matrix, in the same unit."""
        return self._row_costs[1]

    @cached_property
    def _row_costs(self) -> tuple[float, float]:
        return row_costs(self._rows, xp=self.xp)

    def fold(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Coefficients (n_columns, p) and intercepts for the rows of the blocks."""
        if self._units is None:
            return coef, intercept
        return self._units.out_of(coef, intercept)

    def unfold(self, product: Array, total: Array) -> Array:
        """Z'r from what blocks sum up: U'r and sum(r), for each column r."""
        if self._units is None:
            return product
        return self._units.gradient(product, total)[0]

    def gram_form(self, *, rough: bool) -> tuple[Any, bool]:
        """The dtype to sum Gram matrices in, and that it is before :meth:`unfold`.

        In float64 where a mean is so large that float32 would lose digits.
        """
        xp = self.xp
        dtype = xp.float32 if rough else self.dtype
        if self._units is None:
            return dtype, False
        if self._units.farthest(xp=xp) > farthest_mean(dtype, xp=xp):
            dtype = xp.float64
        return dtype, True

    def slices(self, width: int, least: int = 1) -> list[slice]:
        """The rows cut for a pass: into as many blocks as there are threads, or more
        where temporaries so wide would not keep in the cache.

        But into blocks with more entries than there are columns, for each adds as many
        numbers to the sum.
        """
        n, threads = self.n_samples, self.workers.n
        n_rows = rows_per_block(self._rows, width, xp=self.xp)
        if self.is_large(width):
            n_rows = min(n_rows, math.ceil(n / threads))
        enough = math.ceil(n * self.n_features / max(1, self._rows.nnz))
        return cut(n, max(n_rows, least, enough), n_threads=threads)

    def is_large(self, width: int) -> bool:
        """Whether arithmetic is what takes the time, with temporaries so wide."""
        entries = self._rows.nnz / self.n_samples
        block = arrays.block_bytes(self._rows.data)
        return 8 * self.n_samples * max(entries, width) > block

    def block(self, rows: slice) -> SparseBlock:
        """The rows of a slice."""
        start, stop, _ = rows.indices(self.n_samples)
        if (start, stop) not in self._views:
            self._views[start, stop] = self._view(start, stop)
        offset = None if self.offset is None else self.offset[rows, :]
        part = self._views[start, stop]
        pairwise = self.gram_cost < self.n_features**2 / GRAM_SPEEDUP
        return SparseBlock(part, self._units, offset, pairwise=pairwise, xp=self.xp)

    def _view(self, start: int, stop: int) -> Any:
        """Some rows, without a copy of their entries."""
        whole = self._rows
        ends = whole.indptr[start : stop + 1]
        first, last = arrays.to_host(ends[[0, -1]]).tolist()
        part = type(whole)((stop - start, whole.shape[1]), dtype=whole.dtype)
        parts = whole.data[first:last], whole.indices[first:last], ends - first
        return _filled(part, parts)

    def standardised_if_small(self) -> SparseDesign:
        """Itself: a dense copy is not made behind anyone's back."""
        return self

    def of_features(self, features: Array) -> SparseDesign:
        """A copy of some columns.

        Parameters
        ----------
        features : array of shape (m,)
            Their indices, on the device of X.
        """
        if self._by_column is None:
            self._by_column = self._rows.tocsc()
        other = self._with_rows(self._by_column[:, features].tocsr())
        if self._units is not None:
            other._units = self._units.of_features(features, xp=self.xp)
        return other

    def _with_rows(self, rows: Any) -> SparseDesign:
        """The same but for its rows."""
        other = copy.copy(self)
        other.n_samples, other.n_features = rows.shape
        other._rows, other._by_column, other._views = rows, None, {}
        other.__dict__.pop("_row_costs", None)
        return other

    def kernel(self, strength: Array, dtype: Any) -> Array:
        """Z diag(1 / strength) Z': (n, n), in ``dtype``.

        Parameters
        ----------
        strength : array of shape (p,)
            Positive.
        dtype : dtype
        """
        xp, rows, weights = self.xp, self._rows, 1 / strength
        if self._units is not None:
            weights = weights / self._units.scale / self._units.scale
            if self._units.varies is not None:
                weights = weights * self._units.varies
        entries = rows.data * xp.take(xp.astype(weights, rows.dtype), rows.indices)
        weighted = type(rows)((entries, rows.indices, rows.indptr), shape=rows.shape)
        kernel = (weighted @ rows.T).toarray()
        if self._units is not None:
            mean = self._units.mean
            margin = weighted @ mean
            corner = xp.sum(weights * mean**2)
            kernel = kernel - margin[:, None] - margin[None, :] + corner
        return xp.astype(kernel, dtype, copy=False)

    def draw(self, size: int, seed: int) -> np.ndarray:
        """Numbers of random rows, drawn with replacement."""
        return draw_rows(self.n_samples, size, seed)

    def sample(self, rows: Array, dtype: Any) -> SparseDesign:
        """A copy of some rows.

        Parameters
        ----------
        rows : array of shape (n,)
            Their indices, on the device of X.
        dtype : dtype
        """
        xp = self.xp
        other = self._with_rows(self._rows[rows, :].astype(dtype))
        other.dtype = dtype
        if self.offset is not None:
            taken = xp.take(self.offset, rows, axis=0)
            other.offset = xp.astype(taken, dtype)
        return other


def _within_reach(
    X: Any, units: Standardisation, *, xp: Namespace
) -> tuple[Any, Standardisation]:
    """Rows and their change of units, with nothing in it that loses digits."""
    mean, scale = units.mean, units.scale
    far = xp.abs(mean) > farthest_mean(X.dtype, xp=xp) * scale
    extreme = (scale >= FAR) | (1 / scale >= FAR)
    has_far, has_extreme = arrays.to_host(xp.stack([xp.any(far), xp.any(extreme)]))
    if has_far:
        X = _less(X, xp.astype(mean, X.dtype), far, xp=xp)
        mean = xp.where(far, xp.zeros_like(mean), mean)
    if has_extreme:
        entries = X.data / xp.take(xp.astype(scale, X.dtype), X.indices)
        X = type(X)((entries, X.indices, X.indptr), shape=X.shape)
        mean, scale = mean / scale, xp.ones_like(scale)
    return X, Standardisation(mean, scale, units.varies)


def _less(X: Any, shift: Array, chosen: Array, *, xp: Namespace) -> Any:
    """X less a number in all rows of the columns chosen.

    Few rows have no entry there: a mean is not far from most of the values.
    """
    n_samples, (columns,) = X.shape[0], xp.nonzero(chosen)
    ends = columns.shape[0] * xp.arange(n_samples + 1, device=arrays.device_of(columns))
    places = xp.astype(columns, X.indices.dtype)
    everywhere = xp.tile(xp.take(shift, columns), (n_samples,))
    parts = everywhere, xp.tile(places, (n_samples,)), ends
    return X - type(X)(parts, shape=X.shape)


def _filled(matrix: Any, parts: tuple[Array, Array, Array]) -> Any:
    """An empty matrix with entries, their places and the ends of its rows or columns.

    Given to the constructor, SciPy would copy what is less than half of an array.
    """
    matrix.data, matrix.indices, matrix.indptr = parts
    matrix.has_canonical_format = True  # CuPy waits for the device to find out
    return matrix


def _transposed(rows: Any) -> Any:
    """The transpose, without a copy."""
    empty = type(rows)(rows.shape, dtype=rows.dtype).T
    return _filled(empty, (rows.data, rows.indices, rows.indptr))


def row_costs(X: Any, *, xp: Namespace) -> tuple[float, float]:
    """What a row adds to the time of a product with a vector and of a Gram matrix.

    In multiply-adds of a product of a dense matrix with a vector.

    Parameters
    ----------
    X : sparse CSR array of shape (n_samples, n_features)
    xp : namespace
    """
    n_samples, n_features = X.shape
    lengths = xp.astype(xp.diff(X.indptr), xp.float64)
    pairs = float(arrays.to_host(xp.mean(lengths * lengths)))
    gram = min(PAIR_COST * pairs, n_features**2 / GRAM_SPEEDUP)
    return ENTRY_COST * X.nnz / n_samples, gram
