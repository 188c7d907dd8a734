"""Dask arrays from NumPy arrays, in chunks of any sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def in_chunks(values: Any, sizes: Sequence[int]) -> Any:
    """Return the rows in chunks of the given sizes; some may be zero."""
    from dask import array as da

    values = np.asarray(values)
    return da.from_array(values, chunks=(tuple(sizes), *values.shape[1:]))


def of_unknown_sizes(array: Any) -> Any:
    """Return the array with unknown chunk sizes, as after a filter."""
    from dask import array as da

    of = {"dtype": array.dtype, "meta": array._meta}
    parts = [
        da.from_delayed(part, (np.nan, *array.shape[1:]), **of)
        for part in array.to_delayed().reshape(-1)
    ]
    return da.concatenate(parts, allow_unknown_chunksizes=True)
