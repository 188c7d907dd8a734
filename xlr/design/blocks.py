"""A pass over the rows: a map over row blocks and a sum.

This is the one place that decides how the rows are cut and what runs the map.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.threads import ALONE, Workers

__all__ = [
    "Sliceable",
    "add",
    "cut",
    "draw_rows",
    "reduce_over_blocks",
    "row_blocks",
    "rows_per_block",
    "sum_over_blocks",
]

Parts = tuple[Array, ...]


class Sliceable(Protocol):
    """A design that gives out blocks of its rows."""

    workers: Workers

    def block(self, rows: slice) -> object: ...


def rows_per_block(X: Array, width: int = 1, *, xp: Namespace) -> int:
    """How many rows of X suit the cache of its device, with temporaries so wide.

    Of a sparse X, the temporaries alone: the products with it do not wait for memory.
    """
    stored = 1 if arrays.is_sparse(X) else X.shape[1]
    # Half precision is computed in float32.
    bits = max(32, xp.finfo(X.dtype).bits)
    row_bytes = bits // 8 * max(stored, width)
    return max(1, arrays.block_bytes(arrays.entries(X)) // row_bytes)


def row_blocks(
    X: Array, width: int = 1, *, least: int = 1, n_threads: int = 1, xp: Namespace
) -> list[slice]:
    """Cut the rows of ``X`` into slices alike, as :func:`rows_per_block` says.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    width : int, default=1
        Numbers per row of the widest temporary that a block will need, where
        that is more than the features.
    least : int, default=1
        Rows below which a block is not worth its sum, whatever the cache.
    n_threads : int, default=1
        Where there is more than one block, a multiple of this many are cut.
    xp : namespace

    Returns
    -------
    list of slices
        Consecutive and non-empty; they cover all rows.
    """
    n_rows = max(least, rows_per_block(X, width, xp=xp))
    return cut(X.shape[0], n_rows, n_threads=n_threads)


def cut(n_samples: int, n_rows: int, *, n_threads: int) -> list[slice]:
    """Slices of about so many rows, as :func:`row_blocks` returns them."""
    n_blocks = math.ceil(n_samples / n_rows)
    if n_blocks > 1:
        n_blocks = min(n_samples, n_threads * math.ceil(n_blocks / n_threads))
    edges = [n_samples * i // n_blocks for i in range(n_blocks)] + [n_samples]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def draw_rows(n_samples: int, size: int, seed: int) -> np.ndarray:
    """Numbers of random rows, drawn with replacement, ascending."""
    rng = np.random.default_rng([seed, size])
    return np.sort(rng.integers(0, n_samples, size=size))


def reduce_over_blocks(
    kernel: Callable[[slice], Parts],
    combine: Callable[[Parts, Parts], Parts],
    slices: Sequence[slice],
    workers: Workers = ALONE,
) -> Parts:
    """Combine what ``kernel(rows)`` returns for each slice, in the order of the rows.

    By :func:`add` to sums; by ``operator.add`` to one tuple of all that it returned.

    Each thread has consecutive slices: for a given number of threads, the same
    numbers are combined in the same order every time.

    Raises
    ------
    ValueError
        If there are no slices.
    """
    if not slices:
        raise ValueError("There are no rows to sum over.")
    shares = min(workers.n, len(slices))
    edges = [len(slices) * i // shares for i in range(shares + 1)]

    def share(start: int, stop: int) -> Parts:
        return functools.reduce(combine, map(kernel, slices[start:stop]))

    tasks = [functools.partial(share, *ends) for ends in itertools.pairwise(edges)]
    return functools.reduce(combine, workers.run(tasks))


def add(total: Parts, part: Parts) -> Parts:
    """Sums of two tuples of arrays, entry by entry."""
    return tuple(a + b for a, b in zip(total, part))


def sum_over_blocks(
    kernel: Callable[..., Parts],
    design: Sliceable,
    slices: Sequence[slice],
    *per_row: Array,
) -> Parts:
    """Sum what ``kernel(block, *rows)`` returns over the row blocks of a design.

    Parameters
    ----------
    kernel : callable
        Takes a block of the design and the same rows of each of ``per_row``;
        returns a tuple of arrays to be summed.
    design : Sliceable
    slices : list of slices
    *per_row : arrays of shape (n_samples, ...)

    Returns
    -------
    tuple of arrays

    Raises
    ------
    ValueError
        If there are no slices.
    """

    def on_rows(rows: slice) -> Parts:
        return kernel(design.block(rows), *(values[rows, ...] for values in per_row))

    return reduce_over_blocks(on_rows, add, slices, design.workers)
