r"""An estimate of the Hessian for many classes, of the size of that of one.

With :math:`h_{ik}` the weighted curvature of row i in class k, and S the sum of the
weights, the block of the Hessian that belongs to class k is

.. math::
    H_k = a_k \begin{pmatrix} \Sigma_k + m_k m_k^T & m_k \\ m_k^T & 1 \end{pmatrix} + R,
    \qquad a_k = \frac{1}{S} \sum_i h_{ik},
    \quad m_k = \frac{\sum_i h_{ik} z_i}{\sum_i h_{ik}}

where :math:`\Sigma_k` is the covariance of the rows, weighted by class k, and R the
penalty. As in linear discriminant analysis, one covariance is pooled for all classes,
:math:`\Sigma = \sum_k a_k \Sigma_k / \sum_k a_k`; sizes and centres stay those of each.
One matrix of the size of the features is factorised, where the blocks of a thousand
classes would be a thousand.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace

__all__ = ["PooledHessian"]


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
        # A class of which every row is certain has no curvature.
        mean = xp.mean(sizes, axis=1, keepdims=True)
        self._sizes = xp.maximum(sizes, rounding * mean)
        self._centres = centres
        self._covariance = covariance
        self._penalty = penalty
        variances = xp.linalg.diagonal(covariance)[:, None, :]
        if centres is not None:
            variances = variances + centres**2
        diagonal = self._sizes[:, :, None] * variances + penalty[:, None, :]
        diagonal = xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal))
        if centres is not None:
            diagonal = xp.concat([diagonal, self._sizes[:, :, None]], axis=2)
        self.diagonal = xp.reshape(diagonal, (sizes.shape[0], -1))

    def select(self, models: np.ndarray) -> PooledHessian:
        """Return those of some models, by their numbers, which may repeat."""
        centres = self._centres
        return PooledHessian(
            arrays.rows(self._sizes, models),
            None if centres is None else arrays.rows(centres, models),
            arrays.rows(self._covariance, models),
            arrays.rows(self._penalty, models),
            self._rounding,
            xp=self._xp,
        )

    def solver(self, added: Array) -> Callable[[Array], Array]:
        r"""Return what solves with H, damped as much as ``added`` damps its diagonal.

        The intercept is eliminated first: with :math:`g_k` and :math:`t_k` the parts of
        the right-hand side, :math:`(a_k \Sigma + R)\, w_k = g_k - m_k t_k` and
        :math:`b_k = t_k / a_k - m_k \cdot w_k`. The first is solved as
        :math:`a_k (\Sigma + R / a)` with one size a for all classes, the geometric mean
        of the least and the largest.
        """
        xp, sizes, centres = self._xp, self._sizes, self._centres
        n_models, n_outputs = sizes.shape
        p = self._covariance.shape[-1]
        damping = xp.max(added / self.diagonal, axis=1)
        ends = xp.min(sizes, axis=1) * xp.max(sizes, axis=1)
        penalty = self._penalty / xp.sqrt(ends)[:, None]
        diagonal = xp.linalg.diagonal(self._covariance) + penalty
        diagonal = xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal))
        root = xp.sqrt(diagonal)[:, None, :]
        scaled = self._covariance / xp.matrix_transpose(root) / root
        ridge = penalty / diagonal + damping[:, None] + p**0.5 * self._rounding
        identity = xp.eye(p, dtype=root.dtype, device=arrays.device_of(root))
        matrices = scaled + identity * ridge[:, None, :]
        solve_scaled = arrays.positive_definite_solver(matrices, xp=xp)
        own = sizes * (1 + damping[:, None])

        def solve(vector: Array) -> Array:
            right = xp.reshape(vector, (n_models, n_outputs, -1))
            if centres is None:
                coef = solve_scaled(right / sizes[:, :, None] / root) / root
                return xp.reshape(coef, vector.shape)
            right, total = right[:, :, :-1], right[:, :, -1]
            right = right - centres * total[:, :, None]
            coef = solve_scaled(right / sizes[:, :, None] / root) / root
            intercept = total / own - xp.sum(centres * coef, axis=2)
            solved = xp.concat([coef, intercept[:, :, None]], axis=2)
            return xp.reshape(solved, vector.shape)

        return solve
