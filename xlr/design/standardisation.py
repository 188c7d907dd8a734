"""Mean and scale of the columns, and what they do to coefficients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design.moments import Moments, find_moments
from xlr.threads import ALONE, Workers

__all__ = ["Standardisation", "farthest_mean", "standardise"]


@dataclass(frozen=True)
class Standardisation:
    r"""The change of variables z = (x - mean) / scale.

    With v and c the coefficients and intercept for z, and w and b those for x:

    .. math:: v_j = scale_j w_j, \qquad c = b + \sum_j mean_j w_j

    Attributes
    ----------
    mean, scale : arrays of shape (n_features,)
        In the widest dtype of the device.  The means are zero for a model
        without intercept; a constant column has scale 1.
    varies : array of shape (n_features,) or None
        0 for a constant column, whose derivatives are zero but for rounding; else 1.
        None if all columns vary.
    """

    mean: Array
    scale: Array
    varies: Array | None = None

    @classmethod
    def of(cls, moments: Moments, dtype: Any, *, xp: Namespace) -> Standardisation:
        """That of columns with these moments, for a matrix of some dtype."""
        varies = xp.astype(moments.deviation > 0, moments.deviation.dtype)
        return cls.within_range(moments.mean, moments.deviation, varies, dtype, xp=xp)

    @classmethod
    def within_range(
        cls,
        mean: Array,
        scale: Array,
        varies: Array | None,
        dtype: Any,
        *,
        xp: Namespace,
    ) -> Standardisation:
        """With scales that can be divided by in some dtype, and means that it holds."""
        # The inverse of a scale must not leave the range.
        least = 4 * float(xp.finfo(dtype).smallest_normal)
        scale = xp.where(
            scale > 0, arrays.within(scale, least, None, xp=xp), xp.ones_like(scale)
        )
        # Rounded to the dtype, x - mean is the change of variables that the
        # coefficients undo, to the last bit.
        return cls(xp.astype(xp.astype(mean, dtype), scale.dtype), scale, varies)

    def coarser(self, columns: Array, dtype: Any, *, xp: Namespace) -> Standardisation:
        """With scales of some columns, by a mask of shape (n_features,), of which not
        even the inverse of a square leaves the range of a dtype.

        For those that are next to nothing: solvers that go along gradients would see
        nothing else.
        """
        least = 1e3 * float(xp.finfo(dtype).smallest_normal) ** 0.5
        coarse = arrays.within(self.scale, least, None, xp=xp)
        scale = xp.where(columns, coarse, self.scale)
        return replace(self, scale=scale)

    @property
    def deviation(self) -> Array:
        """That of the columns: zero where they are constant."""
        return self.scale if self.varies is None else self.scale * self.varies

    def into(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """(w, b) to (v, c); shapes (n_columns, n_features) and (n_columns,)."""
        return coef * self.scale, intercept + coef @ self.mean

    def out_of(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """(v, c) to (w, b), the inverse of :meth:`into`."""
        coef = coef / self.scale
        return coef, intercept - coef @ self.mean

    def gradient(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Gradient in (w, b) to the gradient in (v, c), by the chain rule."""
        coef = (coef - intercept[:, None] * self.mean) / self.scale
        return coef if self.varies is None else coef * self.varies, intercept

    def of_features(self, features: Array, *, xp: Namespace) -> Standardisation:
        """That of some columns, by their numbers on the device."""
        parts = self.mean, self.scale, self.varies
        return Standardisation(
            *(None if part is None else xp.take(part, features) for part in parts)
        )

    def farthest(self, *, xp: Namespace) -> float:
        """The largest distance of a mean from zero, in deviations."""
        return float(arrays.to_host(xp.max(xp.abs(self.mean) / self.scale)))

    def folds(self, dtype: Any, *, xp: Namespace) -> bool:
        """Whether products with X may stand for products with z.

        They may while the digits that the means take are few (none to speak of in
        float64, two bits in float32), and far from the ends of the dtype's range.
        """
        offset = xp.abs(self.mean) / self.scale
        size = xp.maximum(xp.abs(self.mean), self.scale)
        extremes = xp.stack([xp.max(offset), xp.max(size), 1 / xp.min(self.scale)])
        offset, largest, inverse = arrays.to_host(extremes)
        far = float(xp.finfo(xp.float32).max) ** 0.25
        near = farthest_mean(dtype, xp=xp)
        return bool(offset <= near and largest < far and inverse < far)


def farthest_mean(dtype: Any, *, xp: Namespace) -> float:
    """Deviations from zero at which a mean takes no digits that are missed.

    None to speak of in float64, two bits in float32.
    """
    return max(4.0, 1e-12 / float(xp.finfo(dtype).eps))


@arrays.quiet()
def standardise(
    X: Array,
    weights: Array,
    *,
    centre: bool,
    workers: Workers = ALONE,
    xp: Namespace,
) -> Standardisation:
    """The change of variables to columns of mean 0 and standard deviation 1.

    Parameters, and what is raised: as for :func:`find_moments`.

    Returns
    -------
    Standardisation
    """
    found = find_moments(X, weights, centre=centre, workers=workers, xp=xp)
    return Standardisation.of(found, arrays.floating_dtype(X, xp=xp), xp=xp)
