"""The matrix of a quadratic model of F: products, corrections and solves, on the host.

The arrays have the size of the parameters, and each step depends on the last. NumPy
takes hundreds of such steps in the time that a GPU needs to start one.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas, lapack, norm, solve_triangular

# Minimum ratio of new to old curvature along a step for a BFGS correction; a smaller
# ratio is lost in rounding.
MIN_CURVATURE_RATIO = 1e-4

# Minimum number of free coordinates for which the last factor is updated: a new factor
# of 100 coordinates takes 64 µs, and an update 80 to 120 µs (one x86 core).
MIN_UPDATED_FACTOR = 128

# Maximum changes of the free coordinates and corrections of H since a factorisation,
# per coordinate; more cost as much as a new one. And the maximum error of the solution,
# relative, with which the factor is kept.
MAX_CHANGES = 1 / 16
MAX_ERROR = 1e-8


class Quadratic:
    r"""A symmetric matrix H, stored with rows and columns scaled to a unit diagonal.

    Parameters
    ----------
    matrix : ndarray of shape (q, q)
        H, positive semi-definite up to its noise, with a positive diagonal.
    noise : float
        Uncertainty of the entries, relative to the diagonal; positive.

    Attributes
    ----------
    scale : ndarray of shape (q,)
        Square root of the diagonal of H.
    matrix : ndarray of shape (q, q)
        H / (scale scale'); only the lower triangle is valid.
    noise : float
    largest_curvature : float
        Estimate of the largest curvature of ``matrix``; proximal gradient steps raise
        it.
    """

    def __init__(self, matrix: np.ndarray, noise: float) -> None:
        self.noise = noise
        self.scale = np.sqrt(np.diagonal(matrix))
        scaled = matrix / self.scale
        scaled /= self.scale[:, None]
        self.matrix = scaled.T  # in Fortran order, for BLAS
        self.largest_curvature = 1.0
        self._factored: tuple[np.ndarray, np.ndarray] | None = None
        self._corrections: list[tuple[float, np.ndarray]] = []

    @property
    def diagonal(self) -> np.ndarray:
        """Return the diagonal of H."""
        return np.diagonal(self.matrix) * self.scale**2

    def damped(self, added: np.ndarray) -> Quadratic:
        """Return H + diag(added)."""
        matrix = self.matrix.T * self.scale
        matrix *= self.scale[:, None]
        matrix[np.diag_indices_from(matrix)] += added
        return Quadratic(matrix, self.noise)

    def bfgs_update(self, step: np.ndarray, gradient_change: np.ndarray) -> None:
        """Correct H by BFGS, so that H step = gradient_change.

        H stays unchanged if the function is not clearly convex along the step.

        References
        ----------
        Nocedal and Wright (2006), *Numerical Optimization*, eq. 6.19.
        """
        s, y = step * self.scale, gradient_change / self.scale
        product = self.times(s)
        old, new = s @ product, s @ y  # curvature along the step
        if old > 0 and new > MIN_CURVATURE_RATIO * old:
            for size, vector in ((1 / new, y), (-1 / old, product)):
                self.matrix = blas.dsyr(
                    size, vector, a=self.matrix, lower=True, overwrite_a=True
                )
                self._corrections.append((size, vector))

    def times(self, u: np.ndarray) -> np.ndarray:
        """Return the product of the scaled matrix and u."""
        return blas.dsymv(1.0, self.matrix, u, lower=True)

    def solve(self, free: np.ndarray, right: np.ndarray) -> np.ndarray | None:
        """Return the solution of H_ff x = right, for the free coordinates f.

        If the block is singular up to its noise, return None, and raise the diagonal of
        H above the noise.
        """
        if free.size >= MIN_UPDATED_FACTOR:
            x = self._solved_again(free, right)
            if x is not None:
                return x
        block = self.matrix.T[np.ix_(free, free)].T
        factor, failed = lapack.dpotrf(block, lower=True, overwrite_a=True)
        self._factored, self._corrections = None, []
        if failed or np.diagonal(factor).min() ** 2 <= self.noise:
            self.matrix[np.diag_indices_from(self.matrix)] += 2 * self.noise
            return None
        self._factored = free, factor
        return lapack.dpotrs(factor, right, lower=True)[0]

    def _solved_again(self, free: np.ndarray, right: np.ndarray) -> np.ndarray | None:
        r"""Solve with the last factor L, for other free coordinates and corrections.

        The new coordinates z, multipliers of those that are no longer free, and
        corrections c v v' border the system:

        .. math::
            \begin{pmatrix} L L' & B \\ B' & D \end{pmatrix}
            \begin{pmatrix} x \\ z \end{pmatrix} = r

        Return None if there are too many changes, or rounding spoils the solution.
        """
        if self._factored is None:
            return None
        (kept, factor), corrections = self._factored, self._corrections
        added = np.setdiff1d(free, kept, assume_unique=True)
        dropped = np.nonzero(np.isin(kept, free, invert=True))[0]
        n, end = added.size, added.size + dropped.size
        size = end + len(corrections)
        if size > MAX_CHANGES * kept.size:
            return None
        # 1. The borders B and D, and the right side r.
        B, D = np.zeros((kept.size, size)), np.zeros((size, size))
        for k, j in enumerate(added):
            column = np.concatenate([self.matrix[j, :j], self.matrix[j:, j]])
            B[:, k], D[k, :n] = column[kept], column[added]
        B[dropped, np.arange(n, end)] = 1
        for k, (c, vector) in enumerate(corrections, end):
            B[:, k], D[k, k] = vector[kept], -1 / c
        solution = np.zeros_like(self.scale)
        solution[free] = right
        # 2. z, from the Schur complement of L L'; and x.
        columns = np.column_stack([B, solution[kept]])
        columns = solve_triangular(factor, columns, lower=True, check_finite=False)
        W, y = columns[:, :-1], columns[:, -1]
        complement = D - W.T @ W
        if n and np.linalg.eigvalsh(complement[:n, :n])[0] <= self.noise:
            return None
        lower_right = np.concatenate([solution[added], np.zeros(size - n)])
        z = lower_right - W.T @ y
        if size:
            z = lapack.dgesv(complement, z)[2]
        solution[kept] = lapack.dtrtrs(factor, y - W @ z, lower=True, trans=1)[0]
        solution[kept[dropped]] = 0.0
        solution[added] = z[:n]
        error = norm(self.times(solution)[free] - right, check_finite=False)
        return solution[free] if error <= MAX_ERROR * norm(right) else None
