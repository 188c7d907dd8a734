"""Penalties as functions of the coefficients.

Coefficients have the shape (n_models, n_outputs, n_features), without intercepts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace


class NonSmooth(NamedTuple):
    r"""Non-smooth part of a penalty: an L1 penalty :math:`\kappa |w|`, and bounds.

    Attributes
    ----------
    l1 : array
        :math:`\kappa`, not negative.
    lower, upper : array
        Bounds of the coefficients, which may be infinite.
    """

    l1: Array
    lower: Array
    upper: Array

    def prox(self, w: Array, step: Array | float, *, xp: Namespace) -> Array:
        r"""Return the minimiser over u of (u - w)^2 / 2 + step kappa |u| within bounds.

        It is the clipped soft threshold (Parikh and Boyd 2014, *Proximal Algorithms*,
        section 6.5.2).
        """
        excess = xp.abs(w) - step * self.l1
        shrunk = xp.sign(w) * xp.where(excess > 0, excess, xp.zeros_like(excess))
        return self.project(shrunk, xp=xp)

    def free(self, w: Array) -> Array:
        """Return which coefficients are neither at a bound nor at zero under L1."""
        return ((self.l1 == 0) | (w != 0)) & (w > self.lower) & (w < self.upper)

    def project(self, w: Array, *, xp: Namespace) -> Array:
        """Return the nearest coefficients within the bounds."""
        return xp.minimum(xp.maximum(w, self.lower), self.upper)

    def minimum_norm_subgradient(
        self, w: Array, gradient: Array, *, xp: Namespace
    ) -> Array:
        """Return the minimum-norm subgradient, given the gradient of the smooth part.

        It is the one-sided derivative on the side on which the function decreases. It
        is zero if there is no such side, or if a bound stops the coefficient.
        """
        above = gradient + xp.where(w >= 0, self.l1, -self.l1)
        below = gradient + xp.where(w > 0, self.l1, -self.l1)
        decreases_below = (below > 0) & (w > self.lower)
        subgradient = xp.where(decreases_below, below, xp.zeros_like(below))
        return xp.where((above < 0) & (w < self.upper), above, subgradient)


class Penalty(NamedTuple):
    r"""Ridge penalty with a strength per feature, and a non-smooth part.

    .. math::
        \sum_j \tfrac12 \lambda_j w_j^2 + \kappa_j |w_j|, \qquad l_j \le w_j \le u_j

    Attributes
    ----------
    curvature : array of shape (n_models or 1, 1, n_features)
        The :math:`\lambda_j`; zero for a coefficient without a ridge penalty. In xlr,
        they are (1 - l1_ratio) f_j / (C S scale_j^2), with the penalty factors f_j.
    non_smooth : NonSmooth or None
        The :math:`\kappa_j`, :math:`l_j` and :math:`u_j`, of the same shape; None if
        the penalty is smooth. In xlr, kappa_j is l1_ratio f_j / (C S scale_j).

    References
    ----------
    Zou and Hastie (2005), *Regularization and variable selection via the elastic net*.
    """

    curvature: Array
    non_smooth: NonSmooth | None = None

    def value_and_gradient(self, coef: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Return the penalty of each model, and the gradient of its smooth part."""
        gradient = self.curvature * coef
        value = 0.5 * xp.sum(gradient * coef, axis=(1, 2))
        if self.non_smooth is not None:
            value = value + xp.sum(self.non_smooth.l1 * xp.abs(coef), axis=(1, 2))
        return value, gradient

    def strong_l1_limit(self, *, xp: Namespace) -> Penalty:
        """Return the limit of a strong L1 penalty: bounds on its coefficients.

        Both bounds are zero, or the nearest allowed number. An infinite L1 penalty has
        the same minimiser, but the rounding error of its value would exceed the loss.
        """
        assert self.non_smooth is not None
        l1, lower, upper = self.non_smooth
        nearest = self.non_smooth.project(xp.zeros_like(l1), xp=xp)
        bounds = (xp.where(l1 > 0, nearest, bound) for bound in (lower, upper))
        return Penalty(self.curvature, NonSmooth(l1, *bounds))

    def select(self, models: np.ndarray) -> Penalty:
        """Return the penalty of some models, by their indices."""
        # All models may share one row.
        return self._map(lambda x: x if x.shape[0] == 1 else arrays.take(x, models))

    def take_columns(self, features: Array, *, xp: Namespace) -> Penalty:
        """Return the penalty of some features, by their indices on the device."""
        return self._map(lambda x: xp.take(x, features, axis=2))

    def _map(self, function: Callable[[Array], Array]) -> Penalty:
        """Return the penalty with a function applied to each array."""
        non_smooth = self.non_smooth
        if non_smooth is not None:
            non_smooth = NonSmooth(*map(function, non_smooth))
        return Penalty(function(self.curvature), non_smooth)
