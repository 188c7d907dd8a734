"""Training data in chunks of Dask: a pass asks each chunk for its sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.dask_graph import Delayed, call, literal
from xlr.data.blocks import Sums, add
from xlr.data.chunks import Chunks
from xlr.data.matrix import DenseMatrix
from xlr.data.scaler import Scaler
from xlr.data.statistics import ColumnStatistics
from xlr.data.targets import Targets
from xlr.data.training_data import (
    TrainingData,
    sum_of_weights,
    sums_of_class_weights,
)
from xlr.threads import ALONE, Workers

__all__ = ["ChunkedCounts", "ChunkedData", "ChunkedOffset", "ChunkedTargets"]


class ChunkedCounts(NamedTuple):
    """How often resamples hold the rows.

    Attributes
    ----------
    parts : list of Delayed
        Of each chunk: (n_i, n_counts), on the host.
    sampled : array of shape (n_sampled, n_counts)
    """

    parts: list[Delayed]
    sampled: Array


class ChunkedOffset(NamedTuple):
    """Offsets of the logits.

    Attributes
    ----------
    parts : list of Delayed
        Of each chunk: (n_i, n_outputs).
    sampled : array of shape (n_sampled, n_outputs)
    """

    parts: list[Delayed]
    sampled: Array


@dataclass(frozen=True)
class ChunkedTargets:
    """Targets of rows in chunks, with the methods of :class:`Targets`.

    Attributes
    ----------
    parts : list of Delayed
        The :class:`Targets` of each chunk, before the changes.
    sampled : Targets
        Of the sample, after the changes.
    unit : float
        Factor that takes the weights back to those that were given.
    statistics : ColumnStatistics
        Of X, with the weights that were given.
    changes : tuple of callables
        Applied to the targets of a chunk when a pass asks for them.
    """

    parts: list[Delayed]
    sampled: Targets
    unit: float
    statistics: ColumnStatistics
    changes: tuple[Callable[[Targets], Targets], ...] = ()

    @property
    def n_models(self) -> int:
        """Number of models."""
        return self.sampled.n_models

    @property
    def class_factors(self) -> Array | None:
        """Factors of the classes in each model."""
        return self.sampled.class_factors

    @property
    def resample_of(self) -> np.ndarray | None:
        """Models with the same number differ in their counts only."""
        return self.sampled.resample_of

    @property
    def weighs_alike(self) -> bool:
        """Whether a row has the same weight in all models."""
        return self.sampled.weighs_alike

    def select(self, models: np.ndarray) -> ChunkedTargets:
        """Return the targets of some models, by their numbers on the host."""
        return self._changed(methodcaller("select", models))

    def resampled(self, counts: ChunkedCounts, n_each: int) -> ChunkedTargets:
        """Return the targets of a model for each way to count the rows."""
        count = partial(_resampled, n_each)
        chunks = zip(self.parts, counts.parts)
        parts = [call(count, *chunk, name="resamples") for chunk in chunks]
        sampled = self.sampled.resampled(counts.sampled, n_each)
        return replace(self, parts=parts, sampled=sampled)

    def recoded(self, codes: np.ndarray) -> ChunkedTargets:
        """Return targets of one model with ``codes[k]`` for the class k."""
        return self._changed(methodcaller("recoded", codes))

    def without_counts(self) -> ChunkedTargets:
        """Return the targets with each row once."""
        return self._changed(methodcaller("without_counts"))

    def astype(self, dtype: Any, *, xp: Namespace) -> ChunkedTargets:
        """Return the targets with weights in another dtype."""
        return self._changed(methodcaller("astype", dtype, xp=xp))

    def _changed(self, change: Callable[[Targets], Targets]) -> ChunkedTargets:
        changes = (*self.changes, change)
        return replace(self, sampled=change(self.sampled), changes=changes)


def _resampled(n_each: int, targets: Targets, counts: np.ndarray) -> Targets:
    xp, device = arrays.namespace(targets.weights), arrays.device_of(targets.weights)
    return targets.resampled(arrays.move(counts, xp=xp, device=device), n_each)


@dataclass(frozen=True)
class View:
    """What a pass knows of a chunk, apart from its rows.

    Attributes
    ----------
    scaler : Scaler or None
    columns : array or None
        The columns to use; None for all.
    changes : tuple of callables
        As :class:`ChunkedTargets` has them.
    dtype : dtype
        To compute in.
    """

    scaler: Scaler | None
    columns: Array | None
    changes: tuple[Callable[[Targets], Targets], ...]
    dtype: Any

    def data(
        self, X: Array | None, targets: Targets, offset: Array | None
    ) -> TrainingData:
        """Return the rows of a chunk; without X, its targets alone."""
        for change in self.changes:
            targets = change(targets)
        weights = targets.weights
        xp = arrays.namespace(weights)
        if X is None:
            return TrainingData(DenseMatrix(weights[:, :0], xp=xp), targets, offset)
        data = TrainingData(DenseMatrix(X, self.dtype, xp=xp), targets, offset)
        if self.scaler is not None:
            data = data.standardized(self.scaler)
        return data if self.columns is None else data.take_columns(self.columns)


@arrays.quiet()
def _on_chunk(
    function: Callable[..., Sums],
    view: View,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    X: Array | None,
    targets: Targets,
    offset: Array | None,
    per_row: Any,
) -> Sums:
    """Return the sums of a function over the rows of a chunk."""
    data = view.data(X, targets, offset)
    return data.map_reduce(function, *arguments, per_row=per_row, **options)


class ChunkedData:
    """Rows in chunks on the workers of a Dask scheduler, and a sample of them here.

    The methods are those of :class:`TrainingData`. The rows are nowhere at hand
    together: passes are sums over the chunks, and the sample answers what is asked of
    few rows.

    Parameters
    ----------
    X : Chunks
        With a sample.
    targets : ChunkedTargets
    offset : ChunkedOffset or None
    scaler : Scaler, default=None
        Standardizes the rows; None leaves them as they are.
    columns : array of shape (m,), default=None
        The columns that the data have, by their numbers; None for all.
    dtype : dtype, default=None
        To compute in; None for that of X.
    pool : Workers, default=ALONE
        Threads for passes over the sample.
    """

    in_memory = False

    def __init__(
        self,
        X: Chunks,
        targets: ChunkedTargets,
        offset: ChunkedOffset | None = None,
        *,
        scaler: Scaler | None = None,
        columns: Array | None = None,
        dtype: Any = None,
        pool: Workers = ALONE,
    ) -> None:
        self.X = X
        self.targets = targets
        self.offset = offset
        self.pool = pool
        self.xp, self.device = X.xp, X.device
        self.dtype = X.dtype if dtype is None else dtype
        self.wide = arrays.widest_float(xp=self.xp, device=self.device)
        self._view = View(scaler, columns, targets.changes, self.dtype)
        added = None if offset is None else offset.sampled
        view = replace(self._view, changes=())
        self.sampled = view.data(X.sampled, targets.sampled, added)
        self.n_samples, self.n_features = X.shape[0], self.sampled.n_features
        self.n_drawable = self.sampled.n_samples

    @property
    def product_cost(self) -> float:
        """Time of a product with a vector, in multiply-adds of a dense matrix."""
        return self.n_samples * self.sampled.matrix.product_cost

    @property
    def gram_cost(self) -> float:
        """Time of a Gram matrix, in the same unit."""
        return self.n_samples * self.sampled.matrix.gram_cost

    def map_reduce(
        self,
        function: Callable[..., Sums],
        *arguments: Any,
        width: int = 1,
        least: int = 1,
        combine: Callable[[Sums, Sums], Sums] = add,
        per_row: list[Delayed] | None = None,
        reads_rows: bool = True,
    ) -> Sums:
        """Sum what a function returns of each block of rows: one pass.

        As :meth:`TrainingData.map_reduce`, with a part of ``per_row`` for each chunk.
        Without ``reads_rows`` the function sees the targets alone, and X is not read.
        """
        options = {"width": width, "least": least, "combine": combine}
        on_chunk = partial(_on_chunk, function, self._view, arguments, options)
        nothing = [literal(None)] * len(self.targets.parts)
        offset = nothing if self.offset is None else self.offset.parts
        parts = self.targets.parts, offset, per_row or nothing
        name = function.__name__.strip("_").replace("_", "-")
        over = self.X.over_chunks if reads_rows else self.X.beside_chunks
        return over(on_chunk, *parts, combine=combine, name=name)

    def total_weight(self) -> Array:
        """Return the sum of the weights of each model: (n_models,)."""
        (total,) = self.map_reduce(sum_of_weights, reads_rows=False)
        return self.xp.broadcast_to(total, (self.targets.n_models,))

    def class_weights(self, n_classes: int) -> Array:
        """Return the sum of the weights in each class: (n_models, n_classes)."""
        (weights,) = self.map_reduce(sums_of_class_weights, n_classes, reads_rows=False)
        return self.xp.broadcast_to(weights, (self.targets.n_models, n_classes))

    def is_large(self, width: int) -> bool:
        """Return True: a pass through a scheduler costs as much as megabytes."""
        return True

    def standardized(self, scaler: Scaler) -> ChunkedData:
        """Return the data with centred and scaled columns."""
        return self._with(scaler=scaler)

    def with_targets(self, targets: ChunkedTargets) -> ChunkedData:
        """Return the same rows with other targets."""
        return self._with(targets=targets)

    def select(self, models: np.ndarray) -> ChunkedData:
        """Return the data of some models, by their numbers on the host."""
        return self._with(targets=self.targets.select(models))

    def astype(self, dtype: Any) -> ChunkedData:
        """Return the data in float32 or float64."""
        return self._with(targets=self.targets.astype(dtype, xp=self.xp), dtype=dtype)

    def take_columns(self, columns: Array) -> ChunkedData:
        """Return some of the columns, by their numbers on the device."""
        if self._view.columns is not None:
            columns = self.xp.take(self._view.columns, columns)
        return self._with(columns=columns)

    def sample(self, size: int, seed: int) -> TrainingData:
        """Copy rows of the sample, which are in random order, in float32."""
        return self.sampled.take_rows(np.arange(size), self.xp.float32)

    def _with(self, **changed: Any) -> ChunkedData:
        parts = {
            "targets": self.targets,
            "scaler": self._view.scaler,
            "columns": self._view.columns,
            "dtype": self.dtype,
            **changed,
        }
        targets = parts.pop("targets")
        return ChunkedData(self.X, targets, self.offset, pool=self.pool, **parts)
