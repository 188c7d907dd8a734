"""Mean and scale of the columns, and what they do to coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design.blocks import add, reduce_over_blocks, row_blocks
from xlr.threads import ALONE, Workers

__all__ = [
    "Standardisation",
    "carefully",
    "farthest_mean",
    "keeps_digits",
    "refuse_non_finite",
    "standardise",
    "well_within_range",
]


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
        # Neither the inverse of a scale nor its square may leave the range.
        least = 1e3 * float(xp.finfo(dtype).smallest_normal) ** 0.5
        scale = xp.where(scale > 0, xp.clip(scale, least, None), xp.ones_like(scale))
        # Rounded to the dtype, x - mean is the change of variables that the
        # coefficients undo, to the last bit.
        return cls(xp.astype(xp.astype(mean, dtype), scale.dtype), scale, varies)

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


def well_within_range(squares: Array, *, xp: Namespace) -> Array:
    """Whether sums of squares are so far from the ends of the range of their dtype that
    no digits of them are lost there.
    """
    info = xp.finfo(squares.dtype)
    eps, least, most = float(info.eps), float(info.smallest_normal), float(info.max)
    return (squares > least / eps) & (squares < most * eps)


def keeps_digits(mean: Array, variance: Array, *, xp: Namespace) -> Array:
    """Whether a variance is right to ten digits as the mean square less the square of
    the mean: three in float32.
    """
    limit = min(1e5, 1e-3 / float(xp.finfo(mean.dtype).eps))
    return mean * mean <= limit * variance


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
    r"""Weighted mean and standard deviation of the columns of X.

    Rows of zero weight do not count.  One pass over X in the usual case: the means of x
    and x^2, whose difference is right to ten digits unless a mean lies hundreds of
    deviations from zero (90 where there is no float64).  Columns where it does, or
    whose squares leave the range of the dtype, are looked at again.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    weights : array of shape (n_samples,)
        Non-negative, not all zero, in the widest dtype of the device.
    centre : bool
        False (a model without intercept) scales by the root mean square about
        zero and does not shift.
    workers : Workers
        Threads for the pass.
    xp : namespace

    Returns
    -------
    Standardisation

    Raises
    ------
    ValueError
        If X contains NaN or infinity.
    """
    shares = weights / xp.sum(weights)

    def kernel(rows: slice) -> tuple[Array, Array]:
        values, share = xp.astype(X[rows, :], shares.dtype, copy=False), shares[rows]
        return share @ values, share @ (values * values)

    slices = row_blocks(X, n_threads=workers.n, xp=xp)
    mean, mean_square = reduce_over_blocks(kernel, add, slices, workers)
    if not centre:
        mean = xp.zeros_like(mean)
    variance = mean_square - mean * mean
    # NaN compares false, so what is not finite is not trusted either.
    trusted = well_within_range(variance, xp=xp) & keeps_digits(mean, variance, xp=xp)
    scale = xp.sqrt(xp.maximum(variance, xp.zeros_like(variance)))
    doubtful = np.nonzero(~arrays.to_host(trusted))[0]
    if doubtful.size:
        place = {"xp": xp, "device": arrays.device_of(X)}
        columns = xp.take(X, arrays.move(doubtful, **place), axis=1)
        refuse_non_finite(columns, xp=xp)
        careful = carefully(columns, shares, centre=centre, xp=xp)
        source = np.arange(X.shape[1])
        source[doubtful] = X.shape[1] + np.arange(doubtful.size)
        source = arrays.move(source, **place)
        mean, scale = (
            xp.take(xp.concat(both), source)
            for both in zip((mean, scale), careful, strict=True)
        )
    varies = xp.astype(scale > 0, scale.dtype) if doubtful.size else None
    return Standardisation.within_range(mean, scale, varies, X.dtype, xp=xp)


def carefully(
    X: Array, shares: Array, *, centre: bool, xp: Namespace
) -> tuple[Array, Array]:
    """Mean and deviation of columns of any size and offset, in several passes.

    In units of their largest value, then about their mean, in units of the largest
    distance from it.  Exactly zero for the deviation of a constant column.
    """

    def moments(shift: Array, unit: Array, spread: Array) -> tuple[Array, Array, Array]:
        """Means of u and u^2 and largest |u|, for u = (x/unit - shift)/spread."""

        def kernel(rows: slice) -> tuple[Array, Array, Array]:
            u = (xp.astype(X[rows, :], shares.dtype) / unit - shift) / spread
            share = shares[rows]
            u = xp.where(share[:, None] > 0, u, xp.zeros_like(u))
            return share @ u, share @ (u * u), xp.max(xp.abs(u), axis=0)

        def combine(a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
            return a[0] + b[0], a[1] + b[1], xp.maximum(a[2], b[2])

        return reduce_over_blocks(kernel, combine, row_blocks(X, xp=xp))

    zeros = xp.zeros(X.shape[1], dtype=shares.dtype, device=arrays.device_of(X))
    ones = xp.ones_like(zeros)
    _, _, size = moments(zeros, ones, ones)
    # A power of two, so that dividing by it rounds nothing.
    unit = xp.pow(2 * ones, xp.floor(xp.log2(xp.where(size > 0, size, ones))))
    shift = zeros
    if centre:
        # About a row first, one that counts: a constant column becomes exactly zero.
        row = int(arrays.to_host(xp.argmax(shares)))
        origin = xp.astype(X[row, :], shares.dtype)
        shift = origin / unit
        distance, _, _ = moments(shift, unit, ones)
        shift = shift + distance
    _, _, size = moments(shift, unit, ones)
    spread = xp.where(size > 0, size, ones)
    mean, mean_square, largest = moments(shift, unit, spread)
    if not centre:
        return zeros, unit * spread * xp.sqrt(mean_square)
    variance = xp.maximum(mean_square - mean * mean, zeros)
    location = xp.where(largest == 0, origin, unit * (shift + spread * mean))
    return location, unit * spread * xp.sqrt(variance)


def refuse_non_finite(X: Array, *, xp: Namespace) -> None:
    """Raise ValueError, saying which, if X contains NaN or infinity."""
    if arrays.is_sparse(X):
        X = X.data[:, None]
    found = xp.zeros(2, dtype=xp.bool, device=arrays.device_of(X))
    for rows in row_blocks(X, xp=xp):
        values = X[rows, :]
        here = xp.stack([xp.any(xp.isnan(values)), xp.any(xp.isinf(values))])
        found = found | here
    has_nan, has_infinity = arrays.to_host(found)
    if has_nan or has_infinity:
        names = ["NaN"] * bool(has_nan) + ["infinity"] * bool(has_infinity)
        raise ValueError(
            f"Input X contains {' and '.join(names)}. Logistic regression needs finite "
            "numbers: drop those rows, or impute them (sklearn.impute.SimpleImputer)."
        )
