"""From a dataset to an objective, and from its parameters back to coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Scaler
from xlr.estimators.dataset import INTERCEPTS, Dataset, ModelSpec
from xlr.inputs.features import Features
from xlr.losses import ShareLogisticLoss, ShareSoftmaxLoss
from xlr.objective import (
    Objective,
    Separation,
    Term,
    duality_gap,
    find_separation,
)
from xlr.penalties import ElasticNetPenalty, L2Penalty, NonSmooth, Penalty
from xlr.solvers import Solution
from xlr.text import printable, quoted, warn


@dataclass(frozen=True)
class Regularisation:
    """Penalty and bounds of raw coefficients, without the strength 1 / (C S).

    Attributes
    ----------
    l1_ratio : float
        Share of the L1 penalty.
    factor : array of shape (n_features,) or None
        Factors on the penalty of the features; None for ones.
    lower, upper : array of shape (n_features,) or None
        Bounds of the coefficients; None for none.
    """

    l1_ratio: float
    factor: Array | None
    lower: Array | None
    upper: Array | None

    @cached_property
    def smooth(self) -> bool:
        """Return whether there is no L1 penalty and no bound."""
        return self.l1_ratio == 0 and self.lower is None and self.upper is None

    @property
    def leaves_some_free(self) -> bool:
        """Return whether a feature has no penalty."""
        if self.factor is None:
            return False
        return bool((arrays.to_host(self.factor) == 0).any())

    def ridge(self, strength: Array, scale: Array) -> Array:
        """Return the strengths of the L2 penalty of coefficients scale * w."""
        if self.factor is not None:
            strength = strength * self.factor
        # The square of a scale may leave the range.
        return (1 - self.l1_ratio) * strength / scale / scale

    def penalty(self, strength: Array, scale: Array, *, xp: Namespace) -> Penalty:
        """Return the penalty of coefficients scale * w.

        Parameters
        ----------
        strength : array of shape (n_models or 1, 1, 1)
            1 / (C S).
        scale : array of shape (n_features,)
        xp : namespace
        """
        ridge = self.ridge(strength, scale)
        # A larger strength reduces a coefficient to a rounding error, too.
        largest = xp.full_like(ridge, float(xp.finfo(ridge.dtype).max) ** 0.5)
        ridge = xp.where(ridge < largest, ridge, largest)
        if self.smooth:
            return L2Penalty(ridge)
        factor = 1.0 if self.factor is None else self.factor
        lasso = self.l1_ratio * strength * factor / scale
        lasso = xp.where(lasso < largest, lasso, largest)
        infinite, zeros = xp.full_like(scale, xp.inf), xp.zeros_like(lasso)
        lower = -infinite if self.lower is None else self.lower * scale
        upper = infinite if self.upper is None else self.upper * scale
        return ElasticNetPenalty(ridge, NonSmooth(lasso, lower + zeros, upper + zeros))

    def bounded(self, coef: Array, *, xp: Namespace) -> Array:
        """Return raw coefficients, (n_columns, n_features), within the bounds.

        The change of units moves coefficients at a bound by a rounding error.
        """
        if self.lower is None and self.upper is None:
            return coef
        rounding = 4 * float(xp.finfo(coef.dtype).eps) * xp.abs(coef)
        for bound, inside in ((self.lower, xp.maximum), (self.upper, xp.minimum)):
            if bound is not None:
                is_at_bound = xp.abs(coef - bound) <= rounding
                coef = xp.where(is_at_bound, bound, inside(coef, bound))
        return coef


def read_regularisation(
    estimator: Any, l1_ratio: float, C: float | Array, features: Features
) -> Regularisation:
    """Read ``penalty_factor``, ``lower`` and ``upper`` of an estimator.

    An infinite factor becomes bounds of zero.

    Parameters
    ----------
    estimator : estimator
    l1_ratio : float
    C : float or array of shape (n_models,)
    features : Features

    Raises
    ------
    ValueError
        If their shapes are wrong, or they contradict each other.

    Warns
    -----
    UserWarning
        If there is no penalty for ``l1_ratio`` or ``penalty_factor`` to act on.
    """
    names = "penalty_factor", "lower", "upper"
    given = list(map(vars(estimator).get, names))
    is_plain = given[0] is None and given[1] is None and given[2] is None
    if is_plain and not (isinstance(C, float) and math.isinf(C)):
        return Regularisation(l1_ratio, None, None, None)
    xp, n_features = features.xp, features.X.shape[1]
    factor, lower, upper = (
        None if values is None else _per_feature(name, values, n_features)
        for name, values in zip(names, given)
    )
    if factor is not None and (factor < 0).any():
        raise ValueError(
            "penalty_factor must not be negative; got "
            f"{factor.min()} for feature {int(factor.argmin())}."
        )
    infinite = np.full(n_features, np.inf)
    least, most = (
        -infinite if lower is None else lower,
        infinite if upper is None else upper,
    )
    empty = (least > most) | np.isposinf(least) | np.isneginf(most)
    if empty.any():
        wrong = int(empty.argmax())
        raise ValueError(
            "lower must not be above upper, and no coefficient can be infinite; "
            f"feature {wrong} has lower={least[wrong]} and upper={most[wrong]}."
        )
    if factor is not None and np.isposinf(factor).any():
        removed = np.isposinf(factor)
        if ((least > 0) | (most < 0))[removed].any():
            raise ValueError(
                "An infinite penalty_factor removes a feature, but lower and upper "
                "keep the coefficient of one of those away from zero."
            )
        factor = np.where(removed, 1.0, factor)
        lower, upper = np.where(removed, 0.0, least), np.where(removed, 0.0, most)
    if isinstance(C, float) and np.isposinf(C):
        useless = ["l1_ratio"] * (l1_ratio > 0)
        if factor is not None and (factor != 1).any():
            useless.append("penalty_factor")
        if useless:
            warn(
                f"With C=inf there is no penalty: {' and '.join(useless)} has no "
                "effect. Use a finite C."
            )
        l1_ratio = 0.0
    wide = arrays.widest_float(xp=xp, device=features.device)
    return Regularisation(
        l1_ratio,
        *(
            None if values is None else features.place(values, wide)
            for values in (factor, lower, upper)
        ),
    )


def _per_feature(name: str, values: Any, n_features: int) -> np.ndarray:
    """Return a number for each feature, (n_features,), on the host."""
    if arrays.is_array(values):
        values = arrays.to_host(values)
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be None, a number or a number for each feature; got "
            f"{quoted(values)}."
        ) from error
    if numbers.shape not in ((), (n_features,)) or np.isnan(numbers).any():
        raise ValueError(
            f"{name} must be None, a number or an array of shape ({n_features},), "
            f"without NaN; got {quoted(values)}."
        )
    return np.broadcast_to(numbers, (n_features,))


class Problem:
    """The objective that a solver minimises, and the way back to coefficients.

    Parameters
    ----------
    dataset : Dataset
    spec : ModelSpec
        Models of the rows of the dataset.
    C : float or array of shape (n_models,)
    regularisation : Regularisation
    standardized : bool
        Whether the solver needs standardized columns.
    term : callable, default=None
        Makes a :class:`Term` of the objective from the total weight.

    Attributes
    ----------
    objective : Objective
    scaler : Scaler or None
        Change of variables from X to the columns of the solver, if any.
    total_weight : array of shape (n_models or 1,)
        Sum of the given weights.
    """

    @arrays.quiet()
    def __init__(
        self,
        dataset: Dataset,
        spec: ModelSpec,
        *,
        C: float | Array,
        regularisation: Regularisation,
        standardized: bool,
        term: Callable[[Array], Term] | None = None,
    ) -> None:
        self._features = dataset.features
        self._fit_intercept = dataset.fit_intercept
        self._regularisation = regularisation
        self._places = spec.places
        self._raw = data = spec.data
        xp, scaler = data.xp, dataset.scaler
        if data.targets.weighs_alike:  # their mean is 1
            place = {"dtype": data.wide, "device": data.device}
            total_weight = xp.full(data.targets.n_models, data.n_samples, **place)
            total = total_weight[:1] if isinstance(C, float) else total_weight
        else:
            total = total_weight = data.total_weight()
        self.total_weight = total = dataset.unit * total
        strength = 1 / (C * total)[:, None, None]
        # A column is not scaled if the penalty in units of its tiny scale would hide
        # the loss.
        largest = float(xp.finfo(total.dtype).max) ** 0.5
        ridge = regularisation.ridge(strength, scaler.scale)
        is_held = xp.all(ridge >= largest, axis=(0, 1))
        ones = xp.ones_like(scaler.scale)
        scale = xp.where(is_held, ones, scaler.scale)
        scaler = Scaler(scaler.mean, scale, scaler.varies)
        self.scaler = scaler if standardized else None
        self._scale = scaler.scale if standardized else ones
        column_rms = None
        if dataset.robust is not dataset.statistics:
            statistics = dataset.statistics
            centre = scaler.mean if standardized else 0.0
            squares = statistics.std**2 + (statistics.mean - centre) ** 2
            column_rms = xp.sqrt(squares) / self._scale
        self.objective = Objective(
            data if self.scaler is None else data.standardized(self.scaler),
            spec.loss,
            regularisation.penalty(strength, self._scale, xp=xp),
            fit_intercept=self._fit_intercept,
            scaler=None if standardized else scaler,
            term=None if term is None else term(self.total_weight),
            total_weight=total_weight,
            column_rms=column_rms,
        )

    def separation(
        self, parameters: Array, gradient: np.ndarray, model: int = 0
    ) -> Separation | None:
        """Return the direction of separation of a model, if there is one.

        Parameters
        ----------
        parameters : array of shape (n_models, n_parameters)
            Parameters near the optimum, if it exists.
        gradient : ndarray of shape (n_parameters,)
            Gradient of F of the model at the parameters.
        model : int, default=0
        """
        if isinstance(self.objective.loss, ShareLogisticLoss | ShareSoftmaxLoss):
            return None  # the linear program needs one class for each row
        alone, exact = np.asarray([model]), None
        if self.objective.data.dtype != self.objective.wide:
            exact = partial(self._exact, alone)
        objective = self.objective.select(alone)
        parameters = arrays.rows(parameters, alone)
        return find_separation(objective, parameters, gradient, exact=exact)

    def _exact(self, models: np.ndarray) -> Objective:
        """Return the objective in the widest dtype, without rounding of the rows."""
        data = self._raw.select(models).astype(self.objective.wide)
        return self.objective.select(models).with_data(
            data if self.scaler is None else data.standardized(self.scaler)
        )

    def penalty(self, C: float | Array) -> Penalty:
        """Return the penalty of the parameters, with strength 1 / (C S)."""
        strength = 1 / (C * self.total_weight)[:, None, None]
        xp = self._features.xp
        return self._regularisation.penalty(strength, self._scale, xp=xp)

    def parameters(self, start: tuple[Array, Array] | None) -> Array:
        """Return the parameters of raw coefficients and intercepts, or zeros."""
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

    def duality_gap(self, solution: Solution) -> np.ndarray:
        """Return upper bounds on F less its minimum: (n_models,), on the host."""
        parameters, at = solution.parameters, solution.at
        gap = duality_gap(self.objective, parameters, at, self.centre)
        return arrays.to_host(gap).astype(np.float64)

    @property
    def centre(self) -> Array:
        """Return the means of the columns in standard deviations; 0 for raw columns."""
        if self.scaler is None:
            return self._features.xp.zeros_like(self._scale)
        return abs(self.scaler.mean) / self.scaler.scale

    def coefficients_by_model(
        self, parameters: Array, n_columns: int
    ) -> dict[str, Array]:
        """Return :meth:`coefficients` as arrays (n_models, n_columns, ...).

        One-vs-rest models of the same rows count as one model.
        """
        xp = self._features.xp
        return {
            name: xp.reshape(values, (-1, n_columns, *values.shape[1:]))
            for name, values in self.coefficients(parameters).items()
        }

    @arrays.quiet()
    def coefficients(self, parameters: Array) -> dict[str, Any]:
        """Return ``coef_`` and ``intercept_`` in the units and the dtype of X.

        ``_intercept_rest``, in the widest dtype, is the rounding error of the
        intercepts, which exceeds the logits where columns are far from zero. Softmax
        coefficients are centred over the classes, where the penalty is least.

        Raises
        ------
        FloatingPointError
            If the coefficients overflow that dtype.
        """
        xp, dtype = self._features.xp, self._features.dtype
        centred = self.objective.centred_over_classes(parameters)
        centred = self.objective.shifted_over_classes(centred)
        coef, intercept = self.objective.split(centred)
        if intercept is None:
            intercept = xp.zeros_like(coef[:, 0])
        if self.scaler is not None:
            coef = self._regularisation.bounded(coef / self.scaler.scale, xp=xp)
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
            name: self._with_rows_not_fitted(
                values, self._places, *constants.get(name, (0, 0, 0))
            )
            for name, values in fitted.items()
        }

    def _with_rows_not_fitted(
        self, values: Array, places: np.ndarray, *constants: float
    ) -> Array:
        """Return the fitted rows together with the rows without a fit.

        ``constants`` are the values of rows that are UNKNOWN, ALWAYS and NEVER.
        """
        xp = self._features.xp
        n_groups = values.shape[0] // max(1, np.count_nonzero(places >= 0))
        groups = xp.reshape(values, (n_groups, -1, *values.shape[1:]))
        first = xp.zeros_like(groups[:, :1, ...])
        groups = xp.concat([groups, *(first + value for value in constants)], axis=1)
        order = np.arange(groups.shape[1])[places]
        order = arrays.move(order, xp=xp, device=self._features.device)
        groups = xp.take(groups, order, axis=1)
        return xp.reshape(groups, (-1, *values.shape[1:]))

    def _refuse_infinite(self, coef: Array, intercept: Array) -> None:
        xp = self._features.xp
        finite = xp.isfinite(xp.concat([coef, intercept[:, None]], axis=1))
        finite = arrays.to_host(xp.all(finite, axis=0))
        if finite.all():
            return
        names = np.asarray([*self._features.column_names, "the intercept"])[~finite]
        name = printable(names[0])
        dtype = str(self._features.dtype).rpartition(".")[2]
        raise FloatingPointError(
            f"The coefficient of {name} is too large for {dtype}: numbers of X are "
            "too small, or too far from zero for their standard deviation. "
            "Standardise the features (sklearn.preprocessing.StandardScaler)."
        )
