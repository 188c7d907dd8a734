"""Resamples of the rows: folds to train on, and draws with replacement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators.dataset import LabelledDataset, ModelSpec


@dataclass(frozen=True)
class Resamples:
    """Resamples of a dataset, grouped by the classes that they give weight to.

    A model leaves out the classes without weight, so that the models of a group have
    the same parameters.

    Attributes
    ----------
    dataset : LabelledDataset
    counts : ndarray of shape (n_samples, n_resamples)
        Copies of each row in each resample.
    has_class : ndarray of bool, of shape (n_resamples, n_classes)
        Whether each class has weight, for the kept classes of the dataset.
    groups : list of pairs of ndarrays of int
        For each group of resamples with enough classes, their indices and the codes of
        their classes.
    """

    dataset: LabelledDataset
    counts: np.ndarray
    has_class: np.ndarray
    groups: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(
        cls, dataset: LabelledDataset, rows: list[np.ndarray], min_classes: int
    ) -> Resamples:
        """Return the resamples with these row numbers, and groups of the usable ones.

        A resample is usable if at least ``min_classes`` classes have weight.
        """
        spec = dataset.multinomial_spec
        counts = count_rows(rows, spec.data.n_samples)
        data = spec.resampled(spec.data.place_rows(counts), 1).data
        has_class = arrays.to_host(data.class_weights(spec.n_classes)) > 0
        patterns, group_of = np.unique(has_class, axis=0, return_inverse=True)
        groups = [
            (np.nonzero(group_of.reshape(-1) == i)[0], np.nonzero(pattern)[0])
            for i, pattern in enumerate(patterns)
            if pattern.sum() >= min_classes
        ]
        return cls(dataset, counts, has_class, groups)

    @property
    def usable(self) -> np.ndarray:
        """Return the indices of the resamples in a group."""
        return np.sort(np.concatenate([members for members, _ in self.groups]))

    def specs(self, n_each: int) -> Iterator[tuple[np.ndarray, ModelSpec]]:
        """Yield the members of each group, and the spec of their models."""
        data = self.dataset.spec.data
        for members, kept in self.groups:
            counts: Any = data.place_rows(self.counts[:, members])
            yield members, self.dataset.spec_of_classes(kept).resampled(counts, n_each)

    def concatenate(self, parts: list[Array]) -> Array:
        """Concatenate arrays of all groups, with NaN for resamples in no group."""
        xp = arrays.namespace(parts[0])
        members = np.concatenate([members for members, _ in self.groups])
        order = np.full(self.has_class.shape[0], members.size)
        order[members] = np.arange(members.size)
        nan = xp.full_like(parts[0][:1, ...], xp.nan)
        return arrays.take(xp.concat([*parts, nan]), order)


def count_rows(rows: list[np.ndarray], n_samples: int) -> np.ndarray:
    """Count how often each list holds each row, (n_samples, n_lists), in few bytes."""
    counts = [np.bincount(numbers, minlength=n_samples) for numbers in rows]
    most = max(int(count.max()) for count in counts)
    dtype = np.uint8 if most < 256 else np.int32
    return np.stack([count.astype(dtype) for count in counts], axis=1)
