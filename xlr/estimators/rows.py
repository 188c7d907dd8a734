"""The rows of a fit: features, labels and weights as a task for a solver."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import (
    ChunkedOffset,
    ChunkedTargets,
    Chunks,
    ColumnStatistics,
    Delayed,
    Targets,
    call,
)
from xlr.estimators.problem import Task, loss_of, multinomial, one_vs_rest
from xlr.inputs.chunk_look import ChunkRows
from xlr.inputs.dask_input import level_of_caller
from xlr.inputs.features import Features
from xlr.inputs.first_pass import Found, first_pass
from xlr.inputs.labels import Labels, read_labels
from xlr.inputs.offset import check_offset_shape, read_offset
from xlr.inputs.weights import (
    check_totals,
    class_factors,
    class_totals,
    of_classes,
    place_weights,
)

__all__ = ["Rows", "read_rows"]


class Rows(NamedTuple):
    """What models are fitted to.

    Attributes
    ----------
    features : Features
    labels : Labels
        Of rows in chunks: without codes.
    task : Task
    offset : array of shape (n_samples, n_outputs), ChunkedOffset or None
    totals : ndarray of shape (n_classes,)
        Sums of the sample weights in each class.
    factors : ndarray of shape (n_classes,) or None
        What those are multiplied by for the class weights.
    weighing : Weighing
    chunk_rows : list of Delayed or None
        Where rows are in chunks, what was given beside X: :class:`ChunkRows`.
    """

    features: Features
    labels: Labels
    task: Task
    offset: Any
    totals: np.ndarray
    factors: np.ndarray | None
    weighing: Weighing
    chunk_rows: list[Delayed] | None = None

    def warn_of_left_out(self) -> None:
        """Warn of classes without weight, which are left out of the fit."""
        classes, kept = arrays.to_host(self.labels.classes), self.weighing.kept
        if kept.shape[0] == classes.shape[0]:
            return
        left_out = np.delete(classes, kept).tolist()
        sentence = (
            f"The rows of {_listed(left_out)} weigh zero, all of them (sample_weight, "
            "class_weight): the fit leaves them out, with a probability of 0."
        )
        if kept.shape[0] == 1:
            only = classes[kept].tolist()[0]
            sentence += f" The class {only!r} is left alone, and always predicted."
        warnings.warn(sentence, UserWarning, stacklevel=level_of_caller())


@dataclass(frozen=True)
class Weighing:
    """How classes weigh, and what becomes of weighted labels.

    Attributes
    ----------
    factors : ndarray of shape (n_classes,) or None
        What the weights of each class are multiplied by.
    one_vs_rest : bool
        Whether there is a model for each class.
    against_rest : ndarray of shape (n_classes, 2) or None
        What the weights of the rest and of the class are multiplied by in its model.
    kept : ndarray of int
        The classes with weight.
    """

    factors: np.ndarray | None
    one_vs_rest: bool
    against_rest: np.ndarray | None
    kept: np.ndarray

    @classmethod
    @arrays.quiet()
    def of(
        cls, classes: Array, totals: np.ndarray, class_weight: Any, multi_class: str
    ) -> Weighing:
        """As an estimator's parameters say, for some sums of the classes' weights.

        Raises
        ------
        ValueError
            If no class has weight.
        """
        by_class = multi_class == "ovr" and classes.shape[0] > 2
        factors = against_rest = None
        if by_class and class_weight == "balanced":
            # A class weighs as much as its rest, model by model.
            # Sums of the others: a difference from the whole may round to nothing.
            before, after = np.cumsum([0, *totals]), np.cumsum([0, *totals[::-1]])
            rest = before[:-1] + after[-2::-1]
            half = totals.sum() / 2
            against_rest = np.stack([half / rest, half / totals], axis=1)
        elif class_weight is not None:
            factors = class_factors(class_weight, classes, totals)
            totals = totals * factors
        check_totals(totals)
        return cls(factors, by_class, against_rest, np.nonzero(totals)[0])

    def task(self, features: Features, labels: Labels, weights: Array) -> Task:
        """The task for some rows, with weights (n_samples,)."""
        if self.factors is not None:
            weights = weights * of_classes(
                self.factors, labels, weights.dtype, features
            )
        if self.one_vs_rest and self.kept.shape[0] > 1:
            return one_vs_rest(features, labels, weights, self.kept, self.against_rest)
        task = multinomial(features, labels, weights)
        is_whole = self.kept.shape[0] == labels.classes.shape[0]
        return task if is_whole else task.among(self.kept)


def read_rows(
    estimator: Any,
    features: Features,
    y: Any,
    sample_weight: Any = None,
    offset: Any = None,
    *,
    statistics: ColumnStatistics | None = None,
) -> Rows:
    """Check what comes with X, and make it a task. Of chunks: in the first pass.

    Parameters
    ----------
    estimator : estimator
        With ``fit_intercept`` and, if it has a choice, ``random_state``,
        ``class_weight`` and ``multi_class``.
    features : Features
    y, sample_weight, offset : arrays
    statistics : ColumnStatistics, default=None
        Of the columns of chunks, where they are known: then X is not read yet, and
        there is no sample.

    Raises
    ------
    TypeError, ValueError
        If they are not as described.
    """
    class_weight = getattr(estimator, "class_weight", None)
    multi_class = getattr(estimator, "multi_class", "multinomial")
    if isinstance(features.X, Chunks):
        given = y, sample_weight, offset
        found = first_pass(estimator, features, *given, statistics=statistics)
        weighing = Weighing.of(found.classes, found.totals, class_weight, multi_class)
        _check_offset(offset, weighing)
        return _of_chunks(features, found, weighing)
    for name, given in (("y", y), ("sample_weight", sample_weight), ("offset", offset)):
        if arrays.is_dask(given):
            raise TypeError(
                f"{name} is of Dask while X is in memory. Pass {name}.compute(), or X "
                "as a Dask array."
            )
    labels = read_labels(y, features.X.shape[0])
    weights = place_weights(sample_weight, features)
    totals = class_totals(weights, labels, features)
    weighing = Weighing.of(labels.classes, totals, class_weight, multi_class)
    task = weighing.task(features, labels, weights)
    if offset is not None:
        _check_offset(offset, weighing)
        n_columns = loss_of(labels.classes.shape[0]).n_outputs
        offset = read_offset(offset, n_columns, features)
        offset = _of_kept(weighing.kept, offset)
    return Rows(features, labels, task, offset, totals, weighing.factors, weighing)


def _listed(classes: list[Any]) -> str:
    """Name classes in a sentence."""
    names = ", ".join(map(repr, classes))
    return f"the class {names}" if len(classes) == 1 else f"the classes {names}"


def _of_kept(kept: np.ndarray, offset: Array) -> Array:
    """Return the columns of an offset that belong to the classes with weight."""
    if offset.shape[1] in (1, kept.shape[0]):
        return offset
    xp, device = arrays.namespace(offset), arrays.device_of(offset)
    return xp.take(offset, arrays.move(kept, xp=xp, device=device), axis=1)


def _check_offset(offset: Any, weighing: Weighing) -> None:
    if offset is not None and weighing.one_vs_rest:
        raise ValueError(
            "An offset of the logits is of one model; multi_class='ovr' fits one for "
            "each class. Use multi_class='multinomial'."
        )


def _of_chunks(features: Features, found: Found, weighing: Weighing) -> Rows:
    sampled, rows_drawn, numbers = found.sample
    X = features.X.counted(found.sizes, (sampled, numbers))
    features = features.like(X)
    statistics = _weighed(found, weighing, features)
    totals = (
        found.totals if weighing.factors is None else found.totals * weighing.factors
    )
    unit = totals.sum() / X.shape[0]
    # No view of the sample: a graph that a client remembers would keep all of it.
    like = X.xp.zeros((0, X.n_features), dtype=X.dtype, device=X.device)
    task_of = partial(_task_of, weighing, features.like(like), unit)
    targets_of = partial(_targets_of, task_of, found.classes)
    parts = [call(targets_of, part, name="targets") for part in found.rows]
    task = task_of(rows_drawn)
    added = None
    if rows_drawn.offset is not None:
        # As it was given: those of all chunks have one number of columns.
        n_samples, n_columns = X.shape[0], rows_drawn.offset.shape[1]
        shape = (n_samples,) if n_columns == 1 else (n_samples, n_columns)
        n_outputs = loss_of(found.classes.shape[0]).n_outputs
        check_offset_shape(shape, n_outputs, n_samples)
        offset_of = partial(_offset_of, weighing.kept)
        added = ChunkedOffset(
            [call(offset_of, part, name="offset") for part in found.rows],
            offset_of(rows_drawn),
        )
    _, kept = X.fetch([], found.rows, keep=parts)
    targets = ChunkedTargets(kept, task.targets, unit, statistics)
    labels = Labels(found.classes, None)
    return Rows(
        features,
        labels,
        replace(task, targets=targets),
        added,
        found.totals,
        weighing.factors,
        weighing,
        found.rows,
    )


def _offset_of(kept: np.ndarray, rows: ChunkRows) -> Array:
    return _of_kept(kept, rows.offset)


def _weighed(found: Found, weighing: Weighing, features: Features) -> ColumnStatistics:
    """Those of all rows, with the weights of their classes."""
    if None in found.statistics:
        return found.statistics[None]
    factors = weighing.factors
    if factors is None:
        factors = np.ones(found.totals.shape[0])
    labels = arrays.to_host(found.classes).tolist()
    parts = [
        found.statistics[label]._replace(weight=factor * found.statistics[label].weight)
        for label, factor in zip(labels, factors)
        if label in found.statistics and factor > 0
    ]
    return functools.reduce(partial(ColumnStatistics.merged, xp=features.xp), parts)


def _task_of(weighing: Weighing, like: Features, unit: float, rows: ChunkRows) -> Task:
    """The task of some rows, with weights around 1 in the dtype of X."""
    labels = Labels(rows.classes, rows.codes)
    task = weighing.task(like, labels, rows.weights / unit)
    targets = task.targets.astype(like.X.dtype, xp=like.xp)
    return replace(task, targets=targets)


def _targets_of(
    task_of: Callable[[ChunkRows], Task], classes: Array, rows: ChunkRows
) -> Targets:
    return task_of(rows.among(classes)).targets
