"""What several models are asked about the same rows, and with what weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design import add, reduce_over_blocks, row_blocks

__all__ = ["Responses"]


@dataclass(frozen=True)
class Responses:
    r"""Targets and weights of each row for each model, formed block by block.

    Models that share something hold it once: row i weighs

    .. math:: s_{im} = s_i\, n_{i\,r(m)}\, f_{m\,y_{im}}

    for model m, with its class :math:`y_{im}` there.

    Attributes
    ----------
    n_models : int
    targets : array of shape (n_samples, n_targets)
        Class codes 0, 1, ..., of any dtype.
    weights : array of shape (n_samples, 1)
        :math:`s_i`, in the dtype of the design.
    counts : array of shape (n_samples, n_counts) or None
        How often a row counts, :math:`n_{ir}`, of any dtype; None for once.
    class_factors : array of shape (n_models, 2) or None
        Weights of the classes 0 and 1 in each model, in the dtype of the design; None
        for ones.
    target_of, count_of : array of shape (n_models,) or None
        The columns that each model has, integers. None for one column that all models
        share, or for a column a model.
    resample_of : ndarray of shape (n_models,) or None
        Models with the same number differ in their counts alone.
    """

    n_models: int
    targets: Array
    weights: Array
    counts: Array | None = None
    class_factors: Array | None = None
    target_of: Array | None = None
    count_of: Array | None = None
    resample_of: np.ndarray | None = None

    def block(self, rows: slice, *, xp: Namespace) -> tuple[Array, Array]:
        """Targets and weights of some rows: (n_rows, n_models or 1), in the dtype of
        the weights.
        """
        dtype = self.weights.dtype
        targets = _columns(self.targets[rows, :], self.target_of, dtype, xp=xp)
        weights = self.weights[rows, :]
        if self.counts is not None:
            counts = _columns(self.counts[rows, :], self.count_of, dtype, xp=xp)
            weights = weights * counts
        if self.class_factors is not None:
            first, second = self.class_factors[:, 0], self.class_factors[:, 1]
            weights = weights * xp.where(targets > 0, second, first)
        return targets, weights

    def total_weight(self, dtype: Any, *, xp: Namespace) -> Array:
        """The sum of each model's weights: (n_models,), in ``dtype``."""
        counts = None if self.class_factors is not None else self.counts
        if counts is not None and self.count_of is not None:
            # Models that share their counts share the sum.
            each = Responses(counts.shape[1], self.targets[:, :1], self.weights, counts)
            return xp.take(each.total_weight(dtype, xp=xp), self.count_of)

        def kernel(rows: slice) -> tuple[Array]:
            _, weights = self.block(rows, xp=xp)
            return (xp.sum(weights, axis=0, dtype=dtype),)

        slices = row_blocks(self.weights, self.n_models, xp=xp)
        (total,) = reduce_over_blocks(kernel, add, slices)
        return xp.broadcast_to(total, (self.n_models,))

    def class_weights(self, n_classes: int, dtype: Any, *, xp: Namespace) -> Array:
        """The sum of each model's weights in each class: (n_models, n_classes)."""

        def kernel(rows: slice) -> tuple[Array]:
            targets, weights = self.block(rows, xp=xp)
            of_class = [
                xp.sum(weights * xp.astype(targets == k, dtype), axis=0, dtype=dtype)
                for k in range(n_classes)
            ]
            return (xp.stack(of_class, axis=1),)

        slices = row_blocks(self.weights, self.n_models, xp=xp)
        (weights,) = reduce_over_blocks(kernel, add, slices)
        return xp.broadcast_to(weights, (self.n_models, n_classes))

    def row_weight(self, dtype: Any, *, xp: Namespace) -> Array:
        """The sum of the weights that models share: a number."""
        return xp.sum(self.weights, dtype=dtype)

    @property
    def weighs_alike(self) -> bool:
        """Whether a row weighs the same in all models."""
        return self.counts is None and self.class_factors is None

    def select(self, models: np.ndarray) -> Responses:
        """Those of some models, by their numbers on the host."""

        def chosen(values: Array | None, of: Array | None) -> Array | None:
            if of is not None:
                return arrays.rows(of, models)
            if values is None or values.shape[1] == 1:
                return None
            xp, device = arrays.namespace(values), arrays.device_of(values)
            return arrays.move(models, xp=xp, device=device)

        factors, resample_of = self.class_factors, self.resample_of
        return replace(
            self,
            n_models=models.shape[0],
            class_factors=None if factors is None else arrays.rows(factors, models),
            target_of=chosen(self.targets, self.target_of),
            count_of=chosen(self.counts, self.count_of),
            resample_of=None if resample_of is None else resample_of[models],
        )

    def sample(self, rows: Array, dtype: Any, *, xp: Namespace) -> Responses:
        """Those of some rows, by their numbers, computed with in ``dtype``."""
        sampled = replace(
            self,
            targets=xp.take(self.targets, rows, axis=0),
            weights=xp.take(self.weights, rows, axis=0),
            counts=None if self.counts is None else xp.take(self.counts, rows, axis=0),
        )
        return sampled.astype(dtype, xp=xp)

    def astype(self, dtype: Any, *, xp: Namespace) -> Responses:
        """Computed with in another dtype."""
        factors = self.class_factors
        return replace(
            self,
            weights=xp.astype(self.weights, dtype, copy=False),
            class_factors=None if factors is None else xp.astype(factors, dtype),
        )

    def resampled(self, counts: Array, n_each: int) -> Responses:
        """The one model there is for each way to count the rows.

        Parameters
        ----------
        counts : array of shape (n_samples, n_counts)
        n_each : int
            Models for each of the counts, which differ in their penalty. The models of
            the first penalty come first, in the order of the counts.
        """
        n_counts = counts.shape[1]
        count_of = np.tile(np.arange(n_counts), n_each)
        xp, device = arrays.namespace(counts), arrays.device_of(counts)
        return replace(
            self,
            n_models=n_counts * n_each,
            counts=counts,
            count_of=arrays.move(count_of, xp=xp, device=device),
            resample_of=np.repeat(np.arange(n_each), n_counts),
        )

    def without_counts(self) -> Responses:
        """Every row once."""
        return replace(self, counts=None, count_of=None, resample_of=None)


def _columns(values: Array, of: Array | None, dtype: Any, *, xp: Namespace) -> Array:
    if of is not None:
        values = xp.take(values, of, axis=1)
    return values if values.dtype == dtype else xp.astype(values, dtype)
