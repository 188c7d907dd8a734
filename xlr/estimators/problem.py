"""From a dataset to an objective, and from its parameters back to coefficients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators.dataset import INTERCEPTS, Dataset, ModelSpec
from xlr.estimators.regularisation import Regularisation
from xlr.losses import ShareLogisticLoss, ShareSoftmaxLoss
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


class Problem:
    """The objective that a solver minimises, and the way back to coefficients.

    Parameters
    ----------
    dataset : Dataset
    spec : ModelSpec
        Of the rows of the dataset.
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
        Change of variables from X to the columns that the solver sees, if any.
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
        total_weight = data.total_weight()
        total = dataset.unit * total_weight
        if data.targets.weighs_alike and isinstance(C, float):
            total = total[:1]
        self.total_weight = total
        held = regularisation.holds(self._strength(C), scaler.scale, xp=xp)
        self._held = held  # at zero
        held = xp.all(held, axis=(0, 1))
        scaler = scaler.with_larger_scale(held, data.dtype, xp=xp)
        self.scaler = scaler if standardized else None
        self._scale = scaler.scale if standardized else xp.ones_like(scaler.scale)
        column_rms = None
        if dataset.robust is not dataset.statistics:
            statistics = dataset.statistics
            centre = scaler.mean if standardized else 0.0
            squares = statistics.std**2 + (statistics.mean - centre) ** 2
            column_rms = xp.sqrt(squares) / self._scale
        self.objective = Objective(
            data if self.scaler is None else data.standardized(self.scaler),
            spec.loss,
            self.penalty(C),
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
            Near the optimum, if it exists.
        gradient : ndarray of shape (n_parameters,)
            Gradient of F of the model there.
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
        strength = self._strength(C)
        return self._regularisation.penalty(strength, self._scale, self._features)

    def _strength(self, C: float | Array) -> Array:
        return 1 / (C * self.total_weight)[:, None, None]

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

    @arrays.quiet()
    def duality_gap(self, solution: Solution) -> np.ndarray:
        """Return upper bounds on F less its minimum: (n_models,), on the host."""
        parameters, at = solution.parameters, solution.at
        gap = duality_gap(self.objective, parameters, at, self.centre)
        return arrays.to_host(gap).astype(np.float64)

    @property
    def centre(self) -> Array:
        """Means of the columns in standard deviations; 0 for raw columns."""
        if self.scaler is None:
            return self._features.xp.zeros_like(self._scale)
        return abs(self.scaler.mean) / self.scaler.scale

    def coefficients_by_model(
        self, parameters: Array, n_columns: int
    ) -> dict[str, Array]:
        """Return :meth:`coefficients` as arrays (n_models, n_columns, ...).

        One-vs-rest models of the same rows are one model there.
        """
        xp = self._features.xp
        return {
            name: xp.reshape(values, (-1, n_columns, *values.shape[1:]))
            for name, values in self.coefficients(parameters).items()
        }

    def _is_at_bounds(self, coef: Array) -> tuple[Array, Array]:
        """Return masks of the coefficients at the lower and at the upper bound.

        Of standardized coefficients: (n_columns, n_features).
        """
        penalty, xp = self.objective.penalty.non_smooth, self._features.xp
        assert penalty is not None
        by_model = xp.reshape(coef, (self.objective.n_models, -1, coef.shape[1]))
        return (
            xp.reshape(by_model <= penalty.lower, coef.shape),
            xp.reshape(by_model >= penalty.upper, coef.shape),
        )

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
        # Rounding errors would grow in the units of X.
        by_model = xp.reshape(coef, (self.objective.n_models, -1, coef.shape[1]))
        by_model = xp.where(self._held, xp.zeros_like(by_model), by_model)
        coef = xp.reshape(by_model, coef.shape)
        if self.scaler is not None:
            standardized = coef
            coef, _ = self.scaler.to_raw(coef, intercept)
            if not self._regularisation.smooth:
                # A bound may be missed by a rounding error of the change of units.
                at_bounds = self._is_at_bounds(standardized)
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
            name: self._with_rows_not_fitted(
                values, self._places, *constants.get(name, (0, 0, 0))
            )
            for name, values in fitted.items()
        }

    def _with_rows_not_fitted(
        self, values: Array, places: np.ndarray, *constants: float
    ) -> Array:
        """Return the fitted rows together with those that are not fitted.

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
