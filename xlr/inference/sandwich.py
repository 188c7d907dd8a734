"""The middle of a sandwich covariance: products of the scores of rows and clusters."""

from __future__ import annotations

from functools import partial

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.losses import Loss
from xlr.objective import Objective, passes
from xlr.objective.hessian import bordered

# Rows that are summed into their clusters at a time, by a product with a matrix of
# zeros and ones that may have as many columns.
CLUSTER_ROWS = 512


def outer_products(
    objective: Objective,
    parameters: Array,
    class_factors: np.ndarray,
    inverse: np.ndarray | None = None,
    power: float = 0.0,
) -> Array:
    r"""Return the sum of the outer products of the scores of the rows, in one pass.

    With weights :math:`s_i = f_i c_{y_i}`, the count :math:`f_i` of the row and the
    factor :math:`c_k` of its class, the sum is

    .. math:: \sum_i f_i c_{y_i}^2\, \nabla\ell_i \nabla\ell_i^T / (1 - h_i)^{power}

    because a row that counts several times has as many scores. The leverage of a row
    that counts once is :math:`h_i = c_{y_i} p_i (1 - p_i) z_i^T M z_i`.

    Parameters
    ----------
    objective : Objective
        Objective of one model; with ``inverse``, of two classes.
    parameters : array of shape (1, n_parameters)
    class_factors : ndarray of shape (n_classes,)
        c.
    inverse : ndarray of shape (n_parameters, n_parameters), default=None
        M, in units of the given weights. None for no leverages.
    power : float, default=0.0
    """
    root = None
    if inverse is not None:
        root = objective.split(objective.place(square_root(inverse).T))
    sums = objective.data.map_reduce(
        _outer_sums,
        objective.loss,
        parameters,
        objective.place(class_factors),
        root,
        power,
        width=3 * objective.n_parameters,
        least=4 * objective.n_outputs * objective.n_features,
    )
    xp = objective.xp
    outer = bordered(*sums, xp=xp) if objective.fit_intercept else sums[0]
    return outer[0, :, :]


def _outer_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    factors: Array,
    root: tuple[Array, Array | None] | None,
    power: float,
) -> tuple[Array, ...]:
    xp, wide = block.xp, block.wide
    block = block._replace(matrix=block.matrix.astype(wide))
    eta = passes.logits(block, loss, parameters)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    own = xp.take(factors, xp.astype(block.labels[:, 0], xp.int64))
    s = xp.astype(block.weights[:, 0], wide)
    size = s * own
    if root is not None:
        h = loss.curvature(eta, block.labels, xp=xp).values[:, 0, 0]
        leverage = own * h * xp.sum(block.matrix.matvec(*root) ** 2, axis=1)
        # A row without a weight has no leverage.
        leverage = xp.where(s > 0, leverage, xp.zeros_like(leverage))
        size = size / (1 - leverage) ** power
    scores = xp.sqrt(size)[:, None] * xp.astype(gradient[:, 0, :], wide)
    return passes.outer_sums(block, scores[:, None, :], wide)


def cluster_scores(
    objective: Objective, parameters: Array, n_clusters: int, clusters: object
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the gradients of the loss within clusters: (n_clusters, n_parameters).

    The pass also counts the rows of each cluster with weight. Results are on the host.

    Parameters
    ----------
    objective : Objective
        Objective of one model.
    parameters : array of shape (1, n_parameters)
    n_clusters : int
    clusters : ndarray of shape (n_samples,), or a list of its chunks
        The cluster of each row: 0, 1, ..., n_clusters - 1.
    """
    ids, scores, weighted = objective.data.map_reduce(
        _cluster_sums,
        objective.loss,
        parameters,
        combine=partial(_merged, n_clusters),
        per_row=clusters,
    )
    sums, counted = np.zeros((n_clusters, scores.shape[1])), np.zeros(n_clusters)
    np.add.at(sums, ids, scores)
    np.add.at(counted, ids, weighted)
    return sums, counted


def _merged(
    n_clusters: int, a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """Join the sums of two parts of the rows, and add the sums of equal clusters."""
    ids, *sums = map(np.concatenate, zip(a, b))
    if ids.size <= 2 * n_clusters:
        return ids, *sums
    unique, place = np.unique(ids, return_inverse=True)
    added = [np.zeros((unique.size, *part.shape[1:])) for part in sums]
    for total, part in zip(added, sums):
        np.add.at(total, place, part)
    return unique, *added


def _cluster_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    clusters: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Return the clusters of some rows, their scores and their numbers of rows."""
    xp, wide = block.xp, block.wide
    eta = passes.logits(block, loss, parameters)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    gradient = block.weights * gradient[:, 0, :]
    has_intercept = parameters.shape[1] > loss.n_outputs * block.matrix.shape[1]
    found = []
    for start in range(0, gradient.shape[0], CLUSTER_ROWS):
        rows = slice(start, min(start + CLUSTER_ROWS, gradient.shape[0]))
        here, place = np.unique(clusters[rows], return_inverse=True)
        is_member = arrays.move(
            np.arange(here.size) == place[:, None],
            xp=xp,
            device=block.matrix.device,
            dtype=gradient.dtype,
        )
        matrix = block.matrix.take_rows(rows)
        columns = []
        for k in range(gradient.shape[1]):
            scores = is_member * gradient[rows, k][:, None]
            total = xp.sum(scores, axis=0, dtype=wide)
            columns.append(matrix.transpose_matvec(scores, total))
            if has_intercept:
                columns.append(total[:, None])
        scores = arrays.to_host(xp.concat(columns, axis=1))
        weights = arrays.to_host(block.weights[rows, 0])
        found.append((here, scores, np.bincount(place, weights > 0)))
    ids, sums, weighted = map(np.concatenate, zip(*found))
    return ids, sums, weighted


def square_root(matrix: np.ndarray) -> np.ndarray:
    """Return R with R R' = M for a positive semi-definite M."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0))
