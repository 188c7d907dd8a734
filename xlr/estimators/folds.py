"""The rows that each fold of a cross-validation trains and tests on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators.features import Features
from xlr.estimators.inputs import Labels
from xlr.objective import Responses

__all__ = ["Folds", "n_classes_counted", "read_folds", "small_counts"]


@dataclass(frozen=True)
class Folds:
    """Folds, some of which cannot be trained on.

    Attributes
    ----------
    tests : list of ndarrays
        The numbers of the rows that each fold is tested on.
    usable : ndarray of int
        The folds with at least two classes to train on.
    counts : array of shape (n_samples, n_usable)
        How often each row is trained on, in the usable folds.
    """

    tests: list[np.ndarray]
    usable: np.ndarray
    counts: Array


def small_counts(numbers: list[np.ndarray], n_samples: int) -> np.ndarray:
    """How often each row is among some: (n_samples, n_lists), in a byte if it fits."""
    counts = [np.bincount(rows, minlength=n_samples) for rows in numbers]
    most = max(int(count.max()) for count in counts)
    dtype = np.uint8 if most < 256 else np.int32
    return np.stack([count.astype(dtype) for count in counts], axis=1)


def n_classes_counted(
    counts: Array, weights: Array, labels: Labels, features: Features
) -> np.ndarray:
    """How many classes have rows of positive weight, for each way to count the rows."""
    xp, codes = features.xp, features.place(labels.codes, None)
    n_classes = np.zeros(counts.shape[1], dtype=np.int64)
    for k in range(labels.classes.shape[0]):
        own = (weights * xp.astype(codes == k, weights.dtype))[:, None]
        columns = Responses(counts.shape[1], own, own, counts)
        total = columns.total_weight(weights.dtype, xp=xp)
        n_classes += arrays.to_host(total) > 0
    return n_classes


def read_folds(
    splitter: Any, y: np.ndarray, weights: Array, labels: Labels, features: Features
) -> Folds:
    """Ask a splitter for its folds, and look at the classes in them.

    Parameters
    ----------
    splitter : splitter of scikit-learn's
    y : ndarray of shape (n_samples,)
        Labels, on the host.
    weights : array of shape (n_samples,)
    labels : Labels
    features : Features

    Raises
    ------
    ValueError
        If no fold has two classes to train on.

    Warns
    -----
    UserWarning
        If some have not.
    """
    n_samples = y.shape[0]
    # A splitter counts the rows of X; its values stay where they are.
    splits = list(splitter.split(np.zeros((n_samples, 1)), y))
    rows = np.arange(n_samples)
    trains = [rows[train] for train, _ in splits]
    tests = [rows[test] for _, test in splits]
    counts = features.place(small_counts(trains, n_samples), None)

    n_classes = n_classes_counted(counts, weights, labels, features)
    usable = np.nonzero(n_classes >= 2)[0]
    if usable.size == 0:
        raise ValueError(
            "No fold has samples of two classes to train on. Use fewer folds, or a "
            "splitter that shuffles and stratifies (sklearn.model_selection."
            "StratifiedKFold(shuffle=True))."
        )
    if usable.size < len(splits):
        missing = np.nonzero(n_classes < 2)[0]
        warnings.warn(
            f"Of the {len(splits)} folds, those with the numbers {missing.tolist()} "
            "have fewer than two classes to train on; their scores are NaN and do not "
            "count. Use a splitter that stratifies.",
            UserWarning,
            stacklevel=5,
        )
        counts = features.xp.take(counts, features.place(usable, None), axis=1)
    return Folds(tests, usable, counts)
