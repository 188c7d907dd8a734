"""Rows made on the device, and F and its gradient there in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat

BLOCK = 2**27  # bytes of the rows that are made or read together


@dataclass
class Rows:
    """Standardised features and labels, as arrays of one library.

    Attributes
    ----------
    X : array of shape (n_samples, n_features)
    y : array of shape (n_samples,)
        Codes of the classes.
    n_classes : int
    library : NumPy, CuPy or Torch
    """

    X: Any
    y: Any
    n_classes: int
    library: Any

    def of(self, library: Any) -> Rows:
        """Return the rows as arrays of another library, in the same memory."""
        if library is self.library:
            return self
        X, y = library.take_over(self.X), library.take_over(self.y)
        return Rows(X, y, self.n_classes, library)

    @property
    def nbytes(self) -> int:
        return math.prod(self.X.shape) * self.X.itemsize

    @property
    def mean_and_std(self) -> tuple[Any, Any]:
        """Return the mean and standard deviation of the columns, in float64."""
        xp, n = self.library.xp, self.X.shape[0]
        total = squares = 0.0
        for rows in slices(*self.X.shape):
            block = xp.astype(self.X[rows, :], xp.float64)
            total = total + xp.sum(block, axis=0)
            squares = squares + xp.sum(block * block, axis=0)
        mean = total / n
        return mean, xp.sqrt(squares / n - mean**2)


def slices(n: int, width: int) -> Iterator[slice]:
    """Yield slices of rows that take a block in float64."""
    step = max(1, BLOCK // (8 * width))
    for first in range(0, n, step):
        yield slice(first, min(first + step, n))


def correlated(library: Any, n: int, p: int, n_classes: int, dtype: str) -> Rows:
    """Make features that share a factor, and labels drawn from a model of them."""
    xp, wide = library.xp, library.dtype("float64")
    n_outputs = 1 if n_classes == 2 else n_classes
    coef = library.normal(p, n_outputs, dtype=dtype) * (1.5 / math.sqrt(p))
    X = library.normal(n, p, dtype=dtype)
    parts = []
    for rows in slices(n, p):
        X[rows, :] += 0.5 * library.normal(rows.stop - rows.start, 1, dtype=dtype)
        logits = xp.astype(X[rows, :] @ coef, wide)
        chance = xp.clip(library.uniform(*logits.shape), 1e-12, 1 - 1e-12)
        if n_classes == 2:
            noise = xp.log(chance) - xp.log1p(-chance)
            parts.append(xp.astype((logits + noise)[:, 0] > 0, xp.int64))
        else:  # the argmax is a draw from the softmax
            parts.append(xp.argmax(logits - xp.log(-xp.log(chance)), axis=1))
    return _standardised(Rows(X, xp.concat(parts), n_classes, library))


def embeddings(library: Any, n: int, p: int, n_classes: int, dtype: str) -> Rows:
    """Make points around the centre of their class; the classes overlap."""
    xp = library.xp
    y = xp.astype(library.uniform(n) * n_classes, xp.int64)
    centres = library.normal(n_classes, p, dtype=dtype) * (4.0 / math.sqrt(p))
    X = library.normal(n, p, dtype=dtype)
    for rows in slices(n, p):
        X[rows, :] += xp.take(centres, y[rows], axis=0)
    return _standardised(Rows(X, y, n_classes, library))


def _standardised(rows: Rows) -> Rows:
    """Standardise in place, so that tolerances of all libraries mean the same."""
    xp, dtype = rows.library.xp, rows.X.dtype
    mean, std = (xp.astype(values, dtype) for values in rows.mean_and_std)
    for part in slices(*rows.X.shape):
        rows.X[part, :] = (rows.X[part, :] - mean) / std
    return rows


def value_and_optimality(
    rows: Rows, coef: Any, intercept: Any, C: float
) -> tuple[float, float]:
    """Return F and the largest entry of its gradient, summed in float64.

    ``coef`` is (1, p) for two classes, else (K, p), in the library of the rows.
    """
    xp, n = rows.library.xp, rows.X.shape[0]
    coef, intercept = xp.astype(coef, xp.float64), xp.astype(intercept, xp.float64)
    value, of_coef, of_intercept = 0.0, 0.0, 0.0  # n times F and its gradient
    for part in slices(n, max(rows.X.shape[1], 2 * rows.n_classes)):
        block = xp.astype(rows.X[part, :], xp.float64)
        logits = block @ coef.T + intercept
        one_hot = _one_hot(rows, part)
        if rows.n_classes == 2:
            log_sum = xp.logaddexp(xp.zeros_like(logits), logits)
            p = xp.exp(logits - log_sum)
            loss = log_sum - one_hot * logits
        else:
            top = xp.max(logits, axis=1, keepdims=True)
            log_sum = top + xp.log(xp.sum(xp.exp(logits - top), axis=1, keepdims=True))
            p = xp.exp(logits - log_sum)
            loss = log_sum[:, 0] - xp.sum(one_hot * logits, axis=1)
        residual = p - one_hot
        value += float(xp.sum(loss))
        of_coef = of_coef + residual.T @ block
        of_intercept = of_intercept + xp.sum(residual, axis=0)
    value += 0.5 * float(xp.sum(coef**2)) / C
    of_coef = of_coef + coef / C
    optimality = max(float(xp.max(xp.abs(part))) for part in (of_coef, of_intercept))
    return value / n, optimality / n


def _one_hot(rows: Rows, part: slice) -> Any:
    """Return 1 in the column of each row's class; two classes have one column."""
    xp, y = rows.library.xp, rows.y[part]
    if rows.n_classes == 2:
        return xp.astype(y, xp.float64)[:, None]
    classes = xp.arange(
        rows.n_classes, dtype=y.dtype, device=array_api_compat.device(y)
    )
    return xp.astype(y[:, None] == classes, xp.float64)
