"""Mean and standard deviation of the columns of a matrix, and of its parts together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design.blocks import add, reduce_over_blocks, row_blocks
from xlr.threads import ALONE, Workers

__all__ = [
    "Moments",
    "carefully",
    "find_moments",
    "keeps_digits",
    "merge_moments",
    "refuse_non_finite",
    "well_within_range",
]


class Moments(NamedTuple):
    """Weighted mean and standard deviation of columns.

    Attributes
    ----------
    weight : array of shape ()
        The sum of the weights.
    mean : array of shape (n_features,)
        Zeros where columns are not centred.
    deviation : array of shape (n_features,)
        From the mean; exactly zero for a constant column.
    """

    weight: Array
    mean: Array
    deviation: Array


def merge_moments(first: Moments, second: Moments, *, xp: Namespace) -> Moments:
    r"""Those of the rows of both.

    With the shares a and b of the weights and the difference d of the means,

    .. math:: s^2 = a s_1^2 + b s_2^2 + a b\, d^2

    References
    ----------
    Chan, Golub and LeVeque (1983), *Algorithms for computing the sample variance*.
    """
    total = first.weight + second.weight
    a, b = first.weight / total, second.weight / total
    between = second.mean - first.mean
    # Of size one, so that no square leaves the range.
    parts = xp.stack([first.deviation, second.deviation, xp.abs(between)])
    unit = xp.max(parts, axis=0)
    unit = xp.where(unit > 0, unit, xp.ones_like(unit))
    squares = (parts / unit) ** 2
    variance = a * squares[0, :] + b * squares[1, :] + a * b * squares[2, :]
    return Moments(total, first.mean + b * between, unit * xp.sqrt(variance))


@arrays.quiet()
def find_moments(
    X: Array,
    weights: Array,
    *,
    centre: bool,
    workers: Workers = ALONE,
    xp: Namespace,
) -> Moments:
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
    Moments

    Raises
    ------
    ValueError
        If X contains NaN or infinity.
    """
    total = xp.sum(weights)
    shares = weights / total

    def kernel(rows: slice) -> tuple[Array, Array]:
        values, share = arrays.aligned(X[rows, :]), shares[rows]
        values = xp.astype(values, shares.dtype, copy=False)
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
    return Moments(total, mean, scale)


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
