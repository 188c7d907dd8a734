"""From checked data to an objective, and from its parameters back to coefficients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import (
    Chunks,
    DenseMatrix,
    Matrix,
    Scaler,
    Targets,
    column_statistics,
    without_outliers,
)
from xlr.estimators.regularisation import Regularisation, largest_strength
from xlr.inputs.features import Features
from xlr.inputs.indicators import Indicators
from xlr.inputs.labels import Labels
from xlr.losses import LogisticLoss, Loss, SoftmaxLoss
from xlr.objective import (
    Objective,
    Separation,
    Term,
    duality_gap,
    find_separation,
)
from xlr.penalties import Penalty
from xlr.solvers import Solution
from xlr.text import printable
from xlr.threads import Workers

__all__ = [
    "Problem",
    "Task",
    "loss_of",
    "many_labels",
    "multinomial",
    "one_vs_rest",
    "spread",
]

# In place of the number of a fitted row of ``coef_``: the intercepts of rows that are
# not fitted.
NEVER, ALWAYS, UNKNOWN = -1, -2, -3
INTERCEPTS = {UNKNOWN: np.nan, ALWAYS: np.inf, NEVER: -np.inf}


@dataclass(frozen=True)
class Task:
    """What one or several models are to predict from the same rows.

    Attributes
    ----------
    loss : Loss
    targets : Targets or ChunkedTargets
        With weights in the widest dtype; of chunks, around 1 in that of X.
    places : ndarray of shape (n_rows,) or None
        For each row of ``coef_``, the number of the fitted row, or NEVER, ALWAYS or
        UNKNOWN for one that is not fitted. None if all are fitted.
    """

    loss: Loss
    targets: Any
    places: np.ndarray | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes that the loss knows; 1 predicts it for every row."""
        return self.loss.n_outputs if self.loss.shift_invariant else 2

    def among(self, kept: np.ndarray) -> Task:
        """Return the task of one model with some of the classes only.

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
        loss = SoftmaxLoss(kept.shape[0])
        return Task(loss, self.targets.recoded(codes), places)

    def resampled(self, counts: Any, n_each: int) -> Task:
        """The task of one model for each way to count the rows; see
        :meth:`Targets.resampled`.
        """
        return replace(self, targets=self.targets.resampled(counts, n_each))


def multinomial(features: Features, labels: Labels, weights: Array) -> Task:
    """One model of all classes; ``weights`` has shape (n_samples,)."""
    codes = features.place(labels.codes, features.dtype)
    targets = Targets(1, codes[:, None], weights[:, None])
    return Task(loss_of(labels.classes.shape[0]), targets)


def loss_of(n_classes: int) -> Loss:
    """Return the loss of a model of so many classes."""
    return LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes)


def spread(values: np.ndarray, places: np.ndarray | None, fill: Any = 0) -> np.ndarray:
    """Return numbers of models, (..., n_models), for rows of ``coef_`` instead."""
    if places is None:
        return values
    filler = np.full_like(values[..., :1], fill)
    padded = np.concatenate([values, filler], axis=-1)
    return padded[..., np.maximum(places, NEVER)]


def one_vs_rest(
    features: Features,
    labels: Labels,
    weights: Array,
    kept: np.ndarray,
    factors: np.ndarray | None = None,
) -> Task:
    """A binary model for each class with weight, against all others.

    Parameters
    ----------
    features : Features
    labels : Labels
    weights : array of shape (n_samples,)
    kept : ndarray of int
        The classes with weight; more than one.
    factors : ndarray of shape (n_classes, 2), default=None
        What the weights of the rest and of the class itself are multiplied by.
    """
    xp, device = features.xp, features.device
    codes = features.place(labels.codes, None)
    classes = xp.arange(labels.classes.shape[0], dtype=codes.dtype, device=device)
    own = codes[:, None] == classes
    if factors is not None:
        factors = features.place(factors, weights.dtype)
    targets = Targets(
        classes.shape[0],
        xp.astype(own, xp.uint8),
        weights[:, None],
        class_factors=factors,
    )
    if kept.shape[0] == classes.shape[0]:
        return Task(LogisticLoss(), targets)
    places = np.full(classes.shape[0], NEVER)
    places[kept] = np.arange(kept.shape[0])
    return Task(LogisticLoss(), targets.select(kept), places)


def many_labels(
    indicators: Indicators,
    weights: Array,
    features: Features,
    class_weight: dict[int, float] | Literal["balanced"] | None,
) -> Task:
    """A binary model for each label that has both values.

    Parameters
    ----------
    indicators : Indicators
    weights : array of shape (n_samples,)
    features : Features
    class_weight : dict, 'balanced' or None
        Weights of 0 and 1; balanced label by label.
    """
    labels, positive, negative = (
        indicators.varied,
        indicators.positive,
        indicators.negative,
    )
    places = None
    if labels.shape[0] < positive.shape[0]:
        places = np.where(positive > 0, ALWAYS, np.where(negative > 0, NEVER, UNKNOWN))
        places[labels] = np.arange(labels.shape[0])
    if labels.shape[0] == 0:  # nothing to fit, by a model of one class
        zeros = features.xp.zeros_like(weights)
        targets = Targets(1, zeros[:, None], weights[:, None])
        return Task(SoftmaxLoss(1), targets, places)
    factors = indicators.factors
    if class_weight == "balanced":
        both = np.stack([negative, positive], axis=1)[labels]
        factors = both.sum(axis=1, keepdims=True) / (2 * both)
    elif factors is not None:
        factors = np.tile(factors, (labels.shape[0], 1))
    if factors is not None:
        factors = features.place(factors, weights.dtype)
    targets = Targets(
        indicators.targets.shape[1],
        indicators.targets,
        weights[:, None],
        counts=indicators.counts,
    ).select(labels)
    return Task(LogisticLoss(), replace(targets, class_factors=factors), places)


class Problem:
    """The objective that a solver minimises for some data, and what its answer means.

    Parameters
    ----------
    features : Features
    task : Task
    C : float or array of shape (n_models,)
    regularisation : Regularisation
    fit_intercept : bool
    standardized : bool
        Whether the solver needs standardized columns.
    pool : Workers
        Threads for the passes over the rows.
    offset : array of shape (n_samples, n_outputs) or ChunkedOffset, default=None
        Added to the logits.
    term : callable, default=None
        Takes the total weight to a :class:`Term` of the objective.

    Attributes
    ----------
    objective : Objective
    scaler : Scaler or None
        The change of variables that the solver sees; None for none.
    total_weight : array of shape (n_models or 1,)
        Sum of the weights, as they were given.
    column_moments : array of shape (2, n_features)
        Mean and standard deviation of the columns of X.
    """

    @arrays.quiet()
    def __init__(
        self,
        features: Features,
        task: Task,
        *,
        C: float | Array,
        regularisation: Regularisation,
        fit_intercept: bool,
        standardized: bool,
        pool: Workers,
        offset: Any = None,
        term: Callable[[Array], Term] | None = None,
    ) -> None:
        xp = features.xp
        self._features = features
        self._fit_intercept = fit_intercept
        self._regularisation = regularisation
        self._places = task.places
        targets = task.targets
        if isinstance(features.X, Chunks):  # the first pass has scaled the weights
            unit, statistics = targets.unit, targets.statistics
            matrix: Matrix = DenseMatrix(features.X.sampled, xp=xp)
        else:
            # Only ratios of the weights matter; around 1 they fit the dtype of X. One
            # scaler serves all models, whatever weights each of them has.
            weights = targets.weights
            unit = xp.mean(weights)
            targets = replace(targets, weights=weights / unit)
            targets = targets.astype(features.dtype, xp=xp)
            matrix = features.matrix()
            statistics = column_statistics(
                matrix,
                weights[:, 0],
                centre=fit_intercept,
                pool=pool,
                names=features.column_names,
            )
        scaled = statistics
        if matrix.shape[0]:  # chunks whose statistics are known have no sample
            scaled = without_outliers(matrix, statistics, centre=fit_intercept)
        scaler = Scaler.of(scaled.mean, scaled.std, features.dtype, xp=xp)
        self.column_moments = xp.stack([scaler.mean, scaler.std])
        raw = features.data(targets, offset, pool)
        total_weight = raw.total_weight()
        total = unit * total_weight
        if targets.weighs_alike and isinstance(C, float):
            total = total[:1]
        self.total_weight = total
        held = regularisation.holds(self._strength(C), scaler.scale, xp=xp)
        scaler = scaler.with_larger_scale(held, features.dtype, xp=xp)
        self.scaler = scaler if standardized else None
        self._scale = scaler.scale if standardized else xp.ones_like(scaler.scale)
        column_rms = None
        if scaled is not statistics:
            centre = scaler.mean if standardized else 0.0
            squares = statistics.std**2 + (statistics.mean - centre) ** 2
            column_rms = xp.sqrt(squares) / self._scale
        self.objective = Objective(
            raw if self.scaler is None else raw.standardized(self.scaler),
            task.loss,
            self.penalty(C),
            fit_intercept=fit_intercept,
            scaler=None if standardized else scaler,
            term=None if term is None else term(self.total_weight),
            total_weight=total_weight,
            column_rms=column_rms,
        )

    def centred_at(self, mean: Array) -> Problem:
        """Return the problem with columns centred at numbers of the dtype of X."""
        assert self.scaler is not None
        problem, data = copy.copy(self), self.objective.data
        mean = self._features.xp.astype(mean, self.scaler.mean.dtype)
        problem.scaler = replace(self.scaler, mean=mean)
        raw = self._features.data(data.targets, data.offset, data.pool)
        problem.objective = self.objective.with_data(raw.standardized(problem.scaler))
        return problem

    def separation(
        self,
        parameters: Array,
        gradient: np.ndarray,
        hessian: np.ndarray | None = None,
    ) -> Separation | None:
        """Return the direction of separation, if there is one."""
        objective = self.objective
        is_exact = objective.data.dtype == objective.wide
        return find_separation(
            objective, parameters, gradient, hessian, None if is_exact else self._exact
        )

    def _exact(self) -> Objective:
        """Return the objective on rows without the rounding of a narrow dtype."""
        narrow = self.objective
        targets = narrow.data.targets.astype(narrow.wide, xp=narrow.xp)
        data = self._features.data(
            targets, narrow.data.offset, narrow.data.pool, narrow.wide
        )
        return narrow.with_data(
            data if self.scaler is None else data.standardized(self.scaler)
        )

    def penalty(self, C: float | Array) -> Penalty:
        """For parameters, with strength 1 / (C S)."""
        strength = self._strength(C)
        return self._regularisation.penalty(strength, self._scale, self._features)

    def _strength(self, C: float | Array) -> Array:
        return 1 / (C * self.total_weight)[:, None, None]

    def parameters(self, start: tuple[Array, Array] | None) -> Array:
        """Coefficients and intercepts, in the units of X, as a solver sees them.

        None is zero.
        """
        if start is None:
            return self.objective.zeros()
        coef, intercept = start
        if self._places is not None:
            fitted = np.nonzero(self._places >= 0)[0]
            if fitted.size == 0:
                return self.objective.zeros()
            coef, intercept = arrays.rows(coef, fitted), arrays.rows(intercept, fitted)
        if self.scaler is not None:
            coef, intercept = self.scaler.to_standardized(coef, intercept)
        parameters = self.objective.join(coef, intercept)
        return self.objective.centred_over_classes(parameters)

    @arrays.quiet()
    def duality_gap(self, solution: Solution) -> np.ndarray:
        """Upper bounds on what F is above its minimum: (n_models,), on the host."""
        parameters, at = solution.parameters, solution.at
        gap = duality_gap(self.objective, parameters, at, self.centre)
        return arrays.to_host(gap).astype(np.float64)

    @property
    def centre(self) -> Array:
        """Means of the columns in their deviations; 0 for raw columns."""
        if self.scaler is None:
            return self._features.xp.zeros_like(self._scale)
        return abs(self.scaler.mean) / self.scaler.scale

    def coefficients_by_model(self, parameters: Array) -> dict[str, Array]:
        """:meth:`coefficients` with the models first: (n_models, n_outputs, ...)."""
        xp, n_models = self._features.xp, self.objective.n_models
        return {
            name: xp.reshape(values, (n_models, -1, *values.shape[1:]))
            for name, values in self.coefficients(parameters).items()
        }

    def _is_held(self, parameters: Array) -> Array:
        """Which coefficients the penalty holds at zero, but for rounding."""
        objective, xp = self.objective, self._features.xp
        coef = objective.by_class(parameters)
        strength = objective.penalty.curvature(coef, xp=xp)
        return strength >= largest_strength(strength.dtype, xp=xp)

    def _is_at_bounds(self, coef: Array) -> tuple[Array, Array]:
        """Which coefficients (n_columns, n_features) are at the lower bound, and which
        at the upper, in the units of the solver.
        """
        penalty, xp = self.objective.penalty.non_smooth, self._features.xp
        if penalty is None:
            nowhere = xp.zeros_like(coef, dtype=xp.bool)
            return nowhere, nowhere
        by_model = xp.reshape(coef, (self.objective.n_models, -1, coef.shape[1]))
        return (
            xp.reshape(by_model <= penalty.lower, coef.shape),
            xp.reshape(by_model >= penalty.upper, coef.shape),
        )

    @arrays.quiet()
    def coefficients(self, parameters: Array) -> dict[str, Any]:
        """``coef_`` and ``intercept_``, in the units and the dtype of X.

        With ``_intercept_rest``, in the widest dtype: what intercepts are rounded by,
        which for columns far from zero may be more than the logits. Of equally good
        multinomial models, the one that is symmetric in the classes, for which the
        penalty is least.

        Raises
        ------
        FloatingPointError
            If that dtype does not hold them.
        """
        xp, dtype = self._features.xp, self._features.dtype
        centred = self.objective.centred_over_classes(parameters)
        coef, intercept = self.objective.split(centred)
        if intercept is None:
            intercept = xp.zeros_like(coef[:, 0])
        # In units of X, the rounding errors would be many times as large.
        held = xp.reshape(self._is_held(parameters), coef.shape)
        coef = xp.where(held, xp.zeros_like(coef), coef)
        if self.scaler is not None:
            # Back from standardised units a bound may be missed by a rounding error.
            at_bounds = self._is_at_bounds(coef)
            coef, _ = self.scaler.to_raw(coef, intercept)
            coef = self._regularisation.bounded(coef, *at_bounds, xp=xp)
        rounded = xp.astype(coef, dtype)
        if not self._fit_intercept:
            intercept = xp.zeros_like(intercept)
        elif self.scaler is not None:
            intercept = intercept - xp.astype(rounded, coef.dtype) @ self.scaler.mean
        intercept_rounded = xp.astype(intercept, dtype)
        self._refuse_infinite(rounded, intercept_rounded)
        fitted = {
            "coef_": rounded,
            "intercept_": intercept_rounded,
            "_intercept_rest": intercept - xp.astype(intercept_rounded, coef.dtype),
        }
        if self._places is None:
            return fitted
        constants = {"intercept_": INTERCEPTS.values()}
        return {
            name: self._with_rows_not_fitted(values, *constants.get(name, (0, 0, 0)))
            for name, values in fitted.items()
        }

    def _with_rows_not_fitted(self, values: Array, *constants: float) -> Array:
        """Return all rows of ``coef_`` or the like, from those that were fitted.

        ``constants`` are the values of rows that are UNKNOWN, ALWAYS and NEVER.
        """
        xp, loss = self._features.xp, self.objective.loss
        # Outputs of each model are rows; or, of models with one output, the models.
        n_groups = self.objective.n_models if loss.shift_invariant else 1
        groups = xp.reshape(values, (n_groups, -1, *values.shape[1:]))
        first = xp.zeros_like(groups[:, :1, ...])
        groups = xp.concat([groups, *(first + value for value in constants)], axis=1)
        order = np.arange(groups.shape[1])[self._places]
        order = arrays.move(order, xp=xp, device=self._features.device)
        groups = xp.take(groups, order, axis=1)
        return xp.reshape(groups, (-1, *values.shape[1:]))

    def _refuse_infinite(self, coef: Array, intercept: Array) -> None:
        xp = self._features.xp
        finite = xp.concat([xp.isfinite(coef), xp.isfinite(intercept)[:, None]], axis=1)
        finite = arrays.to_host(xp.all(finite, axis=0))
        if finite.all():
            return
        names = np.asarray([*self._features.column_names, "the intercept"])[~finite]
        name = printable(names[0])
        dtype = str(self._features.dtype).rpartition(".")[2]
        raise FloatingPointError(
            f"The coefficient of {name} is too large for {dtype}: numbers of X are "
            "too small, or too far from zero for their deviation. Standardise the "
            "features (sklearn.preprocessing.StandardScaler)."
        )
