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

    like_array = {"dtype": array.dtype, "meta": array._meta}
    chunks = [
        da.from_delayed(chunk, (np.nan, *array.shape[1:]), **like_array)
        for chunk in array.to_delayed().reshape(-1)
    ]
    return da.concatenate(chunks, allow_unknown_chunksizes=True)
