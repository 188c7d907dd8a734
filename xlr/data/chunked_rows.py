"""Training data in chunks on Dask: each chunk returns its sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.dask_graph import Delayed, call, literal
from xlr.data.blocks import Sums
from xlr.data.chunks import Chunks
from xlr.data.split_matrix import of_chunk
from xlr.data.targets import Targets
from xlr.data.training_data import TrainingData


class PerRow(NamedTuple):
    """Values for each row of rows in chunks.

    Attributes
    ----------
    parts : list of Delayed
        Values of each chunk.
    sampled : array of shape (n_sampled, ...)
        Values of the sample.
    """

    parts: list[Delayed]
    sampled: Array


# Methods of TrainingData that change the columns and not the targets.
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
        To compute in.
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
        """Number of rows of all chunks."""
        return int(self.X.shape[0])

    def changed(self, name: str, *arguments: Any) -> ChunkedRows:
        """Return rows whose chunks call one more method.

        A change of dtype comes first, as a chunk is read.
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
