"""The first pass over rows in chunks: labels, sums, statistics and a sample at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Chunks, ColumnStatistics, Delayed, call, literal, tree
from xlr.inputs.chunk_look import ChunkRows, Drawn, Look, Plan, look_at, merged
from xlr.inputs.dask_input import parts_beside
from xlr.inputs.features import Features
from xlr.inputs.labels import NO_LABELS, check_number, mixed_types
from xlr.inputs.parameters import random_seed

__all__ = ["Found", "first_pass"]

# Of all rows, those drawn: at most one in so many, and as many as fill so many bytes,
# or as there are for each feature, up to more bytes.
SHARE = 8
SAMPLE_BYTES = 2**25
ROWS_PER_FEATURE = 20
MOST_BYTES = 2**28

# Where the sizes of the chunks are not known, by how much one may be above the mean.
UNEVEN = 4


@dataclass(frozen=True)
class Found:
    """What the first pass found.

    Attributes
    ----------
    sizes : ndarray of shape (n_chunks,)
        Rows of each chunk; all that follows is of chunks that have some.
    classes : array of shape (n_classes,)
        Sorted, in the library of y.
    totals : ndarray of shape (n_classes,)
        Sums of the weights, without those of classes.
    statistics : dict of ColumnStatistics
        Of all rows together, under None; or by class, under its label.
    rows : list of Delayed
        The :class:`ChunkRows`, kept where the chunks are.
    sample : Drawn
        With codes into all classes.
    """

    sizes: np.ndarray
    classes: Array
    totals: np.ndarray
    statistics: dict[Any, ColumnStatistics]
    rows: list[Delayed]
    sample: Drawn


def first_pass(
    estimator: Any,
    features: Features,
    y: Any,
    sample_weight: Any,
    offset: Any,
    *,
    statistics: ColumnStatistics | None = None,
) -> Found:
    """Look at all chunks, and keep what belongs to their rows where they are.

    With ``statistics`` that are known X is not looked at, and nothing drawn from it.

    Raises
    ------
    TypeError, ValueError
        If the rows are not as described, with the position of the chunk.
    """
    if y is None:
        raise ValueError(NO_LABELS)
    X: Chunks = features.X
    loads = [
        X.parts if statistics is None else [literal(None)] * len(X.parts),
        *(
            parts_beside(X, values, name)
            for values, name in (
                (y, "y"),
                (sample_weight, "sample_weight"),
                (offset, "offset"),
            )
        ),
    ]
    plan = Plan(
        features.xp.zeros((0, X.n_features), dtype=X.dtype, device=X.device),
        centre=bool(estimator.fit_intercept),
        by_class=getattr(estimator, "class_weight", None) is not None,
        seed=random_seed(estimator) if hasattr(estimator, "random_state") else 0,
    )
    functions = [partial(look_at, plan, i, n) for i, n in enumerate(_to_draw(X))]
    looks = X.of_each(functions, *loads, name="first-look")
    rows, found, drawn = (
        [call(itemgetter(k), part, name="first-look-part") for part in looks]
        for k in range(3)
    )
    X.n_passes += statistics is None
    together = tree(found, partial(merged, xp=features.xp), name="first-look")
    (seen, *sample), kept = X.fetch([together, *drawn], *loads, keep=rows)
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
    first_rows = np.cumsum(sizes) - sizes
    drawn = [
        Drawn(part.X, part.rows.among(classes), part.numbers + first_rows[i])
        for i, part in enumerate(sample)
        if part is not None
    ]
    return Found(
        sizes,
        classes,
        _all_totals(classes, seen, full),
        seen.statistics if statistics is None else {None: statistics},
        [kept[i] for i in full],
        _even_sample(drawn, sizes[full], plan.seed),
    )


def _all_classes(found: list[Array]) -> Array:
    """The classes of all chunks, sorted."""
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
def _all_totals(classes: Array, seen: Look, full: np.ndarray) -> np.ndarray:
    """Sums of the weights of all classes: (n_classes,)."""
    totals = np.zeros(classes.shape[0])
    for i in full:
        own = arrays.to_host(seen.classes[i])
        totals[np.searchsorted(arrays.to_host(classes), own)] += seen.totals[i]
    return totals


def _to_draw(X: Chunks) -> list[int]:
    """How many rows of each chunk are enough for the sample."""
    row_bytes = X.n_features * X.xp.finfo(X.dtype).bits // 8
    wanted = ROWS_PER_FEATURE * X.n_features
    wanted = max(SAMPLE_BYTES // row_bytes, min(wanted, MOST_BYTES // row_bytes))
    counts, n_chunks = np.asarray(X.row_counts, dtype=np.float64), len(X.parts)
    if np.isnan(counts).any():
        return [UNEVEN * math.ceil(wanted / n_chunks)] * n_chunks
    share = min(1 / SHARE, wanted / max(1.0, counts.sum()))
    return [math.ceil(share * count) for count in counts]


def _even_sample(drawn: list[Drawn], sizes: np.ndarray, seed: int) -> Drawn:
    """As large a share of each chunk as all of them gave, in random order."""
    given = np.asarray([part.X.shape[0] for part in drawn])
    most = np.ceil((given / sizes).min() * sizes).astype(np.int64)
    chosen = [np.arange(min(n, m)) for n, m in zip(given, most)]
    order = np.random.default_rng(seed).permutation(sum(map(len, chosen)))

    def joined(parts: list[Array]) -> Array:
        few = [arrays.rows(part, first) for part, first in zip(parts, chosen)]
        return arrays.rows(arrays.namespace(*few).concat(few), order)

    offset = None
    if drawn[0].rows.offset is not None:
        offset = joined([part.rows.offset for part in drawn])
    rows = ChunkRows(
        drawn[0].rows.classes,
        joined([part.rows.codes for part in drawn]),
        joined([part.rows.weights for part in drawn]),
        offset,
    )
    numbers = joined([part.numbers for part in drawn])
    return Drawn(joined([part.X for part in drawn]), rows, numbers)
