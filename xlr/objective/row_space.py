r"""The Hessian of a penalised model with fewer rows than features.

For the rows Z, curvatures A = diag(a), a penalty Lambda = diag(lambda) on the
coefficients w and none on the intercept b,

.. math::
    H = \begin{pmatrix} Z^T A Z + \Lambda & Z^T A 1 \\
        1^T A Z & 1^T A 1 \end{pmatrix}

With t = A (Z w + 1 b), the equations H (w, b) = (g, h) become, in the space of the
rows,

.. math::
    (A^{-1} + Z \Lambda^{-1} Z^T)\, t = Z \Lambda^{-1} g + 1 b, \qquad 1^T t = h,

and then w = Lambda^{-1} (g - Z't).  The kernel matrix Z Lambda^{-1} Z' is computed
once; no matrix of the size of the features is.

References
----------
Hastie and Tibshirani (2004), *Efficient quadratic regularization for expression
arrays*; the Woodbury identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xlr import arrays
from xlr.arrays import Array, Namespace

__all__ = ["RowSpaceHessian"]


class RowSpaceHessian:
    """H of one model, solved with in the space of the rows.

    Parameters
    ----------
    kernel : array of shape (n_samples, n_samples)
        Z Lambda^-1 Z'.
    curvature : array of shape (n_samples,)
        a, including the weights of the rows, divided by their sum.
    strength : array of shape (n_features,)
        lambda, positive.
    forward, backward : callables
        Take parameters of shape (1, n_parameters) to Z w + 1 b, of shape
        (n_samples,), and t of that shape to [Z't, 1't], of shape (1, n_parameters).
    fit_intercept : bool
    xp : namespace

    Attributes
    ----------
    diagonal : array of shape (1, n_parameters)
        The penalty, brought to the size of the curvature: damping in its direction
        scales the kernel, which need not be computed again.
    """

    def __init__(
        self,
        kernel: Array,
        curvature: Array,
        strength: Array,
        forward: Callable[[Array], Array],
        backward: Callable[[Array], Array],
        fit_intercept: bool,
        *,
        xp: Namespace,
    ) -> None:
        self._xp = xp
        self._kernel = kernel
        self._root = xp.sqrt(curvature)
        self._strength = strength
        self._forward = forward
        self._backward = backward
        self._fit_intercept = fit_intercept
        self._total = xp.sum(curvature)
        self._size = self._total / xp.mean(strength)
        self.diagonal = self._join(self._size * strength, self._total)

    def _join(self, coef: Array, intercept: Array) -> Array:
        if self._fit_intercept:
            coef = self._xp.concat([coef, self._xp.reshape(intercept, (1,))])
        return coef[None, :]

    def solver(self, damping: Array) -> Callable[[Array], Array]:
        """What solves (H + lambda D) x = b for x, both (1, n_parameters)."""
        xp, root = self._xp, self._root
        place: dict[str, Any] = {
            "dtype": root.dtype,
            "device": arrays.device_of(root),
        }
        growth = 1 + damping[0] * self._size
        # A^1/2 (A^-1 + K) A^1/2, whose eigenvalues are at least 1.
        matrix = xp.astype(self._kernel, root.dtype) * root[:, None]
        matrix = matrix * (root / growth) + xp.eye(root.shape[0], **place)
        factor = arrays.positive_definite_solver(matrix[None, :, :], xp=xp)

        def solve_rows(q: Array) -> Array:
            return root * factor((root * q)[None, :])[0, :]

        if self._fit_intercept:
            from_one = solve_rows(xp.ones_like(root))
            corner = xp.sum(from_one) + damping[0] * self._total

        def solve(vector: Array) -> Array:
            gradient = vector[0, : self._strength.shape[0]]
            inverse = 1 / (self._strength * growth)
            zero = xp.zeros((), **place)
            t = solve_rows(self._forward(self._join(inverse * gradient, zero)))
            intercept = zero
            if self._fit_intercept:
                intercept = (vector[0, -1] - xp.sum(t)) / corner
                t = t + intercept * from_one
            back = self._backward(t)[0, : gradient.shape[0]]
            return self._join(inverse * (gradient - back), intercept)

        return solve
