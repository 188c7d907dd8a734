"""Training data: rows, targets and weights, and the passes over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data.blocks import Sums, add, draw_rows, map_reduce
from xlr.data.matrix import Matrix
from xlr.data.scaler import Scaler
from xlr.data.targets import Targets
from xlr.threads import ALONE, Workers

__all__ = ["Block", "TrainingData", "sum_of_weights", "sums_of_class_weights"]


class Block(NamedTuple):
    """A block of rows, as the functions of a pass see it.

    Attributes
    ----------
    matrix : Matrix
        Z, of shape (n_rows, n_features).
    labels, weights : arrays of shape (n_rows, n_models or 1)
        Class codes and weights, in the dtype of the matrix.
    row_weights : array of shape (n_rows, 1)
        The weights that all models share.
    offset : array of shape (n_rows, n_outputs) or None
        Added to the logits.
    xp : namespace
    wide : dtype
        To sum in: the widest of the device.
    """

    matrix: Matrix
    labels: Array
    weights: Array
    row_weights: Array
    offset: Array | None
    xp: Namespace
    wide: Any


@arrays.pure
def sum_of_weights(block: Block) -> tuple[Array]:
    """Return the sum of the weights of each model: (n_models or 1,)."""
    return (block.xp.sum(block.weights, axis=0, dtype=block.wide),)


@arrays.pure
def sums_of_class_weights(block: Block, n_classes: int) -> tuple[Array]:
    """Return the sum of the weights in each class: (n_models or 1, n_classes)."""
    xp = block.xp
    of_class = [
        xp.sum(
            block.weights * xp.astype(block.labels == k, block.weights.dtype),
            axis=0,
            dtype=block.wide,
        )
        for k in range(n_classes)
    ]
    return (xp.stack(of_class, axis=1),)


class TrainingData:
    """Rows in memory, with their targets, weights and offset.

    A pass is a map over blocks of rows and a sum, :meth:`map_reduce`. Rows in chunks of
    Dask have the same methods (:class:`~xlr.data.chunked_data.ChunkedData`).

    Parameters
    ----------
    matrix : Matrix
    targets : Targets
        With weights in the dtype of the matrix.
    offset : array of shape (n_samples, n_outputs), default=None
        Added to the logits.
    pool : Workers, default=ALONE
        Threads for the passes.

    Attributes
    ----------
    in_memory : bool
        Whether single rows are at hand, and not only sums over them.
    n_drawable : int
        Most rows that a sample may have.
    """

    in_memory = True

    def __init__(
        self,
        matrix: Matrix,
        targets: Targets,
        offset: Array | None = None,
        *,
        pool: Workers = ALONE,
    ) -> None:
        self.matrix = matrix
        self.targets = targets
        self.offset = offset
        self.pool = pool
        self.xp, self.device, self.dtype = matrix.xp, matrix.device, matrix.dtype
        self.wide = arrays.widest_float(xp=self.xp, device=self.device)
        self.n_samples, self.n_features = matrix.shape
        self.n_drawable = self.n_samples
        self._slices: dict[tuple[int, int], list[slice]] = {}
        self._whole: Block | None = None
        self._compiles = arrays.compiles(self.xp)

    @property
    def product_cost(self) -> float:
        """Time of a product with a vector, in multiply-adds of a dense matrix."""
        return self.n_samples * self.matrix.product_cost

    @property
    def gram_cost(self) -> float:
        """Time of a Gram matrix, in the same unit."""
        return self.n_samples * self.matrix.gram_cost

    def map_reduce(
        self,
        function: Callable[..., Sums],
        *arguments: Any,
        width: int = 1,
        least: int = 1,
        combine: Callable[[Sums, Sums], Sums] = add,
        per_row: Array | None = None,
        reads_rows: bool = True,
    ) -> Sums:
        """Sum what a function returns of each block of rows: one pass.

        Parameters
        ----------
        function : callable
            Takes a :class:`Block`, the arguments, and the block's rows of ``per_row``;
            returns a tuple of arrays.
        *arguments
        width : int, default=1
            Numbers per row of its widest temporary.
        least : int, default=1
            Rows below which a block is not worth adding its sums.
        combine : callable, default=add
            Makes one tuple of the results of two parts of the rows.
        per_row : array of shape (n_samples, ...), default=None
        reads_rows : bool, default=True
            False for a function of the targets alone: chunks are then not read.
        """
        if self._compiles:
            function = arrays.compiled(function)
        slices = self._slices.get((width, least)) or self.row_slices(width, least)
        if len(slices) == 1:
            block = self._whole or self.block(slices[0])
            return function(block, *arguments, *(() if per_row is None else (per_row,)))

        def on_rows(rows: slice) -> Sums:
            block = self.block(rows)
            if per_row is None:
                return function(block, *arguments)
            return function(block, *arguments, per_row[rows, ...])

        return map_reduce(on_rows, slices, self.pool, combine)

    def map_rows(
        self, function: Callable[..., Array], *arguments: Any, width: int = 1
    ) -> Array:
        """Concatenate what a function returns of the rows of each block."""
        if self._compiles:
            function = arrays.compiled(function)
        parts = self.map_reduce(
            lambda block, *given: (function(block, *given),),
            *arguments,
            width=width,
            combine=lambda first, second: (*first, *second),
        )
        return parts[0] if len(parts) == 1 else self.xp.concat(list(parts))

    def total_weight(self) -> Array:
        """Return the sum of the weights of each model: (n_models,)."""
        (total,) = self.map_reduce(sum_of_weights, width=self.targets.n_models)
        return self.xp.broadcast_to(total, (self.targets.n_models,))

    def class_weights(self, n_classes: int) -> Array:
        """Return the sum of the weights in each class: (n_models, n_classes)."""
        n_models = self.targets.n_models
        (weights,) = self.map_reduce(
            sums_of_class_weights, n_classes, width=n_models * n_classes
        )
        return self.xp.broadcast_to(weights, (n_models, n_classes))

    def row_slices(self, width: int, least: int = 1) -> list[slice]:
        """Cut the rows for a pass whose temporaries have ``width`` numbers a row."""
        if (width, least) not in self._slices:
            slices = self.matrix.row_slices(width, least, self.pool.n)
            self._slices[width, least] = slices
        return self._slices[width, least]

    def is_large(self, width: int) -> bool:
        """Whether X fills several blocks, so that arithmetic takes the time."""
        return len(self.matrix.row_slices(width, 1, 1)) > 1

    def block(self, rows: slice) -> Block:
        """Return some rows. A block of all rows is made once."""
        is_whole = rows == slice(0, self.n_samples)
        if is_whole and self._whole is not None:
            return self._whole
        labels, weights = self.targets.block(rows, xp=self.xp)
        offset = None if self.offset is None else self.offset[rows, :]
        matrix = self.matrix.take_rows(rows)
        shared = self.targets.weights[rows, :]
        block = Block(matrix, labels, weights, shared, offset, self.xp, self.wide)
        if is_whole:
            self._whole = block
        return block

    def standardized(self, scaler: Scaler) -> TrainingData:
        """Return the data with centred and scaled columns."""
        return self._with(self.matrix.standardized(scaler), self.targets)

    def with_targets(self, targets: Targets) -> TrainingData:
        """Return the same rows with other targets."""
        return self._with(self.matrix, targets)

    def select(self, models: np.ndarray) -> TrainingData:
        """Return the data of some models, by their numbers on the host."""
        return self.with_targets(self.targets.select(models))

    def astype(self, dtype: Any) -> TrainingData:
        """Return the data in float32 or float64."""
        targets = self.targets.astype(dtype, xp=self.xp)
        return self._with(self.matrix.astype(dtype), targets)

    def take_columns(self, columns: Array) -> TrainingData:
        """Return a copy of some columns, by their numbers on the device."""
        return self._with(self.matrix.take_columns(columns), self.targets)

    def sample(self, size: int, seed: int) -> TrainingData:
        """Copy about ``size`` random rows, in float32."""
        return self.take_rows(draw_rows(self.n_samples, size, seed), self.xp.float32)

    def take_rows(self, numbers: np.ndarray, dtype: Any) -> TrainingData:
        """Copy some rows in a dtype, by their numbers on the host."""
        xp = self.xp
        rows = arrays.move(numbers, xp=xp, device=self.device)
        matrix = self.matrix.take_rows(rows).astype(dtype)
        offset = self.offset
        if offset is not None:
            offset = xp.astype(xp.take(offset, rows, axis=0), dtype)
        targets = self.targets.take_rows(rows, xp=xp).astype(dtype, xp=xp)
        return TrainingData(matrix, targets, offset, pool=self.pool)

    def _with(self, matrix: Matrix, targets: Targets) -> TrainingData:
        return TrainingData(matrix, targets, self.offset, pool=self.pool)
