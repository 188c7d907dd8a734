"""The scan: labels, weights and offset of the rows, and a summary of each chunk."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays, numpy_namespace
from xlr.arrays import Array
from xlr.dask_graph import call, fetch, literal, tree_reduce
from xlr.data import (
    ChunkedData,
    ChunkedMatrix,
    ColumnStatistics,
    Matrix,
    Targets,
    TrainingData,
    column_statistics,
    concatenated,
    matrix_of,
    refuse_non_finite,
)
from xlr.inputs.dask_input import refuse_sparse_or_masked, split_like
from xlr.inputs.features import Features
from xlr.inputs.labels import SoftLabels, mixed_types, read_labels, read_soft_labels
from xlr.inputs.parameters import random_seed
from xlr.inputs.weights import class_totals, place_weights, read_offset

# A sample holds at most one in ROWS_PER_SAMPLED_ROW of each chunk's rows. Its target
# is the larger of SAMPLE_BYTES and SAMPLED_ROWS_PER_FEATURE rows per feature. The
# latter is limited to MAX_SAMPLE_BYTES.
ROWS_PER_SAMPLED_ROW = 8
SAMPLE_BYTES = 2**25
SAMPLED_ROWS_PER_FEATURE = 20
MAX_SAMPLE_BYTES = 2**28


def scan_targets(
    features: Features, y: Any, sample_weight: Any, offset: Any
) -> tuple[Array, np.ndarray, Targets]:
    """Read labels, weights and offset of some rows.

    Return the classes of the rows, the sum of the weights of each class, and targets
    with codes of these classes and weights in the widest dtype.

    Raises
    ------
    ValueError
        If y, the weights or the offset are invalid.
    """
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
    return classes, totals, Targets(1, labels, weights[:, None], offset=offset)


# -- chunks ----------------------------------------------------------------------------


class ChunkSample(NamedTuple):
    """Random rows of a chunk, with the chunk's size, classes and class totals.

    Attributes
    ----------
    n_rows : int
        Number of rows of the chunk.
    row_ids : ndarray of shape (n_drawn,)
        Row ids within the chunk.
    matrix : Matrix of shape (n_drawn, n_features)
    targets : Targets
        Targets of the drawn rows, with codes of the classes of the chunk.
    classes, totals
        Classes of all rows of the chunk, and the sums of their weights.
    """

    n_rows: int
    row_ids: np.ndarray
    matrix: Matrix
    targets: Targets
    classes: Array
    totals: np.ndarray


def scan_chunks(
    estimator: Any,
    features: Features,
    given: dict[str, Any],
) -> tuple[Array, np.ndarray, TrainingData, ColumnStatistics]:
    """Read labels, weights and offset of all chunks, and summarise X in the same pass.

    The targets stay on the workers.

    Parameters
    ----------
    estimator : estimator
        May have ``random_state``.
    features : Features
    given : dict
        ``y``, ``sample_weight`` and ``offset``, in this order.

    Returns
    -------
    classes : array of shape (n_classes,)
        Sorted, in the library of y.
    totals : ndarray of shape (n_classes,)
        Sum of the sample weights of each class.
    rows : TrainingData
        Class codes and the given weights.
    statistics : ColumnStatistics

    Raises
    ------
    TypeError, ValueError
        If y, the weights or the offset are invalid, with the position of the chunk.
    """
    X: ChunkedMatrix = features.X
    inputs = [X.tasks, *(_split(X, values, name) for name, values in given.items())]
    seed = random_seed(estimator)
    names = features.column_names
    scan_chunk = partial(_scan_chunk, like=X.like, names=names, seed=seed)
    # 1. One pass: each chunk returns its targets, its statistics and random rows.
    functions = [partial(scan_chunk, i, n) for i, n in enumerate(_to_draw(X))]
    scans = X.map_tasks(functions, *inputs, name="scan")
    targets, by_chunk, samples = (
        [call(itemgetter(k), each, name="scan-part") for each in scans]
        for k in range(3)
    )
    X.n_passes += 1
    merge = partial(ColumnStatistics.merged, xp=X.like.xp)
    merged = tree_reduce(by_chunk, merge, name="scan")
    (statistics, *samples), targets = fetch(
        [merged, *samples], *inputs, keep=targets, persisted=X.persisted
    )
    X.persisted += targets
    # 2. Classes of all chunks.
    chunk_classes = [each.classes for each in samples if each is not None]
    if not chunk_classes:
        raise ValueError(
            "Found array with 0 sample(s): all chunks of X are empty. Pass at least "
            "one row."
        )
    classes = _joined_classes(chunk_classes)
    host, totals = arrays.to_host(classes), np.zeros(classes.shape[0])
    # 3. Sizes and totals; targets with codes into all classes; and the sample.
    X.row_counts = tuple(0 if each is None else each.n_rows for each in samples)
    for i, each in enumerate(samples):
        if each is None:
            X.tasks[i] = literal(None)  # later passes do not read empty chunks
            continue
        codes = np.searchsorted(host, arrays.to_host(each.classes))
        totals += np.bincount(codes, each.totals, host.size)
        recode = partial(_recoded, codes)
        targets[i] = call(recode, targets[i], name="labels")
        samples[i] = each._replace(targets=recode(each.targets))
    drawn = [each for each in samples if each is not None]
    X.sample_ids, sample, sampled_targets = _shuffled_sample(drawn, seed)
    rows = TrainingData(sample, sampled_targets, chunks=ChunkedData(X, targets))
    return classes, totals, rows, statistics


def _split(X: ChunkedMatrix, values: Any, name: str) -> list[Any]:
    """Split labels, weights or an offset into one part for each chunk of X."""
    if not isinstance(values, SoftLabels):
        return split_like(X, values, name)
    make_labels = partial(SoftLabels, classes=values.classes)
    parts = split_like(X, values.P, "P")
    return [call(make_labels, part, name="soft-labels") for part in parts]


@arrays.quiet()
def _scan_chunk(
    position: int,
    n_drawn: int,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    *,
    like: Matrix,
    names: list[str],
    seed: int,
) -> tuple[Targets, ColumnStatistics | None, ChunkSample | None]:
    """Return the targets, column statistics and random rows of a chunk.

    Parameters
    ----------
    position, n_drawn : int
        Position of the chunk, and maximum number of rows of its sample.
    X, y, sample_weight, offset
        Values of the rows of the chunk.
    like : Matrix
        A row of the kind of X.
    names : list of str
        Names of the columns of X.
    seed : int
        Seed of the sample.
    """
    xp, device = like.xp, like.device
    refuse_sparse_or_masked(X)
    if len(X.shape) != 2 or X.shape[1] != like.shape[1]:
        raise ValueError(
            f"X has shape {tuple(X.shape)}, but should have "
            f"{like.shape[1]} columns. Correct the meta of the Dask array."
        )
    n_rows = int(X.shape[0])
    if n_rows == 0:
        if not isinstance(y, SoftLabels):
            read_labels(y, n_rows)
        no_rows = xp.zeros((0, 1), dtype=xp.int32, device=device)
        targets = Targets(1, no_rows, xp.astype(no_rows, like.dtype))
        return targets, None, None
    matrix = matrix_of(X, xp=xp)
    features = Features(matrix)
    classes, totals, targets = scan_targets(features, y, sample_weight, offset)
    statistics = None
    if totals.any():
        data = TrainingData(matrix, targets)
        statistics = column_statistics(data, names=lambda: names)
    else:  # X must be finite in rows without weight, too
        refuse_non_finite(matrix, names)
    n_drawn = min(n_drawn, math.ceil(n_rows / ROWS_PER_SAMPLED_ROW))
    generator = np.random.default_rng([seed, position])
    row_ids = generator.choice(n_rows, n_drawn, replace=False)
    rows = features.place(row_ids, None)
    drawn, sampled = matrix.take_rows(rows), targets.take_rows(rows, xp=xp)
    sample = ChunkSample(n_rows, row_ids, drawn, sampled, classes, totals)
    return targets, statistics, sample


def _recoded(new_codes: np.ndarray, targets: Targets) -> Targets:
    """Return the targets of a chunk with codes into all classes."""
    codes, xp = targets.labels, arrays.namespace(targets.labels)
    if xp.isdtype(codes.dtype, "real floating"):  # shares, whose classes are given
        return targets
    new = arrays.move_like(new_codes, codes)
    return replace(targets, labels=xp.take(new, codes[:, 0])[:, None])


@arrays.quiet()
def _joined_classes(chunk_classes: list[Array]) -> Array:
    """Return the sorted classes of all chunks."""
    xp = arrays.namespace(chunk_classes[0])
    if xp is not numpy_namespace:
        return xp.unique_values(xp.concat(chunk_classes))
    try:
        # As objects: NumPy joins numbers and strings to strings.
        every = np.concatenate([c.astype(object) for c in chunk_classes])
        classes = np.unique(every)
    except TypeError as error:
        raise mixed_types(every.tolist()) from error
    return classes.astype(np.result_type(*chunk_classes))


def _to_draw(X: ChunkedMatrix) -> list[int]:
    """Return the number of rows to draw from each chunk."""
    n_features = X.shape[1]
    row_bytes = n_features * X.like.xp.finfo(X.dtype).bits // 8
    wanted = min(SAMPLED_ROWS_PER_FEATURE * n_features, MAX_SAMPLE_BYTES // row_bytes)
    counts = np.asarray(X.row_counts, dtype=np.float64)
    if np.isnan(counts).any():
        counts = np.ones(counts.size)
    shares = counts / max(1.0, counts.sum())
    drawn = np.ceil(max(SAMPLE_BYTES // row_bytes, wanted) * shares)
    return drawn.astype(np.int64).tolist()


def _shuffled_sample(
    drawn: list[ChunkSample], seed: int
) -> tuple[np.ndarray, Matrix, Targets]:
    """Return row ids within all rows, rows and targets of the sample, shuffled.

    A row has a larger weight where its chunk drew a smaller share of its rows.
    """
    sizes = np.asarray([each.n_rows for each in drawn])
    counts = np.asarray([each.row_ids.size for each in drawn])
    order = np.random.default_rng(seed).permutation(counts.sum())
    factors = sizes / np.maximum(1, counts) * (counts.sum() / sizes.sum())
    matrix = concatenated([each.matrix for each in drawn])
    xp, targets = matrix.xp, [each.targets for each in drawn]
    weights = [each.weights * float(f) for each, f in zip(targets, factors)]
    offsets = [each.offset for each in targets if each.offset is not None]
    joined = Targets(
        1,
        xp.concat([each.labels for each in targets]),
        xp.concat(weights),
        offset=xp.concat(offsets) if offsets else None,
    )
    row_ids = np.cumsum(sizes) - sizes
    row_ids = np.concatenate([n + each.row_ids for n, each in zip(row_ids, drawn)])
    rows = arrays.move(order, xp=xp, device=matrix.device)
    return row_ids[order], matrix.take_rows(rows), joined.take_rows(rows, xp=xp)
