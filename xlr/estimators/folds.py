"""The rows that each fold of a cross-validation trains and tests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.estimators.dataset import LabelledDataset
from xlr.estimators.model_spec import ModelSpec
from xlr.text import warn

__all__ = [
    "Folds",
    "Group",
    "groups_of",
    "has_weight",
    "read_folds",
    "small_counts",
]


class Group(NamedTuple):
    """Ways to count the rows that leave the same classes with weight.

    Attributes
    ----------
    members : ndarray of int
        The numbers of these ways.
    kept : ndarray of int
        The classes with weight, as codes of the task.
    """

    members: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True)
class Folds:
    """Folds, some of which cannot be trained on.

    Attributes
    ----------
    tests : list of ndarrays
        The numbers of the rows that each fold is tested on.
    usable : ndarray of int
        The folds with rows of positive weight to train on.
    groups : list of Group
        Of the usable folds, by their positions in ``usable``.
    counts : list of arrays of shape (n_samples, n_members), or of PerRow
        How often the folds of each group train on each row.
    """

    tests: list[np.ndarray]
    usable: np.ndarray
    groups: list[Group]
    counts: list[Any]


def small_counts(numbers: list[np.ndarray], n_samples: int) -> np.ndarray:
    """How often each row is among some: (n_samples, n_lists), in a byte if it fits."""
    counts = [np.bincount(rows, minlength=n_samples) for rows in numbers]
    most = max(int(count.max()) for count in counts)
    dtype = np.uint8 if most < 256 else np.int32
    return np.stack([count.astype(dtype) for count in counts], axis=1)


def has_weight(spec: ModelSpec, counts: Any) -> np.ndarray:
    """Return which classes have weight, for each way to count the rows.

    Returns
    -------
    ndarray of bool, (n_counts, n_classes)
    """
    data = spec.resampled(counts, 1).data
    return arrays.to_host(data.class_weights(spec.n_classes)) > 0


def groups_of(weighs: np.ndarray) -> list[Group]:
    """Group ways to count the rows by the classes that they leave with weight.

    Parameters
    ----------
    weighs : ndarray of bool, (n_counts, n_classes)
    """
    patterns, group_of = np.unique(weighs, axis=0, return_inverse=True)
    return [
        Group(np.nonzero(group_of.reshape(-1) == i)[0], np.nonzero(pattern)[0])
        for i, pattern in enumerate(patterns)
    ]


def read_folds(
    splitter: Any, y: np.ndarray, dataset: LabelledDataset, metadata: dict[str, Any]
) -> Folds:
    """Ask a splitter for its folds, and look at the classes in them.

    Parameters
    ----------
    splitter : splitter of scikit-learn's
    y : ndarray of shape (n_samples,)
        Labels, on the host.
    dataset : LabelledDataset
    metadata : dict
        What the splitter requests, such as ``groups``.

    Raises
    ------
    ValueError
        If there are no folds, or no pairs, if they name rows that are not there or test
        on none, or if none has two classes to train on where there are two.

    Warns
    -----
    UserWarning
        If folds have no weight to train on, or none in some class.
    """
    n_samples = y.shape[0]
    # A splitter counts the rows of X; its values stay where they are.
    try:
        splits = list(splitter.split(np.zeros((n_samples, 1)), y, **metadata))
    except TypeError as error:
        raise ValueError(
            f"cv must give pairs (train, test) of row numbers: {error}."
        ) from error
    except ValueError as error:
        if "'groups' parameter" not in str(error) or "groups" in metadata:
            raise
        name = type(splitter).__name__
        raise ValueError(
            f"cv={name} needs the group of each row: {error} Call "
            "sklearn.set_config(enable_metadata_routing=True), and pass groups= to fit."
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
    spec = dataset.spec
    weighs = has_weight(spec, spec.data.place_rows(counts))
    if weighs.sum(axis=1).max() < min(2, spec.n_classes):
        raise ValueError(
            "No fold has samples of two classes to train on. Use fewer folds, or a "
            "splitter that shuffles and stratifies (sklearn.model_selection."
            "StratifiedKFold(shuffle=True))."
        )
    usable = np.nonzero(weighs.any(axis=1))[0]
    _warn_of_left_out(weighs, dataset)
    groups = groups_of(weighs[usable])
    placed = [
        spec.data.place_rows(counts[:, usable[group.members]]) for group in groups
    ]
    return Folds(tests, usable, groups, placed)


def _warn_of_left_out(weighs: np.ndarray, dataset: LabelledDataset) -> None:
    sentences = []
    empty = np.nonzero(~weighs.any(axis=1))[0]
    if empty.size:
        sentences.append(
            f"Of the {weighs.shape[0]} folds, those with the numbers {empty.tolist()} "
            "have no rows of positive weight to train on; their scores are NaN and do "
            "not count."
        )
    for label, own in zip(dataset.kept_classes, weighs.T):
        without = np.nonzero(~own & weighs.any(axis=1))[0]
        if without.size:
            sentences.append(
                f"Of the {weighs.shape[0]} folds, those with the numbers "
                f"{without.tolist()} train on no row of the class {label!r} that has "
                "weight: their models leave it out, with a probability of 0."
            )
    if sentences:
        advice = "Use a splitter that stratifies, or fewer folds."
        warn(" ".join([*sentences, advice]))


def _chosen(numbers: Any, n_samples: int, fold: str) -> np.ndarray:
    """Numbers of rows as a splitter has them, also from the end or as a mask."""
    try:
        return np.arange(n_samples)[numbers]
    except IndexError as error:
        raise ValueError(
            f"cv has row numbers in {fold} that do not fit {n_samples} rows: {error}."
        ) from error
