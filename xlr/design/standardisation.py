"""Mean and scale of the columns, and what they do to coefficients."""

from __future__ import annotations

from dataclasses import dataclass

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design.blocks import row_blocks

__all__ = ["Standardisation", "refuse_non_finite", "standardise"]


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
    """

    mean: Array
    scale: Array

    def into(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """(w, b) to (v, c); shapes (n_columns, n_features) and (n_columns,)."""
        return coef * self.scale, intercept + coef @ self.mean

    def out_of(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """(v, c) to (w, b), the inverse of :meth:`into`."""
        coef = coef / self.scale
        return coef, intercept - coef @ self.mean

    def gradient(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Gradient in (w, b) to the gradient in (v, c), by the chain rule."""
        return (coef - intercept[:, None] * self.mean) / self.scale, intercept


def _moments(
    X: Array, weights: Array, shift: Array, unit: Array, spread: Array, *, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Weighted means of u and u^2 and largest |u|, for u = (x/unit - shift)/spread."""
    mean = xp.zeros_like(shift)
    mean_square = xp.zeros_like(shift)
    largest = xp.zeros_like(shift)
    shares = weights / xp.sum(weights)
    for rows in row_blocks(X, xp=xp):
        u = (xp.astype(X[rows, :], shift.dtype) / unit - shift) / spread
        weighted = shares[rows, None] * u
        mean = mean + xp.sum(weighted, axis=0)
        mean_square = mean_square + xp.sum(weighted * u, axis=0)
        counted = xp.where(shares[rows, None] > 0, xp.abs(u), xp.zeros_like(u))
        largest = xp.maximum(largest, xp.max(counted, axis=0))
    return mean, mean_square, largest


@arrays.quiet()
def standardise(
    X: Array, weights: Array, *, centre: bool, xp: Namespace
) -> Standardisation:
    r"""Weighted mean and standard deviation of the columns of X.

    Rows of zero weight do not count.  One pass over X in the usual case: means of u
    and u^2 for u = x - (a row), which do not cancel unless that row lies a thousand
    deviations away (90 in float32).  Where it does, or where squares leave the range
    of the dtype, the columns are looked at again, in units of their largest value.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    weights : array of shape (n_samples,)
        Non-negative, not all zero, in the widest dtype of the device.
    centre : bool
        False (a model without intercept) scales by the root mean square about
        zero and does not shift.
    xp : namespace

    Returns
    -------
    Standardisation

    Raises
    ------
    ValueError
        If X contains NaN or infinity.
    """
    zeros = xp.zeros(X.shape[1], dtype=weights.dtype, device=arrays.device_of(X))
    ones = xp.ones_like(zeros)
    row = int(arrays.to_host(xp.argmax(weights)))  # one that counts
    origin = xp.astype(X[row, :], weights.dtype) if centre else zeros
    unit, shift, spread = ones, origin, ones
    mean, mean_square, largest = _moments(X, weights, shift, unit, spread, xp=xp)
    # The share of the variance that cancels; NaN compares false, so what is not finite
    # is not trusted either.
    limit = min(1e6, 1e-3 / float(xp.finfo(zeros.dtype).eps))
    variance = mean_square - mean * mean if centre else mean_square
    trusted = (variance > 1e-280) & (mean * mean < limit * variance)
    if not arrays.to_host(xp.all(trusted | (largest == 0))):
        refuse_non_finite(X, xp=xp)
        _, _, size = _moments(X, weights, zeros, ones, ones, xp=xp)
        unit = xp.where(size > 0, size, ones)
        if centre:
            shift = origin / unit
            mean, _, _ = _moments(X, weights, shift, unit, ones, xp=xp)
            shift = shift + mean
        _, _, size = _moments(X, weights, shift, unit, ones, xp=xp)
        spread = xp.where(size > 0, size, ones)
        mean, mean_square, largest = _moments(X, weights, shift, unit, spread, xp=xp)
        variance = mean_square - mean * mean if centre else mean_square
    deviation = unit * spread * xp.sqrt(xp.maximum(variance, zeros))
    # Neither the inverse of a scale nor its square may leave the range of X's dtype.
    least = 1e3 * float(xp.finfo(X.dtype).smallest_normal) ** 0.5
    scale = xp.where(deviation > 0, xp.clip(deviation, least, None), ones)
    location = zeros
    if centre:  # a constant column becomes exactly zero
        location = xp.where(largest == 0, origin, unit * (shift + spread * mean))
    # Rounded to X's dtype, x - mean is the change of variables that the
    # coefficients undo, to the last bit.
    return Standardisation(xp.astype(xp.astype(location, X.dtype), zeros.dtype), scale)


def refuse_non_finite(X: Array, *, xp: Namespace) -> None:
    """Raise ValueError, saying which, if X contains NaN or infinity."""
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
