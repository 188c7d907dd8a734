"""Logits of rows, and what follows from them: probabilities and classes."""

from __future__ import annotations

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Matrix
from xlr.functions import log_sigmoid, log_softmax, sigmoid_terms

__all__ = [
    "class_codes",
    "labels_of",
    "log_probabilities",
    "logits",
    "one_or_more",
    "probabilities",
]


@arrays.quiet()
def logits(matrix: Matrix, coef: Array, intercept: Array) -> Array:
    """Return X W' + b, computed in the widest dtype and rounded to that of the matrix.

    In float32 alone the products with a column a million deviations from zero would be
    off by as much as the logits are. The caller passes blocks of rows where X is large.

    Parameters
    ----------
    matrix : Matrix of shape (n_samples, n_features)
    coef : array of shape (n_columns, n_features)
    intercept : array of shape (n_columns,)
        In the widest dtype, with what ``intercept_`` is rounded by.

    Returns
    -------
    array of shape (n_samples, n_columns)
    """
    found = matrix.astype(intercept.dtype).matvec(coef, intercept)
    if matrix.dtype == found.dtype:
        return found
    return matrix.xp.astype(found, matrix.dtype)


def one_or_more(logits: Array, *, xp: Namespace) -> Array:
    """Return logits (n_rows, n_columns), as a vector if there is one column."""
    return logits[:, 0] if logits.shape[1] == 1 else logits


def probabilities(logits: Array, one_vs_rest: bool = False, *, xp: Namespace) -> Array:
    """Return the probabilities of the classes, (n_rows, n_classes).

    With ``one_vs_rest``, of binary models: their probabilities by their sum.
    """
    if logits.shape[1] > 1:
        # Without the digits of the shift that :func:`softmax` saves: the products
        # have rounded the logits by as much.
        z = log_sigmoid(logits) if one_vs_rest else logits
        z -= xp.max(z, axis=1, keepdims=True)
        share = xp.exp(z)
        share /= xp.sum(share, axis=1, keepdims=True)
        return share
    terms = sigmoid_terms(logits[:, 0], xp=xp)
    return xp.stack([terms.fall, terms.rise], axis=1) * terms.share[:, None]


def log_probabilities(
    logits: Array, one_vs_rest: bool = False, *, xp: Namespace
) -> Array:
    """Return the logarithms of :func:`probabilities`."""
    if logits.shape[1] > 1:
        return log_softmax(log_sigmoid(logits) if one_vs_rest else logits)
    return log_sigmoid(xp.concat([-logits, logits], axis=1))


def class_codes(logits: Array, *, xp: Namespace) -> Array:
    """Return the numbers of the most probable classes: (n_rows,)."""
    if logits.shape[1] == 1:
        logits = xp.concat([xp.zeros_like(logits), logits], axis=1)
    return xp.argmax(logits, axis=1)


def labels_of(codes: Array, classes: Array) -> Array:
    """Return the labels of codes where these are, or NumPy's if no other holds them."""
    host = arrays.to_host(classes)
    if host.dtype.kind in "biuf":
        xp, device = arrays.namespace(codes), arrays.device_of(codes)
        with arrays.quiet():
            moved = arrays.move(classes, xp=xp, device=device)
        # 10^12 does not fit the int32 of JAX, nor 2^63 the int64 of torch.
        if arrays.is_traced(moved) or np.array_equal(
            arrays.to_host(moved).astype(host.dtype), host
        ):
            return xp.take(moved, codes)
    return host[arrays.to_host(codes)]
