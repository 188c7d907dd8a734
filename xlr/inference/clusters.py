"""The cluster that each row belongs to, for standard errors that allow for them."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Chunks, call, fetch
from xlr.inputs.dask_input import parts_beside

__all__ = ["Clusters", "read_clusters"]


class Clusters(NamedTuple):
    """Clusters by number: 0, 1, ..., n - 1.

    Attributes
    ----------
    n : int
    of_rows : ndarray of shape (n_samples,), or list of Delayed
        The cluster of each row; of all chunks, where rows are in chunks.
    """

    n: int
    of_rows: Any

    def among(self, X: Any) -> Clusters:
        """Of the chunks that a first pass has left of all."""
        if not isinstance(X, Chunks):
            return self
        return self._replace(of_rows=[self.of_rows[i] for i in X.positions])


def read_clusters(groups: Any, X: Array | Chunks) -> Clusters:
    """The clusters that rows of X are in.

    Raises
    ------
    ValueError
        If there are not as many as rows, or only one, or if they do not compare.
    """
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
    return arrays.to_host(groups) if arrays.is_array(groups) else np.asarray(groups)


def _unique(groups: Any) -> np.ndarray:
    try:
        return np.unique(_on_host(groups))
    except TypeError as error:
        raise ValueError(
            f"groups holds values that cannot be compared: {error}. Use numbers or "
            "strings."
        ) from error


def _numbers(names: np.ndarray, groups: Any) -> np.ndarray:
    return np.searchsorted(names, _on_host(groups))
