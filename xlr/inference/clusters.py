"""Clusters of rows, for standard errors robust to correlation within them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from xlr import arrays
from xlr.data import fetch
from xlr.inference.fitted_data import FittedData
from xlr.inference.sandwich import cluster_scores
from xlr.inputs.tables import accept, is_missing


def read_clusters(groups: Any, n_samples: int) -> np.ndarray:
    """Return the cluster numbers of each row, (n_samples, n_ways), on the host.

    Dask computes its groups here.

    Raises
    ------
    ValueError
        If a group is missing or cannot be compared, if there is only one group, or if
        the number of groups differs from the number of rows.
    """
    if arrays.is_dask(groups):
        groups = fetch([groups])[0][0]
    groups = accept("groups", groups)
    if arrays.is_array(groups):
        groups = arrays.to_host(groups)
    # Among strings, NumPy would convert NaN to a string, except in an object array.
    dtype = object if isinstance(groups, list | tuple) else None
    values = np.asarray(groups, dtype=dtype)
    if values.ndim not in (1, 2) or values.shape[0] != n_samples or not values.size:
        raise ValueError(
            f"groups has shape {values.shape}, expected ({n_samples},): the cluster of "
            f"each row; or ({n_samples}, m), its cluster in each of m ways."
        )
    columns = values.reshape(n_samples, -1).T
    return np.stack([_numbered(column) for column in columns], axis=1)


def _numbered(values: np.ndarray) -> np.ndarray:
    """Return the position of each value among the sorted values."""
    if values.dtype.kind == "O":
        n_missing = sum(map(is_missing, values.tolist()))
    else:
        n_missing = int(np.count_nonzero(values != values))
    if n_missing:
        raise ValueError(
            f"groups holds missing values, {n_missing} of {values.size}. "
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


def sum_between_clusters(data: FittedData, clusters: np.ndarray) -> np.ndarray:
    r"""Sum the outer products of the scores of the clusters.

    Inclusion and exclusion combine several ways: the sums of each way, less the sums of
    the intersections of two ways, and so on. Each sum over G clusters has the factor
    G / (G - 1), for few clusters. It takes one pass.

    Parameters
    ----------
    data : FittedData
    clusters : ndarray of shape (n_samples, n_ways)

    References
    ----------
    Cameron, Gelbach and Miller (2011), *Robust inference with multiway clustering*,
    Journal of Business and Economic Statistics 29.
    """
    objective = data.objective
    cells, numbers = np.unique(clusters, axis=0, return_inverse=True)
    scores, counted = cluster_scores(
        objective,
        data.parameters,
        cells.shape[0],
        objective.data.place_rows(numbers.reshape(-1), on_device=False),
    )
    cells, scores = cells[counted > 0], scores[counted > 0]
    n_ways, total = cells.shape[1], np.zeros((scores.shape[1], scores.shape[1]))
    for size in range(1, n_ways + 1):
        for ways in itertools.combinations(range(n_ways), size):
            shared, of = np.unique(cells[:, ways], axis=0, return_inverse=True)
            n_clusters = shared.shape[0]
            if n_clusters < 2:
                raise ValueError(
                    "The rows with a weight are of one cluster; at least two are "
                    "needed."
                )
            sums = np.zeros((n_clusters, scores.shape[1]))
            np.add.at(sums, of.reshape(-1), scores)
            factor = (-1) ** (size + 1) * n_clusters / (n_clusters - 1)
            total += factor * (sums.T @ sums)
    return data.dataset.unit**2 * total
