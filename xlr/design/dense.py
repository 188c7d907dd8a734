"""A dense matrix, seen in standardised units."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design.blocks import (
    add,
    draw_rows,
    reduce_over_blocks,
    row_blocks,
    rows_per_block,
)
from xlr.design.standardisation import Standardisation
from xlr.threads import ALONE, Workers

__all__ = ["DenseBlock", "DenseDesign"]


# By how much a multiply-add is faster in the product of a matrix with its transpose,
# which is symmetric, than in one with a vector, which waits for memory.
GRAM_SPEEDUP = 20


class DenseBlock:
    """Rows of a dense design, and the products a pass needs of them.

    Parameters
    ----------
    rows : array of shape (n_rows, p)
        As :attr:`DenseDesign.folded` has them: in units of X, or standardised.
    change : tuple of two arrays of shape (p,) or None
        Mean and inverse scale that standardise the rows; None if they are.
    offset : array of shape (n_rows, n_outputs) or None
        What is added to the logits; None for nothing.
    xp : namespace
    """

    def __init__(
        self,
        rows: Array,
        change: tuple[Array, Array] | None,
        offset: Array | None = None,
        *,
        xp: Namespace,
    ) -> None:
        self.rows = rows
        self.offset = offset
        self._change = change
        self._xp = xp

    def matvec(self, coef: Array) -> Array:
        """The rows times each row w of ``coef``: (n_columns, p) to (n_rows, n_columns).

        On a folded design, w is what :meth:`DenseDesign.fold` makes of coefficients.
        """
        return self._xp.matmul(coef, self.rows.T).T

    def rmatvec(self, residual: Array) -> Array:
        """Sums over the rows weighted by each column r: (n_rows, n_columns) to
        (n_columns, p), for :meth:`DenseDesign.unfold` on a folded design.
        """
        return self._xp.matmul(residual.T, self.rows)

    def standardised(self) -> Array:
        """The rows Z in standardised units."""
        if self._change is None:
            return self.rows
        mean, inverse_scale = self._change
        values = self.rows - mean
        values *= inverse_scale
        return values

    def weighted_sums(self, weights: Array, slope: Array) -> Array:
        """Sums over the rows times a slope (n_rows,) with each row of weights:
        (n_sums, n_rows) to (n_sums, p), for :meth:`DenseDesign.unfold`.
        """
        return self._xp.matmul(weights, self.rows * slope[:, None])

    def gram_diagonal(self, curvature: Array) -> Array:
        """Diagonal of Z' diag(h) Z for each column h, as rows: (n_columns, p)."""
        Z = self.standardised()
        return self._xp.matmul(curvature.T, Z * Z)

    def for_gram(self, dtype: Any, *, folded: bool) -> DenseBlock:
        """The rows for :meth:`gram`, in some dtype: in units of X or standardised."""
        Z = self.rows if folded else self.standardised()
        return DenseBlock(self._xp.astype(Z, dtype, copy=False), None, xp=self._xp)

    def gram(self, columns: Array) -> tuple[Array, Array]:
        """A'A and U'A for A = [u_1 x Z, ..., u_m x Z], with U of shape (n_rows, m).

        Of shape (m p, m p) and (m, m p).
        """
        xp, n_rows = self._xp, self.rows.shape[0]
        A = xp.reshape(columns[:, :, None] * self.rows[:, None, :], (n_rows, -1))
        return xp.matmul(A.T, A), xp.matmul(columns.T, A)


class DenseDesign:
    """A dense X of shape (n_samples, n_features), seen in standardised units.

    While the means are not large against the deviations, the change of units is
    folded into the coefficients, which costs nothing: z.w + b = x.(w / scale) +
    (b - mean.(w / scale)).  Otherwise, and always for second derivatives, each
    block is centred and scaled explicitly when it is used: folding would lose the
    digits that the means take.  The copy is one block, not X.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Of half precision, its blocks are computed with in float32.
    standardisation : Standardisation or None
        None leaves the rows as they are.
    offset : array of shape (n_samples, n_outputs), default=None
        What is added to the logits, as a column with a coefficient of one would be.
    workers : Workers
        Threads for passes over the rows.
    dtype : dtype, default=None
        To compute in; None for that of X.
    xp : namespace

    Attributes
    ----------
    folded : bool
        Whether :meth:`fold` and :meth:`unfold` change anything.
    """

    def __init__(
        self,
        X: Array,
        standardisation: Standardisation | None,
        offset: Array | None = None,
        *,
        workers: Workers = ALONE,
        dtype: Any = None,
        xp: Namespace,
    ) -> None:
        self.X = X
        self.offset = offset
        self.xp = xp
        self.dtype = arrays.floating_dtype(X, xp=xp) if dtype is None else dtype
        self.device = arrays.device_of(X)
        self.workers = workers
        self.n_samples, self.n_features = X.shape
        self.n_drawable = self.n_samples
        self.folded = self._folds_rough = False
        self.units = standardisation
        self._change = None
        if standardisation is not None:
            # The mean is a number of X's dtype already, so that x - mean here and
            # b - mean w in the coefficients are the same change of variables.
            self._change = (
                xp.astype(standardisation.mean, self.dtype),
                xp.astype(1 / standardisation.scale, self.dtype),
            )
            self.folded = standardisation.folds(self.dtype, xp=xp)
            self._folds_rough = standardisation.folds(xp.float32, xp=xp)

    @property
    def product_cost(self) -> float:
        """Multiply-adds of a product with a vector."""
        return float(self.n_samples * self.n_features)

    @property
    def gram_cost(self) -> float:
        """Multiply-adds that a row adds to a Gram matrix, of which many run faster."""
        return self.n_features**2 / GRAM_SPEEDUP

    def fold(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Coefficients (n_columns, p) and intercepts for the rows of the blocks."""
        if self.units is None or not self.folded:
            return coef, intercept
        return self.units.out_of(coef, intercept)

    def unfold(self, product: Array, total: Array) -> Array:
        """Z'r from what blocks sum up: X'r and sum(r), for each column r."""
        if self.units is None or not self.folded:
            return product
        return self.units.gradient(product, total)[0]

    def gram_form(self, *, rough: bool) -> tuple[Any, bool]:
        """The dtype to sum Gram matrices in, and whether before :meth:`unfold`.

        That is cheaper, but good to float32 at most.
        """
        return (self.xp.float32, self._folds_rough) if rough else (self.dtype, False)

    def slices(self, width: int, least: int = 1) -> list[slice]:
        """The rows cut for a pass, as :func:`row_blocks` does."""
        threads = self.workers.n
        return row_blocks(self.X, width, least=least, n_threads=threads, xp=self.xp)

    def is_large(self, width: int) -> bool:
        """Whether the rows, with temporaries so wide, fill several blocks."""
        return self.n_samples > rows_per_block(self.X, width, xp=self.xp)

    def block(self, rows: slice) -> DenseBlock:
        """The rows of a slice."""
        offset = None if self.offset is None else self.offset[rows, :]
        X = self._converted(arrays.aligned(self.X[rows, :]))
        block = DenseBlock(X, self._change, offset, xp=self.xp)
        if self.folded:
            return block
        return DenseBlock(block.standardised(), None, offset, xp=self.xp)

    def _converted(self, part: Array) -> Array:
        """A part of X in the dtype to compute in: a copy where it is another."""
        return self.xp.astype(part, self.dtype, copy=False)

    def standardised_if_small(self) -> DenseDesign:
        """A standardised copy where one block holds all rows, else the design itself.

        So small a copy costs less than the change of units in each pass.
        """
        if self._change is None or self.n_samples > rows_per_block(self.X, xp=self.xp):
            return self
        rows = self.block(slice(0, self.n_samples)).standardised()
        return DenseDesign(rows, None, self.offset, workers=self.workers, xp=self.xp)

    def of_features(self, features: Array) -> DenseDesign:
        """A copy of some columns, standardised.

        Parameters
        ----------
        features : array of shape (m,)
            Their indices, on the device of X.
        """
        xp = self.xp
        change = self._change and tuple(
            xp.take(part, features) for part in self._change
        )

        def on_rows(rows: slice) -> tuple[Array]:
            columns = self._converted(xp.take(self.X[rows, :], features, axis=1))
            return (DenseBlock(columns, change, xp=xp).standardised(),)

        parts = reduce_over_blocks(on_rows, operator.add, self.slices(1), self.workers)
        columns = xp.concat(list(parts))
        return DenseDesign(columns, None, self.offset, workers=self.workers, xp=xp)

    def kernel(self, strength: Array, dtype: Any) -> Array:
        """Z diag(1 / strength) Z', in one pass over the columns: (n, n), in ``dtype``.

        Parameters
        ----------
        strength : array of shape (p,)
            Positive.
        dtype : dtype
        """
        xp = self.xp
        root = xp.astype(1 / xp.sqrt(strength), self.dtype)

        def on_columns(columns: slice) -> tuple[Array]:
            change = self._change and tuple(part[columns] for part in self._change)
            block = DenseBlock(self._converted(self.X[:, columns]), change, xp=xp)
            values = xp.astype(block.standardised() * root[columns], dtype, copy=False)
            return (xp.matmul(values, values.T),)

        # So wide that the product counts, and not adding its n^2 numbers to the sum.
        width = max(256, self.n_samples // 2)
        edges = range(0, self.n_features, width)
        slices = [slice(i, min(i + width, self.n_features)) for i in edges]
        return reduce_over_blocks(on_columns, add, slices, self.workers)[0]

    def draw(self, size: int, seed: int) -> np.ndarray:
        """Numbers of random rows, drawn with replacement."""
        return draw_rows(self.n_samples, size, seed)

    def sample(self, rows: Array, dtype: Any) -> DenseDesign:
        """A copy of some rows, standardised.

        Parameters
        ----------
        rows : array of shape (n,)
            Their indices, on the device of X.
        dtype : dtype
        """
        xp = self.xp
        copies = []
        # Small steps: each has a copy of its rows in the dtype of X, and one centred.
        step = max(1, rows_per_block(self.X, xp=xp) // 8)
        for first in range(0, max(1, rows.shape[0]), step):  # of no rows, none
            part = rows[first : min(first + step, rows.shape[0])]
            chosen = self._converted(xp.take(self.X, part, axis=0))
            block = DenseBlock(chosen, self._change, xp=xp)
            copies.append(xp.astype(block.standardised(), dtype, copy=False))
        offset = self.offset
        if offset is not None:
            offset = xp.astype(xp.take(offset, rows, axis=0), dtype)
        return DenseDesign(xp.concat(copies), None, offset, workers=self.workers, xp=xp)
