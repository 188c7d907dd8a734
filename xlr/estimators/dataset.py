"""Datasets: the rows to fit, their classes and their weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
from xlr.inputs.labels import SoftLabels
from xlr.inputs.scan import scan_rows
from xlr.inputs.weights import check_offset_columns, check_totals, class_factors
from xlr.losses import (
    LogisticLoss,
    Loss,
    ShareLogisticLoss,
    ShareSoftmaxLoss,
    SoftmaxLoss,
)
from xlr.text import listed, printable, quoted, warn
from xlr.threads import Workers

# Codes of rows of ``coef_`` without a fit, which decide their intercepts.
NEVER, ALWAYS, UNKNOWN = -1, -2, -3
INTERCEPTS = -np.inf, np.inf, np.nan

# A mean this many standard deviations from zero makes float32 round logits by 1e-4.
FARTHEST_MEAN = 2e3


@dataclass(frozen=True)
class ModelSpec:
    """Specification of one or several models of the same rows.

    Attributes
    ----------
    loss : Loss
    data : TrainingData
        Rows with the raw columns of X.
    places : ndarray of shape (n_rows,) or None
        For each row of ``coef_``, the index of the fitted row, or NEVER, ALWAYS or
        UNKNOWN without a fit. None if all rows are fitted.
    by_class : bool
        Whether each row of ``coef_`` has a model of its own.
    """

    loss: Loss
    data: TrainingData
    places: np.ndarray | None = None
    by_class: bool = False

    @property
    def n_classes(self) -> int:
        """Return the number of classes of the loss."""
        return self.loss.n_outputs if self.loss.shift_invariant else 2

    def resampled(self, counts: Any, n_each: int) -> ModelSpec:
        """Return the spec with the data of :meth:`TrainingData.resampled`."""
        return replace(self, data=self.data.resampled(counts, n_each))

    def by_row(self, by_model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Convert numbers per model, (..., n_models), to numbers per row of ``coef_``.

        Rows without a fit get zero, or True. The numbers of a model of all rows do not
        change.
        """
        if self.places is None or not self.by_class:
            return by_model
        where = np.maximum(self.places, NEVER)
        found = {}
        for name, values in by_model.items():
            filler = np.full_like(values[..., :1], values.dtype == bool)
            found[name] = np.concatenate([values, filler], axis=-1)[..., where]
        return found

    def with_other_rows(self, values: Array, *constants: float) -> Array:
        """Return fitted rows of all models together with the rows without a fit.

        ``constants`` are the values of rows that are NEVER, ALWAYS and UNKNOWN.
        """
        places: Any = self.places
        xp, n, n_fitted = self.data.xp, values.shape[0], np.count_nonzero(places >= 0)
        first = xp.zeros_like(values[:1, ...])
        values = xp.concat([values, *(first + constant for constant in constants)])
        starts = np.arange(0, n, max(1, int(n_fitted)), dtype=np.int64)[:, None]
        order = np.where(places >= 0, starts + places, n - 1 - places)
        return arrays.rows(values, order.reshape(-1))


def loss_of(n_classes: int, *, shares: bool = False) -> Loss:
    """Return the loss of a model of n classes, for labels or for class shares."""
    if shares:
        return ShareLogisticLoss() if n_classes == 2 else ShareSoftmaxLoss(n_classes)
    return LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes)


@dataclass
class Dataset:
    """Rows, the models to fit to them, and the scales of the columns.

    Attributes
    ----------
    features : Features
    spec : ModelSpec
        Models with weights of mean 1, in the dtype of X.
    unit : float
        Mean of the given weights.
    fit_intercept : bool
        Whether the models have intercepts, and the columns are centred.
    statistics : ColumnStatistics
        Statistics with the weights that all models share.
    robust : ColumnStatistics
        Columns with outliers have those of most values. The same object as
        ``statistics`` if no column has outliers.
    scaler : Scaler
        Made from ``robust``.
    """

    features: Features
    spec: ModelSpec
    unit: float
    fit_intercept: bool
    statistics: ColumnStatistics
    robust: ColumnStatistics = field(init=False)
    scaler: Scaler = field(init=False)

    def __post_init__(self) -> None:
        data, self.robust = self.spec.data, self.statistics
        if data.n_drawable:  # chunks whose statistics are known have no sample
            self.robust = without_outliers(data.matrix, self.statistics)
        about = self.robust
        if not self.fit_intercept:
            about = about.about_zero(xp=data.xp)
        self.scaler = Scaler.of(about.mean, about.std, data.dtype, xp=data.xp)

    @property
    def column_moments(self) -> Array:
        """Return mean and standard deviation of the columns of X: (2, n_features)."""
        return self.features.xp.stack([self.scaler.mean, self.scaler.std])

    def warn_of_far_columns(self) -> None:
        """Warn about columns whose coefficients float32 rounds too much."""
        if self.features.dtype != self.features.xp.float32:
            return
        _, mean, std = map(arrays.to_host, self.robust)
        far = np.nonzero((abs(mean) > FARTHEST_MEAN * std) & (std > 0))[0]
        if not far.size:
            return
        distance = (abs(mean[far]) / std[far]).max()
        warn(
            f"These columns have means up to {distance:.2g} standard deviations from "
            f"zero: {self._listed(far)}. float32 rounds their coefficients and the "
            "intercept by enough to change probabilities: centre the columns (subtract "
            "their means), or pass X as float64."
        )

    def advice_on_outliers(self) -> str:
        """Return a sentence that names columns with outliers, or an empty string."""
        columns = np.nonzero(has_outliers(self.statistics, self.robust))[0]
        if not columns.size:
            return ""
        return (
            " These columns hold numbers far beyond most of their others, perhaps "
            f"typing errors or fill values: {self._listed(columns)}. Correct or clip "
            "them."
        )

    def _listed(self, columns: np.ndarray) -> str:
        names = self.features.column_names
        return listed([names[j] for j in columns], printable)


def statistics_of(features: Features, spec: ModelSpec) -> ColumnStatistics:
    """Return the statistics of the columns of X, with the weights of all models."""
    data = spec.data
    if data.targets.n_models > 1:
        data = data.with_targets(_of_all_models)
    return column_statistics(data, names=lambda: features.column_names)


def _of_all_models(targets: Targets) -> Targets:
    return Targets(1, targets.weights, targets.weights)


@dataclass
class LabelledDataset(Dataset):
    """A dataset with one label for each row.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Sorted labels, in the library of y.
    rows : TrainingData
        Rows with codes of all classes and the given sample weights.
    totals : ndarray of shape (n_classes,)
        Sum of the sample weights of each class.
    class_weights : ClassWeights
    """

    classes: Array
    rows: TrainingData
    totals: np.ndarray
    class_weights: ClassWeights

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the fitted attributes that describe the rows."""
        return {
            **self.features.attributes,
            "classes_": self.classes,
            "_one_vs_rest": self.class_weights.one_vs_rest,
            "_has_offset": self.rows.targets.offset is not None,
            "_warned_of_offset": False,
        }

    @property
    def n_passes(self) -> int | None:
        """Return the number of reads of all chunks of X; None if X has no chunks."""
        chunks = self.rows.chunks
        return None if chunks is None else chunks.X.n_passes

    @property
    def n_columns(self) -> int:
        """Return the number of rows of ``coef_``: one for two classes, or one each."""
        return loss_of(self.totals.shape[0]).n_outputs

    @property
    def coef_shape(self) -> tuple[int, int]:
        """Return the shape of ``coef_``."""
        return self.n_columns, self.features.X.shape[1]

    @property
    def of_all_classes(self) -> ModelSpec:
        """Return one model of all kept classes, even if each class has its own."""
        if not self.class_weights.one_vs_rest:
            return self.spec
        weights = replace(self.class_weights, one_vs_rest=False)
        return weights.spec(self.rows, self.unit)

    def among(self, kept: np.ndarray) -> ModelSpec:
        """Return the spec for some of the kept classes, by their positions."""
        known = self.class_weights.kept
        if kept.shape[0] == known.shape[0]:
            return self.spec
        weights = replace(self.class_weights, kept=known[kept])
        return weights.spec(self.rows, self.unit)

    @property
    def kept_classes(self) -> list[Any]:
        """Return the labels of the classes with positive weight."""
        kept: list[Any] = arrays.to_host(self.classes)[self.class_weights.kept].tolist()
        return kept

    def labels(self) -> np.ndarray:
        """Return the label of each row, (n_samples,), on the host."""
        codes = self.rows.map_rows(_codes, reads_rows=False)
        return arrays.to_host(self.classes)[arrays.to_host(codes)]

    def warn(self) -> None:
        """Warn about classes without weight and float32 columns far from zero."""
        self.warn_of_far_columns()
        kept = self.class_weights.kept
        if kept.shape[0] == self.totals.shape[0]:
            return
        left_out = np.delete(arrays.to_host(self.classes), kept).tolist()
        sentence = (
            f"The rows of the class{'es' * (len(left_out) > 1)} {listed(left_out)} "
            "weigh zero (sample_weight, class_weight). The fit leaves them out, with a "
            "probability of 0."
        )
        if kept.shape[0] == 1:
            only = quoted(self.kept_classes[0])
            sentence += f" Only the class {only} is left: it is always predicted."
        warn(sentence)


def _codes(block: Any) -> Array:
    return block.xp.astype(block.labels[:, 0], block.xp.int32)


@dataclass(frozen=True)
class ClassWeights:
    """Class weights, and the models to fit with them.

    Attributes
    ----------
    factors : ndarray of shape (n_classes,)
        Factor on the weights of each class.
    one_vs_rest : bool
        Whether each class has its own model.
    against_rest : ndarray of shape (n_classes, 2) or None
        Factors on the weights of the other classes and of the class in its model.
    kept : ndarray of int
        Codes of the classes with positive weight.
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
        """Return the class weights for ``class_weight`` and ``multi_class``.

        ``totals`` are the sums of the sample weights of the classes.

        Raises
        ------
        ValueError
            If no class has weight.
        """
        by_class = multi_class == "ovr" and classes.shape[0] > 2
        factors, against_rest = np.ones(classes.shape[0]), None
        if by_class and class_weight == "balanced":
            # In each model, the class weighs as much as all others together.
            # Differences from the total may round to zero, so sum the others.
            before, after = np.cumsum([0, *totals]), np.cumsum([0, *totals[::-1]])
            rest = before[:-1] + after[-2::-1]
            half = totals.sum() / 2
            against_rest = np.stack([half / rest, half / totals], axis=1)
        elif class_weight is not None:
            factors = class_factors(class_weight, classes, totals)
        totals = totals * factors
        check_totals(totals)
        return cls(factors, by_class, against_rest, np.nonzero(totals)[0])

    def spec(
        self, rows: TrainingData, unit: float, *, shares: bool = False
    ) -> ModelSpec:
        """Return the models to fit to rows with codes of all classes.

        With ``shares``, the rows hold class shares instead of codes. A softmax of some
        of the classes has a logit for each: the penalty is the limit for vanishing
        weights of the other classes.
        """
        n_classes, n_kept = self.factors.shape[0], self.kept.shape[0]
        by_class = self.one_vs_rest and n_kept > 1
        weighed = partial(self._weighed, unit, rows.dtype, by_class)
        rows = rows.with_targets(weighed, keep=True)
        loss = LogisticLoss() if by_class else loss_of(n_classes, shares=shares)
        if n_kept == n_classes:
            return ModelSpec(loss, rows, None, self.one_vs_rest)
        places = np.full(n_classes, NEVER)
        places[self.kept] = np.arange(n_kept)
        if n_classes == 2:
            places = np.asarray([ALWAYS if self.kept[0] else NEVER])
        loss = loss if by_class else SoftmaxLoss(n_kept)
        return ModelSpec(loss, rows, places, self.one_vs_rest)

    def _weighed(
        self, unit: float, dtype: Any, by_class: bool, targets: Targets
    ) -> Targets:
        """Return targets with sample weights of mean 1, times the class weights."""
        labels, weights = targets.labels, targets.weights
        weights = weights if unit == 1 else weights / unit
        xp, device = arrays.namespace(weights), arrays.device_of(weights)
        n_classes = self.factors.shape[0]
        is_whole = self.kept.shape[0] == n_classes
        if (self.factors != 1).any():
            factors = arrays.move(
                self.factors, xp=xp, device=device, dtype=weights.dtype
            )
            weights = weights * xp.take(factors, labels[:, 0])[:, None]
        weights = xp.astype(weights, dtype, copy=False)
        if not by_class:
            labels = xp.astype(labels, dtype)  # once, not in each block
            targets = Targets(1, labels, weights, offset=targets.offset)
            return targets if is_whole else targets.recoded(self.kept, n_classes)
        factors = None
        codes = xp.arange(n_classes, dtype=labels.dtype, device=device)
        if self.against_rest is not None:
            factors = arrays.move(self.against_rest, xp=xp, device=device, dtype=dtype)
        own = xp.astype(labels == codes, xp.uint8)
        targets = Targets(n_classes, own, weights, class_factors=factors)
        return targets if is_whole else targets.select(self.kept)


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
    """Read y, weights and offset, and return the models to fit.

    Parameters
    ----------
    estimator : estimator
        Estimator with ``fit_intercept`` and possibly ``random_state``, ``class_weight``
        and ``multi_class``.
    features : Features
    y, sample_weight, offset : arrays
    pool : Workers
    statistics : ColumnStatistics, default=None
        Known statistics of the columns of chunks. The scan then reads no X, and draws
        no sample.
    takes_soft_labels : bool, default=False

    Raises
    ------
    TypeError, ValueError
        If y, the weights or the offset are invalid.
    """
    given = y, sample_weight, offset
    classes, totals, rows, statistics = scan_rows(
        estimator, features, *given, pool, statistics=statistics
    )
    weights = ClassWeights.of(
        classes,
        totals,
        getattr(estimator, "class_weight", None),
        getattr(estimator, "multi_class", "multinomial"),
    )
    if offset is not None:
        if weights.one_vs_rest:
            raise ValueError(
                "An offset belongs to the logits of one model, and multi_class='ovr' "
                "fits one model for each class. Use multi_class='multinomial'."
            )
        check_offset_columns(rows.offset, loss_of(totals.shape[0]).n_outputs)
    if isinstance(y, SoftLabels):
        _check_soft_labels(estimator, weights, taken=takes_soft_labels)
    unit = float((totals * weights.factors).sum() / rows.n_samples)
    spec = weights.spec(rows, unit, shares=isinstance(y, SoftLabels))
    return LabelledDataset(
        features,
        spec,
        unit,
        bool(estimator.fit_intercept),
        statistics or statistics_of(features, spec),
        classes,
        rows,
        totals,
        weights,
    )


def _check_soft_labels(estimator: Any, weights: ClassWeights, taken: bool) -> None:
    """Raise ValueError if the model cannot have soft labels."""
    if not taken:
        raise ValueError(
            "Soft labels are for LogisticRegression.fit and xlr.infer; here a row has "
            "one label. Repeat the rows, once for each class, with its probabilities "
            "as sample_weight."
        )
    if estimator.class_weight is not None or weights.one_vs_rest:
        raise ValueError(
            "Soft labels need one multinomial model without class_weight. Multiply "
            "the columns of P by the weights of the classes instead."
        )
    if weights.kept.shape[0] < weights.factors.shape[0]:
        raise ValueError(
            "A column of P is zero in all rows with a weight. Leave the class out."
        )
