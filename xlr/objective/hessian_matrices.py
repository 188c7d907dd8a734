r"""Hessians and their estimates: assembly from sums over the rows, and solves.

Take a row z, with 1 appended if there is an intercept, and the curvature
diag(h sum(h)) - h h' in the logits of a softmax. The row adds

.. math::
    \mathrm{diag}(h \textstyle\sum_k h_k) \otimes z z^T
    - (h \otimes z) (h \otimes z)^T

to the Hessian of a model. The second part is the Gram matrix of the rows
:math:`h \otimes z`, with all classes side by side: one large product instead of a small
one for each pair of classes. Its sum over the classes l of a block (k, l) gives the
first part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace


class BlockHessian:
    """A block-diagonal matrix for each model; a full Hessian is one block.

    Parameters
    ----------
    blocks : array of shape (n_models, n_blocks, q, q)
        Blocks of the mean loss, in the widest dtype.
    penalty : array of shape (n_models, n_parameters)
        Diagonal of the penalty.
    rounding : float
        Relative rounding error of the entries.
    xp : namespace
    """

    def __init__(
        self, blocks: Array, penalty: Array, rounding: float, *, xp: Namespace
    ) -> None:
        self.blocks = blocks
        self.penalty = penalty
        self.rounding = rounding
        self._xp = xp
        diagonal = xp.reshape(xp.linalg.diagonal(blocks), penalty.shape) + penalty
        self.diagonal = _one_if_flat(diagonal, xp=xp)

    def matrices(self, added: Array | None = None) -> Array:
        """Return H + diag(added), positive definite: (n_models n_blocks, q, q).

        A Gram matrix of rounded numbers is positive definite only up to their rounding
        error, so this error is added to its diagonal. More would hide the small
        curvature of separable classes: a fit to digits at C=inf would take ten times as
        many passes.
        """
        xp, q = self._xp, self.blocks.shape[-1]
        ridge = self.penalty + self.diagonal * (q**0.5 * self.rounding)
        if added is not None:
            ridge = ridge + added
        identity = xp.eye(q, dtype=ridge.dtype, device=ridge.device)
        blocks = xp.reshape(self.blocks, (-1, q, q))
        return blocks + identity * xp.reshape(ridge, (-1, 1, q))

    def replace(self, models: np.ndarray, others: BlockHessian) -> BlockHessian:
        """Return the Hessian with other matrices of the same rounding for some models.

        ``models`` are their indices.
        """
        xp, n_models = self._xp, self.blocks.shape[0]
        chosen = np.arange(n_models)
        chosen[models] = n_models + np.arange(models.shape[0])
        blocks = xp.concat([self.blocks, others.blocks])
        penalty = xp.concat([self.penalty, others.penalty])
        return BlockHessian(blocks, penalty, self.rounding, xp=xp).select(chosen)

    def select(self, models: np.ndarray) -> BlockHessian:
        """Return the Hessian of some models, by their indices, which may repeat."""
        blocks, penalty = (arrays.take(x, models) for x in (self.blocks, self.penalty))
        return BlockHessian(blocks, penalty, self.rounding, xp=self._xp)

    def solver(self, added: Array | None) -> Callable[[Array], Array]:
        """Return a function that solves (H + diag(added)) x = b.

        With a single block, it takes several b for each model.
        """
        return arrays.positive_definite_solver(self.matrices(added), xp=self._xp)


class PooledHessian:
    r"""Estimate of the Hessian of many classes, as large as the block of one class.

    With :math:`h_{ik}` the weighted curvature of row i in class k,
    :math:`a_k = \sum_i h_{ik} / S` and the centre
    :math:`m_k = \sum_i h_{ik} z_i / \sum_i h_{ik}`, the block of class k is

    .. math::
        a_k \begin{pmatrix} \Sigma + m_k m_k^T & m_k \\ m_k^T & 1 \end{pmatrix} + R

    with the penalty R, and one covariance :math:`\Sigma` of the rows about the centres,
    as in linear discriminant analysis. It needs one factorisation, where the blocks of
    a thousand classes need a thousand. Solves are in float32, in which the covariance
    was summed. The rows of a class lie about its centre, so that one Gram matrix about
    zero would mix the distances between the centres into the curvature of every class.

    Parameters
    ----------
    curvature : array of shape (n_models, n_outputs)
        :math:`a_k`.
    centres : array of shape (n_models, n_outputs, p) or None
        :math:`m_k`; None for zeros, without intercept.
    covariance : array of shape (n_models, p, p)
        :math:`\Sigma`.
    penalty : array of shape (n_models, p)
        The diagonal of R, a mean over the classes.
    xp : namespace
    """

    def __init__(
        self,
        curvature: Array,
        centres: Array | None,
        covariance: Array,
        penalty: Array,
        *,
        xp: Namespace,
    ) -> None:
        self._xp = xp
        self._rounding = float(xp.finfo(xp.float32).eps)
        # A class has no curvature if the prediction of every row is certain.
        mean = xp.mean(curvature, axis=1, keepdims=True)
        self._curvature = xp.maximum(curvature, self._rounding * mean)
        self._centres = centres
        self._covariance = covariance
        self._penalty = penalty
        own = self._curvature[:, :, None]
        squares = xp.linalg.diagonal(covariance)[:, None, :]
        squares = squares if centres is None else squares + centres**2
        diagonal = own * squares + penalty[:, None, :]
        if centres is not None:
            diagonal = xp.concat([diagonal, own], axis=2)
        diagonal = xp.reshape(diagonal, (curvature.shape[0], -1))
        self.diagonal = _one_if_flat(diagonal, xp=xp)

    def select(self, models: np.ndarray) -> PooledHessian:
        """Return the Hessian of some models, by their indices, which may repeat."""
        terms = self._curvature, self._covariance, self._penalty
        curvature, covariance, penalty = (arrays.take(term, models) for term in terms)
        centres = self._centres
        centres = None if centres is None else arrays.take(centres, models)
        return PooledHessian(curvature, centres, covariance, penalty, xp=self._xp)

    def solver(self, added: Array | None) -> Callable[[Array], Array]:
        r"""Return a function that solves with the blocks, damped relative to D.

        Without its intercept, which the centre eliminates, the block of class k is
        :math:`a_k (\Sigma + R / a_k)`. The second factor is the same for all classes,
        with the geometric mean of the smallest and the largest :math:`a_k`.
        """
        xp, a, centres = self._xp, self._curvature, self._centres
        mean = xp.sqrt(xp.min(a, axis=1) * xp.max(a, axis=1))[:, None]
        covariance = xp.astype(self._covariance[:, None, :, :], xp.float32)
        penalty = xp.astype(self._penalty / mean, xp.float32)
        pooled = BlockHessian(covariance, penalty, self._rounding, xp=xp)
        damping = xp.zeros_like(mean)
        if added is not None:
            damping = xp.max(added / self.diagonal, axis=1, keepdims=True)
        solve = pooled.solver(xp.astype(damping, xp.float32) * pooled.diagonal)

        def solve_by_class(vector: Array) -> Array:
            by_class = xp.reshape(vector, (*a.shape, -1))
            if centres is not None:
                by_class, total = by_class[:, :, :-1], by_class[:, :, -1]
                by_class = by_class - centres * total[:, :, None]
            solved = solve(xp.astype(by_class / a[:, :, None], xp.float32))
            solved = xp.astype(solved, vector.dtype)
            if centres is not None:
                intercept = total / (a * (1 + damping)) - xp.vecdot(centres, solved)
                solved = xp.concat([solved, intercept[:, :, None]], axis=2)
            return xp.reshape(solved, vector.shape)

        return solve_by_class


class DiagonalHessian:
    """A diagonal matrix for each model.

    Parameters
    ----------
    diagonal : array of shape (n_models, n_parameters)
    xp : namespace
    """

    def __init__(self, diagonal: Array, *, xp: Namespace) -> None:
        self._xp = xp
        self.diagonal = _one_if_flat(diagonal, xp=xp)

    def select(self, models: np.ndarray) -> DiagonalHessian:
        """Return the Hessian of some models, by their indices, which may repeat."""
        return DiagonalHessian(arrays.take(self.diagonal, models), xp=self._xp)

    def solver(self, added: Array | None) -> Callable[[Array], Array]:
        """Return a function that solves (H + diag(added)) x = b, by a division."""
        damped = self.diagonal if added is None else self.diagonal + added
        return lambda vector: vector / damped


# A Hessian H, or an estimate of it: what a Newton step solves with. ``diagonal``, of
# shape (n_models, n_parameters), is 1 where H has no curvature (a constant column).
Hessian = BlockHessian | PooledHessian | DiagonalHessian


def _one_if_flat(diagonal: Array, *, xp: Namespace) -> Array:
    """Return the diagonal of a Hessian, with 1 for parameters without curvature."""
    return diagonal + xp.astype(diagonal <= 0, diagonal.dtype)


def bordered(gram: Array, margin: Array, corner: Array, *, xp: Namespace) -> Array:
    """Join sums of z z', z and 1 to sums of (z, 1)(z, 1)', classes side by side.

    Parameters
    ----------
    gram : array of shape (n, m p, m p)
    margin : array of shape (n, m, m p)
    corner : array of shape (n, m, m)

    Returns
    -------
    array of shape (n, m (p + 1), m (p + 1))
        Class by class, each followed by its intercept.
    """
    n, m, _ = margin.shape
    p = gram.shape[-1] // m
    gram = xp.reshape(gram, (n, m, p, m, p))
    margin = xp.reshape(margin, (n, m, 1, m, p))
    transposed = xp.permute_dims(margin, (0, 3, 4, 1, 2))
    top = xp.concat([gram, transposed], axis=4)
    bottom = xp.concat([margin, xp.reshape(corner, (n, m, 1, m, 1))], axis=4)
    return xp.reshape(xp.concat([top, bottom], axis=2), (n, m * (p + 1), -1))


def softmax_hessian(gram: Array, n_outputs: int, *, xp: Namespace) -> Array:
    r"""Return the Hessian of the softmax from its second part, the Gram matrix.

    The block of class k is :math:`\sum_{l \ne k} h_k h_l z z^T`, the sum of its blocks
    with the other classes, which are summed directly: as a difference of
    :math:`h_k \sum_l h_l` and :math:`h_k^2` it would lose all digits where every
    prediction is certain.

    Parameters
    ----------
    gram : array of shape (n_models, n_outputs q, n_outputs q)
    n_outputs : int
    xp : namespace
    """
    n_models, size, _ = gram.shape
    q = size // n_outputs
    by_class = xp.reshape(gram, (n_models, n_outputs, q, n_outputs, q))
    identity = xp.eye(n_outputs, dtype=gram.dtype, device=arrays.device_of(gram))
    is_own = identity[None, :, None, :, None]
    others = by_class * (1 - is_own)
    own = xp.sum(others, axis=3)
    return xp.reshape(own[:, :, :, None, :] * is_own - others, gram.shape)
