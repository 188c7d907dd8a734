"""Logits of rows, with all the digits that coefficients and rows give them."""

from __future__ import annotations

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import row_slices

__all__ = ["logits"]


@arrays.quiet()
def logits(X: Array, coef: Array, intercept: Array, *, xp: Namespace) -> Array:
    """x.w + b, computed in the widest dtype and rounded to that which X is fitted in.

    In float32 alone the products with a column a million deviations from zero would be
    off by as much as the logits are.

    Parameters
    ----------
    X : array or sparse matrix of shape (n_samples, n_features)
    coef : array of shape (n_columns, n_features)
    intercept : array of shape (n_columns,)
        In the widest dtype, with what ``intercept_`` is rounded by.
    xp : namespace

    Returns
    -------
    array of shape (n_samples, n_columns)
    """
    entries = arrays.entries(X)
    wide = arrays.widest_float(xp=xp, device=arrays.device_of(entries))
    coef = xp.astype(coef, wide, copy=False).T
    intercept = xp.astype(intercept, wide, copy=False)
    dtype = arrays.floating_dtype(entries, xp=xp)
    if X.dtype == wide or arrays.is_sparse(X):
        return xp.astype(X @ coef + intercept, dtype, copy=False)
    parts = [
        xp.astype(xp.astype(X[rows, :], wide) @ coef + intercept, dtype)
        for rows in row_slices(X, coef.shape[1], xp=xp)
    ]
    return parts[0] if len(parts) == 1 else xp.concat(parts)
