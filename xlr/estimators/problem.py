"""From a dataset to an objective, and from its parameters back to coefficients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators.dataset import UNFITTED_INTERCEPTS, Dataset, ModelSpec
from xlr.estimators.regularisation import Regularisation
from xlr.losses import ShareLogisticLoss, ShareSoftmaxLoss
from xlr.objective import Objective, Separation, find_separation
from xlr.penalties import Penalty
from xlr.text import printable


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
        ``term(S, objective, parameters)`` evaluates a term of the objective. S is bound
        here, so that :class:`Objective` gets ``term(objective, parameters)``.

    Attributes
    ----------
    objective : Objective
    spec : ModelSpec
    scaler : Scaler or None
        Change of variables from X to the columns of the solver, if any.
    total_weight : array of shape (n_models or 1,)
        S of each model: the sum of its sample weights times class weights.
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
        term: Callable[..., Any] | None = None,
    ) -> None:
        self._features = dataset.features
        self._regularisation = regularisation
        self.spec = spec
        data = spec.data
        xp, scaler = data.xp, dataset.scaler
        # S for weights of mean 1.
        if data.targets.has_shared_weights:
            place = {"dtype": data.accumulation_dtype, "device": data.device}
            scaled_total = xp.full(data.targets.n_models, data.n_samples, **place)
            total = scaled_total[:1] if isinstance(C, float) else scaled_total
        else:
            total = scaled_total = data.total_weight()
        self.total_weight = dataset.mean_weight * total
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
            fit_intercept=dataset.fit_intercept,
            scaler=None if standardized else scaler,
            term=None if term is None else partial(term, self.total_weight),
            total_weight=scaled_total,
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
        if self.objective.data.dtype != self.objective.accumulation_dtype:
            exact = partial(self._exact, alone)
        objective = self.objective.select(alone)
        parameters = arrays.take(parameters, alone)
        return find_separation(objective, parameters, gradient, exact=exact)

    def _exact(self, models: np.ndarray) -> Objective:
        """Return the objective in the accumulation dtype, without rounding the rows."""
        data = self.spec.data.select(models).astype(self.objective.accumulation_dtype)
        return self.objective.select(models).with_data(
            data if self.scaler is None else data.standardized(self.scaler)
        )

    def penalty(self, C: float | Array) -> Penalty:
        """Return the penalty of the parameters, with strength 1 / (C S)."""
        strength = 1 / (C * self.total_weight)[:, None, None]
        xp = self._features.xp
        return self._regularisation.penalty(strength, self._scale, xp=xp)

    def parameters(self, start: tuple[Array, Array] | None) -> Array:
        """Return the parameters of raw coefficients and intercepts.

        Without a start, they are those of the null model, or zeros for a solver on raw
        columns.
        """
        if start is None and self.scaler is not None:
            return self.objective.null_parameters()
        if start is None:
            return self.objective.zeros()
        coef, intercept = start
        if self.spec.fit_index is not None:
            fitted = np.nonzero(self.spec.fit_index >= 0)[0]
            if fitted.size == 0:
                return self.objective.zeros()
            coef, intercept = arrays.take(coef, fitted), arrays.take(intercept, fitted)
        if self.scaler is not None:
            coef, intercept = self.scaler.to_standardized(coef, intercept)
        parameters = self.objective.join(coef, intercept)
        return self.objective.centred_over_classes(parameters)

    @arrays.quiet()
    def coefficients(self, parameters: Array) -> dict[str, Any]:
        """Return ``coef_`` and ``intercept_`` in the units and the dtype of X.

        ``_intercept_rounding``, in the accumulation dtype, is the rounding error of the
        intercepts, which exceeds the logits where columns are far from zero. Softmax
        coefficients are centred over the classes, where the penalty is least, and so
        are the intercepts.

        Raises
        ------
        FloatingPointError
            If the coefficients overflow that dtype.
        """
        xp, dtype = self._features.xp, self._features.dtype
        if is_softmax := self.objective.loss.shift_invariant:
            parameters = self.objective.centred_over_classes(parameters)
            parameters = self.objective.shifted_over_classes(parameters)
        coef, intercept = self.objective.split(parameters)
        if self.scaler is not None:
            coef = self._regularisation.bounded(coef / self.scaler.scale, xp=xp)
        rounded = xp.astype(coef, dtype)
        if self.scaler is not None:
            intercept = intercept - xp.astype(rounded, coef.dtype) @ self.scaler.mean
            # The means move the sum, unless the coefficients sum to zero.
            if is_softmax and self.objective.non_smooth is not None:
                by_class = xp.reshape(intercept, (-1, self.objective.n_outputs))
                by_class = by_class - xp.mean(by_class, axis=1, keepdims=True)
                intercept = xp.reshape(by_class, intercept.shape)
        intercept_rounded = xp.astype(intercept, dtype)
        self._refuse_infinite(rounded, intercept_rounded)
        fitted = {
            "coef_": rounded,
            "intercept_": intercept_rounded,
            "_intercept_rounding": intercept - xp.astype(intercept_rounded, coef.dtype),
        }
        if self.spec.fit_index is None:
            return fitted
        return {
            name: self.spec.with_other_rows(
                values, *(UNFITTED_INTERCEPTS if name == "intercept_" else (0, 0, 0))
            )
            for name, values in fitted.items()
        }

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
