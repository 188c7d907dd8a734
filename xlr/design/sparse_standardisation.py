"""Mean and scale of the columns of a sparse matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design.standardisation import (
    Standardisation,
    farthest_mean,
    refuse_non_finite,
    well_within_range,
)

__all__ = ["standardise_sparse"]


@arrays.quiet()
def standardise_sparse(
    X: Any, weights: Array, *, centre: bool, xp: Namespace
) -> Standardisation:
    r"""Weighted mean and standard deviation of the columns of a sparse X.

    Means that are large against the deviation cannot be left to the coefficients
    without a loss of digits: such a column keeps its mean (0 here), and is scaled by
    its root mean square.

    Parameters
    ----------
    X : sparse CSR array of shape (n_samples, n_features)
        In canonical form.
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
    refuse_non_finite(X, xp=xp)
    shares = weights / xp.sum(weights)
    entries = xp.astype(X.data, shares.dtype, copy=False)
    mean, mean_square = _moments(X, entries, shares)
    unit = xp.ones_like(mean)
    # Of a column without entries they are zero; other squares may leave the range.
    stored = xp.bincount(X.indices, minlength=X.shape[1])
    trusted = well_within_range(mean_square, xp=xp) | (stored == 0)
    if not arrays.to_host(xp.all(trusted)):
        largest = xp.astype(abs(X).max(axis=0).toarray().reshape(-1), unit.dtype)
        # A power of two, so that dividing by it rounds nothing.
        size = xp.where(largest > 0, largest, unit)
        unit = xp.pow(2 * unit, xp.floor(xp.log2(size)))
        mean, mean_square = _moments(X, entries / xp.take(unit, X.indices), shares)
    if not centre:
        mean = xp.zeros_like(mean)
    variance = xp.maximum(mean_square - mean * mean, xp.zeros_like(mean))
    near = farthest_mean(X.dtype, xp=xp)
    moves = mean * mean <= near**2 * variance
    scale = unit * xp.sqrt(xp.where(moves, variance, mean_square))
    mean = unit * xp.where(moves, mean, xp.zeros_like(mean))
    varies = xp.ones_like(mean)
    if centre:
        # What is the same in all rows is left to the intercept, as in a dense X.
        full = ~moves & (stored == X.shape[0])
        numbers, values = _constant_columns(X, arrays.to_host(full), xp=xp)
        if numbers.size:
            places = arrays.move(numbers, xp=xp, device=arrays.device_of(mean))
            mean[places] = xp.astype(values, mean.dtype)
            scale[places] = 1.0
            varies[places] = 0.0
    return Standardisation.within_range(mean, scale, varies, X.dtype, xp=xp)


def _constant_columns(
    X: Any, candidates: np.ndarray, *, xp: Namespace
) -> tuple[np.ndarray, Array]:
    """The numbers of the columns, of some, with one value in all rows; the values."""
    numbers = np.nonzero(candidates)[0]
    if not numbers.size:
        return numbers, X.data[:0]
    places = arrays.move(numbers, xp=xp, device=arrays.device_of(X.data))
    columns = X[:, places].toarray()
    same = arrays.to_host(xp.min(columns, axis=0) == xp.max(columns, axis=0))
    return numbers[same], columns[0, same]


def _moments(X: Any, entries: Array, shares: Array) -> tuple[Array, Array]:
    """Means of u and u^2, where u has these entries in the places of those of X."""
    values, squares = (
        type(X)((part, X.indices, X.indptr), shape=X.shape)
        for part in (entries, entries * entries)
    )
    return values.T @ shares, squares.T @ shares
