"""The scan: labels, weights and offset of the rows, and a summary of each chunk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays, numpy_namespace
from xlr.arrays import Array, Namespace
from xlr.data import (
    ChunkedRows,
    Chunks,
    ColumnStatistics,
    Targets,
    TrainingData,
    call,
    column_statistics,
    literal,
    of_chunk,
    refuse_non_finite,
    tree,
)
from xlr.inputs.dask_input import refuse_kind, split_like
from xlr.inputs.features import Features
from xlr.inputs.labels import check_n_classes, mixed_types, read_labels
from xlr.inputs.offset import read_offset
from xlr.inputs.parameters import random_seed
from xlr.inputs.soft_labels import SoftLabels, read_soft_labels
from xlr.inputs.weights import class_totals, place_weights
from xlr.threads import Workers

# The sample of rows in chunks has at most one row in ROWS_FOR_EACH_SAMPLED. Within that
# it fills SAMPLE_BYTES, or has SAMPLED_PER_FEATURE rows for each feature and at most
# MAX_BYTES.
ROWS_FOR_EACH_SAMPLED = 8
SAMPLE_BYTES = 2**25
SAMPLED_PER_FEATURE = 20
MAX_BYTES = 2**28

# Assumed ratio of the largest chunk to the mean chunk, where sizes are unknown.
UNEVEN = 4


# Column statistics of all rows, under the key None, or of each class, under its label.
Statistics = dict[Any, ColumnStatistics]


class Scan(NamedTuple):
    """Result of a scan: rows with labels, weights and offset.

    Attributes
    ----------
    features : Features
    classes : array of shape (n_classes,)
        Sorted, in the library of y.
    totals : ndarray of shape (n_classes,)
        Sum of the sample weights of each class.
    rows : TrainingData
        Class codes and the given weights.
    statistics : Statistics or None
        For rows in chunks. None for rows in memory, whose columns are read later.
    """

    features: Features
    classes: Array
    totals: np.ndarray
    rows: TrainingData
    statistics: Statistics | None = None


class Part(NamedTuple):
    """Labels, weights and offset of a chunk, or of all rows.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Classes of these rows.
    totals : ndarray of shape (n_classes,)
        Sum of the weights of each class.
    targets : Targets
        Codes of these classes, and weights in the widest dtype.
    """

    classes: Array
    totals: np.ndarray
    targets: Targets


def scan_rows(
    estimator: Any,
    features: Features,
    y: Any,
    sample_weight: Any,
    offset: Any,
    pool: Workers,
    *,
    statistics: ColumnStatistics | None = None,
) -> Scan:
    """Read labels, weights and offset; for chunks, summarise X in the same pass.

    Parameters
    ----------
    estimator : estimator
        May have ``random_state`` and ``class_weight``.
    features : Features
    y, sample_weight, offset : arrays
    pool : Workers
    statistics : ColumnStatistics, default=None
        Known statistics of the columns of chunks. X is then not read, and there is no
        sample.

    Raises
    ------
    TypeError, ValueError
        If y, the weights or the offset are invalid, with the position of the chunk.
    """
    if y is None:
        raise ValueError(
            "LogisticRegression requires y to be passed, but the target y is None."
        )
    given = {"y": y, "sample_weight": sample_weight, "offset": offset}
    if isinstance(features.X, Chunks):
        return _scan_chunks(estimator, features, given, statistics)
    for name, values in given.items():
        if values is not None and arrays.is_dask(values):
            raise TypeError(
                f"{name} is of Dask while X is in memory. Pass {name}.compute(), or X "
                "as a Dask array."
            )
    part = _read_part(features, y, sample_weight, offset)
    check_n_classes(part.classes)
    rows = TrainingData(features.matrix, part.targets, pool=pool)
    return Scan(features, part.classes, part.totals, rows)


def _read_part(features: Features, y: Any, sample_weight: Any, offset: Any) -> Part:
    """Read labels, weights and offset of some rows."""
    if offset is not None:
        offset = read_offset(offset, features)
    if isinstance(y, SoftLabels):
        classes, labels, weights, totals = read_soft_labels(y, features, sample_weight)
    else:
        classes, codes = read_labels(y, features.X.shape[0])
        codes = features.place(codes, None)
        weights = place_weights(sample_weight, features)
        totals = class_totals(weights, codes, classes.shape[0])
        labels = codes[:, None]
    return Part(classes, totals, Targets(1, labels, weights[:, None], offset=offset))


# -- chunks ----------------------------------------------------------------------------


class Drawn(NamedTuple):
    """Random rows of a chunk.

    Attributes
    ----------
    size : int
        Number of rows of the chunk.
    row_ids : ndarray of shape (n_drawn,)
        Row ids within the chunk.
    X : array of shape (n_drawn, n_stored)
    part : Part
        Classes and totals of all rows of the chunk, and targets of the drawn rows.
    """

    size: int
    row_ids: np.ndarray
    X: Array
    part: Part


def _scan_chunks(
    estimator: Any,
    features: Features,
    given: dict[str, Any],
    statistics: ColumnStatistics | None,
) -> Scan:
    """Scan all chunks. Their targets stay on the workers."""
    X: Chunks = features.X
    loads = [X.parts if statistics is None else [literal(None)] * len(X.parts)]
    loads += [_split(X, values, name) for name, values in given.items()]
    seed = random_seed(estimator)
    scan_chunk = partial(
        _scan_chunk,
        # Not a view of the sample, which would keep all of it alive in the graph.
        like=X.xp.zeros((0, X.n_stored), dtype=X.dtype, device=X.device),
        n_levels=X.n_levels,
        by_class=getattr(estimator, "class_weight", None) is not None,
        seed=seed,
    )
    # 1. One pass: each chunk returns its targets, its statistics and random rows.
    functions = [partial(scan_chunk, i, n) for i, n in enumerate(_to_draw(X))]
    scanned = X.of_each(functions, *loads, name="scan")
    parts, by_chunk, few = (
        [call(itemgetter(k), each, name="scan-part") for each in scanned]
        for k in range(3)
    )
    X.n_passes += statistics is None
    merged = tree(by_chunk, partial(_merged, xp=features.xp), name="scan")
    (by_key, *few), kept = X.fetch([merged, *few], *loads, keep=parts)
    # 2. Classes and sizes of all chunks.
    drawn = [each for each in few if each is not None]
    sizes = np.asarray([0 if each is None else each.size for each in few])
    if not drawn:
        raise ValueError(
            "Found array with 0 sample(s): all chunks of X are empty, while a minimum "
            f"of 1 is required by {type(estimator).__name__}."
        )
    classes, totals = _all_classes([each.part for each in drawn])
    check_n_classes(classes)
    offsets = [each.part.targets.offset for each in drawn]
    widths = sorted({each.shape[1] for each in offsets if each is not None})
    if len(widths) > 1:
        raise ValueError(
            f"The chunks of offset have different numbers of columns: {widths}."
        )
    # 3. Rows with codes into all classes, and the sample.
    recode = partial(_recoded, classes)
    sampled, row_ids, sampled_targets = _even_sample(drawn, recode, seed)
    X = X.counted(sizes, (sampled, row_ids))
    targets = [call(recode, kept[i], name="labels") for i in np.nonzero(sizes)[0]]
    chunks, sample = ChunkedRows(X, targets, X.dtype), of_chunk(sampled, X.n_levels)
    rows = TrainingData(sample, sampled_targets, chunks=chunks)
    by_key = by_key if statistics is None else {None: statistics}
    return Scan(replace(features, X=X), classes, totals, rows, by_key)


def _split(X: Chunks, values: Any, name: str) -> list[Any]:
    """Split labels, weights or an offset into one part for each chunk of X."""
    if not isinstance(values, SoftLabels):
        return split_like(X, values, name)
    of_rows = partial(SoftLabels, classes=values.classes)
    parts = split_like(X, values.P, "P")
    return [call(of_rows, part, name="soft-labels") for part in parts]


@arrays.quiet()
def _scan_chunk(
    position: int,
    n_drawn: int,
    X: Array,
    y: Any,
    sample_weight: Any,
    offset: Any,
    *,
    like: Array,
    n_levels: tuple[int, ...],
    by_class: bool,
    seed: int,
) -> tuple[Part | None, Statistics, Drawn | None]:
    """Return the targets, column statistics and random rows of a chunk.

    Parameters
    ----------
    position, n_drawn : int
        Position of the chunk, and number of rows of its sample.
    X, y, sample_weight, offset
        Values of the rows of the chunk; X is None if its statistics are known.
    like : array of shape (0, n_stored)
        An array in the dtype and library of X.
    n_levels : tuple of int
        Levels of each column of codes, the last columns of X.
    by_class : bool
        Whether to find column statistics of each class.
    seed : int
        Seed of the sample.
    """
    xp = arrays.namespace(like)
    refuse_kind(X)
    if X is None:
        X = xp.zeros((y.shape[0], 0), dtype=like.dtype, device=arrays.device_of(like))
        n_drawn = 0
    elif X.ndim != 2 or X.shape[1] != like.shape[1] or X.dtype != like.dtype:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and dtype {X.dtype} there, but should have "
            f"{like.shape[1]} columns of {like.dtype}. Give Dask the right meta."
        )
    size = int(X.shape[0])
    if size == 0:
        if not isinstance(y, SoftLabels):
            read_labels(y, size)
        return None, {}, None
    matrix = of_chunk(X, n_levels if X.shape[1] else ())
    features = Features(matrix, xp, arrays.device_of(X), None)
    part = _read_part(features, y, sample_weight, offset)
    statistics = _statistics(features, part, by_class=by_class) if X.shape[1] else {}
    generator = np.random.default_rng([seed, position])
    row_ids = generator.choice(size, min(n_drawn, size), replace=False)
    few = part.targets.take_rows(features.place(row_ids, None), xp=xp)
    rows = arrays.rows(X, row_ids) if n_drawn else like
    return part, statistics, Drawn(size, row_ids, rows, part._replace(targets=few))


def _statistics(features: Features, part: Part, *, by_class: bool) -> Statistics:
    """Return the statistics of all rows under None, or of each class by label."""
    xp, (classes, totals, targets) = features.xp, part
    if not totals.any():  # X must be finite in rows without weight, too
        refuse_non_finite(features.matrix)
    labels = arrays.to_host(classes).tolist() if by_class else [None]
    found = {}
    for k, label in enumerate(labels):
        weights, total = targets.weights, totals.sum()
        if by_class:
            own = targets.labels == k
            weights, total = weights * xp.astype(own, weights.dtype), totals[k]
        if total > 0:
            mean = float(total) / features.X.shape[0]  # to weights of mean 1
            of_class = Targets(1, targets.labels, weights / mean)
            statistics = column_statistics(TrainingData(features.matrix, of_class))
            found[label] = statistics._replace(weight=statistics.weight * mean)
    return found


@arrays.quiet()
def _merged(first: Statistics, second: Statistics, *, xp: Namespace) -> Statistics:
    """Return the statistics of the rows of both, by key."""
    both = {key: first[key].merged(second[key], xp=xp) for key in first.keys() & second}
    return first | second | both


def _recoded(classes: Array, part: Part) -> Targets:
    """Return the targets of a chunk with codes into all classes."""
    codes, xp = part.targets.labels, arrays.namespace(part.targets.labels)
    if xp.isdtype(codes.dtype, "real floating"):  # shares, whose classes are given
        return part.targets
    new = np.searchsorted(arrays.to_host(classes), arrays.to_host(part.classes))
    new = arrays.move(new, xp=xp, device=arrays.device_of(codes))
    return replace(part.targets, labels=xp.take(new, codes[:, 0])[:, None])


@arrays.quiet()
def _all_classes(parts: list[Part]) -> tuple[Array, np.ndarray]:
    """Return the sorted classes of all chunks, and the sums of their weights."""
    found = [part.classes for part in parts]
    xp = arrays.namespace(found[0])
    if xp is not numpy_namespace:
        classes = xp.unique_values(xp.concat(found))
    else:
        try:
            # As objects: NumPy joins numbers and strings to strings.
            classes = np.unique(np.concatenate([own.astype(object) for own in found]))
        except TypeError as error:
            raise mixed_types(error) from error
        classes = classes.astype(np.result_type(*found))
    totals, on_host = np.zeros(classes.shape[0]), arrays.to_host(classes)
    for part in parts:
        own = arrays.to_host(part.classes)
        totals[np.searchsorted(on_host, own)] += part.totals
    return classes, totals


def _to_draw(X: Chunks) -> list[int]:
    """Return the number of rows to draw from each chunk."""
    row_bytes = X.n_features * X.xp.finfo(X.dtype).bits // 8
    wanted = SAMPLED_PER_FEATURE * X.n_features
    wanted = max(SAMPLE_BYTES // row_bytes, min(wanted, MAX_BYTES // row_bytes))
    counts, n_chunks = np.asarray(X.row_counts, dtype=np.float64), len(X.parts)
    if np.isnan(counts).any():
        return [UNEVEN * math.ceil(wanted / n_chunks)] * n_chunks
    share = min(1 / ROWS_FOR_EACH_SAMPLED, wanted / max(1.0, counts.sum()))
    return [math.ceil(share * count) for count in counts]


def _even_sample(
    drawn: list[Drawn], recode: Callable[[Part], Targets], seed: int
) -> tuple[Array, np.ndarray, Targets]:
    """Return the same share of each chunk, as large as all of them drew, shuffled.

    The row ids are those within all rows.
    """
    sizes = np.asarray([each.size for each in drawn])
    counts = np.asarray([each.row_ids.size for each in drawn])
    most = np.ceil((counts / sizes).min() * sizes).astype(np.int64)
    chosen = [np.arange(n) for n in np.minimum(counts, most)]
    order = np.random.default_rng(seed).permutation(sum(map(len, chosen)))

    def joined(values: Iterable[Array]) -> Array:
        few = [arrays.rows(each, first) for each, first in zip(values, chosen)]
        return arrays.rows(arrays.namespace(*few).concat(few), order)

    first_rows = np.cumsum(sizes) - sizes
    row_ids = joined(n + each.row_ids for n, each in zip(first_rows, drawn))
    targets = [recode(each.part) for each in drawn]
    labels, weights = (
        joined(getattr(each, name) for each in targets)
        for name in ("labels", "weights")
    )
    offset = None
    if targets[0].offset is not None:
        offset = joined(each.offset for each in targets)
    X = joined(each.X for each in drawn)
    return X, row_ids, Targets(1, labels, weights, offset=offset)
