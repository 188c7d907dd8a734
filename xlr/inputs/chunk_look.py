"""What is to be known of a chunk of rows, found where the chunk is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import ColumnStatistics, column_statistics, refuse_non_finite
from xlr.inputs.dask_input import refuse_kind
from xlr.inputs.features import Features
from xlr.inputs.labels import Labels, encode
from xlr.inputs.offset import read_offset
from xlr.inputs.weights import class_totals, of_classes, place_weights

__all__ = ["ChunkRows", "Drawn", "Look", "Plan", "look_at", "merged"]


@dataclass(frozen=True)
class Plan:
    """How to look at chunks.

    Attributes
    ----------
    like : array of shape (0, n_features)
        As X is to be.
    centre : bool
        As for :func:`column_statistics`.
    by_class : bool
        Whether statistics are wanted for each class.
    seed : int
        Of the rows that are drawn.
    """

    like: Array
    centre: bool
    by_class: bool
    seed: int


class ChunkRows(NamedTuple):
    """What belongs to the rows of a chunk beside X.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Those of the chunk.
    codes : array of shape (n_rows,)
        Into these.
    weights : array of shape (n_rows,)
        As they were given.
    offset : array of shape (n_rows, n_columns) or None
    """

    classes: Array
    codes: Array
    weights: Array
    offset: Array | None

    def select(self, rows: np.ndarray) -> ChunkRows:
        """Some of them, by their numbers on the host."""
        offset = None if self.offset is None else arrays.rows(self.offset, rows)
        codes, weights = arrays.rows(self.codes, rows), arrays.rows(self.weights, rows)
        return ChunkRows(self.classes, codes, weights, offset)

    def among(self, classes: Array) -> ChunkRows:
        """With codes into the classes of all chunks."""
        own, every = arrays.to_host(self.classes), arrays.to_host(classes)
        places = np.searchsorted(every, own)
        xp, device = arrays.namespace(self.codes), arrays.device_of(self.codes)
        place = arrays.move(places, xp=xp, device=device)
        return self._replace(classes=classes, codes=xp.take(place, self.codes))


class Drawn(NamedTuple):
    """Random rows.

    Attributes
    ----------
    X : array of shape (n_drawn, n_features)
    rows : ChunkRows
    numbers : ndarray of shape (n_drawn,)
        Of these rows in their chunk, or among all.
    """

    X: Array
    rows: ChunkRows
    numbers: np.ndarray


class Look(NamedTuple):
    """What is found out about chunks, by their positions.

    Attributes
    ----------
    sizes : dict of int
    classes : dict of arrays
    totals : dict of ndarrays
        Sums of the weights of the classes of each chunk.
    statistics : dict of ColumnStatistics
        Of all rows together, under None; or by class, under their labels.
    offset_columns : set of int
    """

    sizes: dict[int, int]
    classes: dict[int, Array]
    totals: dict[int, np.ndarray]
    statistics: dict[Any, ColumnStatistics]
    offset_columns: set[int]


@arrays.quiet()
def look_at(
    plan: Plan,
    position: int,
    to_draw: int,
    X: Array,
    y: Any,
    sample_weight: Any,
    offset: Any,
) -> tuple[ChunkRows | None, Look, Drawn | None]:
    """What there is to know of a chunk."""
    like, xp = plan.like, arrays.namespace(plan.like)
    refuse_kind(X)
    if X is None:  # all is known of it but its rows
        X = xp.zeros((y.shape[0], 0), dtype=like.dtype, device=arrays.device_of(like))
        to_draw = 0
    elif X.ndim != 2 or X.shape[1] != like.shape[1] or X.dtype != like.dtype:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and dtype {X.dtype} there, and was to have "
            f"{like.shape[1]} columns of {like.dtype}. Give Dask the right meta."
        )
    size = int(X.shape[0])
    labels = encode(y, size)
    if size == 0:
        return None, Look({position: 0}, {}, {}, {}, set()), None
    features = Features(X, xp, arrays.device_of(X), None)
    weights = place_weights(sample_weight, features)
    totals = class_totals(weights, labels, features)
    added = None
    if offset is not None:
        n_columns = 1 if offset.ndim == 1 else offset.shape[1]
        added = read_offset(offset, n_columns, features)
    rows = ChunkRows(labels.classes, labels.codes, weights, added)
    look = Look(
        {position: size},
        {position: labels.classes},
        {position: totals},
        _statistics(plan, features, labels, weights, totals),
        set() if added is None else {added.shape[1]},
    )
    generator = np.random.default_rng([plan.seed, position])
    drawn = generator.choice(size, min(to_draw, size), replace=False)
    some = arrays.rows(X, drawn) if drawn.size else like
    return rows, look, Drawn(some, rows.select(drawn), drawn)


def _statistics(
    plan: Plan, features: Features, labels: Labels, weights: Array, totals: np.ndarray
) -> dict[Any, ColumnStatistics]:
    """Of all rows under None, or of each class under its label."""
    if features.X.shape[1] == 0:
        return {}
    if not totals.any():  # nothing counts, but all must be finite
        refuse_non_finite(features.matrix())
        return {}
    if not plan.by_class:
        return {None: column_statistics(features.matrix(), weights, centre=plan.centre)}
    names = arrays.to_host(labels.classes).tolist()
    found = {}
    for k in np.nonzero(totals)[0]:
        is_own = np.arange(len(names)) == k
        own = weights * of_classes(is_own, labels, weights.dtype, features)
        found[names[k]] = column_statistics(features.matrix(), own, centre=plan.centre)
    return found


@arrays.quiet()
def merged(first: Look, second: Look, *, xp: Namespace) -> Look:
    """What is known of the chunks of both."""
    statistics = dict(first.statistics)
    for key, found in second.statistics.items():
        statistics[key] = (
            statistics[key].merged(found, xp=xp) if key in statistics else found
        )
    return Look(
        first.sizes | second.sizes,
        first.classes | second.classes,
        first.totals | second.totals,
        statistics,
        first.offset_columns | second.offset_columns,
    )
