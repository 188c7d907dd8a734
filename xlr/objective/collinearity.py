"""Collinear columns, as weighted sums of other columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Rounding errors of a Gram matrix, per column. A column is collinear if its residual on
# the columns before it has a smaller share of its sum of squares.
GRAM_ROUNDINGS = 64


class Aliased(NamedTuple):
    """Collinear columns, and their weights as sums of other columns.

    Attributes
    ----------
    kept : ndarray of int
        Linearly independent columns.
    dropped : ndarray of int
        Columns that are sums of kept columns before them.
    weights : ndarray of shape (n_kept, n_dropped)
        Column ``dropped[j]`` is the sum of ``weights[:, j]`` times the kept columns.
    """

    kept: np.ndarray
    dropped: np.ndarray
    weights: np.ndarray


def find_aliased(gram: np.ndarray, eps: float) -> Aliased:
    r"""Find the columns that are sums of columns before them, from their Gram matrix.

    As in R, the first of several collinear columns is kept. With the residual
    :math:`z_j - \sum_i c_i z_i` of a column on the kept columns before it, its sum of
    squares is :math:`a' G a` for a = (-c, 1). The entries of the scaled G are at most 1
    and have an error e, so this sum has an error of at most
    :math:`e (\sum_i |a_i|)^2 \le e q |a|^2`. A residual within it counts as zero. The
    weights c are large for a column that is small compared with the others, such as a
    rare category at the end.

    Parameters
    ----------
    gram : ndarray of shape (q, q)
        Gram matrix for any positive weights of the rows.
    eps : float
        Relative rounding error of its entries.
    """
    diagonal = np.diagonal(gram)
    root = np.sqrt(np.where(diagonal > 0, diagonal, 1))
    scaled = gram / root / root[:, None]
    q = np.arange(gram.shape[0])
    rounding = GRAM_ROUNDINGS * q.size * eps
    # 1. The usual case. With G = L L', row j of L^-1 is a, divided by the norm of the
    # residual.
    try:
        rows = np.linalg.inv(np.linalg.cholesky(scaled))
        if (rounding * np.sum(rows**2, axis=1) < 1).all():
            return Aliased(q, q[:0], np.zeros((q.size, 0)))
    except np.linalg.LinAlgError:
        pass
    # 2. Gaussian elimination, which skips the columns that are sums. Row j of ``sums``
    # is a for the residual of column j, and ``residual`` the Gram matrix of these.
    residual, sums = scaled.copy(), np.eye(q.size)
    kept = np.zeros(q.size, dtype=bool)
    for j in q:
        if residual[j, j] > rounding * np.sum(sums[j] ** 2):
            kept[j] = True
            factor = residual[:, j] / residual[j, j]
            residual = residual - np.outer(factor, residual[j, :])
            sums = sums - np.outer(factor, sums[j])
    # 3. The weights, by least squares.
    dropped = q[~kept]
    weights = np.linalg.solve(scaled[np.ix_(kept, kept)], scaled[np.ix_(kept, dropped)])
    weights = weights * root[dropped] / root[kept][:, None]
    return Aliased(q[kept], dropped, weights)
