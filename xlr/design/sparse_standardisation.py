"""Mean and scale of the columns of a sparse matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design.moments import (
    carefully,
    keeps_digits,
    refuse_non_finite,
    well_within_range,
)
from xlr.design.standardisation import Standardisation

__all__ = ["standardise_sparse"]


@arrays.quiet()
def standardise_sparse(
    X: Any, weights: Array, *, centre: bool, xp: Namespace
) -> Standardisation:
    r"""Weighted mean and standard deviation of the columns of a sparse X.

    As :func:`standardise` finds those of a dense one, column by column.  Columns whose
    mean takes the digits of the variance are made dense for a second look.  They nearly
    are: if rows with the share f of the weight have an entry, then (Cauchy-Schwarz)

    .. math:: mean^2 \le \frac{f}{1 - f} variance

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
    doubtful = np.nonzero(~arrays.to_host(keeps_digits(mean, variance, xp=xp)))[0]
    mean, scale = unit * mean, unit * xp.sqrt(variance)
    if doubtful.size:
        places = arrays.move(doubtful, xp=xp, device=arrays.device_of(mean))
        columns = X[:, places].toarray()
        mean[places], scale[places] = carefully(columns, shares, centre=centre, xp=xp)
    varies = xp.astype(scale > 0, scale.dtype)
    return Standardisation.within_range(mean, scale, varies, X.dtype, xp=xp)


def _moments(X: Any, entries: Array, shares: Array) -> tuple[Array, Array]:
    """Means of u and u^2, where u has these entries in the places of those of X."""
    values, squares = (
        type(X)((part, X.indices, X.indptr), shape=X.shape)
        for part in (entries, entries * entries)
    )
    return values.T @ shares, squares.T @ shares
