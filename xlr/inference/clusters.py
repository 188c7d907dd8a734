"""Clusters of rows, for standard errors that allow for correlation within them."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.data import fetch
from xlr.inference.fitted_data import FittedData
from xlr.inputs.kinds import accept
from xlr.inputs.labels import is_missing
from xlr.objective import cluster_scores

__all__ = ["read_clusters", "sum_between_clusters"]


def read_clusters(groups: Any, n_samples: int) -> np.ndarray:
    """Return the cluster of each row by number, 0, 1, ..., on the host.

    Groups of Dask are brought here: one number for each row.

    Raises
    ------
    ValueError
        If groups are missing, of another length than X or only one, or do not compare.
    """
    if arrays.is_dask(groups):
        groups = fetch([groups])[0][0]
    groups = accept("groups", groups)
    if arrays.is_array(groups):
        groups = arrays.to_host(groups)
    # NumPy makes strings of NaN that are among strings, unless they stay objects.
    dtype = object if isinstance(groups, list | tuple) else None
    values = np.asarray(groups, dtype=dtype)
    if values.shape != (n_samples,):
        raise ValueError(
            f"groups has shape {values.shape}, expected ({n_samples},): the cluster of "
            "each row."
        )
    if values.dtype.kind == "O":
        n_missing = sum(map(is_missing, values.tolist()))
    else:
        n_missing = int(np.count_nonzero(values != values))
    if n_missing:
        raise ValueError(
            f"groups holds missing values, {n_missing} of {n_samples}. "
            "Drop those rows and fit again, or give them a group of their own."
        )
    try:
        names, clusters = np.unique(values, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"groups holds values that cannot be compared: {error}. Use numbers or "
            "strings."
        ) from error
    if names.size < 2:
        raise ValueError("groups holds only one cluster; at least two are needed.")
    return clusters


def sum_between_clusters(
    data: FittedData, clusters: np.ndarray
) -> tuple[np.ndarray, int]:
    """Sum the outer products of the clusters' scores; count clusters with a weight."""
    objective = data.objective
    scores, counted = cluster_scores(
        objective,
        data.parameters,
        int(clusters.max()) + 1,
        objective.data.place_rows(clusters, on_device=False),
    )
    n_clusters = int(np.count_nonzero(counted))
    if n_clusters < 2:
        raise ValueError(
            "The rows with a weight are of one cluster; at least two are needed."
        )
    return data.dataset.unit**2 * (scores.T @ scores), n_clusters
