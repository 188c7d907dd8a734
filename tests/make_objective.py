"""Objectives from NumPy arrays, for the tests of the objective and the solvers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from xlr import arrays
from xlr.data import DenseMatrix, SparseMatrix, Targets, TrainingData
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective
from xlr.penalties import NonSmooth, Penalty

__all__ = ["make_objective", "make_penalty"]


def make_penalty(
    n_features: int,
    *,
    ridge: Any = 0.0,
    l1: Any = 0.0,
    lower: Any = -np.inf,
    upper: Any = np.inf,
    place: Callable[..., Any] = np.asarray,
) -> Penalty:
    """Return a penalty; an argument is a number, or has one per feature or model."""

    def by_feature(values: Any) -> Any:
        values = np.asarray(values, dtype=float)
        if values.ndim < 3:
            values = np.broadcast_to(values, (1, 1, n_features))
        return place(values + np.zeros((1, 1, n_features)))

    is_smooth = not np.any(l1) and np.isinf(lower).all() and np.isinf(upper).all()
    if is_smooth:
        return Penalty(by_feature(ridge))
    non_smooth = NonSmooth(*map(by_feature, (l1, lower, upper)))
    return Penalty(by_feature(ridge), non_smooth)


def make_objective(
    X: Any,
    labels: Any,
    weights: Any = None,
    *,
    counts: Any = None,
    offset: Any = None,
    n_classes: int = 2,
    fit_intercept: bool = True,
    scaler: Any = None,
    place: Callable[..., Any] = np.asarray,
    place_sums: Callable[..., Any] | None = None,
    **penalty: Any,
) -> Objective:
    """Return an objective with one model for each column of labels.

    Parameters
    ----------
    X : ndarray, or sparse CSR array for NumPy
    labels : ndarray of shape (n_samples,) or (n_samples, n_models)
    weights : ndarray of shape (n_samples,), default=None
    counts : ndarray of shape (n_samples, n_models), default=None
        Weights of the rows in each model.
    offset : ndarray of shape (n_samples, n_outputs), default=None
    n_classes, fit_intercept
    scaler : Scaler, default=None
        Standardizes the matrix.
    place, place_sums : callables
        Bring an array to the backend in the dtype of X, and in the widest dtype.
    **penalty
        Arguments of :func:`make_penalty`.
    """
    place_sums = place_sums or place
    n, p = X.shape
    labels = np.asarray(labels, dtype=float).reshape(n, -1)
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    if sp.issparse(X):
        matrix: Any = SparseMatrix(X, xp=arrays.namespace(X.data))
    else:
        X = place(X)
        matrix = DenseMatrix(X, xp=arrays.namespace(X))
    n_models = labels.shape[1] if counts is None else np.shape(counts)[1]
    targets = Targets(
        n_models,
        place(labels),
        place(weights[:, None]),
        None if counts is None else place(np.asarray(counts, dtype=float)),
        offset=None if offset is None else place(offset),
    )
    data = TrainingData(matrix, targets)
    if scaler is not None:
        data = data.standardized(scaler)
    return Objective(
        data,
        LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes),
        make_penalty(p, place=place_sums, **penalty),
        fit_intercept=fit_intercept,
    )
