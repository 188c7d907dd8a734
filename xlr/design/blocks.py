"""A pass over the rows: a map over row blocks and a sum.

This is the one place that decides how the rows are cut and what runs the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from xlr import arrays
from xlr.arrays import Array, Namespace

__all__ = ["Sliceable", "row_blocks", "sum_over_blocks"]


class Sliceable(Protocol):
    """A design that gives out blocks of its rows."""

    def block(self, rows: slice) -> object: ...


def row_blocks(X: Array, width: int = 1, *, xp: Namespace) -> Iterator[slice]:
    """Cut the rows of ``X`` into slices that suit the cache of its device.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    width : int, default=1
        Numbers per row of the widest temporary that a block will need, where
        that is more than the features.
    xp : namespace

    Yields
    ------
    slice
        Consecutive, non-empty slices that cover all rows.
    """
    n_samples, n_features = X.shape
    row_bytes = xp.finfo(X.dtype).bits // 8 * max(n_features, width)
    rows = max(1, arrays.block_bytes(X) // row_bytes)
    for start in range(0, n_samples, rows):
        yield slice(start, min(start + rows, n_samples))


def sum_over_blocks(
    kernel: Callable[..., tuple[Array, ...]],
    design: Sliceable,
    slices: Iterator[slice],
    *per_row: Array,
) -> tuple[Array, ...]:
    """Sum what ``kernel(block, *rows)`` returns over the row blocks of a design.

    Parameters
    ----------
    kernel : callable
        Takes a block of the design and the same rows of each of ``per_row``;
        returns a tuple of arrays to be summed.
    design : Sliceable
    slices : iterator of slices
    *per_row : arrays of shape (n_samples, ...)

    Returns
    -------
    tuple of arrays
    """
    total: tuple[Array, ...] | None = None
    for rows in slices:
        part = kernel(design.block(rows), *(values[rows, ...] for values in per_row))
        total = part if total is None else tuple(a + b for a, b in zip(total, part))
    if total is None:
        raise ValueError("There are no rows to sum over.")
    return total
