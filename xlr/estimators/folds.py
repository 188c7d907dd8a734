"""The rows that each fold of a cross-validation trains and tests on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.data import ChunkedCounts, Chunks, Targets, call, fetch
from xlr.estimators.problem import Task
from xlr.estimators.rows import Rows
from xlr.inputs.features import Features

__all__ = [
    "Folds",
    "labels_on_host",
    "n_classes_counted",
    "place_counts",
    "read_folds",
    "small_counts",
]


@dataclass(frozen=True)
class Folds:
    """Folds, some of which cannot be trained on.

    Attributes
    ----------
    tests : list of ndarrays
        The numbers of the rows that each fold is tested on.
    usable : ndarray of int
        The folds with at least two classes to train on.
    counts : array of shape (n_samples, n_usable), or ChunkedCounts
        How often each row is trained on, in the usable folds.
    """

    tests: list[np.ndarray]
    usable: np.ndarray
    counts: Any


def small_counts(numbers: list[np.ndarray], n_samples: int) -> np.ndarray:
    """How often each row is among some: (n_samples, n_lists), in a byte if it fits."""
    counts = [np.bincount(rows, minlength=n_samples) for rows in numbers]
    most = max(int(count.max()) for count in counts)
    dtype = np.uint8 if most < 256 else np.int32
    return np.stack([count.astype(dtype) for count in counts], axis=1)


def n_classes_counted(task: Task, counts: Any, features: Features) -> np.ndarray:
    """How many classes have rows of positive weight, for each way to count the rows."""
    data = features.data(task.targets.resampled(counts, 1))
    n_classes = max(2, task.loss.n_outputs)
    weights = data.class_weights(n_classes)
    return (arrays.to_host(weights) > 0).sum(axis=1)


def labels_on_host(rows: Rows) -> np.ndarray:
    """The label of each row, (n_samples,), for a splitter."""
    codes = rows.labels.codes
    if codes is None:  # of chunks: brought here, a byte or so for each row
        targets = rows.task.targets.parts
        parts = [call(_codes, part, name="labels") for part in targets]
        codes = np.concatenate(fetch(parts)[0])
    return arrays.to_host(rows.labels.classes)[arrays.to_host(codes)]


def _codes(targets: Targets) -> np.ndarray:
    codes = arrays.to_host(targets.labels)[:, 0]
    return codes.astype(np.min_scalar_type(int(codes.max())))


def read_folds(splitter: Any, y: np.ndarray, rows: Rows) -> Folds:
    """Ask a splitter for its folds, and look at the classes in them.

    Parameters
    ----------
    splitter : splitter of scikit-learn's
    y : ndarray of shape (n_samples,)
        Labels, on the host.
    rows : Rows

    Raises
    ------
    ValueError
        If there are no folds, or no pairs, if they name rows that are not there or test
        on none, or if none has two classes to train on.

    Warns
    -----
    UserWarning
        If some have not.
    """
    n_samples = y.shape[0]
    # A splitter counts the rows of X; its values stay where they are.
    try:
        splits = list(splitter.split(np.zeros((n_samples, 1)), y))
    except TypeError as error:
        raise ValueError(
            f"cv must give pairs (train, test) of row numbers: {error}."
        ) from error
    if not splits:
        raise ValueError("cv has no folds: give it at least one (train, test) pair.")
    trains, tests = (
        [_chosen(split[part], n_samples, f"fold {k}") for k, split in enumerate(splits)]
        for part in (0, 1)
    )
    for k, test in enumerate(tests):
        if test.size == 0:
            raise ValueError(f"cv has no rows to test on in fold {k}.")
    counts = small_counts(trains, n_samples)
    placed = place_counts(counts, rows)
    n_classes = n_classes_counted(rows.task, placed, rows.features)
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
        placed = place_counts(counts[:, usable], rows)
    return Folds(tests, usable, placed)


def _chosen(numbers: Any, n_samples: int, fold: str) -> np.ndarray:
    """Numbers of rows as a splitter has them, also from the end or as a mask."""
    try:
        return np.arange(n_samples)[numbers]
    except IndexError as error:
        raise ValueError(
            f"cv has row numbers in {fold} that do not fit {n_samples} rows: {error}."
        ) from error


def place_counts(counts: np.ndarray, rows: Rows) -> Any:
    """Counts, (n_samples, n_counts) on the host, to where the rows are."""
    X = rows.features.X
    if not isinstance(X, Chunks):
        return rows.features.place(counts, None)
    sampled = rows.features.place(counts[X.drawn], None)
    return ChunkedCounts(X.cut(counts), sampled)
