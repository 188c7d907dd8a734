"""Logits of rows, with all the digits that coefficients and rows give them."""

from __future__ import annotations

from xlr import arrays
from xlr.arrays import Array, Namespace

__all__ = ["logits"]


@arrays.quiet()
def logits(X: Array, coef: Array, intercept: Array, *, xp: Namespace) -> Array:
    """x.w + b, computed in the widest dtype and rounded to that which X is fitted in.

    In float32 alone the products with a column a million deviations from zero would be
    off by as much as the logits are. The caller passes blocks of rows where X is large.

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
    wide, rows = intercept.dtype, X
    if X.dtype != wide and not arrays.is_sparse(X):
        rows = xp.astype(X, wide)
    found = rows @ xp.astype(coef, wide, copy=False).T
    found += intercept
    if X.dtype == wide:
        return found
    return xp.astype(found, xp.float32)
