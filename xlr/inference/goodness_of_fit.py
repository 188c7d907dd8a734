"""Goodness of fit: sums over the rows, residuals and a test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.functions import log_sigmoid, sigmoid, softmax
from xlr.inference.fitted_data import FittedData
from xlr.losses import Loss
from xlr.objective import passes

__all__ = [
    "FitSums",
    "HosmerLemeshowTest",
    "fit_sums",
    "fitted_probabilities",
    "hosmer_lemeshow",
    "residuals",
    "saturated_log_likelihood",
]


class FitSums(NamedTuple):
    """Weighted sums over the rows, on the host.

    Attributes
    ----------
    pearson : float
        Pearson's chi-squared, the squares of the Pearson residuals.
    table : ndarray of shape (n_classes, n_classes)
        Rows by their class and the class that is predicted.
    proba : ndarray of shape (n_classes, n_classes)
        Probabilities of each class, by the class of the row.
    """

    pearson: float
    table: np.ndarray
    proba: np.ndarray


class HosmerLemeshowTest(NamedTuple):
    """Hosmer-Lemeshow test of the fit.

    Attributes
    ----------
    statistic : float
    df : int
        Groups, less two.
    pvalue : float
        Under a chi-squared distribution with so many degrees of freedom.
    """

    statistic: float
    df: int
    pvalue: float


@arrays.quiet()
def fit_sums(data: FittedData, threshold: float = 0.5) -> FitSums:
    """Sum probabilities and predictions over the rows, in one pass.

    Parameters
    ----------
    data : FittedData
    threshold : float, default=0.5
        Probability above which the second of two classes is predicted; of more classes
        the most probable one is.
    """
    objective = data.objective
    n_classes = max(2, objective.n_outputs)
    sums = objective.data.map_reduce(
        _sums,
        objective.loss,
        data.parameters,
        threshold,
        width=3 * n_classes,
    )
    pearson, table, proba = (
        data.dataset.unit * arrays.to_host(part).astype(np.float64) for part in sums
    )
    return FitSums(float(pearson), table, proba)


def _sums(
    block: Block, loss: Loss, parameters: Array, threshold: float
) -> tuple[Array, ...]:
    xp = block.xp
    eta = passes.logits(block, loss, parameters)[:, 0, :]
    if loss.n_outputs == 1:
        p = xp.concat([sigmoid(-eta), sigmoid(eta)], axis=1)
        predicted = xp.astype(p[:, 1:] > threshold, eta.dtype)
    else:
        p = softmax(eta)
        predicted = xp.astype(xp.argmax(eta, axis=1), eta.dtype)[:, None]
    classes = xp.arange(p.shape[1], dtype=p.dtype, device=arrays.device_of(p))
    y = shares_of(block, p.shape[1])
    pearson = xp.sum(block.weights * (y - p) ** 2 / p, dtype=block.wide)
    own = xp.astype(block.weights * y, block.wide).T
    table, p = (xp.astype(x, block.wide) for x in (predicted == classes, p))
    return pearson, xp.matmul(own, table), xp.matmul(own, p)


def shares_of(block: Block, n_classes: int) -> Array:
    """Return ones and zeros for the labels, or their shares: (n_rows, n_classes)."""
    xp, y = block.xp, block.labels
    if n_classes == 2:
        return xp.concat([1 - y, y], axis=1)
    if y.shape[1] == n_classes:
        return y
    classes = xp.arange(n_classes, dtype=y.dtype, device=arrays.device_of(y))
    return xp.astype(y == classes, y.dtype)


@arrays.quiet()
def saturated_log_likelihood(data: FittedData) -> float:
    """Return the log-likelihood of rows that each have their own probabilities.

    Zero for labels; in one pass over the soft labels alone.
    """
    objective = data.objective
    (total,) = objective.data.map_reduce(
        _negative_entropy, max(2, objective.n_outputs), reads_rows=False
    )
    return data.dataset.unit * float(arrays.to_host(total))


def _negative_entropy(block: Block, n_classes: int) -> tuple[Array]:
    xp, y = block.xp, shares_of(block, n_classes)
    logs = xp.log(xp.where(y > 0, y, xp.ones_like(y)))
    return (xp.sum(block.weights * y * logs, dtype=block.wide),)


def _fitted_rows(data: FittedData) -> tuple[Array, Array, Array]:
    """Return the logits, (n_samples, n_outputs), labels and weights, (n_samples,).

    In the library of X; those of Dask in memory.
    """
    objective = data.objective
    found = objective.data.map_rows(
        _rows,
        objective.loss,
        data.parameters,
        width=objective.n_outputs + 2,
    )
    return found[:, :-2], found[:, -2], data.dataset.unit * found[:, -1]


def _rows(block: Block, loss: Loss, parameters: Array) -> Array:
    eta = passes.logits(block, loss, parameters)[:, 0, :]
    return block.xp.concat([eta, block.labels, block.weights], axis=1)


@arrays.quiet()
def fitted_probabilities(data: FittedData) -> Array:
    """Return the probability of the second of two classes, or of all classes."""
    eta, *_ = _fitted_rows(data)
    return sigmoid(eta[:, 0]) if eta.shape[1] == 1 else softmax(eta)


@arrays.quiet()
def residuals(data: FittedData, kind: str) -> Array:
    r"""Return residuals of a fit to two classes: (n_samples,).

    With :math:`r = y - p` (response), :math:`\sqrt s\, r / \sqrt{p (1 - p)}` (pearson),
    :math:`\mathrm{sign}(r) \sqrt{2 s\, \ell}` (deviance) for the loss :math:`\ell` of
    the row, and :math:`r / (p (1 - p))` (working).

    Parameters
    ----------
    data : FittedData
    kind : {'response', 'pearson', 'deviance', 'working'}
    """
    eta, y, s = _fitted_rows(data)
    xp, eta = data.objective.xp, eta[:, 0]
    p, q = sigmoid(eta), sigmoid(-eta)
    response = y * q - (1 - y) * p
    if kind == "pearson":
        return xp.sqrt(s / (p * q)) * response
    if kind == "deviance":
        loss = -y * log_sigmoid(eta) - (1 - y) * log_sigmoid(-eta)
        for share in (y, 1 - y):
            loss = loss + share * xp.log(xp.where(share > 0, share, xp.ones_like(y)))
        loss = xp.maximum(loss, xp.zeros_like(loss))
        return xp.sign(response) * xp.sqrt(2 * s * loss)
    return response / (p * q) if kind == "working" else response


def hosmer_lemeshow(data: FittedData, n_groups: int) -> HosmerLemeshowTest:
    """Compare counts and probabilities in groups of rows of like probability.

    The groups are cut at the quantiles of the probabilities, each row as often as its
    weight says.

    Raises
    ------
    ValueError
        If fewer than three groups are left: many probabilities are equal.
    """
    eta, y, s = map(arrays.to_host, _fitted_rows(data))
    p = sigmoid(eta[:, 0].astype(np.float64))
    order = np.argsort(p, kind="stable")
    order = order[s[order] > 0]
    p, y, s = p[order], y[order], s[order].astype(np.float64)
    # 1. Quantiles, interpolated as R's of repeated rows.
    below = np.cumsum(s)
    at = (below[-1] - 1) * np.linspace(0, 1, n_groups + 1)
    last = p.size - 1
    low, high = (
        p[np.minimum(np.searchsorted(below, place, side="right"), last)]
        for place in (np.floor(at), np.floor(at) + 1)
    )
    edges = np.unique(low + (at - np.floor(at)) * (high - low))
    n_groups = edges.size - 1
    if n_groups < 3:
        raise ValueError(
            f"The probabilities leave {n_groups} groups, and the Hosmer-Lemeshow test "
            "needs three: too many rows have the same."
        )
    # 2. Counts that are observed and expected.
    of = np.clip(np.searchsorted(edges, p, side="left") - 1, 0, n_groups - 1)
    total, observed, expected = (
        np.bincount(of, part, n_groups) for part in (s, s * y, s * p)
    )
    statistic = float(
        np.sum((observed - expected) ** 2 / (expected * (1 - expected / total)))
    )
    df = n_groups - 2
    return HosmerLemeshowTest(statistic, df, float(stats.chi2.sf(statistic, df)))
