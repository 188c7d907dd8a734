"""Blocks of rows: slices of a pass, and the sum over them."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

from xlr.arrays import Array
from xlr.threads import SERIAL_POOL, ThreadPool

Sums = tuple[Array, ...]


def add(total: Sums, part: Sums) -> Sums:
    """Add two tuples of arrays, array by array."""
    return tuple(a + b for a, b in zip(total, part))


def map_reduce(
    function: Callable[[slice], Sums],
    slices: Sequence[slice],
    pool: ThreadPool = SERIAL_POOL,
    combine: Callable[[Sums, Sums], Sums] = add,
) -> Sums:
    """Combine the results of ``function(rows)`` over slices, in the order of the rows.

    Each thread takes consecutive slices, so that the order of the sum depends only on
    the number of threads.
    """
    n_tasks = min(pool.n_threads, len(slices))
    edges = [len(slices) * i // n_tasks for i in range(n_tasks + 1)]

    def reduced(start: int, stop: int) -> Sums:
        return functools.reduce(combine, map(function, slices[start:stop]))

    tasks = [functools.partial(reduced, *ends) for ends in itertools.pairwise(edges)]
    return functools.reduce(combine, pool.run(tasks))


def cut(n_samples: int, n_rows: int, *, n_threads: int = 1) -> list[slice]:
    """Cut ``n_samples`` rows into slices of about ``n_rows``.

    The number of slices, if above one, is a multiple of ``n_threads``, or
    ``n_samples``.
    """
    n_blocks = math.ceil(n_samples / n_rows)
    if n_blocks > 1:
        n_blocks = min(n_samples, n_threads * math.ceil(n_blocks / n_threads))
    edges = [n_samples * i // n_blocks for i in range(n_blocks)] + [n_samples]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def padded_size(n_rows: int) -> int:
    """Round a number of rows up to one of eight sizes between two powers of two.

    Compiled functions are then reused, and a pass takes at most an eighth longer.
    """
    step = 2 ** max(0, n_rows.bit_length() - 4)
    return math.ceil(n_rows / step) * step
