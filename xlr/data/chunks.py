"""Chunks: rows on a Dask scheduler, and passes over them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Device, Namespace
from xlr.dask_graph import (
    Delayed,
    array_of,
    call,
    cancel,
    fetch,
    literal,
    send,
    tree,
    workers_of,
)
from xlr.data.blocks import Sums, add
from xlr.data.split_matrix import of_chunk
from xlr.data.targets import Targets
from xlr.data.training_data import TrainingData


@dataclass(eq=False)
class Chunks:
    """A matrix of shape (n_samples, n_features) in chunks of rows.

    Attributes
    ----------
    parts : list of Delayed
        Arrays of shape (n_i, n_features), in ``dtype``. With ``n_levels``, their last
        columns are codes of categories.
    row_counts : tuple of int or float
        Rows of each chunk; NaN if unknown.
    n_features : int
    dtype, device, xp
        Dtype, device and namespace of the chunks.
    source : array or table of Dask
        Collection of the parts.
    n_levels : tuple of int, default=()
        Levels of each column of codes, as in :class:`CategoricalMatrix`.
    sampled : array of shape (n_sampled, n_features)
        Random rows in random order, in memory; None before they are drawn.
    drawn : ndarray of shape (n_sampled,)
        Row ids of the sample.
    positions : sequence of int
        Positions of the chunks in ``source``; empty chunks are left out.
    n_passes : int
        Number of reads of all chunks.
    kept : list of Delayed
        Other results that a cluster keeps until the fit ends or fails.
    """

    parts: list[Delayed]
    row_counts: tuple[float, ...]
    n_features: int
    dtype: Any
    device: Device
    xp: Namespace
    source: Any
    n_levels: tuple[int, ...] = ()
    sampled: Array = None
    drawn: np.ndarray | None = None
    positions: Sequence[int] = ()
    n_passes: int = 0
    kept: list[Delayed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.positions = self.positions or range(len(self.parts))

    @cached_property
    def workers(self) -> list[Sequence[str]]:
        """Return the addresses of the workers that hold each chunk.

        These workers compute the sums of a pass. By default a scheduler steals tasks
        and moves X: 18 to 64 % of it in each fit, on a cluster of two processes.
        """
        return workers_of(self.source)

    @property
    def shape(self) -> tuple[float, int]:
        """Return the numbers of rows, NaN if unknown, and of columns."""
        total = sum(self.row_counts)
        return (total if math.isnan(total) else int(total)), self.n_features

    @property
    def n_stored(self) -> int:
        """Return the number of columns of the parts."""
        return self.n_features - sum(self.n_levels) + len(self.n_levels)

    def counted(
        self, row_counts: np.ndarray, sample: tuple[Array, np.ndarray]
    ) -> Chunks:
        """Return the chunks that are not empty, with known sizes and a sample.

        ``sample`` holds ``sampled`` and ``drawn``.
        """
        full = np.nonzero(row_counts)[0].tolist()
        sampled, drawn = sample
        chunks = replace(
            self,
            parts=[self.parts[i] for i in full],
            row_counts=tuple(int(row_counts[i]) for i in full),
            sampled=sampled,
            drawn=drawn,
            positions=[self.positions[i] for i in full],
        )
        chunks.workers = [self.workers[i] for i in full]
        return chunks

    def cut(self, values: Array) -> list[Delayed]:
        """Cut values in memory, one per row, into chunks."""
        edges = np.cumsum([0, *self.row_counts])
        pieces = [literal(values[a:b, ...]) for a, b in itertools.pairwise(edges)]
        return send(pieces)

    def fetch(
        self,
        parts: Sequence[Delayed],
        *loads: Sequence[Delayed],
        keep: Sequence[Delayed] = (),
    ) -> tuple[tuple[Any, ...], list[Delayed]]:
        """Compute parts as :func:`fetch` does. A failure cancels the kept results."""
        try:
            results, kept = fetch(parts, *loads, keep=keep, positions=self.positions)
        except BaseException:
            # The error of a client and its traceback form a reference cycle.
            cancel(self.kept)
            raise
        self.kept.extend(kept)
        return results, kept

    def of_each(
        self,
        functions: Sequence[Callable[..., Any]],
        *parts: Sequence[Delayed],
        name: str,
        held: bool = True,
    ) -> list[Delayed]:
        """Apply a function to each chunk, on the worker that holds it or anywhere."""
        workers = self.workers if held else [()] * len(self.parts)
        return [
            call(partial(_saying_where, i, function), *chunk, name=name, at=at)
            for i, function, at, chunk in zip(
                self.positions, functions, workers, zip(*parts)
            )
        ]

    def map_reduce(
        self,
        function: Callable[..., Sums],
        *others: Sequence[Delayed],
        combine: Callable[[Sums, Sums], Sums] = add,
        name: str,
        reads_rows: bool = True,
    ) -> Sums:
        """Combine ``function(X, *others)`` over all chunks, in one pass.

        Without ``reads_rows`` the function gets None in place of X.
        """
        self.n_passes += reads_rows
        n_chunks = len(self.parts)
        parts = self.parts if reads_rows else [literal(None)] * n_chunks, *others
        results = self.of_each([function] * n_chunks, *parts, name=name)
        return self.fetch([tree(results, combine, name=name)], *parts)[0][0]

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
        functions, parts = [function] * len(self.parts), (self.parts, *others)
        # Use any worker: to find the holder of a chunk would wait for the chunk.
        results = self.of_each(functions, *parts, name=name, held=False)
        return array_of(results, self.row_counts, like, name=name)


def _saying_where(position: int, function: Callable[..., Any], *chunk: Any) -> Any:
    """Apply a function to a chunk; errors name the position of the chunk."""
    try:
        return function(*chunk)
    except (TypeError, ValueError) as error:
        raise type(error)(f"Chunk {position} of the rows: {error}") from error


class PerRow(NamedTuple):
    """Values for each row, in the same chunks as the rows.

    Attributes
    ----------
    parts : list of Delayed
        Values of each chunk.
    sampled : array of shape (n_sampled, ...)
        Values of the sample.
    """

    parts: list[Delayed]
    sampled: Array


# Methods of TrainingData that change the columns, not the targets.
OF_COLUMNS = "standardized", "take_columns"


@dataclass(frozen=True)
class ChunkedRows:
    """Rows in chunks with their targets, for the passes of :class:`TrainingData`.

    Attributes
    ----------
    X : Chunks
    targets : list of Delayed
        The :class:`Targets` of each chunk.
    dtype : dtype
        Dtype of the computations.
    changes : tuple of tuples
        Names and arguments of the methods of :class:`TrainingData` that each pass calls
        on each chunk, in this order.
    """

    X: Chunks
    targets: list[Delayed]
    dtype: Any
    changes: tuple[tuple[Any, ...], ...] = ()

    @property
    def n_samples(self) -> int:
        """Return the number of rows of all chunks."""
        return int(self.X.shape[0])

    def changed(self, name: str, *arguments: Any) -> ChunkedRows:
        """Return rows whose chunks call a further method.

        A change of dtype is the first call when a chunk is read.
        """
        if name == "astype":
            return replace(self, dtype=arguments[0])
        return replace(self, changes=(*self.changes, (name, *arguments)))

    def with_targets(
        self, function: Callable[[Targets], Targets], *per_row: PerRow
    ) -> ChunkedRows:
        """Return the same rows with ``function(targets, *per_row)`` as targets."""
        given = zip(self.targets, *(values.parts for values in per_row))
        parts = [call(function, *chunk, name="targets") for chunk in given]
        return replace(self, targets=parts)

    def kept(self) -> ChunkedRows:
        """Compute the targets, and keep them on the workers of the chunks."""
        _, kept = self.X.fetch([], self.targets, keep=self.targets)
        return replace(self, targets=kept)

    def place_rows(self, values: np.ndarray) -> PerRow:
        """Cut values for each row, (n_samples, ...), into chunks."""
        X = self.X
        sampled = arrays.move(values[X.drawn, ...], xp=X.xp, device=X.device)
        return PerRow(X.cut(values), sampled)

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
            changes = tuple(each for each in changes if each[0] not in OF_COLUMNS)
        kind = self.dtype, self.X.n_levels if reads_rows else ()
        on_chunk = partial(_on_chunk, function, kind, changes, arguments, options)
        nothing = [literal(None)] * len(self.targets)
        parts = self.targets, nothing if per_row is None else per_row.parts
        called = getattr(function, "func", function)
        name = called.__name__.strip("_").replace("_", "-")
        return self.X.map_reduce(
            on_chunk,
            *parts,
            combine=options["combine"],
            name=name,
            reads_rows=reads_rows,
        )


@arrays.quiet()
def _on_chunk(
    function: Callable[..., Sums],
    kind: tuple[Any, tuple[int, ...]],
    changes: tuple[tuple[Any, ...], ...],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    X: Array | None,
    targets: Targets,
    per_row: Any,
) -> Sums:
    """Return the sums of a function over the rows of a chunk."""
    xp, (dtype, n_levels) = arrays.namespace(targets.weights), kind
    values = targets.weights[:, :0] if X is None else X
    matrix = of_chunk(values, n_levels, dtype)
    data = TrainingData(matrix, targets.astype(dtype, xp=xp))
    for name, *given in changes:
        data = getattr(data, name)(*given)
    return data.map_reduce(function, *arguments, per_row=per_row, **options)
