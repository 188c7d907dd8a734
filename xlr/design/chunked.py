"""A matrix in chunks, seen in standardised units."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlr.arrays import Array
from xlr.design.chunks import Chunks
from xlr.design.dense import GRAM_SPEEDUP, DenseDesign
from xlr.design.graph import Delayed
from xlr.design.standardisation import Standardisation
from xlr.threads import ALONE, Workers

__all__ = ["ChunkedDesign", "ChunkedOffset"]


class ChunkedOffset(NamedTuple):
    """What is added to the logits of rows in chunks.

    Attributes
    ----------
    parts : list of Delayed
        Of each chunk: (n_i, n_outputs).
    sampled : array of shape (n_sampled, n_outputs)
        Of the sample.
    """

    parts: list[Delayed]
    sampled: Array


class ChunkedDesign:
    """A matrix whose rows are in chunks, and a sample of them that is here.

    Its rows are nowhere to be had together: a pass asks :class:`Chunks` for sums.  All
    that is asked of a few rows is answered by the sample.

    Parameters
    ----------
    X : Chunks
        With a sample.
    units : Standardisation or None
        What standardises the rows; None leaves them as they are.
    offset : ChunkedOffset or None
        What is added to the logits.
    workers : Workers
        Threads for passes over the sample.
    features : array of shape (m,), default=None
        The columns that the design has, by their numbers; None for all.
    dtype : dtype, default=None
        To compute in; None for that of X.
    """

    def __init__(
        self,
        X: Chunks,
        units: Standardisation | None,
        offset: ChunkedOffset | None = None,
        *,
        workers: Workers = ALONE,
        features: Array | None = None,
        dtype: Any = None,
    ) -> None:
        self.X = X
        self.units = units
        self.offset = offset
        self.features = features
        self.workers = workers
        self.xp = X.xp
        self.dtype = X.dtype if dtype is None else dtype
        self.device = X.device
        self.n_samples = X.shape[0]
        added = None if offset is None else offset.sampled
        sampled = DenseDesign(
            X.sampled, units, added, workers=workers, dtype=self.dtype, xp=X.xp
        )
        self.sampled = sampled if features is None else sampled.of_features(features)
        self.n_features = self.sampled.n_features
        self.n_drawable = self.sampled.n_samples
        # In the units of the chunks, which are the same.
        self.fold = self.sampled.fold
        self.unfold = self.sampled.unfold
        self.gram_form = self.sampled.gram_form

    @property
    def product_cost(self) -> float:
        """Multiply-adds of a product with a vector."""
        return float(self.n_samples * self.n_features)

    @property
    def gram_cost(self) -> float:
        """Multiply-adds that a row adds to a Gram matrix, of which many run faster."""
        return self.n_features**2 / GRAM_SPEEDUP

    def is_large(self, width: int) -> bool:
        """Always: a pass through a scheduler takes as long as one over megabytes."""
        return True

    def standardised_if_small(self) -> ChunkedDesign:
        """The design itself."""
        return self

    def of_features(self, features: Array) -> ChunkedDesign:
        """Some of its columns, by their numbers (m,)."""
        chosen = features
        if self.features is not None:
            chosen = self.xp.take(self.features, features)
        return ChunkedDesign(
            self.X,
            self.units,
            self.offset,
            workers=self.workers,
            features=chosen,
            dtype=self.dtype,
        )

    def draw(self, size: int, seed: int) -> np.ndarray:
        """Rows of the sample: they are in random order."""
        return np.arange(size)

    def sample(self, rows: Array, dtype: Any) -> DenseDesign:
        """A copy of some rows of the sample in a dtype, by their numbers there."""
        return self.sampled.sample(rows, dtype)
