"""The scan: labels, weights and offset of the rows, and a summary of each chunk."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
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
from xlr.inputs.dask_input import parts_beside, refuse_kind
from xlr.inputs.features import Features
from xlr.inputs.labels import NO_LABELS, check_number, mixed_types, read_labels
from xlr.inputs.offset import read_offset
from xlr.inputs.parameters import random_seed
from xlr.inputs.soft_labels import SoftLabels, read_soft_labels
from xlr.inputs.weights import class_totals, place_weights
from xlr.threads import Workers

# Sample of rows in chunks: at most one row in ROWS_FOR_EACH_SAMPLED. It fills
# SAMPLE_BYTES, or has SAMPLED_PER_FEATURE rows for each feature up to MAX_BYTES.
ROWS_FOR_EACH_SAMPLED = 8
SAMPLE_BYTES = 2**25
SAMPLED_PER_FEATURE = 20
MAX_BYTES = 2**28

# Assumed ratio of the largest chunk to the mean, where sizes of chunks are unknown.
UNEVEN = 4


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
    statistics : dict of ColumnStatistics or None
        For rows in chunks: of all rows, under the key None, or of each class, under its
        label. None for rows in memory, whose columns are read later.
    """

    features: Features
    classes: Array
    totals: np.ndarray
    rows: TrainingData
    statistics: dict[Any, ColumnStatistics] | None = None


class Part(NamedTuple):
    """Labels, weights and offset of a chunk, or of all rows.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Classes of these rows.
    targets : Targets
        Codes of these classes, and weights in the widest dtype.
    """

    classes: Array
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
        raise ValueError(NO_LABELS)
    given = {"y": y, "sample_weight": sample_weight, "offset": offset}
    if isinstance(features.X, Chunks):
        return _scan_chunks(estimator, features, given, statistics)
    for name, values in given.items():
        if values is not None and arrays.is_dask(values):
            raise TypeError(
                f"{name} is of Dask while X is in memory. Pass {name}.compute(), or X "
                "as a Dask array."
            )
    part, totals = _read_part(features, y, sample_weight, offset)
    check_number(part.classes)
    rows = TrainingData(features.matrix, part.targets, pool=pool)
    return Scan(features, part.classes, totals, rows)


def _read_part(
    features: Features, y: Any, sample_weight: Any, offset: Any
) -> tuple[Part, np.ndarray]:
    """Read labels, weights and offset of some rows. Return the class totals too."""
    if offset is not None:
        offset = read_offset(offset, features)
    if isinstance(y, SoftLabels):
        soft = read_soft_labels(y, features, sample_weight)
        targets = Targets(1, soft.shares, soft.weights[:, None], offset=offset)
        return Part(soft.classes, targets), soft.totals
    labels = read_labels(y, features.X.shape[0])
    codes = features.place(labels.codes, None)
    weights = place_weights(sample_weight, features)
    totals = class_totals(weights, codes, labels.classes.shape[0])
    targets = Targets(1, codes[:, None], weights[:, None], offset=offset)
    return Part(labels.classes, targets), totals


# -- chunks ----------------------------------------------------------------------------


class Plan(NamedTuple):
    """Options of the scan of each chunk.

    Attributes
    ----------
    like : array of shape (0, n_stored)
        In the dtype and library of X.
    n_levels : tuple of int
        Levels of the columns of codes, the last ones.
    by_class : bool
        Whether to find statistics of each class.
    seed : int
        Seed of the sample.
    """

    like: Array
    n_levels: tuple[int, ...]
    by_class: bool
    seed: int


class Summary(NamedTuple):
    """Summary of chunks, by their positions.

    Attributes
    ----------
    sizes : dict of int
    classes : dict of arrays
    totals : dict of ndarrays
        Sums of the weights of the classes of each chunk.
    statistics : dict of ColumnStatistics
        Of all rows, under the key None; or of each class, under its label.
    offset_columns : set of int
    """

    sizes: dict[int, int]
    classes: dict[int, Array]
    totals: dict[int, np.ndarray]
    statistics: dict[Any, ColumnStatistics]
    offset_columns: set[int]


class Drawn(NamedTuple):
    """Random rows.

    Attributes
    ----------
    numbers : ndarray of shape (n_drawn,)
        Row ids within the chunk, or within all rows.
    X : array of shape (n_drawn, n_features)
    part : Part
    """

    numbers: np.ndarray
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
    loads += [_parts_beside(X, values, name) for name, values in given.items()]
    # A view of the sample would keep the whole sample alive in the graph.
    like = X.xp.zeros((0, X.n_stored), dtype=X.dtype, device=X.device)
    plan = Plan(
        like,
        X.n_levels,
        by_class=getattr(estimator, "class_weight", None) is not None,
        seed=random_seed(estimator) if hasattr(estimator, "random_state") else 0,
    )
    # 1. One pass: each chunk returns a summary and a sample.
    functions = [partial(_look_at, plan, i, n) for i, n in enumerate(_to_draw(X))]
    looks = X.of_each(functions, *loads, name="scan")
    parts, summaries, drawn = (
        [call(itemgetter(k), look, name="scan-part") for look in looks]
        for k in range(3)
    )
    X.n_passes += statistics is None
    together = tree(summaries, partial(_merged, xp=features.xp), name="scan")
    (seen, *drawn), kept = X.fetch([together, *drawn], *loads, keep=parts)
    # 2. Classes and sizes of all chunks.
    sizes = np.asarray([seen.sizes[i] for i in range(len(X.parts))])
    if not sizes.any():
        raise ValueError(
            "Found array with 0 sample(s): all chunks of X are empty, while a minimum "
            f"of 1 is required by {type(estimator).__name__}."
        )
    full = np.nonzero(sizes)[0]
    classes = _all_classes([seen.classes[i] for i in full])
    check_number(classes)
    if len(seen.offset_columns) > 1:
        raise ValueError(
            "The chunks of offset have different numbers of columns: "
            f"{sorted(seen.offset_columns)}."
        )
    # 3. The rows with codes of all classes, and the sample.
    first_rows = np.cumsum(sizes) - sizes
    few = [
        Drawn(first_rows[i] + d.numbers, d.X, Part(classes, _recoded(classes, d.part)))
        for i, d in enumerate(drawn)
        if d is not None
    ]
    sample = _even_sample(few, sizes[full], plan.seed)
    X = X.counted(sizes, (sample.X, sample.numbers))
    recode = partial(_recoded, classes)
    targets = [call(recode, kept[i], name="labels") for i in full]
    rows = TrainingData(
        of_chunk(sample.X, X.n_levels),
        sample.part.targets,
        chunks=ChunkedRows(X, targets, X.dtype),
    )
    found = seen.statistics if statistics is None else {None: statistics}
    totals = _all_totals(classes, seen, full)
    return Scan(replace(features, X=X), classes, totals, rows, found)


def _parts_beside(X: Chunks, values: Any, name: str) -> list[Any]:
    """Return the values of the rows of each chunk of X."""
    if not isinstance(values, SoftLabels):
        return parts_beside(X, values, name)
    of_rows = partial(SoftLabels, classes=values.classes)
    parts = parts_beside(X, values.P, "P")
    return [call(of_rows, part, name="soft-labels") for part in parts]


@arrays.quiet()
def _look_at(
    plan: Plan,
    position: int,
    to_draw: int,
    X: Array,
    y: Any,
    sample_weight: Any,
    offset: Any,
) -> tuple[Part | None, Summary, Drawn | None]:
    """Return the targets, the summary and a sample of a chunk."""
    like, xp = plan.like, arrays.namespace(plan.like)
    refuse_kind(X)
    if X is None:  # the column statistics are known
        X = xp.zeros((y.shape[0], 0), dtype=like.dtype, device=arrays.device_of(like))
        to_draw = 0
    elif X.ndim != 2 or X.shape[1] != like.shape[1] or X.dtype != like.dtype:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and dtype {X.dtype} there, but should have "
            f"{like.shape[1]} columns of {like.dtype}. Give Dask the right meta."
        )
    size = int(X.shape[0])
    if size == 0:
        if not isinstance(y, SoftLabels):
            read_labels(y, size)
        return None, Summary({position: 0}, {}, {}, {}, set()), None
    matrix = of_chunk(X, plan.n_levels if X.shape[1] else ())
    features = Features(matrix, xp, arrays.device_of(X), None)
    part, totals = _read_part(features, y, sample_weight, offset)
    added = part.targets.offset
    summary = Summary(
        {position: size},
        {position: part.classes},
        {position: totals},
        _statistics(plan, features, part, totals) if X.shape[1] else {},
        set() if added is None else {added.shape[1]},
    )
    generator = np.random.default_rng([plan.seed, position])
    numbers = generator.choice(size, min(to_draw, size), replace=False)
    rows = features.place(numbers, None)
    few = part._replace(targets=part.targets.take_rows(rows, xp=xp))
    return (
        part,
        summary,
        Drawn(numbers, arrays.rows(X, numbers) if to_draw else like, few),
    )


def _statistics(
    plan: Plan, features: Features, part: Part, totals: np.ndarray
) -> dict[Any, ColumnStatistics]:
    """Return the statistics of all rows under None, or of each class by label."""
    if not totals.any():  # without weight, but X must be finite
        refuse_non_finite(features.matrix)
        return {}
    xp, targets = features.xp, part.targets
    labels: list[Any] = [None]
    if plan.by_class:
        labels = arrays.to_host(part.classes).tolist()
    found = {}
    for k, label in enumerate(labels):
        weights, total = targets.weights, totals.sum()
        if plan.by_class:
            own = targets.labels == k
            weights, total = weights * xp.astype(own, weights.dtype), totals[k]
        if total > 0:
            # Weights of mean 1.
            mean = float(total) / features.X.shape[0]
            data = TrainingData(
                features.matrix, Targets(1, targets.labels, weights / mean)
            )
            own_statistics = column_statistics(data)
            weight = own_statistics.weight * mean
            found[label] = own_statistics._replace(weight=weight)
    return found


@arrays.quiet()
def _merged(first: Summary, second: Summary, *, xp: Namespace) -> Summary:
    """Return the summary of the chunks of both."""
    statistics = dict(first.statistics)
    for key, found in second.statistics.items():
        known = statistics.get(key)
        statistics[key] = found if known is None else known.merged(found, xp=xp)
    return Summary(
        first.sizes | second.sizes,
        first.classes | second.classes,
        first.totals | second.totals,
        statistics,
        first.offset_columns | second.offset_columns,
    )


def _recoded(classes: Array, part: Part) -> Targets:
    """Return the targets of a chunk with the codes of all classes."""
    own, every = arrays.to_host(part.classes), arrays.to_host(classes)
    codes, xp = part.targets.labels[:, 0], arrays.namespace(part.targets.labels)
    if xp.isdtype(codes.dtype, "real floating"):  # shares of the same classes
        return part.targets
    new = arrays.move(
        np.searchsorted(every, own), xp=xp, device=arrays.device_of(codes)
    )
    return replace(part.targets, labels=xp.take(new, codes)[:, None])


def _all_classes(found: list[Array]) -> Array:
    """Return the classes of all chunks, sorted."""
    xp = arrays.namespace(found[0])
    if xp is not np:
        return xp.unique_values(xp.concat(found))
    try:
        # As objects: of numbers and strings together NumPy would make strings.
        classes = np.unique(np.concatenate([own.astype(object) for own in found]))
    except TypeError as error:
        raise mixed_types(error) from error
    return classes.astype(np.result_type(*found))


@arrays.quiet()
def _all_totals(classes: Array, seen: Summary, full: np.ndarray) -> np.ndarray:
    """Return the sums of the weights of all classes: (n_classes,)."""
    totals = np.zeros(classes.shape[0])
    for i in full:
        own = arrays.to_host(seen.classes[i])
        totals[np.searchsorted(arrays.to_host(classes), own)] += seen.totals[i]
    return totals


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


def _even_sample(drawn: list[Drawn], sizes: np.ndarray, seed: int) -> Drawn:
    """Return as large a share of each chunk as all of them gave, in random order."""
    given = np.asarray([part.X.shape[0] for part in drawn])
    most = np.ceil((given / sizes).min() * sizes).astype(np.int64)
    chosen = [np.arange(min(n, m)) for n, m in zip(given, most)]
    order = np.random.default_rng(seed).permutation(sum(map(len, chosen)))

    def joined(parts: list[Array]) -> Array:
        few = [arrays.rows(part, first) for part, first in zip(parts, chosen)]
        return arrays.rows(arrays.namespace(*few).concat(few), order)

    targets = [each.part.targets for each in drawn]
    offset = None
    if targets[0].offset is not None:
        offset = joined([each.offset for each in targets])
    together = Targets(
        1,
        joined([each.labels for each in targets]),
        joined([each.weights for each in targets]),
        offset=offset,
    )
    return Drawn(
        joined([each.numbers for each in drawn]),
        joined([each.X for each in drawn]),
        Part(drawn[0].part.classes, together),
    )
