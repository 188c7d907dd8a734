"""Dense, sparse and categorical columns side by side, as one X."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data.blocks import cut, map_reduce
from xlr.data.categorical_matrix import CategoricalMatrix
from xlr.data.matrix import (
    DenseMatrix,
    Matrix,
    Scaler,
    StandardizedMatrix,
    fits_block,
    is_matrix,
)
from xlr.data.sparse_matrix import (
    MAX_DENSE_ENTRIES,
    MIN_DENSE_ROWS,
    SparseMatrix,
    canonical,
)


@arrays.pytree("parts", "stored")
class SplitMatrix:
    """Dense, sparse and categorical columns side by side, as one X.

    Parameters
    ----------
    parts : sequence of arrays, sparse arrays or matrices
        Columns with all rows, in the same library and on the same device. Dense parts
        are arrays or lists of two dimensions; categorical parts are
        :class:`CategoricalMatrix`.
    names : sequence of str, default=None
        Names of all columns, for messages and ``feature_names_in_``.

    Raises
    ------
    ValueError
        If there are no parts, or they have different numbers of rows, not two
        dimensions or no real numbers, or there is not a name for each column.

    Examples
    --------
    >>> import numpy as np
    >>> import xlr
    >>> age = np.asarray([[20.0], [30.0], [40.0], [50.0]])
    >>> race = xlr.CategoricalMatrix(np.asarray([0, 1, 2, 1]), 3)
    >>> xlr.SplitMatrix([age, race]).shape
    (4, 4)
    """

    names: tuple[str, ...] | None = None

    def __init__(
        self, parts: Sequence[Any], names: Sequence[str] | None = None
    ) -> None:
        if not parts:
            raise ValueError("parts is empty, expected at least one matrix.")
        matrices = [_as_part(part) for part in parts]
        counts = sorted({part.shape[0] for part in matrices})
        if len(counts) > 1:
            raise ValueError(
                f"The parts have {', '.join(map(str, counts))} rows, expected the same "
                "number in each. Pass columns of the same rows."
            )
        xp = matrices[0].xp
        numbers = [part for part in matrices if not _holds_codes(part)] or matrices
        dtype = max((part.dtype for part in numbers), key=lambda d: xp.finfo(d).bits)
        self._set([part.astype(dtype) for part in matrices])
        if names is not None:
            self.names = tuple(map(str, names))
            if len(self.names) != self.shape[1]:
                raise ValueError(
                    f"There are {len(self.names)} names, expected {self.shape[1]}: one "
                    "for each column."
                )

    def _set(self, parts: Sequence[Any]) -> None:
        self.parts = tuple(parts)
        first = parts[0]
        self.xp, self.device, self.dtype = first.xp, first.device, first.dtype
        self.shape = first.shape[0], sum(part.shape[1] for part in parts)
        # Entries of the first part that is not categorical, or codes.
        self.stored = min(parts, key=_holds_codes).stored
        self.product_cost = sum(part.product_cost for part in parts)
        # The narrower of two parts is made dense, and multiplied column by column.
        by_width = sorted(parts, key=lambda part: part.shape[1])
        between = itertools.combinations(by_width, 2)
        self.gram_cost = sum(part.gram_cost for part in parts) + sum(
            small.shape[1] * large.product_cost for small, large in between
        )

    def _with(self, parts: Sequence[Any]) -> SplitMatrix:
        made = SplitMatrix.__new__(SplitMatrix)
        made._set(parts)
        return made

    def _column_ranges(self) -> Iterator[tuple[Any, int, int]]:
        """Yield each part with its first column and the one after its last."""
        ends = itertools.accumulate(part.shape[1] for part in self.parts)
        for part, end in zip(self.parts, ends):
            yield part, end - part.shape[1], end

    def matvec(self, coef: Array, intercept: Array | None = None) -> Array:
        """Return X W' + b: (n_rows, m)."""
        product = intercept
        for part, start, end in self._column_ranges():
            own = part.matvec(coef[:, start:end])
            product = own if product is None else product + own
        return self.xp.astype(product, self.dtype, copy=False)

    def transpose_matvec(self, residual: Array, total: Array | None = None) -> Array:
        """Return R'X, (m, n_columns), in the widest dtype."""
        products = [part.transpose_matvec(residual, total) for part in self.parts]
        return self.xp.concat(products, axis=1)

    def sandwich(self, columns: Array) -> Array:
        """Return A'A for A = [diag(u_1) X, ..., diag(u_m) X]."""
        xp, m, p = self.xp, columns.shape[1], self.shape[1]
        blocks: dict[tuple[int, int], Array] = {}
        for i, part in enumerate(self.parts):
            width = part.shape[1]
            blocks[i, i] = xp.reshape(part.sandwich(columns), (m, width, m, width))
        n = range(len(self.parts))
        by_width = sorted(n, key=lambda i: self.parts[i].shape[1])
        for i, k in itertools.combinations(by_width, 2):
            blocks[i, k] = self._cross_sandwich(self.parts[i], self.parts[k], columns)
            blocks[k, i] = xp.permute_dims(blocks[i, k], (2, 3, 0, 1))
        rows = [xp.concat([blocks[i, k] for k in n], axis=3) for i in n]
        return xp.reshape(xp.concat(rows, axis=1), (m * p, m * p))

    def _cross_sandwich(self, small: Any, large: Any, columns: Array) -> Array:
        """Return the sums of u_a x u_b z, with x of ``small`` and z of ``large``.

        The shape is (m, width of small, m, width of large). The narrower part is made
        dense, a block of rows at a time.
        """
        xp, (n, m), width = self.xp, columns.shape, small.shape[1]

        def sums(rows: slice) -> tuple[Array]:
            u = columns[rows, :]
            pairs = xp.reshape(u[:, :, None] * u[:, None, :], (-1, m * m))
            dense = xp.astype(small.take_rows(rows).to_dense(), u.dtype, copy=False)
            weighted = xp.reshape(
                pairs[:, :, None] * dense[:, None, :], (-1, m * m * width)
            )
            return (large.take_rows(rows).transpose_matvec(weighted),)

        step = max(MIN_DENSE_ROWS, MAX_DENSE_ENTRIES // (m * m * width))
        (total,) = map_reduce(sums, cut(n, step))
        total = xp.reshape(total, (m, m, width, large.shape[1]))
        return xp.permute_dims(total, (0, 2, 1, 3))

    def sandwich_diagonal(self, weights: Array) -> Array:
        """Return the diagonal of X' diag(h) X for each column h of ``weights``."""
        squares = [part.sandwich_diagonal(weights) for part in self.parts]
        return self.xp.concat(squares, axis=1)

    def take_rows(self, rows: slice | Array) -> SplitMatrix:
        """Return some rows: a slice as a view, or indices on the device as a copy."""
        return self._with([part.take_rows(rows) for part in self.parts])

    def take_columns(self, columns: Array) -> SplitMatrix:
        """Return a copy of some columns, by their ascending indices on the device."""
        chosen, parts = arrays.to_host(columns), []
        for part, start, end in self._column_ranges():
            part_columns = chosen[(chosen >= start) & (chosen < end)] - start
            if part_columns.size:
                part_columns = arrays.move(part_columns, xp=self.xp, device=self.device)
                parts.append(part.take_columns(part_columns))
        return self._with(parts)

    def astype(self, dtype: Any) -> SplitMatrix:
        """Return the same numbers in float32 or float64."""
        return self._with([part.astype(dtype) for part in self.parts])

    def standardized(self, scaler: Scaler) -> Matrix:
        """Return the matrix with centred and scaled columns, part by part.

        It is a dense copy if one block holds all rows: products then take fewer calls.
        """
        if fits_block(self):
            return DenseMatrix(self.to_dense(), xp=self.xp).standardized(scaler)
        parts = []
        for part, start, end in self._column_ranges():
            own = Scaler(*(values[start:end] for values in scaler))
            parts.append(part.standardized(own))
        return self._with(parts)

    def to_dense(self) -> Array:
        """Return a dense array of the same numbers."""
        return self.xp.concat([part.to_dense() for part in self.parts], axis=1)

    def row_slices(self, width: int, least: int, n_threads: int) -> list[slice]:
        """Cut the rows like the part with the largest blocks."""
        cuts = [part.row_slices(width, least, n_threads) for part in self.parts]
        return min(cuts, key=len)


def as_matrix(X: Any) -> Matrix:
    """Return an array or a sparse CSR array in canonical form as a matrix."""
    if is_matrix(X):
        return X
    kind: Any = SparseMatrix if arrays.is_sparse(X) else DenseMatrix
    return kind(X, xp=arrays.namespace(arrays.entries(X)))


def explicit(matrix: Any) -> Any:
    """Return a matrix for several products: dense rows are centred and scaled."""
    if isinstance(matrix, SplitMatrix):
        return matrix._with([explicit(part) for part in matrix.parts])
    return matrix.explicit() if isinstance(matrix, StandardizedMatrix) else matrix


def concatenated(blocks: Sequence[Any]) -> Any:
    """Return the rows of dense, categorical or split matrices one below the other."""
    first = blocks[0]
    if isinstance(first, SplitMatrix):
        parts = zip(*(block.parts for block in blocks))
        return first._with([concatenated(part) for part in parts])
    return first._with(first.xp.concat([block.stored for block in blocks]))


def _as_part(part: Any) -> Matrix:
    """Return a part as a matrix; a sparse matrix has floats and canonical form."""
    if is_matrix(part):
        return part
    is_sparse = arrays.is_sparse(part)
    if not is_sparse and not arrays.is_foreign(part, "part"):
        part = np.asarray(part)
    if len(part.shape) != 2:
        raise ValueError(
            f"A part has shape {tuple(part.shape)}, expected two dimensions. Pass "
            "part[:, None] for a single column."
        )
    xp = arrays.namespace(arrays.entries(part))
    if not xp.isdtype(part.dtype, ("bool", "integral", "real floating")):
        raise ValueError(
            f"A part has dtype {part.dtype}, expected real numbers or booleans. "
            "Convert it, or pass categories as a CategoricalMatrix."
        )
    if is_sparse:
        part = canonical(part.tocsr())
        dtype = arrays.floating_dtype(part.data, xp=xp)
        part = part if part.dtype == dtype else part.astype(dtype)
    return as_matrix(part)


def _holds_codes(matrix: Any) -> bool:
    """Return whether a matrix, standardized or not, is categorical."""
    return isinstance(getattr(matrix, "matrix", matrix), CategoricalMatrix)
