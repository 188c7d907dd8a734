"""Training data: rows, targets and weights, and the passes over them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data.blocks import Sums, add, map_reduce, padded_size
from xlr.data.matrix import Matrix, Scaler
from xlr.data.targets import Targets
from xlr.threads import SERIAL_POOL, ThreadPool

if TYPE_CHECKING:
    from xlr.data.chunks import ChunkedData


class Block(NamedTuple):
    """A block of rows, the first argument of the functions of a pass.

    Attributes
    ----------
    matrix : Matrix
        Z, of shape (n_rows, n_features).
    labels, weights : arrays of shape (n_rows, n_models or 1)
        Class codes and weights, in the dtype of the matrix.
    row_weights : array of shape (n_rows, 1)
        Weights that all models share.
    offset : array of shape (n_rows, n_outputs) or None
        Added to the logits.
    xp : namespace
    accumulation_dtype : dtype
        Dtype of sums over the rows: the widest of the device.
    """

    matrix: Matrix
    labels: Array
    weights: Array
    row_weights: Array
    offset: Array | None
    xp: Namespace
    accumulation_dtype: Any


@arrays.compilable
def _class_sums(block: Block, n_classes: int) -> tuple[Array]:
    """Return the sum of the weights in each class: (n_models or 1, n_classes)."""
    xp, y = block.xp, block.labels
    if n_classes == 1:
        shares = [xp.ones_like(block.weights)]
    elif n_classes == 2:  # labels, or shares of the second class
        shares = [1 - y, y]
    elif y.shape[1] == n_classes:  # shares of all classes
        shares = [y[:, k : k + 1] for k in range(n_classes)]
    else:
        shares = [xp.astype(y == k, block.weights.dtype) for k in range(n_classes)]
    dtype = block.accumulation_dtype
    sums = [xp.sum(block.weights * share, axis=0, dtype=dtype) for share in shares]
    # A stack takes three times as long in NumPy.
    return (xp.concat([each[:, None] for each in sums], axis=1),)


class TrainingData:
    """Rows with their targets, and the passes over them.

    A pass is a map over parts of the rows and a sum, :meth:`map_reduce`. The parts are
    blocks of rows in memory, or the chunks of a Dask scheduler. With chunks, ``matrix``
    and ``targets`` hold a sample in memory, and a pass calls the methods that have
    changed them on every chunk.

    Parameters
    ----------
    matrix : Matrix
    targets : Targets
        Targets with weights in the dtype of the matrix.
    pool : ThreadPool, default=SERIAL_POOL
        Threads for passes over rows in memory.
    chunks : ChunkedData, default=None
        All rows, if they are in chunks; None for the rows of the matrix.

    Attributes
    ----------
    in_memory : bool
        Whether single rows are accessible, not only sums over them.
    max_sample_size : int
        Number of rows of the matrix: all rows, or a sample of the chunks.
    """

    def __init__(
        self,
        matrix: Matrix,
        targets: Targets,
        *,
        pool: ThreadPool = SERIAL_POOL,
        chunks: ChunkedData | None = None,
    ) -> None:
        self.matrix = matrix
        self.targets = targets
        self.pool = pool
        self.chunks = chunks
        self.in_memory = chunks is None
        self.xp, self.device, self.dtype = matrix.xp, matrix.device, matrix.dtype
        self.accumulation_dtype = arrays.widest_float(xp=self.xp, device=self.device)
        self.max_sample_size, self.n_features = matrix.shape
        self.n_samples = (
            self.max_sample_size if chunks is None else int(chunks.X.shape[0])
        )
        arrays.keep_block_memory()
        self._block_bytes = arrays.block_bytes(matrix.stored)
        self._slices: dict[tuple[int, int], list[slice]] = {}
        self._class_weights: dict[int, Array] = {}
        self._all_rows: Block | None = None
        self._padded: Block | None = None  # all rows, padded to their padded_size
        self._compiles = arrays.compiles(self.xp)

    @property
    def product_cost(self) -> float:
        """Return the time of a product with a vector, in dense multiply-adds."""
        return self.n_samples * self.matrix.product_cost

    def map_reduce(
        self,
        function: Callable[..., Sums],
        *arguments: Any,
        width: int = 1,
        least: int = 1,
        combine: Callable[[Sums, Sums], Sums] = add,
        per_row: Any = None,
        reads_rows: bool = True,
    ) -> Sums:
        """Sum a function over the blocks of rows, in one pass.

        Parameters
        ----------
        function : callable
            Takes a :class:`Block`, the arguments, and the entries of ``per_row`` for
            the block; returns a tuple of arrays.
        *arguments
        width : int, default=1
            Numbers per row of its widest temporary.
        least : int, default=1
            Minimum rows of a block, so that the addition of its sums stays cheap.
        combine : callable, default=add
            Combines the results of two parts of the rows.
        per_row : array of shape (n_samples, ...) or PerRow, default=None
            Values for each row, from :meth:`place_rows` or :meth:`map_rows`.
        reads_rows : bool, default=True
            False for a function of the targets only, which reads no chunks of X.
        """
        if self.chunks is not None:
            options = {"width": width, "least": least, "combine": combine}
            return self.chunks.map_reduce(
                function, arguments, options, per_row, reads_rows
            )
        slices = self._slices.get((width, least)) or self.row_slices(width, least)
        if self._compiles and (compiled := arrays.compiled(function)) is not function:
            blocks = self._padded_blocks(padded_size(slices[0].stop), per_row)
            results = (compiled(block, *arguments, *own) for block, *own in blocks)
            return reduce(combine, results)
        if len(slices) == 1:
            block = self._all_rows or self.block(slices[0])
            return function(block, *arguments, *(() if per_row is None else (per_row,)))

        def on_rows(rows: slice) -> Sums:
            own = () if per_row is None else (per_row[rows, ...],)
            return function(self.block(rows), *arguments, *own)

        return map_reduce(on_rows, slices, self.pool, combine)

    def map_rows(
        self,
        function: Callable[..., Array],
        *arguments: Any,
        width: int = 1,
        reads_rows: bool = True,
    ) -> Array:
        """Concatenate the results of a function for the rows of each block."""
        if self._compiles:
            function = arrays.compiled(function)
        results = self.map_reduce(
            partial(_in_tuple, function),
            *arguments,
            width=width,
            combine=operator.add,
            reads_rows=reads_rows,
        )
        return results[0] if len(results) == 1 else self.xp.concat(list(results))

    def place_rows(self, values: np.ndarray) -> Any:
        """Cut values for each row, (n_samples, ...), into chunks like the rows.

        Without chunks, they stay on the host, where the pass reads them.
        """
        return values if self.chunks is None else self.chunks.place_rows(values)

    def total_weight(self) -> Array:
        """Return the sum of the weights of each model: (n_models,)."""
        return self.class_weights(1)[:, 0]

    def class_weights(self, n_classes: int) -> Array:
        """Return the sum of the weights in each class: (n_models, n_classes).

        They are cached: each model of a path needs them, and the scan of the labels may
        have found them (:meth:`keep_class_weights`).
        """
        if n_classes not in self._class_weights:
            shape = self.targets.n_models, n_classes
            (weights,) = self.map_reduce(
                _class_sums, n_classes, width=shape[0] * shape[1], reads_rows=False
            )
            if shape[0] > 1:
                weights = self.xp.broadcast_to(weights, shape)
            self._class_weights[n_classes] = weights
        return self._class_weights[n_classes]

    def keep_class_weights(self, totals: np.ndarray) -> None:
        """Keep the sums of the weights of one model in each class, which saves a pass.

        ``totals`` has shape (n_classes,), with at least two classes.
        """
        place = {"xp": self.xp, "device": self.device}
        totals = arrays.move(totals[None, :], dtype=self.accumulation_dtype, **place)
        self._class_weights[totals.shape[1]] = totals

    def row_slices(self, width: int, least: int = 1) -> list[slice]:
        """Cut the rows for a pass with temporaries of ``width`` numbers per row."""
        if (width, least) not in self._slices:
            n = self.max_sample_size
            if 0 < 8 * n * max(width, self.n_features) <= self._block_bytes:
                slices = [slice(0, n)]
            else:
                slices = self.matrix.row_slices(width, least, self.pool.n_threads)
            self._slices[width, least] = slices
        return self._slices[width, least]

    def block(self, rows: slice) -> Block:
        """Return some rows. The block of all rows is cached."""
        labels, weights = self.targets.block(rows, xp=self.xp)
        offset = self.targets.offset
        offset = None if offset is None else offset[rows, :]
        matrix = self.matrix.take_rows(rows)
        shared = self.targets.weights[rows, :]
        block = Block(
            matrix, labels, weights, shared, offset, self.xp, self.accumulation_dtype
        )
        if rows == slice(0, self.n_samples):
            self._all_rows = block
        return block

    def _padded_blocks(self, size: int, per_row: Array | None) -> Iterator[list[Any]]:
        """Yield blocks of ``size`` rows, each with its ``per_row`` unless it is None.

        A compiled function is for one size. Copies of the last row, without weight,
        fill the last block.
        """
        xp, n = self.xp, self.n_samples
        per_rows = [] if per_row is None else [per_row]
        for stop in range(size, n + 1, size):
            rows = slice(stop - size, stop)
            yield [self.block(rows), *(values[rows, ...] for values in per_rows)]
        if n % size == 0:
            return
        ids = xp.arange(size, device=self.device) + (n - n % size)
        row_ids, is_row = arrays.clip(ids, None, n - 1, xp=xp), ids < n

        def with_zeros(values: Array) -> Array:
            factors = xp.reshape(is_row, (size, *[1] * (values.ndim - 1)))
            taken = xp.take(values, row_ids, axis=0)
            return taken * xp.astype(factors, taken.dtype)

        block = self._padded
        if block is None:
            targets = self.targets.take_rows(row_ids, xp=xp)
            targets = replace(targets, weights=with_zeros(self.targets.weights))
            last = self._with(self.matrix.take_rows(row_ids), targets, None)
            block = last.block(slice(0, size))
            self._padded = block if n < size else None
        yield [block, *map(with_zeros, per_rows)]

    def standardized(self, scaler: Scaler) -> TrainingData:
        """Return the data with centred and scaled columns."""
        matrix = self.matrix.standardized(scaler)
        return self._changed("standardized", scaler, matrix=matrix)

    def take_columns(self, columns: Array) -> TrainingData:
        """Return a copy of some columns, by their indices on the device."""
        matrix = self.matrix.take_columns(columns)
        return self._changed("take_columns", columns, matrix=matrix)

    def astype(self, dtype: Any) -> TrainingData:
        """Return the data in float32 or float64."""
        targets = self.targets.astype(dtype, xp=self.xp)
        matrix = self.matrix.astype(dtype)
        return self._changed("astype", dtype, matrix=matrix, targets=targets)

    def select(self, models: np.ndarray) -> TrainingData:
        """Return the data of some models, by their indices on the host."""
        return self._changed("select", models, targets=self.targets.select(models))

    def without_counts(self) -> TrainingData:
        """Return the data with each row once."""
        return self._changed("without_counts", targets=self.targets.without_counts())

    def resampled(self, counts: Any, n_penalties: int) -> TrainingData:
        """Return the data of models of resampled rows.

        Parameters
        ----------
        counts : ndarray of shape (n_samples, n_counts) or PerRow
            Copies of each row in each resample, from :meth:`place_rows`.
        n_penalties : int
            Number of penalties. Each has a model for each resample and label.
        """
        function = partial(Targets.resampled, n_penalties=n_penalties)
        return self.with_targets(function, counts)

    def with_targets(
        self, function: Callable[..., Targets], *per_row: Any, keep: bool = False
    ) -> TrainingData:
        """Return the same rows with ``function(targets, *per_row)`` as targets.

        Workers compute the targets of chunks in each pass, or once with ``keep``. Call
        this method before :meth:`select`.
        """
        if self.chunks is None:
            return self._with(self.matrix, function(self.targets, *per_row), None)
        targets = function(self.targets, *(values.sampled for values in per_row))
        chunks = self.chunks.with_targets(function, *per_row, keep=keep)
        return self._with(self.matrix, targets, chunks)

    def sample(self, size: int, seed: int) -> TrainingData:
        """Copy about ``size`` random rows, in float32."""
        row_ids = np.arange(size)  # the rows in memory are in random order
        if self.in_memory:
            generator = np.random.default_rng([seed, size])
            row_ids = np.unique(generator.integers(self.n_samples, size=size))
        return self.take_rows(row_ids, self.xp.float32)

    def take_rows(self, row_ids: np.ndarray, dtype: Any) -> TrainingData:
        """Copy some rows in memory, by their ids on the host, in a dtype."""
        xp = self.xp
        rows = arrays.move(row_ids, xp=xp, device=self.device)
        matrix = self.matrix.take_rows(rows).astype(dtype)
        targets = self.targets.take_rows(rows, xp=xp).astype(dtype, xp=xp)
        return TrainingData(matrix, targets, pool=self.pool)

    def _changed(
        self,
        name: str,
        *arguments: Any,
        matrix: Matrix | None = None,
        targets: Targets | None = None,
    ) -> TrainingData:
        """Return other data. Passes call the method of this name on each chunk."""
        chunks = self.chunks
        chunks = None if chunks is None else chunks.changed(name, *arguments)
        return self._with(matrix or self.matrix, targets or self.targets, chunks)

    def _with(
        self, matrix: Matrix, targets: Targets, chunks: ChunkedData | None
    ) -> TrainingData:
        """Return other data on the same device."""
        data = TrainingData.__new__(TrainingData)
        data.__dict__.update(self.__dict__)
        data.matrix, data.targets, data.chunks = matrix, targets, chunks
        data.dtype, data.n_features = matrix.dtype, matrix.shape[1]
        data._slices, data._all_rows, data._padded = {}, None, None
        if targets is not self.targets:  # else they share the sums
            data._class_weights = {}
        return data


def _in_tuple(function: Callable[..., Array], block: Block, *arguments: Any) -> Sums:
    """Return a tuple of the result, which ``operator.add`` concatenates."""
    return (function(block, *arguments),)
