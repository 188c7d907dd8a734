"""Chunks: rows on a Dask scheduler, and passes over them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

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


class Chunks:
    """A matrix of shape (n_samples, n_features) in chunks of rows.

    Parameters
    ----------
    parts : list of Delayed
        Arrays of shape (n_i, n_features), in ``dtype``. With ``n_levels``, their last
        columns are codes of categories.
    row_counts : tuple of int or float
        Rows of each chunk; NaN if unknown.
    n_features : int
    dtype, device, xp
        Of the chunks.
    source : array or table of Dask
        The collection that the parts come from.
    n_levels : tuple of int, default=()
        Levels of each column of codes, as for :class:`CategoricalMatrix`.

    Attributes
    ----------
    sampled : array of shape (n_sampled, n_features)
        Random rows in random order, in memory; None before they are drawn.
    drawn : ndarray of shape (n_sampled,)
        Row ids of the sample.
    positions : list of int
        Positions of the chunks in ``source``, whose empty chunks are left out.
    n_passes : int
        Number of reads of all chunks.
    kept : list of Delayed
        Other results that a cluster keeps until the fit ends or fails.
    """

    def __init__(
        self,
        parts: list[Delayed],
        row_counts: tuple[float, ...],
        n_features: int,
        *,
        dtype: Any,
        device: Device,
        xp: Namespace,
        source: Any,
        n_levels: tuple[int, ...] = (),
    ) -> None:
        self.parts = parts
        self.n_levels = n_levels
        self._source = source
        self.row_counts = row_counts
        self.n_features = n_features
        self.dtype = dtype
        self.device = device
        self.xp = xp
        self.sampled: Array = None
        self.drawn = np.zeros(0, dtype=np.int64)
        self.positions = list(range(len(parts)))
        self.n_passes = 0
        self.kept: list[Delayed] = []

    @cached_property
    def workers(self) -> list[Sequence[str]]:
        """Addresses of the workers that hold each chunk.

        A pass asks them for its sums. Left to itself, a scheduler steals tasks and
        moves X: 18 to 64 % of it in each fit, on a cluster of two processes.
        """
        return workers_of(self._source)

    @property
    def shape(self) -> tuple[float, int]:
        """Numbers of rows, NaN if unknown, and of columns."""
        total = sum(self.row_counts)
        return (total if math.isnan(total) else int(total)), self.n_features

    @property
    def n_stored(self) -> int:
        """Number of columns of the parts."""
        return self.n_features - sum(self.n_levels) + len(self.n_levels)

    def counted(
        self, row_counts: np.ndarray, sample: tuple[Array, np.ndarray]
    ) -> Chunks:
        """Return the chunks that are not empty, with known sizes and a sample.

        ``sample`` holds ``sampled`` and ``drawn``.
        """
        full = np.nonzero(row_counts)[0]
        chunks = Chunks(
            [self.parts[i] for i in full],
            tuple(int(count) for count in row_counts[full]),
            self.n_features,
            dtype=self.dtype,
            device=self.device,
            xp=self.xp,
            source=self._source,
            n_levels=self.n_levels,
        )
        chunks.workers = [self.workers[i] for i in full]
        chunks.sampled, chunks.drawn = sample
        chunks.positions = [self.positions[i] for i in full]
        chunks.n_passes, chunks.kept = self.n_passes, self.kept
        return chunks

    def cut(self, values: Array) -> list[Delayed]:
        """Cut values in memory, one for each row, into chunks."""
        edges = np.cumsum([0, *self.row_counts])
        pieces = [literal(values[a:b, ...]) for a, b in itertools.pairwise(edges)]
        return send(pieces)

    def fetch(
        self,
        parts: Sequence[Delayed],
        *loads: Sequence[Delayed],
        keep: Sequence[Delayed] = (),
    ) -> tuple[tuple[Any, ...], list[Delayed]]:
        """Compute parts as :func:`fetch` does. A failure cancels what is kept."""
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
        # On any worker: finding the holder of a chunk would wait for the chunk.
        results = self.of_each(functions, *parts, name=name, held=False)
        return array_of(results, self.row_counts, like, name=name)


def _saying_where(position: int, function: Callable[..., Any], *chunk: Any) -> Any:
    """Apply a function to a chunk. Its errors name the position of the chunk."""
    try:
        return function(*chunk)
    except (TypeError, ValueError) as error:
        raise type(error)(f"Chunk {position} of the rows: {error}") from error
