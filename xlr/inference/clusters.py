"""Clusters of rows, for standard errors that allow for correlation within them."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Chunks, PerRow, call, fetch
from xlr.inputs.dask_input import parts_beside
from xlr.inputs.kinds import accept
from xlr.inputs.labels import is_missing

__all__ = ["Clusters", "read_clusters"]


class Clusters(NamedTuple):
    """Clusters by number: 0, 1, ..., n - 1.

    Attributes
    ----------
    n : int
    of_rows : ndarray of shape (n_samples,), or list of Delayed
        The cluster of each row; one array for each chunk, where rows are in chunks.
    """

    n: int
    of_rows: Any

    def among(self, X: Any) -> Clusters:
        """Keep the chunks of rows that the first pass has kept."""
        if not isinstance(X, Chunks):
            return self
        return self._replace(
            of_rows=PerRow([self.of_rows[i] for i in X.positions], None)
        )


def read_clusters(groups: Any, X: Array | Chunks) -> Clusters:
    """Read the cluster of each row of X.

    Raises
    ------
    ValueError
        If groups are missing, of another length than X or only one, or do not compare.
    """
    if not arrays.is_dask(groups):
        groups = _on_host(groups)
    if isinstance(X, Chunks):
        parts = parts_beside(X, groups, "groups")
        names = [call(_unique, part, name="clusters") for part in parts]
        found = _unique(np.concatenate(fetch(names, parts)[0]))
        number = partial(_numbers, found)
        of_rows: Any = [call(number, part, name="clusters") for part in parts]
    else:
        values = _on_host(groups)
        if values.shape != (X.shape[0],):
            raise ValueError(
                f"groups has shape {values.shape}, expected ({X.shape[0]},): the "
                "cluster of each row."
            )
        found = _unique(values)
        of_rows = _numbers(found, values)
    if found.size < 2:
        raise ValueError("groups holds only one cluster; at least two are needed.")
    return Clusters(found.size, of_rows)


def _on_host(groups: Any) -> np.ndarray:
    groups = accept("groups", groups)
    if arrays.is_array(groups):
        return arrays.to_host(groups)
    # NumPy makes strings of NaN that are among strings, unless they stay objects.
    dtype = object if isinstance(groups, list | tuple) else None
    return np.asarray(groups, dtype=dtype)


def _unique(groups: Any) -> np.ndarray:
    values = _on_host(groups)
    _refuse_missing(values)
    try:
        return np.unique(values)
    except TypeError as error:
        raise ValueError(
            f"groups holds values that cannot be compared: {error}. Use numbers or "
            "strings."
        ) from error


def _refuse_missing(values: np.ndarray) -> None:
    if values.dtype.kind in "fmM":
        n_missing = int(np.count_nonzero(values != values))
    elif values.dtype.kind == "O":
        n_missing = sum(map(is_missing, values.ravel().tolist()))
    else:
        return
    if n_missing:
        raise ValueError(
            f"groups holds missing values, {n_missing} of {values.size}. Drop those "
            "rows and fit again, or give them a group of their own."
        )


def _numbers(names: np.ndarray, groups: Any) -> np.ndarray:
    return np.searchsorted(names, _on_host(groups))
