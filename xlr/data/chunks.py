"""Chunks: rows on a Dask scheduler, and passes over them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays, numpy_namespace
from xlr.arrays import Array, Namespace
from xlr.dask_graph import (
    Delayed,
    array_from_tasks,
    call,
    fetch,
    literal,
    send,
    tree_reduce,
    workers_of,
)
from xlr.data.blocks import Sums, add
from xlr.data.matrix import Matrix
from xlr.data.split_matrix import as_matrix
from xlr.data.targets import Targets
from xlr.data.training_data import TrainingData


@dataclass(eq=False)
class ChunkedMatrix:
    """A matrix of shape (n_samples, n_features) in chunks of rows.

    Attributes
    ----------
    tasks : list of Delayed
        The chunks: arrays or matrices of shape (n_i, n_features).
    row_counts : tuple of int or float
        Number of rows of each chunk; NaN if unknown.
    like : Matrix
        Example of a chunk, with a single row.
    source : array or table of Dask
        Collection of the chunks.
    sample_ids : ndarray of shape (n_sampled,)
        Row ids of the sample in memory; None before it is drawn.
    n_passes : int
        Number of reads of all chunks in a fit, with those that scanned the input.
    persisted : list of Delayed
        Tasks whose results the cluster keeps until the fit ends or fails.
    xp, device, dtype, stored
        Those of ``like``.
    """

    tasks: list[Delayed]
    row_counts: tuple[float, ...]
    like: Matrix
    source: Any
    sample_ids: np.ndarray | None = None
    n_passes: int = 0
    persisted: list[Delayed] = field(default_factory=list)

    def __post_init__(self) -> None:
        like = self.like
        self.xp, self.device, self.dtype = like.xp, like.device, like.dtype
        self.stored = like.stored

    @cached_property
    def worker_addresses(self) -> list[Sequence[str]]:
        """Return the addresses of the workers that hold each chunk.

        These workers compute the sums of a pass. By default a scheduler steals tasks
        and moves X: fits to 100 chunks on two processes then take 1.4 times as long.
        """
        return workers_of(self.source)

    @property
    def shape(self) -> tuple[float, int]:
        """Return the number of rows, NaN if unknown, and of columns."""
        return sum(self.row_counts), self.like.shape[1]

    def cut(self, values: Array) -> list[Delayed]:
        """Cut values in memory, one per row, into chunks."""
        edges = np.cumsum([0, *self.row_counts])
        return send([literal(values[a:b, ...]) for a, b in itertools.pairwise(edges)])

    def map_tasks(
        self,
        functions: Sequence[Callable[..., Any]],
        *inputs: Sequence[Delayed],
        name: str,
        local: bool = True,
    ) -> list[Delayed]:
        """Return tasks that apply a function to the inputs of each chunk.

        With ``local``, the worker that holds a chunk computes its task.
        """
        addresses = self.worker_addresses if local else [()] * len(self.tasks)
        by_chunk = zip(functions, addresses, *inputs)
        return [
            call(partial(_with_position, i, function), *chunk, name=name, at=at)
            for i, (function, at, *chunk) in enumerate(by_chunk)
        ]

    def map_reduce(
        self,
        function: Callable[..., Sums | None],
        *inputs: Sequence[Delayed],
        combine: Callable[[Sums, Sums], Sums] = add,
        name: str,
    ) -> Sums:
        """Combine ``function(*inputs)`` over all chunks, in one pass."""
        results = self.map_tasks([function] * len(self.tasks), *inputs, name=name)
        total = tree_reduce(results, combine, name=name)
        return fetch([total], *inputs, persisted=self.persisted)[0][0]

    def map(
        self,
        function: Callable[..., Array],
        *others: Sequence[Delayed],
        like: Array,
        name: str,
    ) -> Any:
        """Return a lazy Dask array of ``function(X, *others)`` for each chunk.

        Parameters
        ----------
        function : callable
        *others : sequences of Delayed
        like : array of shape (n, ...)
            Example of a result, with any number of rows.
        name : str
        """
        functions, inputs = [function] * len(self.tasks), (self.tasks, *others)
        # A search for the holder of a chunk would wait for the chunk.
        results = self.map_tasks(functions, *inputs, name=name, local=False)
        return array_from_tasks(results, self.row_counts, like, name=name)


def _with_position(position: int, function: Callable[..., Any], *chunk: Any) -> Any:
    """Apply a function to a chunk; errors name the position of the chunk."""
    try:
        return function(*chunk)
    except (TypeError, ValueError) as error:
        raise type(error)(f"Chunk {position} of the rows: {error}") from error


def matrix_of(chunk: Any, *, xp: Namespace) -> Matrix:
    """Return a chunk as a matrix; NumPy reads arrays of torch and JAX in place."""
    if xp is numpy_namespace:
        chunk = arrays.numpy_view(chunk)
    if isinstance(chunk, np.ndarray):
        # An array received over a network may start at any byte. NumPy would copy such
        # an array for each product.
        chunk = np.require(chunk, requirements="A")
    return as_matrix(chunk)


class PerRow(NamedTuple):
    """Values for each row, in the same chunks as the rows.

    Attributes
    ----------
    tasks : list of Delayed
        Values of each chunk.
    sampled : ndarray of shape (n_sampled, ...) or None
        Values of the sample, on the host. None if no sample needs them.
    """

    tasks: list[Delayed]
    sampled: np.ndarray | None


# Methods of TrainingData that change the matrix, not the targets.
MATRIX_METHODS = "standardized", "take_columns"


@dataclass(frozen=True)
class ChunkedData:
    """Rows in chunks with their targets, for the passes of :class:`TrainingData`.

    Attributes
    ----------
    X : ChunkedMatrix
    targets : list of Delayed
        The :class:`Targets` of each chunk.
    changes : tuple of tuples
        Name and arguments of each method of :class:`TrainingData` that a pass calls on
        the data of a chunk, in this order.
    """

    X: ChunkedMatrix
    targets: list[Delayed]
    changes: tuple[tuple[Any, ...], ...] = ()

    def changed(self, name: str, *arguments: Any) -> ChunkedData:
        """Return rows whose chunks call a further method."""
        return replace(self, changes=(*self.changes, (name, *arguments)))

    def with_targets(
        self, function: Callable[..., Targets], *per_row: PerRow, keep: bool
    ) -> ChunkedData:
        """Return the same rows with ``function(targets, *per_row)`` as targets.

        ``keep`` computes them, and keeps them on the workers of the chunks.
        """
        inputs = zip(self.targets, *(values.tasks for values in per_row))
        targets = [call(function, *chunk, name="targets") for chunk in inputs]
        if keep:
            persisted = self.X.persisted
            _, targets = fetch([], self.targets, keep=targets, persisted=persisted)
            persisted += targets
        return replace(self, targets=targets)

    def place_rows(self, values: np.ndarray) -> PerRow:
        """Cut values for each row, (n_samples, ...), into chunks."""
        return PerRow(self.X.cut(values), values[self.X.sample_ids, ...])

    def map_reduce(
        self,
        function: Callable[..., Sums],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        per_row: PerRow | None,
        reads_rows: bool,
    ) -> Sums:
        """Sum a function over the chunks, as :meth:`TrainingData.map_reduce` does.

        Without ``reads_rows`` the function gets the targets only, and X is not read.
        """
        changes = self.changes
        if not reads_rows:
            changes = tuple(each for each in changes if each[0] not in MATRIX_METHODS)
        on_chunk = partial(_on_chunk, function, changes, arguments, options)
        none = [literal(None)] * len(self.targets)
        name = getattr(function, "func", function).__name__  # of a partial function
        name = name.strip("_").replace("_", "-")
        self.X.n_passes += reads_rows
        return self.X.map_reduce(
            on_chunk,
            self.X.tasks if reads_rows else none,
            self.targets,
            none if per_row is None else per_row.tasks,
            combine=options["combine"],
            name=name,
        )


@arrays.quiet()
def _on_chunk(
    function: Callable[..., Sums],
    changes: tuple[tuple[Any, ...], ...],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    X: Any,
    targets: Targets,
    per_row: Any,
) -> Sums | None:
    """Return the sums of a function over the rows of a chunk; None without rows."""
    if targets.weights.shape[0] == 0:
        return None
    xp = arrays.namespace(targets.weights)
    matrix = matrix_of(targets.weights[:, :0] if X is None else X, xp=xp)
    data = TrainingData(matrix, targets.astype(matrix.dtype, xp=xp))
    for name, *method_arguments in changes:
        data = getattr(data, name)(*method_arguments)
    return data.map_reduce(function, *arguments, per_row=per_row, **options)
