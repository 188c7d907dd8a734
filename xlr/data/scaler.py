"""Standardization: the change of variables, and what it does to coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xlr import arrays
from xlr.arrays import Array, Namespace


@arrays.traced("mean", "scale", "varies")
@dataclass(frozen=True)
class Scaler:
    r"""The change of variables z = (x - mean) / scale.

    With v and c the coefficients and intercept for z, and w and b those for x:

    .. math:: v_j = scale_j w_j, \qquad c = b + \sum_j mean_j w_j

    Attributes
    ----------
    mean, scale : arrays of shape (n_features,)
        In the widest dtype of the device. Without an intercept the means are zero; a
        constant column has scale 1.
    varies : array of shape (n_features,)
        0 for a constant column, whose derivatives are zero apart from rounding; else 1.
    """

    mean: Array
    scale: Array
    varies: Array

    @classmethod
    def of(cls, mean: Array, std: Array, dtype: Any, *, xp: Namespace) -> Scaler:
        """Return the scaler of columns with this mean and standard deviation.

        Parameters
        ----------
        mean, std : arrays of shape (n_features,)
            A standard deviation of zero is that of a constant column.
        dtype : dtype
            Of the matrix: the inverse of a scale stays within its range, and the means
            are rounded to it, so that x - mean and b - mean.w are the same change of
            variables to the last bit.
        xp : namespace
        """
        least = 4 * float(xp.finfo(dtype).smallest_normal)
        scale = xp.where(
            std > 0, arrays.within(std, least, None, xp=xp), xp.ones_like(std)
        )
        mean = xp.astype(xp.astype(mean, dtype), scale.dtype)
        return cls(mean, scale, xp.astype(std > 0, scale.dtype))

    @property
    def std(self) -> Array:
        """Standard deviation of the columns: zero where they are constant."""
        return self.scale * self.varies

    def to_standardized(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Map (w, b) to (v, c); shapes (n_columns, n_features) and (n_columns,)."""
        return coef * self.scale, intercept + coef @ self.mean

    def to_raw(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Map (v, c) to (w, b), the inverse of :meth:`to_standardized`."""
        coef = coef / self.scale
        return coef, intercept - coef @ self.mean

    def gradient(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Map the gradient in (w, b) to that in (v, c), by the chain rule."""
        coef = (coef - intercept[:, None] * self.mean) / self.scale
        return coef * self.varies, intercept

    def take_columns(self, columns: Array, *, xp: Namespace) -> Scaler:
        """Return the scaler of some columns, by their numbers on the device."""
        parts = self.mean, self.scale, self.varies
        return Scaler(*(xp.take(part, columns) for part in parts))

    def keeps_digits(self, dtype: Any, *, xp: Namespace) -> bool:
        """Return whether products with X may be corrected to products with Z.

        True while the means take few digits (none to speak of in float64, two bits in
        float32) and all numbers are far from the ends of the range of float32.
        """
        offset = xp.abs(self.mean) / self.scale
        size = xp.maximum(xp.abs(self.mean), self.scale)
        extremes = xp.stack([xp.max(offset), xp.max(size), 1 / xp.min(self.scale)])
        offset, largest, inverse = arrays.to_host(extremes)
        far = float(xp.finfo(xp.float32).max) ** 0.25
        near = farthest_mean(dtype, xp=xp)
        return bool(offset <= near and largest < far and inverse < far)


def farthest_mean(dtype: Any, *, xp: Namespace) -> float:
    """Return the distance of a mean from zero, in deviations, that costs no digits."""
    return max(4.0, 1e-12 / float(xp.finfo(dtype).eps))
