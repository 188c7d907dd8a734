"""Datasets: rows that models are fitted to, and how their classes weigh."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import (
    ColumnStatistics,
    Scaler,
    Targets,
    TrainingData,
    column_statistics,
    has_outliers,
    without_outliers,
)
from xlr.inputs.features import Features
from xlr.inputs.offset import check_offset_columns
from xlr.inputs.scan import Scan, scan_rows
from xlr.inputs.soft_labels import SoftLabels
from xlr.inputs.weights import check_totals, class_factors
from xlr.losses import (
    LogisticLoss,
    Loss,
    ShareLogisticLoss,
    ShareSoftmaxLoss,
    SoftmaxLoss,
)
from xlr.text import printable, quoted, warn
from xlr.threads import Workers

__all__ = [
    "ALWAYS",
    "INTERCEPTS",
    "NEVER",
    "UNKNOWN",
    "ClassWeights",
    "Dataset",
    "LabelledDataset",
    "ModelSpec",
    "loss_of",
    "read_dataset",
    "spread",
]

# In place of the number of a fitted row of ``coef_``: the intercepts of rows that are
# not fitted.
NEVER, ALWAYS, UNKNOWN = -1, -2, -3
INTERCEPTS = {UNKNOWN: np.nan, ALWAYS: np.inf, NEVER: -np.inf}

# Distance of a mean from zero, in standard deviations, at which float32 rounds logits
# by 1e-4; and columns that a warning names.
FARTHEST_MEAN = 2e3
MAX_NAMES = 5


@dataclass(frozen=True)
class ModelSpec:
    """One or several models to fit to the same rows.

    Attributes
    ----------
    loss : Loss
    data : TrainingData
        Columns as they are in X.
    places : ndarray of shape (n_rows,) or None
        For each row of ``coef_``, the number of the fitted row, or NEVER, ALWAYS or
        UNKNOWN for one that is not fitted. None if all are fitted.
    """

    loss: Loss
    data: TrainingData
    places: np.ndarray | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes that the loss knows; 1 predicts it for every row."""
        return self.loss.n_outputs if self.loss.shift_invariant else 2

    def among(self, kept: np.ndarray) -> ModelSpec:
        """Return the spec of one model with some of the classes only.

        The rows of the others must have no weight. Several classes keep a logit each,
        so that the penalty is that of the limit in which the others vanish.
        """
        n_classes = self.n_classes
        if kept.shape[0] == n_classes:
            return self
        codes = np.zeros(n_classes, dtype=np.int64)
        codes[kept] = np.arange(kept.shape[0])
        places = np.where(np.isin(np.arange(n_classes), kept), codes, NEVER)
        if not self.loss.shift_invariant:
            places = np.asarray([ALWAYS if kept[0] else NEVER])
        if self.places is not None:
            places = np.where(self.places >= 0, places[self.places], self.places)
        return ModelSpec(SoftmaxLoss(kept.shape[0]), self.data.recoded(codes), places)

    def resampled(self, counts: Any, n_each: int) -> ModelSpec:
        """Return the spec of one model for each way to count the rows.

        Parameters
        ----------
        counts : array of shape (n_samples, n_counts) or PerRow
            As :meth:`TrainingData.place_rows` returns them.
        n_each : int
            As for :meth:`Targets.resampled`.
        """
        return replace(self, data=self.data.resampled(counts, n_each))


def loss_of(n_classes: int, *, shares: bool = False) -> Loss:
    """Return the loss of a model of so many classes, for labels or for shares."""
    if shares:
        return ShareLogisticLoss() if n_classes == 2 else ShareSoftmaxLoss(n_classes)
    return LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes)


def spread(values: np.ndarray, places: np.ndarray | None, fill: Any = 0) -> np.ndarray:
    """Return numbers of models, (..., n_models), for rows of ``coef_`` instead."""
    if places is None:
        return values
    filler = np.full_like(values[..., :1], fill)
    padded = np.concatenate([values, filler], axis=-1)
    return padded[..., np.maximum(places, NEVER)]


@dataclass(frozen=True)
class Dataset:
    """Rows, the models to fit to them, and the scales of their columns.

    Attributes
    ----------
    features : Features
    spec : ModelSpec
        With weights around 1, in the dtype of X.
    unit : float
        Factor that takes these weights back to those that were given.
    fit_intercept : bool
        Whether the models have intercepts, and columns are centred.
    statistics : ColumnStatistics
        Of the columns, with the weights that all models share.
    robust : ColumnStatistics
        With median and quartiles for columns with outliers; the same object where
        there are none.
    scaler : Scaler
        From these.
    """

    features: Features
    spec: ModelSpec
    unit: float
    fit_intercept: bool
    statistics: ColumnStatistics
    robust: ColumnStatistics
    scaler: Scaler

    @classmethod
    def of(
        cls,
        features: Features,
        spec: ModelSpec,
        unit: float,
        fit_intercept: bool,
        statistics: ColumnStatistics | None = None,
        **more: Any,
    ) -> Any:
        """Return a dataset whose columns are looked at, unless that was done."""
        data = spec.data
        if statistics is None:
            alone = data
            if data.targets.n_models > 1:
                alone = data.with_targets(_of_all_models)
            statistics = column_statistics(alone, names=features.column_names)
        robust = statistics
        if data.n_drawable:  # chunks whose statistics are known have no sample
            robust = without_outliers(data.matrix, statistics)
        about = robust if fit_intercept else robust.about_zero(xp=data.xp)
        scaler = Scaler.of(about.mean, about.std, data.dtype, xp=data.xp)
        return cls(
            features, spec, unit, fit_intercept, statistics, robust, scaler, **more
        )

    @property
    def column_moments(self) -> Array:
        """Mean and standard deviation of the columns of X: (2, n_features)."""
        return self.features.xp.stack([self.scaler.mean, self.scaler.std])

    def warn_of_far_columns(self) -> None:
        """Warn of columns whose coefficients and intercepts float32 cannot hold."""
        _, mean, std = map(arrays.to_host, self.robust)
        far = np.nonzero((abs(mean) > FARTHEST_MEAN * std) & (std > 0))[0]
        if not far.size:
            return
        distance = (abs(mean[far]) / std[far]).max()
        warn(
            f"These columns have means up to {distance:.2g} standard deviations from "
            f"zero: {self._named(far)}. float32 rounds their coefficients and the "
            "intercept by enough to change probabilities: centre the columns (subtract "
            "their means), or pass X as float64."
        )

    def advice_on_outliers(self) -> str:
        """Return a sentence that names the columns with outliers, empty without."""
        columns = np.nonzero(has_outliers(self.statistics, self.robust))[0]
        if not columns.size:
            return ""
        return (
            " These columns hold numbers far beyond most of their others, perhaps "
            f"typing errors or fill values: {self._named(columns)}. Correct or clip "
            "them."
        )

    def _named(self, columns: np.ndarray) -> str:
        names = self.features.column_names
        named = ", ".join(printable(names[j]) for j in columns[:MAX_NAMES])
        more = columns.size - MAX_NAMES
        return f"{named} and {more} more" if more > 0 else named


def _of_all_models(targets: Targets) -> Targets:
    return Targets(1, targets.weights, targets.weights)


@dataclass(frozen=True)
class LabelledDataset(Dataset):
    """A dataset whose rows have one label each.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Sorted, in the library of y.
    rows : TrainingData
        Of one model: codes into all classes, and sample weights as they were given.
    totals : ndarray of shape (n_classes,)
        Sums of the sample weights in each class.
    class_weights : ClassWeights
    """

    classes: Array
    rows: TrainingData
    totals: np.ndarray
    class_weights: ClassWeights

    @property
    def kept_classes(self) -> list[Any]:
        """Labels of the classes with weight."""
        kept: list[Any] = arrays.to_host(self.classes)[self.class_weights.kept].tolist()
        return kept

    def labels(self) -> np.ndarray:
        """Return the label of each row, (n_samples,), on the host."""
        codes = self.rows.map_rows(_codes, reads_rows=False)
        return arrays.to_host(self.classes)[arrays.to_host(codes)]

    def warn(self) -> None:
        """Warn of classes without weight, and of columns far from zero in float32."""
        if self.features.dtype == self.features.xp.float32:
            self.warn_of_far_columns()
        classes, kept = arrays.to_host(self.classes), self.class_weights.kept
        if kept.shape[0] == classes.shape[0]:
            return
        left_out = np.delete(classes, kept).tolist()
        names = ", ".join(map(quoted, left_out[:MAX_NAMES]))
        if len(left_out) > MAX_NAMES:
            names += f" and {len(left_out) - MAX_NAMES} more"
        sentence = (
            f"The rows of the class{'es' * (len(left_out) > 1)} {names} weigh zero, "
            "all of them (sample_weight, class_weight): the fit leaves them out, with "
            "a probability of 0."
        )
        if kept.shape[0] == 1:
            only = self.kept_classes[0]
            sentence += (
                f" The class {quoted(only)} is left alone, and always predicted."
            )
        warn(sentence)


def _codes(block: Any) -> Array:
    return block.xp.astype(block.labels[:, 0], block.xp.int32)


@dataclass(frozen=True)
class ClassWeights:
    """Weights of the classes, and the models that these leave to fit.

    Attributes
    ----------
    factors : ndarray of shape (n_classes,)
        Factors of the weights of each class.
    one_vs_rest : bool
        Whether there is a model for each class.
    against_rest : ndarray of shape (n_classes, 2) or None
        Factors of the weights of the rest and of the class in its model.
    kept : ndarray of int
        The classes with weight.
    """

    factors: np.ndarray
    one_vs_rest: bool
    against_rest: np.ndarray | None
    kept: np.ndarray

    @classmethod
    @arrays.quiet()
    def of(
        cls, classes: Array, totals: np.ndarray, class_weight: Any, multi_class: str
    ) -> ClassWeights:
        """Return what an estimator's parameters say, for sums of the sample weights.

        Raises
        ------
        ValueError
            If no class has weight.
        """
        by_class = multi_class == "ovr" and classes.shape[0] > 2
        factors, against_rest = np.ones(classes.shape[0]), None
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

    def spec(self, rows: TrainingData, unit: float, shares: bool) -> ModelSpec:
        """Return the models to fit to rows of one model with codes of all classes.

        With ``shares``, the rows have shares of the classes in the place of codes.
        """
        weighed = partial(self._weighed, unit, rows.dtype)
        rows = rows.with_targets(weighed).with_kept_targets()
        n_classes = self.factors.shape[0]
        if not self.one_vs_rest or self.kept.shape[0] == 1:
            loss = loss_of(n_classes, shares=shares)
            return ModelSpec(loss, rows).among(self.kept)
        places = None
        if self.kept.shape[0] < n_classes:
            places = np.full(n_classes, NEVER)
            places[self.kept] = np.arange(self.kept.shape[0])
        return ModelSpec(LogisticLoss(), rows, places)

    def _weighed(self, unit: float, dtype: Any, targets: Targets) -> Targets:
        """Return targets with weights around 1, times those of the classes."""
        labels, weights, offset = targets.labels, targets.weights / unit, targets.offset
        xp, device = arrays.namespace(weights), arrays.device_of(weights)
        place = {"xp": xp, "device": device}
        if (self.factors != 1).any():
            factors = arrays.move(self.factors, dtype=weights.dtype, **place)
            weights = weights * xp.take(factors, labels[:, 0])[:, None]
        weights = xp.astype(weights, dtype, copy=False)
        if offset is not None and offset.shape[1] not in (1, self.kept.shape[0]):
            offset = xp.take(offset, arrays.move(self.kept, **place), axis=1)
        if not self.one_vs_rest or self.kept.shape[0] == 1:
            labels = xp.astype(labels, dtype)  # once, and not in each block
            return Targets(1, labels, weights, offset=offset)
        n_classes = self.factors.shape[0]
        classes = xp.arange(n_classes, dtype=labels.dtype, device=device)
        own, factors = xp.astype(labels == classes, xp.uint8), None
        if self.against_rest is not None:
            factors = arrays.move(self.against_rest, dtype=dtype, **place)
        targets = Targets(n_classes, own, weights, class_factors=factors)
        return targets if self.kept.shape[0] == n_classes else targets.select(self.kept)


def read_dataset(
    estimator: Any,
    features: Features,
    y: Any,
    sample_weight: Any,
    offset: Any,
    pool: Workers,
    *,
    statistics: ColumnStatistics | None = None,
    takes_soft_labels: bool = False,
) -> LabelledDataset:
    """Check what comes with X, and find the models to fit.

    Parameters
    ----------
    estimator : estimator
        With ``fit_intercept`` and, if it has a choice, ``random_state``,
        ``class_weight`` and ``multi_class``.
    features : Features
    y, sample_weight, offset : arrays
    pool : Workers
    statistics : ColumnStatistics, default=None
        Of the columns of chunks, where they are known: then X is not read yet, and
        there is no sample.
    takes_soft_labels : bool, default=False

    Raises
    ------
    TypeError, ValueError
        If they are not as described.
    """
    scan = scan_rows(
        estimator, features, y, sample_weight, offset, pool, statistics=statistics
    )
    weights = ClassWeights.of(
        scan.classes,
        scan.totals,
        getattr(estimator, "class_weight", None),
        getattr(estimator, "multi_class", "multinomial"),
    )
    if offset is not None and weights.one_vs_rest:
        raise ValueError(
            "An offset of the logits is of one model; multi_class='ovr' fits one for "
            "each class. Use multi_class='multinomial'."
        )
    if isinstance(y, SoftLabels):
        _check_soft_labels(estimator, weights, taken=takes_soft_labels)
    rows, n_outputs = scan.rows, loss_of(scan.classes.shape[0]).n_outputs
    check_offset_columns(rows.offset, n_outputs, rows.n_samples)
    unit = float((scan.totals * weights.factors).sum() / rows.n_samples)
    dataset: LabelledDataset = LabelledDataset.of(
        scan.features,
        weights.spec(rows, unit, isinstance(y, SoftLabels)),
        unit,
        bool(estimator.fit_intercept),
        _weighed(scan, weights.factors),
        classes=scan.classes,
        rows=rows,
        totals=scan.totals,
        class_weights=weights,
    )
    return dataset


def _check_soft_labels(estimator: Any, weights: ClassWeights, taken: bool) -> None:
    """Raise ValueError where soft labels have no meaning here."""
    if not taken:
        raise ValueError(
            "Soft labels are for LogisticRegression.fit and xlr.infer; here a row has "
            "one label. Repeat the rows, once for each class, with its probabilities "
            "as sample_weight."
        )
    if estimator.class_weight is not None or weights.one_vs_rest:
        raise ValueError(
            "Soft labels are of one multinomial model without class_weight. Multiply "
            "the columns of P by the weights of the classes instead."
        )
    if weights.kept.shape[0] < weights.factors.shape[0]:
        raise ValueError(
            "A column of P is zero in all rows with a weight. Leave the class out."
        )


def _weighed(scan: Scan, factors: np.ndarray) -> ColumnStatistics | None:
    """Return the statistics of all chunks, with the weights of their classes."""
    found = scan.statistics
    if found is None:
        return None
    if None in found:
        return found[None]
    labels = arrays.to_host(scan.classes).tolist()
    parts = [
        found[label]._replace(weight=factor * found[label].weight)
        for label, factor in zip(labels, factors)
        if label in found and factor > 0
    ]
    merged = partial(ColumnStatistics.merged, xp=scan.features.xp)
    return functools.reduce(merged, parts)
