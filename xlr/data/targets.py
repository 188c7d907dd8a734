"""Targets: the labels of the rows for each model, their weights and offsets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace


@dataclass(frozen=True)
class Targets:
    r"""Labels, weights and offset of each row for each model, formed block by block.

    Arrays that models share are stored once. Row i has the weight

    .. math:: s_{im} = s_i\, n_{i\,r(m)}\, f_{m\,y_{im}}

    and the label :math:`y_{im}` in model m, which belongs to resample r(m).

    Attributes
    ----------
    n_models : int
    labels : array of shape (n_samples, n_targets)
        Class codes 0, 1, ..., of any dtype; or the class shares of one model, for
        losses that take shares.
    weights : array of shape (n_samples, 1)
        :math:`s_i`, in the dtype of the computations.
    counts : array of shape (n_samples, n_counts) or None
        Copies of the row in each resample, :math:`n_{ir}`, of any dtype; None for one.
    class_factors : array of shape (n_models, n_classes) or None
        Factors :math:`f` of the weights for each label in each model, in the dtype of
        the computations; None for ones. Models of more than two classes share the first
        column of labels.
    label_of, count_of : array of shape (n_models,) or None
        Column of ``labels`` and of ``counts`` for each model. None if all models share
        one column, or each has its own.
    resample_of : ndarray of shape (n_models,) or None
        Model on all rows that each model resamples: models with the same number differ
        only in their counts, and in class factors that balance them.
    offset : array of shape (n_samples, n_outputs) or None
        Added to the logits of every model, in the dtype of the computations.
    """

    n_models: int
    labels: Array
    weights: Array
    counts: Array | None = None
    class_factors: Array | None = None
    label_of: Array | None = None
    count_of: Array | None = None
    resample_of: np.ndarray | None = None
    offset: Array | None = None

    def block(self, rows: slice, *, xp: Namespace) -> tuple[Array, Array]:
        """Return labels and weights of some rows, both (n_rows, n_models or 1).

        Both have the dtype of the computations.
        """
        dtype = self.weights.dtype
        labels = _columns(self.labels[rows, :], self.label_of, dtype, xp=xp)
        weights = self.weights[rows, :]
        if self.counts is not None:
            counts = _columns(self.counts[rows, :], self.count_of, dtype, xp=xp)
            weights = weights * counts
        factors = self.class_factors
        if factors is not None and factors.shape[1] == 2:
            weights = weights * xp.where(labels > 0, factors[:, 1], factors[:, 0])
        elif factors is not None:
            codes = xp.astype(labels[:, 0], xp.int32)
            weights = weights * xp.take(factors.T, codes, axis=0)
        return labels, weights

    @property
    def has_shared_weights(self) -> bool:
        """Return whether each row has the same weight in all models."""
        return self.counts is None and self.class_factors is None

    def select(self, models: np.ndarray) -> Targets:
        """Return the targets of some models, by their indices on the host."""
        if self.n_models == models.shape[0] == 1:
            return self

        def column_of(values: Array | None, column_index: Array | None) -> Array | None:
            if column_index is not None:
                return arrays.take(column_index, models)
            if values is None or values.shape[1] == 1:
                return None
            return arrays.move_like(models, values)

        factors, resample_of = self.class_factors, self.resample_of
        return replace(
            self,
            n_models=models.shape[0],
            class_factors=None if factors is None else arrays.take(factors, models),
            label_of=column_of(self.labels, self.label_of),
            count_of=column_of(self.counts, self.count_of),
            resample_of=None if resample_of is None else resample_of[models],
        )

    def recoded(self, kept: np.ndarray, n_classes: int) -> Targets:
        """Return the targets of one model for some of its classes, in their order.

        Rows of the other classes get the code 0, and must have no weight.
        """
        xp = arrays.namespace(self.labels)
        codes, offset = np.zeros(n_classes, dtype=np.int64), self.offset
        codes[kept] = np.arange(kept.shape[0])
        new = arrays.move_like(codes, self.labels, self.labels.dtype)
        old = xp.astype(self.labels[:, 0], xp.int32)
        if offset is not None and offset.shape[1] > 1:
            offset = xp.take(offset, arrays.move_like(kept, offset), axis=1)
        return replace(self, labels=xp.take(new, old)[:, None], offset=offset)

    def take_rows(self, rows: Array, *, xp: Namespace) -> Targets:
        """Return the targets of some rows, by their indices on the device."""
        names = "labels", "weights", "counts", "offset"
        return self._with(names, lambda values: xp.take(values, rows, axis=0))

    def astype(self, dtype: Any, *, xp: Namespace) -> Targets:
        """Return the targets with weights and offset in another dtype."""
        names = "weights", "class_factors", "offset"
        return self._with(names, lambda values: xp.astype(values, dtype, copy=False))

    def _with(
        self, names: tuple[str, ...], change: Callable[[Array], Array]
    ) -> Targets:
        """Return the targets with some arrays changed, except those that are None."""
        values = {name: getattr(self, name) for name in names}
        changed = {k: change(v) for k, v in values.items() if v is not None}
        return replace(self, **changed)

    def resampled(self, counts: np.ndarray, n_penalties: int) -> Targets:
        """Return the targets of models of resampled rows.

        Parameters
        ----------
        counts : ndarray of shape (n_samples, n_counts)
            Copies of each row in each resample, on the host.
        n_penalties : int
            Number of penalties. Each has a model for each resample and label. The
            models of the first penalty come first, in the order of the counts and then
            of the labels.
        """
        n_labels = self.n_models
        shape = n_penalties, counts.shape[1], n_labels
        penalty, count, label = np.indices(shape).reshape(3, -1)
        return replace(
            self if n_labels == 1 else self.select(label),
            n_models=label.size,
            counts=arrays.move_like(counts, self.weights),
            count_of=arrays.move_like(count, self.weights),
            resample_of=penalty * n_labels + label,
        )

    def without_counts(self) -> Targets:
        """Return the targets with each row once."""
        return replace(self, counts=None, count_of=None, resample_of=None)


def _columns(
    values: Array, column_index: Array | None, dtype: Any, *, xp: Namespace
) -> Array:
    """Return the columns of the models in a dtype."""
    if column_index is not None:
        values = xp.take(values, column_index, axis=1)
    return values if values.dtype == dtype else xp.astype(values, dtype)
