"""Quadratic forms on the host, and inverses of parts of their matrices.

Both change in place, by products that read and write a triangle once (BLAS): a copy of
a matrix costs many times as much.
"""

from __future__ import annotations

import copy

import numpy as np
from scipy.linalg import blas, lapack

__all__ = ["PartialInverse", "Quadratic"]

# Share of the coordinates that may change before a new inverse costs less.
WORTH_CHANGING = 1 / 8

# Of the curvature along a step: less is lost in rounding.
SOUND = 1e-4


class Quadratic:
    r""":math:`u'Hu / 2`, where u is in units that make the diagonal of H about one.

    Parameters
    ----------
    matrix : ndarray of shape (q, q)
        H for v = u / unit: symmetric, positive definite.
    noise : float
        Uncertainty of its entries, relative to its diagonal: H may be singular as far
        as that tells.

    Attributes
    ----------
    unit : ndarray of shape (q,)
    matrix : ndarray of shape (q, q)
        H; only the lower triangle counts.
    """

    def __init__(self, matrix: np.ndarray, noise: float) -> None:
        self.renew(matrix, noise)

    def renew(self, matrix: np.ndarray, noise: float) -> None:
        """Take another matrix."""
        self.noise = noise
        self.unit = np.sqrt(np.diagonal(matrix))
        scaled = matrix / self.unit
        scaled /= self.unit[:, None]
        self.matrix = scaled.T  # as Fortran has it
        self._inverse: PartialInverse | None = None

    def times(self, u: np.ndarray) -> np.ndarray:
        """Hu."""
        return blas.dsymv(1.0, self.matrix, u, lower=True)

    def column(self, j: int) -> np.ndarray:
        """That of H."""
        return _column(self.matrix, j)

    def damped(self, added: np.ndarray) -> Quadratic:
        """A copy with more on the diagonal of H for v, and in its units."""
        other = copy.copy(self)
        matrix = self.matrix.T * self.unit
        matrix *= self.unit[:, None]
        matrix[np.diag_indices(len(matrix))] += added
        other.renew(matrix, self.noise)
        return other

    @property
    def diagonal(self) -> np.ndarray:
        """That of H for v."""
        return np.diagonal(self.matrix) * self.unit**2

    def correct(self, step: np.ndarray, change: np.ndarray) -> None:
        """BFGS: change H so that it takes a step to the change of the gradient.

        Nothing is learned of a step along which the gradient does not rise.

        References
        ----------
        Nocedal and Wright (2006), *Numerical Optimization*, eq. 6.19.
        """
        step, change = step * self.unit, change / self.unit
        product = self.times(step)
        before, after = step @ product, step @ change
        if not (before > 0 and after > SOUND * before):
            return
        old, new = product / np.sqrt(before), change / np.sqrt(after)
        self.matrix = _plus(self.matrix, 1.0, new)
        self.matrix = _plus(self.matrix, -1.0, old)
        if self._inverse is not None and not self._inverse.corrected(new, old):
            self._inverse = None

    def inverse_of(self, inside: np.ndarray, *, anew: bool = False) -> PartialInverse:
        """The inverse of the part of H that some coordinates make.

        Parameters
        ----------
        inside : ndarray of bool, of shape (q,)
        anew : bool, default=False
            Whether to compute it again: changes leave rounding errors.
        """
        held = self._inverse
        if held is None or anew or not held.changed_to(inside):
            held = self._inverse = PartialInverse(self, inside)
        return held


class PartialInverse:
    """The inverse of the part of a matrix that some coordinates make, else zero.

    Parameters
    ----------
    quadratic : Quadratic
    inside : ndarray of bool, of shape (q,)
        The coordinates.
    """

    def __init__(self, quadratic: Quadratic, inside: np.ndarray) -> None:
        self._quadratic = quadratic
        self.inside = inside.copy()
        numbers = np.nonzero(inside)[0]
        size = inside.shape[0]
        self._matrix = np.zeros((size, size), order="F")
        place = np.ix_(numbers, numbers)
        self._matrix[place] = _inverse(quadratic.matrix[place])

    def times(self, vector: np.ndarray) -> np.ndarray:
        """The product; exactly zero outside."""
        return blas.dsymv(1.0, self._matrix, vector, lower=True)

    def standing_for(self, j: int) -> tuple[np.ndarray, float]:
        """What those inside must take on for a unit of j, and what is left of H_jj.

        The second is the Schur complement.
        """
        row = self._quadratic.column(j)
        column = self.times(row)
        return column, float(row[j] - row @ column)

    def add(self, j: int, column: np.ndarray, left: float) -> None:
        """Take a coordinate in, with what :meth:`standing_for` said of it."""
        bordered = column.copy()
        bordered[j] = -1.0
        self._matrix = _plus(self._matrix, 1 / left, bordered)
        self.inside[j] = True

    def remove(self, j: int) -> None:
        """Leave a coordinate out."""
        column = _column(self._matrix, j)
        self._matrix = _plus(self._matrix, -1 / column[j], column)
        self._matrix[j, :j] = 0.0
        self._matrix[j:, j] = 0.0
        self.inside[j] = False

    def changed_to(self, inside: np.ndarray) -> bool:
        """Take in and leave out what differs; False if that does not pay."""
        differs = np.nonzero(inside != self.inside)[0]
        if differs.shape[0] > WORTH_CHANGING * inside.sum():
            return False
        for j in map(int, differs):
            if self.inside[j]:
                self.remove(j)
                continue
            column, left = self.standing_for(j)
            if left <= self._quadratic.noise:
                return False
            self.add(j, column, left)
        return True

    def corrected(self, new: np.ndarray, old: np.ndarray) -> bool:
        """Follow a change of H by new new' - old old'; False if it cannot.

        References
        ----------
        Sherman and Morrison (1950), *Adjustment of an inverse matrix corresponding to a
        change in one element of a given matrix*.
        """
        for sign, vector in ((1.0, new), (-1.0, old)):
            product = self.times(vector)
            divisor = 1 + sign * (vector @ product)
            if divisor <= self._quadratic.noise:
                return False
            self._matrix = _plus(self._matrix, -sign / divisor, product)
        return True


def _plus(matrix: np.ndarray, factor: float, vector: np.ndarray) -> np.ndarray:
    """The matrix plus factor times vv', in its place."""
    return blas.dsyr(factor, vector, a=matrix, lower=True, overwrite_a=True)


def _column(matrix: np.ndarray, j: int) -> np.ndarray:
    """Of a symmetric matrix, from its lower triangle."""
    return np.concatenate([matrix[j, :j], matrix[j:, j]])


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """The lower triangle of that of a matrix, from its lower triangle.

    Positive definite, but for rounding.
    """
    if not matrix.size:
        return matrix  # LAPACK refuses it, on the terminal
    factor, failed = lapack.dpotrf(matrix, lower=True)
    if failed:
        symmetric = np.tril(matrix) + np.tril(matrix, -1).T
        return np.linalg.pinv(symmetric, hermitian=True)
    return lapack.dpotri(factor, lower=True, overwrite_c=True)[0]
