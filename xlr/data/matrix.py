"""Matrices: kinds of X, with the products that passes over the rows need."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, Protocol

from xlr import arrays
from xlr.arrays import Array, Device, Namespace
from xlr.data.blocks import cut

# Multiply-adds of a symmetric product (BLAS syrk, in the cache) in the time of one
# multiply-add of a matrix-vector product, which waits for memory: 20 on one core of an
# x86 server.
GRAM_SPEEDUP = 20

# Minimum rows of a block, if it has at most four times its usual bytes then. Products
# with few columns are slower on fewer rows: 1.3 times for 10 columns of coefficients
# and 784 features.
MIN_BLOCK_ROWS = 1024


class Scaler(NamedTuple):
    r"""The change of variables z = (x - mean) / scale.

    With v and c the coefficients and intercept for z, and w and b those for x:

    .. math:: v_j = scale_j w_j, \qquad c = b + \sum_j mean_j w_j

    Attributes
    ----------
    mean, scale : arrays of shape (n_features,)
        In the widest dtype of the device. Without an intercept the means are zero; a
        constant column has scale 1.
    varies : array of shape (n_features,)
        0 for a constant column, whose derivatives are zero up to rounding; else 1.
    """

    mean: Array
    scale: Array
    varies: Array

    @classmethod
    def of(cls, mean: Array, std: Array, dtype: Any, *, xp: Namespace) -> Scaler:
        """Return the scaler of columns with this mean and standard deviation.

        Parameters
        ----------
        mean, std : arrays of shape (n_features,)
            A constant column has a standard deviation of zero.
        dtype : dtype
            Dtype of the matrix. The inverse of a scale stays within its range. The
            means are rounded to it, so that x - mean and b - mean.w are the same change
            of variables to the last bit.
        xp : namespace
        """
        smallest = 4 * float(xp.finfo(dtype).smallest_normal)
        scale = xp.maximum(std, xp.full_like(std, smallest))
        scale = xp.where(std > 0, scale, xp.ones_like(std))
        mean = xp.astype(xp.astype(mean, dtype), scale.dtype)
        return cls(mean, scale, xp.astype(std > 0, scale.dtype))

    def to_standardized(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Map (w, b) to (v, c); shapes (n_columns, n_features) and (n_columns,)."""
        return coef * self.scale, intercept + coef @ self.mean

    def to_raw(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Map (v, c) to (w, b), the inverse of :meth:`to_standardized`."""
        coef = coef / self.scale
        return coef, intercept - coef @ self.mean

    def gradient(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Map the gradient in (w, b) to the gradient in (v, c), by the chain rule."""
        coef = (coef - intercept[:, None] * self.mean) / self.scale
        return coef * self.varies, intercept

    def take_columns(self, columns: Array, *, xp: Namespace) -> Scaler:
        """Return the scaler of some columns, by their indices on the device."""
        return Scaler(*(xp.take(values, columns) for values in self))


def max_mean_to_std(dtype: Any, *, xp: Namespace) -> float:
    """Return the mean, in standard deviations, up to which products keep their digits.

    The products are corrected for the mean.
    """
    return max(4.0, 1e-12 / float(xp.finfo(dtype).eps))


class Matrix(Protocol):
    """Protocol of a matrix of shape (n_rows, n_columns).

    Coefficients are rows of shape (m, n_columns), residuals columns (n_rows, m).

    Attributes
    ----------
    xp, device, dtype
        Namespace, device and dtype of the results. ``dtype`` is float32 or float64.
    shape : tuple of two ints
    stored : array
        The array of the entries. Its device determines the size of blocks.
    product_cost : float
        Time of a matrix-vector product per row, in multiply-adds of a dense product.
    gram_cost : float
        Time of a Gram matrix per row, in the same unit.
    """

    xp: Namespace
    device: Device
    dtype: Any
    shape: tuple[int, int]
    stored: Array
    product_cost: float
    gram_cost: float

    def matvec(self, coef: Array, intercept: Array | None = None) -> Array:
        """Return X W' + b: (n_rows, m)."""

    def transpose_matvec(self, residual: Array, total: Array | None = None) -> Array:
        """Return R'X, (m, n_columns), in the widest dtype.

        ``total`` is the sum of each column of R, if the caller knows it.
        """

    def sandwich(self, columns: Array) -> Array:
        """Return A'A for A = [diag(u_1) X, ..., diag(u_m) X], u_k the k-th column.

        Products may have the dtype of the columns, such as float32 for a float64 X. The
        result, (m n_columns, m n_columns), has the widest dtype.
        """

    def sandwich_diagonal(self, weights: Array) -> Array:
        """Return the diagonal of X' diag(h) X for each column h of ``weights``."""

    def take_rows(self, rows: slice | Array) -> Matrix:
        """Return some rows: a slice as a view, or indices on the device as a copy."""

    def take_columns(self, columns: Array) -> Matrix:
        """Return a copy of some columns, by their ascending indices on the device."""

    def astype(self, dtype: Any) -> Matrix:
        """Return the same numbers in float32 or float64."""

    def standardized(self, scaler: Scaler) -> Matrix:
        """Return the matrix with centred and scaled columns.

        :class:`StandardizedMatrix`, which already has them, lacks this method.
        """

    def to_dense(self) -> Array:
        """Return a dense array of the same numbers."""

    def row_slices(self, width: int, least: int, n_threads: int) -> list[slice]:
        """Cut the rows for a pass.

        Temporaries have ``width`` numbers per row. Blocks have about ``least`` rows or
        more, except where ``n_threads`` share fewer rows. ``least`` is above 1 in
        passes with Gram matrices, and only there.
        """


def is_matrix(X: Any) -> bool:
    """Return whether X is a :class:`Matrix` of this library or a user."""
    return hasattr(type(X), "transpose_matvec")


def fits_block(matrix: Matrix) -> bool:
    """Return whether all rows of a matrix, as a dense array, fit into one block."""
    n_rows, n_columns = matrix.shape
    size = matrix.xp.finfo(matrix.dtype).bits // 8
    return n_rows * n_columns * size <= arrays.block_bytes(matrix.stored)


@arrays.pytree("stored")
class DenseMatrix:
    """A dense array as a :class:`Matrix`.

    Parameters
    ----------
    stored : array of shape (n_rows, n_columns)
        Floats, or integers and booleans of few bytes.
    dtype : dtype, default=None
        Dtype of the products; blocks of rows are converted one at a time. None for the
        dtype of the array, float32 for half precision, the widest for integers.
    xp : namespace
    device : device, default=None
        Device of the array, if it is known.
    """

    def __init__(
        self, stored: Array, dtype: Any = None, *, xp: Namespace, device: Device = None
    ) -> None:
        self.stored = stored
        self.xp = xp
        self.device = arrays.device_of(stored) if device is None else device
        self.dtype = arrays.floating_dtype(stored, xp=xp) if dtype is None else dtype
        self.shape = stored.shape
        self.product_cost = float(stored.shape[1])
        self.gram_cost = stored.shape[1] ** 2 / GRAM_SPEEDUP

    def _with(self, stored: Array, dtype: Any = None) -> DenseMatrix:
        """Return a matrix with other entries, in this or another dtype."""
        return DenseMatrix(stored, dtype or self.dtype, xp=self.xp, device=self.device)

    def matvec(self, coef: Array, intercept: Array | None = None) -> Array:
        """Return X W' + b: (n_rows, m)."""
        if coef.dtype != self.dtype:
            coef = self.xp.astype(coef, self.dtype)
        product = self.xp.matmul(coef, self.stored.T).T
        if intercept is not None:
            product += self.xp.astype(intercept, self.dtype, copy=False)
        return product

    def transpose_matvec(self, residual: Array, total: Array | None = None) -> Array:
        """Return R'X, (m, n_columns), in the widest dtype."""
        product = self.xp.matmul(residual.T, self.stored)
        if product.dtype == self.xp.float64:
            return product
        return arrays.widened(product, xp=self.xp)

    def sandwich(self, columns: Array) -> Array:
        """Return A'A for A = [diag(u_1) X, ..., diag(u_m) X]."""
        values = self.xp.astype(self.stored, columns.dtype, copy=False)
        # In C order: in the order of logits, the reshape below would copy all of A.
        columns = self.xp.reshape(self.xp.reshape(columns, (-1,)), columns.shape)
        A = columns[:, :, None] * values[:, None, :]
        A = self.xp.reshape(A, (self.shape[0], columns.shape[1] * self.shape[1]))
        product = self.xp.matmul(A.T, A)
        if product.dtype == self.xp.float64:
            return product
        return arrays.widened(product, xp=self.xp)

    def sandwich_diagonal(self, weights: Array) -> Array:
        """Return the diagonal of X' diag(h) X for each column h of ``weights``."""
        product = self.xp.matmul(weights.T, self.stored * self.stored)
        return arrays.widened(product, xp=self.xp)

    def take_rows(self, rows: slice | Array) -> DenseMatrix:
        """Return some rows, in the dtype of the products."""
        if isinstance(rows, slice):
            if rows == slice(0, self.shape[0]) and self.stored.dtype == self.dtype:
                return self
            taken = self.stored[rows, :]
        else:
            taken = arrays.take_rows(self.stored, rows, xp=self.xp)
        return self._with(self.xp.astype(taken, self.dtype, copy=False))

    def take_columns(self, columns: Array) -> DenseMatrix:
        """Return a copy of some columns, by their ascending indices on the device."""
        return self._with(arrays.take_rows(self.stored.T, columns, xp=self.xp).T)

    def astype(self, dtype: Any) -> DenseMatrix:
        """Return the same numbers in float32 or float64."""
        if dtype == self.dtype == self.stored.dtype:
            return self
        return self._with(self.xp.astype(self.stored, dtype, copy=False), dtype)

    def standardized(self, scaler: Scaler) -> Any:
        """Return the matrix with centred and scaled columns.

        It is a copy if one block holds all rows: this is faster than the correction of
        each product.
        """
        matrix = StandardizedMatrix(self, scaler)
        return matrix.explicit() if fits_block(self) else matrix

    def to_dense(self) -> Array:
        """Return the array in the dtype of the products."""
        return self.xp.astype(self.stored, self.dtype, copy=False)

    def row_slices(self, width: int, least: int, n_threads: int) -> list[slice]:
        """Cut the rows into blocks that fit the cache."""
        size = self.xp.finfo(self.dtype).bits // 8
        row_bytes = size * max(self.shape[1], width)
        block = arrays.block_bytes(self.stored)
        n_rows = max(block // row_bytes, min(MIN_BLOCK_ROWS, 4 * block // row_bytes))
        return cut(self.shape[0], max(1, least, n_rows), n_threads=n_threads)


@arrays.pytree("matrix", "scaler", "stored")
class StandardizedMatrix:
    r"""A matrix with centred and scaled columns, z = (x - mean) / scale.

    Products are corrected products of the raw matrix:

    .. math::
        Z w = X (w / scale) - mean \cdot (w / scale), \qquad
        Z'r = (X'r - mean \textstyle\sum_i r_i) / scale

    If the means would cost digits, each dense block of rows is copied, centred and
    scaled. Gram matrices and their diagonals, which would lose twice as many, need such
    a copy of dense rows, from :meth:`explicit`.

    Parameters
    ----------
    matrix : Matrix
    scaler : Scaler
    """

    def __init__(self, matrix: Any, scaler: Scaler) -> None:
        self.matrix = matrix
        self.scaler = scaler
        self.xp, self.device = matrix.xp, matrix.device
        self.dtype, self.shape, self.stored = matrix.dtype, matrix.shape, matrix.stored
        self.product_cost, self.gram_cost = matrix.product_cost, matrix.gram_cost
        self._is_dense = isinstance(matrix, DenseMatrix)

    @cached_property
    def _loses_digits(self) -> bool:
        """Return whether corrected products lose too many digits of products with Z.

        Means may cost two bits in float32, and almost nothing in float64.
        """
        ratio = arrays.to_host(self.xp.max(abs(self.scaler.mean) / self.scaler.scale))
        return not ratio <= max_mean_to_std(self.dtype, xp=self.xp)

    def matvec(self, coef: Array, intercept: Array | None = None) -> Array:
        """Return Z W' + b: (n_rows, m)."""
        if intercept is None:
            intercept = self.xp.zeros_like(coef[:, 0])
        return self.matrix.matvec(*self.scaler.to_raw(coef, intercept))

    def transpose_matvec(self, residual: Array, total: Array | None = None) -> Array:
        """Return R'Z, (m, n_columns), in the widest dtype."""
        product = self.matrix.transpose_matvec(residual)
        if total is None:
            total = self.xp.sum(residual, axis=0, dtype=product.dtype)
        return self.scaler.gradient(product, total)[0]

    def sandwich(self, columns: Array) -> Array:
        """Return A'A for A = [diag(u_1) Z, ..., diag(u_m) Z]."""
        xp, (_, m), p = self.xp, columns.shape, self.shape[1]
        gram = xp.reshape(self.matrix.sandwich(columns), (m, p, m, p))
        # The same sums with 1 instead of x: x'u_k u_l, and u_k'u_l.
        pairs = xp.reshape(columns[:, :, None] * columns[:, None, :], (-1, m * m))
        margin = xp.reshape(self.matrix.transpose_matvec(pairs), (m, m, p))
        corner = xp.reshape(xp.sum(pairs, axis=0, dtype=gram.dtype), (m, 1, m, 1))
        mean, inverse = self.scaler.mean, self.scaler.varies / self.scaler.scale
        by_row = xp.permute_dims(margin, (0, 2, 1))[:, :, :, None]
        gram -= (by_row - corner * mean[:, None, None]) * mean
        gram -= margin[:, None, :, :] * mean[:, None, None]
        gram *= inverse[:, None, None]
        gram *= inverse
        return xp.reshape(gram, (m * p, m * p))

    def sandwich_diagonal(self, weights: Array) -> Array:
        """Return the diagonal of Z' diag(h) Z for each column h of ``weights``."""
        xp, scaler = self.xp, self.scaler
        squares = self.matrix.sandwich_diagonal(weights)
        product = self.matrix.transpose_matvec(weights)
        total = xp.sum(weights, axis=0, dtype=product.dtype)[:, None]
        squares = squares - (2 * product - total * scaler.mean) * scaler.mean
        # Cancellation may make them negative.
        squares = xp.maximum(squares, xp.zeros_like(squares))
        return squares * scaler.varies / scaler.scale / scaler.scale

    def to_dense(self) -> Array:
        """Return an array of the centred and scaled numbers."""
        mean, inverse = self.scaler.mean, 1 / self.scaler.scale
        values = self.matrix.to_dense() - self.xp.astype(mean, self.dtype)
        values *= self.xp.astype(inverse, self.dtype)
        return values

    def explicit(self) -> Any:
        """Return dense rows centred and scaled; return sparse rows unchanged."""
        return self.matrix._with(self.to_dense()) if self._is_dense else self

    def take_rows(self, rows: slice | Array) -> Any:
        """Return some rows.

        Dense rows are copied, centred and scaled if taken by index, or if the means
        would cost digits; other rows stay raw.
        """
        taken = StandardizedMatrix(self.matrix.take_rows(rows), self.scaler)
        by_index = not isinstance(rows, slice)
        is_copied = by_index or (self._is_dense and self._loses_digits)
        return taken.explicit() if is_copied else taken

    def take_columns(self, columns: Array) -> Any:
        """Return a copy of some columns; dense columns are centred and scaled."""
        matrix = self.matrix.take_columns(columns)
        scaler = self.scaler.take_columns(columns, xp=self.xp)
        return StandardizedMatrix(matrix, scaler).explicit()

    def astype(self, dtype: Any) -> Any:
        """Return the same numbers in float32 or float64."""
        xp = self.xp
        if self._is_dense and xp.finfo(dtype).bits < xp.finfo(self.dtype).bits:
            # A large mean would round away the digits of Z.
            blocks = (
                xp.astype(self.take_rows(rows).to_dense(), dtype)
                for rows in self.row_slices(1, 1, 1)
            )
            stored = arrays.concat_blocks(blocks, self.shape[0])
            return self.matrix._with(stored, dtype)
        return StandardizedMatrix(self.matrix.astype(dtype), self.scaler)

    def row_slices(self, width: int, least: int, n_threads: int) -> list[slice]:
        """Cut the rows as the raw matrix does."""
        return self.matrix.row_slices(width, least, n_threads)
