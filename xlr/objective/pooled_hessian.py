r"""An estimate of the Hessian for many classes, of the size of that for one.

With :math:`h_{ik}` the curvature of row i in class k, weighted, and S the sum of the
weights, the block of the Hessian that belongs to class k is

.. math::
    H_k = a_k \begin{pmatrix} \Sigma_k + m_k m_k^T & m_k \\ m_k^T & 1 \end{pmatrix} + R,
    \qquad a_k = \frac{1}{S} \sum_i h_{ik},
    \quad m_k = \frac{\sum_i h_{ik} z_i}{\sum_i h_{ik}}

where :math:`\Sigma_k` is the covariance of the rows as class k counts them and R the
penalty. As in linear discriminant analysis, one covariance is pooled for all classes,
:math:`\Sigma = \sum_k a_k \Sigma_k / \sum_k a_k`; the sizes and the centres stay those
of each. So what is stored and factorised is a matrix of the size of the features, where
the blocks of a thousand classes would be a thousand of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace

__all__ = ["LEVELS", "PooledHessian"]

# Sizes of classes for which the matrix with the penalty is factorised.
LEVELS = 4


class PooledHessian:
    """One covariance for all classes of a model, with the size and centre of each.

    Parameters
    ----------
    sizes : array of shape (n_models, n_outputs)
        :math:`a_k`.
    centres : array of shape (n_models, n_outputs, p) or None
        :math:`m_k`; None without an intercept, for zeros.
    covariance : array of shape (n_models, p, p)
        :math:`\\Sigma`.
    penalty : array of shape (n_models, p)
        The diagonal of R.
    rounding : float
        Relative rounding error of the covariance.
    xp : namespace

    Attributes
    ----------
    diagonal : array of shape (n_models, n_parameters)
    """

    def __init__(
        self,
        sizes: Array,
        centres: Array | None,
        covariance: Array,
        penalty: Array,
        rounding: float,
        *,
        xp: Namespace,
    ) -> None:
        self._xp = xp
        self._rounding = rounding
        mean = xp.mean(sizes, axis=1, keepdims=True)
        # A class that no row leaves in doubt has no curvature.
        self._sizes = xp.maximum(sizes, rounding * mean)
        self._centres = centres
        self._covariance = covariance
        self._penalty = penalty
        variances = xp.linalg.diagonal(covariance)[:, None, :]
        if centres is not None:
            variances = variances + centres**2
        diagonal = self._sizes[..., None] * variances + penalty[:, None, :]
        # One where there is no curvature at all: a constant column.
        diagonal = xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal))
        if centres is not None:
            diagonal = xp.concat([diagonal, self._sizes[..., None]], axis=2)
        self.diagonal = xp.reshape(diagonal, (sizes.shape[0], -1))

    def select(self, models: np.ndarray) -> Self:
        """Those of some models, by their numbers; one may be chosen several times."""
        centres = self._centres
        return type(self)(
            arrays.rows(self._sizes, models),
            None if centres is None else arrays.rows(centres, models),
            arrays.rows(self._covariance, models),
            arrays.rows(self._penalty, models),
            self._rounding,
            xp=self._xp,
        )

    def solver(
        self, damping: Array, least: Array | None = None
    ) -> Callable[[Array], Array]:
        r"""What solves (H + lambda D) x = b, with D the diagonal but for the centres.

        Whatever the ``least``, which would take a factor for each class.

        A class without its intercept, which is solved for apart, has
        :math:`a_k \Sigma + R = a_k (\Sigma + R / a_k)`. The second factor is made for a
        few sizes, and each class has that of the nearest.
        """
        xp, sizes, centres = self._xp, self._sizes, self._centres
        n_models, n_outputs = sizes.shape
        p = self._covariance.shape[-1]
        levels, nearest = self._levels()
        penalty = self._penalty / xp.mean(sizes, axis=1, keepdims=True)
        diagonal = xp.linalg.diagonal(self._covariance) + penalty
        root = xp.sqrt(xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal)))
        root = root[:, None, :]
        scaled = self._covariance / xp.matrix_transpose(root) / root
        # With as much on the diagonal as its rounding leaves uncertain.
        ridge = self._penalty[:, None, :] / levels[..., None] / root**2
        ridge = ridge + damping[:, None, None] + p**0.5 * self._rounding
        identity = xp.eye(p, dtype=root.dtype, device=arrays.device_of(root))
        matrices = scaled[:, None, :, :] + identity * ridge[..., None, :]
        matrices = xp.reshape(matrices, (-1, p, p))
        solve_scaled = arrays.positive_definite_solver(matrices, xp=xp)
        own = sizes * (1 + damping[:, None])

        def solve(vector: Array) -> Array:
            slope = xp.reshape(vector, (n_models, n_outputs, -1))
            if centres is not None:
                slope, total = slope[..., :-1], slope[..., -1]
                slope = slope - centres * total[..., None]
            slope = slope / sizes[..., None] / root
            each = solve_scaled(xp.repeat(slope, levels.shape[1], axis=0))
            each = xp.reshape(each, (*levels.shape, n_outputs, p))
            solved = xp.sum(each * nearest[..., None], axis=1) / root
            if centres is not None:
                shift = xp.sum(centres * solved, axis=2)
                intercept = total / own - shift
                solved = xp.concat([solved, intercept[..., None]], axis=2)
            return xp.reshape(solved, vector.shape)

        return solve

    def _levels(self) -> tuple[Array, Array]:
        """A few sizes, (n_models, n_levels), and which is the nearest to that of each
        class: ones and zeros, (n_models, n_levels, n_outputs).
        """
        xp, sizes = self._xp, self._sizes
        n_levels = min(LEVELS, sizes.shape[1])
        least = xp.min(sizes, axis=1, keepdims=True)
        width = xp.log(xp.max(sizes, axis=1, keepdims=True) / least) / n_levels
        number = xp.arange(n_levels, dtype=sizes.dtype, device=arrays.device_of(sizes))
        levels = least * xp.exp(width * (number + 0.5))
        # All in the first where they are alike.
        width = xp.where(width > 0, width, xp.ones_like(width))
        place = xp.floor(xp.log(sizes / least) / width)
        place = arrays.within(place, 0.0, n_levels - 1.0, xp=xp)
        nearest = place[:, None, :] == number[None, :, None]
        return levels, xp.astype(nearest, sizes.dtype)
