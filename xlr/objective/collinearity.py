"""Collinear columns, as sums of other columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr.text import printable

# Rounding errors of a Gram matrix, per column. A column is collinear if the others
# leave a smaller share of its sum of squares.
GRAM_ROUNDINGS = 64


class Aliased(NamedTuple):
    """Columns that are sums of other columns.

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

    def describe(self, names: list[str]) -> str:
        """Describe each dropped column as a sum of kept columns."""
        sums = []
        for j, column in enumerate(self.dropped):
            terms = []
            for kept, weight in zip(self.kept, self.weights[:, j]):
                if abs(weight) > 1e-6:
                    factor = "" if np.isclose(weight, 1) else f"{weight:.4g} "
                    terms.append(factor + printable(names[kept]))
            sums.append(f"{printable(names[column])} = {' + '.join(terms) or 0}")
        return "; ".join(sums)


def find_aliased(gram: np.ndarray, eps: float) -> Aliased:
    """Find the columns that are sums of columns before them, from their Gram matrix.

    As in R, the first of several collinear columns is kept. A column is a sum if the
    columns before it leave a residual sum of squares within its rounding error. This is
    the rounding error of the matrix times the squared weights of the sum. The weights
    are large for a column that is small compared with the others, such as a rare
    category at the end.

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
    least = GRAM_ROUNDINGS * q.size * eps
    try:
        # A row, divided by its last entry, is the residual of a column as a sum.
        rows = np.linalg.inv(np.linalg.cholesky(scaled))
        if (least * np.sum(rows**2, axis=1) < 1).all():
            return Aliased(q, q[:0], np.zeros((q.size, 0)))
    except np.linalg.LinAlgError:
        pass
    left, sums = scaled.copy(), np.eye(q.size)
    kept = np.zeros(q.size, dtype=bool)
    for j in q:
        if left[j, j] > least * np.sum(sums[j] ** 2):
            kept[j] = True
            share = left[:, j] / left[j, j]
            left = left - np.outer(share, left[j, :])
            sums = sums - np.outer(share, sums[j])
    dropped = q[~kept]
    weights = np.linalg.solve(scaled[np.ix_(kept, kept)], scaled[np.ix_(kept, dropped)])
    weights = weights * root[dropped] / root[kept][:, None]
    return Aliased(q[kept], dropped, weights)
