"""F on rows that are in chunks: each pass asks all of them for their sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design import (
    Delayed,
    DenseDesign,
    Moments,
    Standardisation,
    add,
    call,
    literal,
    over_chunks,
)
from xlr.losses import Loss
from xlr.objective.objective import Objective
from xlr.objective.passes import Passes
from xlr.objective.responses import Responses
from xlr.penalties import Penalty
from xlr.threads import keep_freed_memory

__all__ = ["ChunkedCounts", "ChunkedObjective", "ChunkedResponses"]


class ChunkedCounts(NamedTuple):
    """How often rows in chunks count.

    Attributes
    ----------
    parts : list of Delayed
        Of each chunk: (n_i, n_counts), on the host.
    sampled : array of shape (n_sampled, n_counts)
        Of the sample.
    """

    parts: list[Delayed]
    sampled: Array


@dataclass(frozen=True)
class ChunkedResponses:
    """What models are asked about rows that are in chunks; as :class:`Responses`.

    Attributes
    ----------
    parts : list of Delayed
        The :class:`Responses` of each chunk, as all of them began.
    sampled : Responses
        Those of the sample, after all changes.
    unit : float
        What their weights are to be multiplied by to be those that were given.
    moments : Moments
        Of the columns of X, with the weights that were given.
    changes : tuple of callables
        What became of the responses since.
    """

    parts: list[Delayed]
    sampled: Responses
    unit: float
    moments: Moments
    changes: tuple[Callable[[Responses], Responses], ...] = ()

    @property
    def n_models(self) -> int:
        """How many models there are."""
        return self.sampled.n_models

    @property
    def class_factors(self) -> Array | None:
        """Weights of the classes in each model."""
        return self.sampled.class_factors

    @property
    def count_of(self) -> Array | None:
        """The column of the counts that each model has."""
        return self.sampled.count_of

    @property
    def resample_of(self) -> np.ndarray | None:
        """Models with the same number differ in their counts alone."""
        return self.sampled.resample_of

    @property
    def weighs_alike(self) -> bool:
        """Whether a row weighs the same in all models."""
        return self.sampled.weighs_alike

    def total_weight(self, dtype: Any, *, xp: Namespace) -> Array:
        """The sum of each model's weights: (n_models,)."""
        return self._sum_of(Responses.total_weight, dtype, xp=xp)

    def class_weights(self, n_classes: int, dtype: Any, *, xp: Namespace) -> Array:
        """The sum of each model's weights in each class: (n_models, n_classes)."""
        return self._sum_of(Responses.class_weights, n_classes, dtype, xp=xp)

    def row_weight(self, dtype: Any, *, xp: Namespace) -> Array:
        """The sum of the weights that models share: a number."""
        return self._sum_of(Responses.row_weight, dtype, xp=xp)

    def _sum_of(self, sums: Callable[..., Array], *arguments: Any, xp: Any) -> Array:
        function = partial(_of_responses, sums, self.changes, arguments, xp)
        return over_chunks(function, self.parts, name="weights")[0]

    def select(self, models: np.ndarray) -> ChunkedResponses:
        """Those of some models, by their numbers on the host."""
        return self._changed(methodcaller("select", models))

    def resampled(self, counts: ChunkedCounts, n_each: int) -> ChunkedResponses:
        """The one model there is for each way to count the rows."""
        count = partial(_resampled, n_each)
        parts = [
            call(count, *chunk, name="resamples")
            for chunk in zip(self.parts, counts.parts)
        ]
        sampled = self.sampled.resampled(counts.sampled, n_each)
        return replace(self, parts=parts, sampled=sampled)

    def without_counts(self) -> ChunkedResponses:
        """Every row once."""
        return self._changed(methodcaller("without_counts"))

    def astype(self, dtype: Any, *, xp: Namespace) -> ChunkedResponses:
        """With weights in a dtype."""
        return self._changed(methodcaller("astype", dtype, xp=xp))

    def _changed(self, change: Callable[[Responses], Responses]) -> ChunkedResponses:
        changes = (*self.changes, change)
        return replace(self, sampled=change(self.sampled), changes=changes)

    def sample(self, rows: Array, dtype: Any, *, xp: Namespace) -> Responses:
        """Those of some rows of the sample, computed with in ``dtype``."""
        return self.sampled.sample(rows, dtype, xp=xp)


def _resampled(n_each: int, responses: Responses, counts: np.ndarray) -> Responses:
    xp, device = (
        arrays.namespace(responses.weights),
        arrays.device_of(responses.weights),
    )
    return responses.resampled(arrays.move(counts, xp=xp, device=device), n_each)


def _of_responses(
    sums: Callable[..., Array],
    changes: tuple[Callable[[Responses], Responses], ...],
    arguments: tuple[Any, ...],
    xp: Namespace,
    responses: Responses,
) -> tuple[Array]:
    return (sums(_changed(responses, changes), *arguments, xp=xp),)


def _changed(
    responses: Responses, changes: tuple[Callable[[Responses], Responses], ...]
) -> Responses:
    for change in changes:
        responses = change(responses)
    return responses


@dataclass(frozen=True)
class View:
    """How a chunk is to be looked at: all that a pass knows but for its parameters.

    Attributes
    ----------
    units : Standardisation or None
    features : array or None
        The columns to look at; None for all.
    changes : tuple of callables
        As :class:`ChunkedResponses` has them.
    loss : Loss
    fit_intercept : bool
    dtype : dtype
        To compute in.
    """

    units: Standardisation | None
    features: Array | None
    changes: tuple[Callable[[Responses], Responses], ...]
    loss: Loss
    fit_intercept: bool
    dtype: Any

    def passes(self, X: Array, responses: Responses, offset: Array | None) -> Passes:
        """Passes over the rows of a chunk."""
        xp = arrays.namespace(X)
        design = DenseDesign(X, self.units, offset, dtype=self.dtype, xp=xp)
        if self.features is not None:
            design = design.of_features(self.features)
        responses = _changed(responses, self.changes)
        return Passes(design, responses, self.loss, fit_intercept=self.fit_intercept)


@arrays.quiet()
def _on_chunk(
    function: Callable[..., Any],
    view: View,
    arguments: tuple[Any, ...],
    X: Array,
    responses: Responses,
    offset: Array | None,
    beside: Any,
) -> tuple[Any, ...]:
    """What a function of passes finds in a chunk."""
    keep_freed_memory()
    passes = view.passes(X, responses, offset)
    return passes.over_rows(function, *arguments, beside=beside, name="chunk")


class ChunkedObjective(Objective):
    """F of rows that are in chunks on the workers of a Dask scheduler.

    Solvers see no difference: passes are sums over the chunks, and what is begun on a
    sample is begun here.

    Parameters
    ----------
    design : ChunkedDesign
    responses : ChunkedResponses
    loss, penalty, fit_intercept, units
        As for :class:`Objective`.
    """

    design: Any
    responses: Any
    has_rows = False

    def _like(
        self, design: Any, responses: Any, penalty: Penalty, units: Any
    ) -> ChunkedObjective:
        return ChunkedObjective(
            design,
            responses,
            self.loss,
            penalty,
            fit_intercept=self.fit_intercept,
            units=units,
        )

    def over_rows(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        beside: Any = None,
        combine: Callable[[Any, Any], Any] = add,
        name: str,
    ) -> tuple[Any, ...]:
        """What a function of :class:`Passes` returns for all chunks: a pass over them.

        ``beside`` is a list of Delayed.
        """
        view = View(
            self.design.units,
            self.design.features,
            self.responses.changes,
            self.loss,
            self.fit_intercept,
            self.design.dtype,
        )
        on_chunk = partial(_on_chunk, function, view, arguments)
        parts = [self.responses.parts]
        for more in (self.design.offset and self.design.offset.parts, beside):
            parts.append(more or [literal(None)] * len(self.responses.parts))
        return self.design.X.over_chunks(on_chunk, *parts, combine=combine, name=name)

    def loss_and_slope(self, parameters: Array) -> tuple[Array, Array]:
        """The sum of the loss and its gradient, in one pass."""
        value, slope = self.over_rows(
            Passes.loss_and_slope, parameters, name="gradient"
        )
        return value, slope

    def loss_and_slope_of_resamples(
        self, pooled: Passes, parameters: Array, of: np.ndarray
    ) -> tuple[Array, Array]:
        """The same where resamples of one model share its parameters."""
        pooled_responses: Any = pooled.responses
        since = pooled_responses.changes[len(self.responses.changes) :]
        value, slope = self.over_rows(
            _of_resamples, since, parameters, of, name="gradient"
        )
        return value, slope

    def curvature(self, parameters: Array) -> Any:
        """The parameters: each chunk finds its curvature again when it is asked."""
        return parameters

    def curvature_product(self, curvature: Any, vector: Array) -> Array:
        """The second derivatives of the sum of the loss times a vector, in one pass."""
        (product,) = self.over_rows(
            Passes.curvature_product, curvature, vector, name="hessian-product"
        )
        return product

    def curvature_diagonal(self, parameters: Array) -> Array:
        """The second derivatives of the sum of the loss in each parameter."""
        (diagonal,) = self.over_rows(
            Passes.curvature_diagonal, parameters, name="hessian-diagonal"
        )
        return diagonal

    def squared_rows(self) -> Array:
        """The sum of the weights times the squares of the rows: (n_models,)."""
        (squares,) = self.over_rows(Passes.squared_rows, name="squares")
        return squares

    def curvature_sums(
        self, parameters: Array, *, rough: bool, by_class: bool = False
    ) -> Array:
        """What all rows add to the Hessians."""
        sums = partial(Passes.curvature_sums, rough=rough, by_class=by_class)
        (total,) = self.over_rows(sums, parameters, name="hessian")
        return total

    def offset_sizes(self) -> Array:
        """The sum over the rows of the largest size of their offsets: a number."""
        (total,) = self.over_rows(Passes.offset_sizes, name="offsets")
        return total


def _of_resamples(
    passes: Passes,
    changes: tuple[Callable[[Responses], Responses], ...],
    parameters: Array,
    of: np.ndarray,
) -> tuple[Array, Array]:
    """``changes`` are those from the resamples to the models they are pooled to."""
    responses = _changed(passes.responses, changes)
    pooled = Passes(
        passes.design, responses, passes.loss, fit_intercept=passes.fit_intercept
    )
    return passes.loss_and_slope_of_resamples(pooled, parameters, of)
