"""Datasets: the rows to fit, their classes and their weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import (
    ChunkedMatrix,
    ColumnStatistics,
    Scaler,
    Targets,
    TrainingData,
    column_statistics,
    without_outliers,
)
from xlr.inputs.features import Features
from xlr.inputs.labels import SoftLabels, check_n_classes
from xlr.inputs.scan import scan_chunks, scan_targets
from xlr.inputs.weights import (
    balanced_factors,
    check_offset_columns,
    check_totals,
    class_factors,
)
from xlr.losses import (
    LogisticLoss,
    Loss,
    ShareLogisticLoss,
    ShareSoftmaxLoss,
    SoftmaxLoss,
)
from xlr.text import listed, printable, quoted, warn
from xlr.threads import ThreadPool

# Codes of rows of ``coef_`` without a fit: the label never occurs, always occurs, or
# has no entries. UNFITTED_INTERCEPTS are the intercepts of such rows.
NEVER, ALWAYS, UNKNOWN = -1, -2, -3
UNFITTED_INTERCEPTS = -np.inf, np.inf, np.nan

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
    fit_index : ndarray of shape (n_rows,) or None
        For each row of ``coef_``, the index of the fitted row, or NEVER, ALWAYS or
        UNKNOWN without a fit. None if all rows are fitted.
    separate_models : bool
        Whether each row of ``coef_`` is a separate binary model.
    """

    loss: Loss
    data: TrainingData
    fit_index: np.ndarray | None = None
    separate_models: bool = False

    def by_row(self, by_model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Convert numbers per model, (..., n_models), to numbers per row of ``coef_``.

        Rows without a fit get zero, or True. The numbers of a model of all rows do not
        change.
        """
        if self.fit_index is None or not self.separate_models:
            return by_model
        where = np.maximum(self.fit_index, NEVER)
        by_row = {}
        for name, values in by_model.items():
            filler = np.full_like(values[..., :1], values.dtype == bool)
            by_row[name] = np.concatenate([values, filler], axis=-1)[..., where]
        return by_row

    def with_other_rows(self, values: Array, *constants: float) -> Array:
        """Return fitted rows of all models together with the rows without a fit.

        ``constants`` are the values of rows that are NEVER, ALWAYS and UNKNOWN.
        """
        fit_index: Any = self.fit_index
        xp, n = self.data.xp, values.shape[0]
        n_fitted = np.count_nonzero(fit_index >= 0)
        first = xp.zeros_like(values[:1, ...])
        values = xp.concat([values, *(first + constant for constant in constants)])
        starts = np.arange(0, n, max(1, int(n_fitted)), dtype=np.int64)[:, None]
        # The constants follow the n fitted rows: NEVER = -1 selects the first of them.
        order = np.where(fit_index >= 0, starts + fit_index, n - 1 - fit_index)
        return arrays.take(values, order.reshape(-1))


def loss_of(n_classes: int, *, shares: bool = False) -> Loss:
    """Return the loss of a model of n classes, for labels or for class shares."""
    if shares:
        return ShareLogisticLoss() if n_classes == 2 else ShareSoftmaxLoss(n_classes)
    return LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes)


@dataclass
class Dataset:
    """Validated data of a fit: features, model spec and column statistics.

    Attributes
    ----------
    features : Features
    spec : ModelSpec
        Models with weights of mean 1, in the dtype of X.
    mean_weight : float
        Mean of the sample weights times any class weights that all models share. The
        spec divides the weights by it.
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
    mean_weight: float
    fit_intercept: bool
    statistics: ColumnStatistics
    robust: ColumnStatistics = field(init=False)
    scaler: Scaler = field(init=False)

    def __post_init__(self) -> None:
        data = self.spec.data
        self.robust = without_outliers(data.matrix, self.statistics)
        xp, mean, std = data.xp, self.robust.mean, self.robust.std
        if not self.fit_intercept:  # root mean squares as standard deviations
            mean, std = xp.zeros_like(mean), xp.hypot(mean, std)
        self.scaler = Scaler.of(mean, std, data.dtype, xp=xp)

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
            "intercept: predictions of this model correct the intercept, but coef_ and "
            "intercept_ alone give other probabilities. Centre the columns (subtract "
            "their means), or pass X as float64."
        )

    def advice_on_outliers(self) -> str:
        """Return a sentence that names columns with outliers, or an empty string."""
        has_outliers = self.statistics.std != self.robust.std
        (columns,) = np.nonzero(arrays.to_host(has_outliers))
        if not columns.size:
            return ""
        return (
            " These columns contain outliers, perhaps typing errors or fill values: "
            f"{self._listed(columns)}. Correct or clip them."
        )

    def _listed(self, columns: np.ndarray) -> str:
        names = self.features.column_names
        return listed([names[j] for j in columns], printable)


def statistics_of(features: Features, spec: ModelSpec) -> ColumnStatistics:
    """Return the statistics of the columns of X, with the weights of all models."""
    data = spec.data
    if data.targets.n_models > 1:  # column statistics read no labels
        data = data.with_targets(lambda own: Targets(1, own.weights, own.weights))
    return column_statistics(data, names=lambda: features.column_names)


@dataclass
class LabelledDataset(Dataset):
    """A dataset with one label for each row.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Sorted labels, in the library of y.
    labelled_data : TrainingData
        Training data with codes of all classes and unscaled sample weights, without
        class weights.
    totals : ndarray of shape (n_classes,)
        Sum of the sample weights of each class.
    class_weights : ClassWeights
    """

    classes: Array
    labelled_data: TrainingData
    totals: np.ndarray
    class_weights: ClassWeights

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the fitted attributes that describe the rows."""
        return {
            **self.features.attributes,
            "classes_": self.classes,
            "_one_vs_rest": self.class_weights.one_vs_rest,
            "_has_offset": self.labelled_data.targets.offset is not None,
            "_warned_of_offset": False,
        }

    @property
    def n_passes(self) -> int | None:
        """Return the number of reads of all chunks of X; None if X has no chunks."""
        chunks = self.labelled_data.chunks
        return None if chunks is None else chunks.X.n_passes

    @property
    def coef_shape(self) -> tuple[int, int]:
        """Return the shape of ``coef_``."""
        return loss_of(self.totals.shape[0]).n_outputs, self.features.X.shape[1]

    def spec_of(self, **changes: Any) -> ModelSpec:
        """Return the spec of the models with some changes of the class weights."""
        weights = replace(self.class_weights, **changes)
        return weights.spec(self.labelled_data, self.mean_weight)

    @property
    def kept_classes(self) -> list[Any]:
        """Return the labels of the classes with positive weight."""
        kept: list[Any] = arrays.to_host(self.classes)[self.class_weights.kept].tolist()
        return kept

    def labels(self) -> np.ndarray:
        """Return the label of each row, (n_samples,), on the host."""
        codes = self.labelled_data.map_rows(_codes, reads_rows=False)
        return arrays.to_host(self.classes)[arrays.to_host(codes)]

    def warn_of_data(self) -> None:
        """Warn about classes without weight and float32 columns far from zero."""
        self.warn_of_far_columns()
        kept = self.class_weights.kept
        if kept.shape[0] == self.totals.shape[0]:
            return
        left_out = np.delete(arrays.to_host(self.classes), kept).tolist()
        sentence = (
            f"The rows of the class{'es' * (len(left_out) > 1)} {listed(left_out)} "
            "have zero weight (sample_weight, class_weight). The fit leaves them out, "
            "with a probability of 0."
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
    own_factors : ndarray of shape (n_classes, 2) or None
        Factors on the weights of the other classes and of the class, in its one-vs-rest
        model with ``class_weight='balanced'``; else None.
    kept : ndarray of int
        Codes of the classes with positive weight.
    """

    factors: np.ndarray
    one_vs_rest: bool
    own_factors: np.ndarray | None
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
        one_vs_rest = multi_class == "ovr" and classes.shape[0] > 2
        factors, own_factors = np.ones(classes.shape[0]), None
        if one_vs_rest and class_weight == "balanced":
            own_factors = balanced_factors(totals, one_vs_rest=True)
        elif class_weight is not None:
            factors = class_factors(class_weight, classes, totals)
        totals = totals * factors
        check_totals(totals)
        return cls(factors, one_vs_rest, own_factors, np.nonzero(totals)[0])

    def spec(
        self, labelled_data: TrainingData, mean_weight: float, *, shares: bool = False
    ) -> ModelSpec:
        """Return the spec of the models to fit to data with codes of all classes.

        With ``shares``, the rows hold class shares instead of codes. A softmax of some
        of the classes has a logit for each: the penalty is the limit for vanishing
        weights of the other classes.
        """
        n_classes, n_kept = self.factors.shape[0], self.kept.shape[0]
        one_vs_rest = self.one_vs_rest and n_kept > 1
        dtype = labelled_data.dtype
        weighted = partial(self._weighted_targets, mean_weight, dtype, one_vs_rest)
        data = labelled_data.with_targets(weighted, keep=True)
        loss = LogisticLoss() if one_vs_rest else loss_of(n_classes, shares=shares)
        if n_kept == n_classes:
            return ModelSpec(loss, data, None, self.one_vs_rest)
        fit_index = np.full(n_classes, NEVER)
        fit_index[self.kept] = np.arange(n_kept)
        # Two classes share one row of coef_: the logit of the second.
        if n_classes == 2:
            fit_index = np.asarray([ALWAYS if self.kept[0] else NEVER])
        loss = loss if one_vs_rest else SoftmaxLoss(n_kept)
        return ModelSpec(loss, data, fit_index, self.one_vs_rest)

    def _weighted_targets(
        self, mean_weight: float, dtype: Any, one_vs_rest: bool, targets: Targets
    ) -> Targets:
        """Return targets with sample weights of mean 1, times the class weights."""
        labels, weights = targets.labels, targets.weights
        weights = weights if mean_weight == 1 else weights / mean_weight
        xp = arrays.namespace(weights)
        n_classes = self.factors.shape[0]
        is_whole = self.kept.shape[0] == n_classes
        if (self.factors != 1).any():
            factors = arrays.move_like(self.factors, weights, weights.dtype)
            weights = weights * xp.take(factors, labels[:, 0])[:, None]
        weights = xp.astype(weights, dtype, copy=False)
        if not one_vs_rest:
            labels = xp.astype(labels, dtype)  # once, not in each block
            targets = Targets(1, labels, weights, offset=targets.offset)
            return targets if is_whole else targets.recoded(self.kept, n_classes)
        codes = arrays.move_like(np.arange(n_classes), labels, labels.dtype)
        factors = self.own_factors
        if factors is not None:
            factors = arrays.move_like(factors, weights, dtype)
        own = xp.astype(labels == codes, xp.uint8)
        targets = Targets(n_classes, own, weights, class_factors=factors)
        return targets if is_whole else targets.select(self.kept)


def read_dataset(
    estimator: Any,
    features: Features,
    y: Any,
    sample_weight: Any,
    offset: Any,
    pool: ThreadPool,
    *,
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
    pool : ThreadPool
    takes_soft_labels : bool, default=False

    Raises
    ------
    TypeError, ValueError
        If y, the weights or the offset are invalid.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is "
            "None."
        )
    if isinstance(features.X, ChunkedMatrix):
        given = {"y": y, "sample_weight": sample_weight, "offset": offset}
        classes, totals, labelled_data, statistics = scan_chunks(
            estimator, features, given
        )
    else:
        classes, totals, targets = scan_targets(features, y, sample_weight, offset)
        labelled_data = TrainingData(features.matrix, targets, pool=pool)
        statistics = None
    check_n_classes(classes)
    class_weight = getattr(estimator, "class_weight", None)
    multi_class = getattr(estimator, "multi_class", "multinomial")
    weights = ClassWeights.of(classes, totals, class_weight, multi_class)
    if offset is not None:
        if weights.one_vs_rest:
            raise ValueError(
                "An offset belongs to the logits of one model, and multi_class='ovr' "
                "fits one model for each class. Use multi_class='multinomial'."
            )
        n_logits = loss_of(totals.shape[0]).n_outputs
        check_offset_columns(labelled_data.targets.offset, n_logits)
    if isinstance(y, SoftLabels):
        _check_soft_labels(estimator, weights, taken=takes_soft_labels)
    mean_weight = float((totals * weights.factors).sum() / labelled_data.n_samples)
    spec = weights.spec(labelled_data, mean_weight, shares=isinstance(y, SoftLabels))
    if spec.data.targets.n_models == 1 < weights.kept.shape[0]:
        own = totals[weights.kept] * weights.factors[weights.kept]
        spec.data.keep_class_weights(own / mean_weight)
    return LabelledDataset(
        features,
        spec,
        mean_weight,
        bool(estimator.fit_intercept),
        statistics or statistics_of(features, spec),
        classes,
        labelled_data,
        totals,
        weights,
    )


def _check_soft_labels(estimator: Any, weights: ClassWeights, taken: bool) -> None:
    """Raise ValueError if the model cannot have soft labels."""
    if not taken:
        raise ValueError(
            "Soft labels are for LogisticRegression.fit and xlr.infer. Other fits take "
            "one label for each row: repeat the rows, once for each class, with its "
            "probabilities as sample_weight."
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
