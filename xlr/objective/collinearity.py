"""Columns that are sums of others, and what they are sums of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr.text import printable

# Rounding errors of a Gram matrix, for each column: a column whose residual on the
# others is smaller is collinear.
GRAM_ROUNDINGS = 64


class Aliased(NamedTuple):
    """The columns that others make up.

    Attributes
    ----------
    kept : ndarray of int
        The columns that are not.
    dropped : ndarray of int
        Those that are sums of columns kept before them.
    weights : ndarray of shape (n_kept, n_dropped)
        Column ``dropped[j]`` is the sum of ``weights[:, j]`` times those kept.
    """

    kept: np.ndarray
    dropped: np.ndarray
    weights: np.ndarray

    def describe(self, names: list[str]) -> str:
        """A sentence that names the columns and what they are made of."""
        names = [printable(name) for name in names]
        sums = []
        for j, column in enumerate(self.dropped):
            terms = [
                name if np.isclose(weight, 1) else f"{weight:.4g} {name}"
                for weight, name in zip(
                    self.weights[:, j], (names[kept] for kept in self.kept)
                )
                if abs(weight) > 1e-6
            ]
            sums.append(f"{names[column]} = {' + '.join(terms) or 0}")
        return "; ".join(sums)


def smallest_square(n_columns: int, eps: float) -> float:
    """Return the least share of a column's square, given the others, above rounding."""
    return GRAM_ROUNDINGS * n_columns * eps


def find_aliased(gram: np.ndarray, eps: float) -> Aliased:
    """The columns that are sums of those before them, from their Gram matrix.

    As R does: of columns that make each other up, the first are kept. One is taken for
    a sum if the residual of its square on the others is within the rounding error
    of the matrix, which the weights of that sum multiply: they are large for a column
    that is small compared with those, such as a category of a few rows that comes last.

    Parameters
    ----------
    gram : ndarray of shape (q, q)
        Weights of the rows do not matter, as long as they are positive.
    eps : float
        Relative rounding error of its entries.
    """
    diagonal = np.diagonal(gram)
    root = np.sqrt(np.where(diagonal > 0, diagonal, 1))
    scaled = gram / root / root[:, None]
    least = smallest_square(gram.shape[0], eps)
    q = np.arange(gram.shape[0])
    try:
        # A row over its last entry: what is left of a column, as a sum of columns.
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
