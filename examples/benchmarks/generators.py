"""Generators of data: functions of a random generator and a number of rows.

They make X in blocks of rows, so that no other array is large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from data import Data, row_blocks
from scipy.linalg import toeplitz
from scipy.ndimage import gaussian_filter
from scipy.special import expit
from sklearn.preprocessing import StandardScaler


def load(loader: Callable[..., Any], standardised: bool, rng, n: int) -> Data:
    """Load a data set of scikit-learn, or a random sample of its rows."""
    X, y = loader(return_X_y=True)
    if n < len(X):
        rows = rng.permutation(len(X))[:n]
        X, y = X[rows], y[rows]
    return Data(StandardScaler().fit_transform(X) if standardised else X, y)


class Model(NamedTuple):
    """Distribution of rows: ``root`` of the features' covariance, and the logits.

    ``logit_std`` is the standard deviation of the logits. With 2, about one label in
    five is on the wrong side of the plane; with 180, 3 in 1000 are, all near it.
    """

    root: np.ndarray
    coef: np.ndarray
    logit_std: float

    def draw(self, rng, n: int, dtype: str = "float64") -> Data:
        """Draw n rows and their labels."""
        p = len(self.coef)
        X, y = np.empty((n, p), dtype), np.empty(n, np.int64)
        for rows in row_blocks(n, p):
            values = rng.standard_normal((rows.stop - rows.start, p)) @ self.root
            probabilities = expit(values @ self.coef - self.logit_std / 4)
            y[rows] = rng.random(len(values)) < probabilities
            X[rows] = values
        return Data(X, y)


def correlated_model(
    rng, *, p: int, correlation: float = 0.8, logit_std: float = 2.0
) -> Model:
    """Return a model whose features are each correlated with their neighbours."""
    covariance = toeplitz(correlation ** np.arange(p))
    coef = rng.standard_normal(p)
    coef *= logit_std / np.sqrt(coef @ covariance @ coef)
    return Model(np.linalg.cholesky(covariance).T, coef, logit_std)


def correlated(
    rng,
    n: int,
    *,
    p: int,
    dtype: str = "float64",
    correlation: float = 0.8,
    logit_std: float = 2.0,
) -> Data:
    """Draw rows of correlated features, and their labels."""
    model = correlated_model(rng, p=p, correlation=correlation, logit_std=logit_std)
    return model.draw(rng, n, dtype)


def badly_scaled(rng, n: int, *, p: int) -> Data:
    """Draw correlated features on very different scales, far from zero.

    The scales cover 4 decades, and the means are 100 standard deviations.
    """
    X, y, *_ = correlated(rng, n, p=p)
    scales = rng.permutation(np.logspace(-2, 2, p))
    for rows in row_blocks(n, p):
        X[rows] = (X[rows] + 100) * scales
    return Data(X, y)


def weighted(rng, n: int, *, p: int) -> Data:
    """Draw correlated features, class weights, and sample weights over two decades."""
    X, y, *_ = correlated(rng, n, p=p)
    return Data(X, y, rng.lognormal(size=n), {0: 1.0, 1: 2.5})


def wide(rng, n: int, *, columns_a_row: int = 10, rank: int = 10) -> Data:
    """Draw more columns than rows: noise plus a few factors that all columns share."""
    p = columns_a_row * n
    loadings = rng.standard_normal((rank, p)) / np.sqrt(rank)
    coef = rng.standard_normal(p)
    coef *= 2 / np.linalg.norm(coef)
    X, logits = np.empty((n, p)), np.empty(n)
    for rows in row_blocks(n, p):
        rng.standard_normal(out=X[rows])
        X[rows] += rng.standard_normal((rows.stop - rows.start, rank)) @ loadings
        logits[rows] = X[rows] @ coef
    return Data(X, (rng.random(n) < expit(logits)).astype(np.int64))


def images(
    rng, n: int, *, side: int = 28, n_classes: int = 10, rank: int = 150
) -> Data:
    """Draw smooth bright blobs in the middle of a dark frame, with values in [0, 1].

    An image is a sum of patterns. The k-th has a variance of k^-2, so a few patterns
    make up nearly all of an image. Pixels of the frame are constant, or nearly so.
    """
    p = side * side
    widths = 4 * np.arange(1, rank + 1) ** -0.3
    patterns = [gaussian_filter(rng.standard_normal((side, side)), s) for s in widths]
    patterns = np.linalg.qr(np.reshape(patterns, (rank, p)).T)[0].T
    patterns *= np.sqrt(p / 2) / np.arange(1, rank + 1)[:, None]
    distance = np.hypot(*np.indices((side, side)) - (side - 1) / 2).ravel()
    window = np.exp(-((distance / (0.32 * side)) ** 4))
    templates = rng.standard_normal((n_classes, side, side))
    coef = gaussian_filter(templates, (0, 1.5, 1.5)).reshape(n_classes, p).T
    X, y = np.empty((n, p)), np.empty(n, np.int64)
    scale = centre = None
    for rows in row_blocks(n, p):
        m = rows.stop - rows.start
        field = rng.standard_normal((m, rank)) @ patterns
        field += 0.1 * rng.standard_normal((m, p))
        X[rows] = np.clip(window * (0.3 + 0.5 * field) - 0.05, 0, 1)
        logits = X[rows] @ coef
        if scale is None:  # scale by the first block, so that no class is rare
            centre, scale = logits.mean(axis=0), 12 / logits.std(axis=0)
        noise = rng.gumbel(size=logits.shape)  # the argmax is a draw from the softmax
        y[rows] = np.argmax(scale * (logits - centre) + noise, axis=1)
    return Data(X, y)


def embeddings(rng, n: int, *, p: int, n_classes: int, distance: float = 6.0) -> Data:
    """Draw embeddings similar to those of a network: one centre per class, and noise.

    The noise has the same covariance around all centres, with variances that fall as
    1 / j along random directions. Two centres are ``distance`` standard deviations of
    the noise apart. The frequencies of the classes differ.
    """
    rotation = np.linalg.qr(rng.standard_normal((p, p)))[0]
    root = (rotation * np.arange(1, p + 1) ** -0.5).T
    centres = distance / np.sqrt(2 * p) * rng.standard_normal((n_classes, p))
    y = rng.choice(n_classes, size=n, p=rng.dirichlet(np.full(n_classes, 5.0)))
    y[:n_classes] = np.arange(n_classes)[:n]  # every class has a row
    X = np.empty((n, p))
    for rows in row_blocks(n, p):
        noise = rng.standard_normal((rows.stop - rows.start, p))
        X[rows] = (centres[y[rows]] + noise) @ root
    return Data(X, y)
