"""From a dataset to an objective, and from its parameters back to coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import DenseMatrix, Scaler
from xlr.inputs.dataset import UNFITTED_INTERCEPTS, Dataset, ModelSpec
from xlr.inputs.features import Features
from xlr.losses import ShareLogisticLoss, ShareSoftmaxLoss
from xlr.objective import Objective, Separation, find_separation
from xlr.penalties import NonSmooth, Penalty
from xlr.text import printable, quoted, warn

# Growth of the rounding errors of a Gram matrix of sparse rows or codes, whose sums are
# corrected for the means: a factor for sums of rows one by one, times the squared mean
# of a column in standard deviations, up to a maximum.
SPARSE_SUM_GROWTH = 16
MAX_MEAN_GROWTH = 1e4


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

    l1_ratio: float = 0.0
    factor: Array | None = None
    lower: Array | None = None
    upper: Array | None = None

    @cached_property
    def smooth(self) -> bool:
        """Return whether there is no L1 penalty and no bound."""
        return self.l1_ratio == 0 and self.lower is None and self.upper is None

    @property
    def leaves_some_free(self) -> bool:
        """Return whether a feature has no penalty."""
        return self.factor is not None and not arrays.to_host(self.factor).all()

    def penalty(self, strength: Array, scale: Array, *, xp: Namespace) -> Penalty:
        """Return the penalty of coefficients scale * w.

        Parameters
        ----------
        strength : array of shape (n_models, 1, 1)
            1 / (C S).
        scale : array of shape (n_features,)
        xp : namespace
        """
        if self.factor is not None:
            strength = strength * self.factor
        # The square of a scale may leave the range.
        ridge = (1 - self.l1_ratio) * strength / scale / scale
        if self.smooth:
            return Penalty(ridge)
        lasso = self.l1_ratio * strength / scale
        infinite, zeros = xp.full_like(scale, xp.inf), xp.zeros_like(lasso)
        lower = -infinite if self.lower is None else self.lower * scale
        upper = infinite if self.upper is None else self.upper * scale
        return Penalty(ridge, NonSmooth(lasso, lower + zeros, upper + zeros))

    def bounded(self, coef: Array, *, xp: Namespace) -> Array:
        """Return raw coefficients, (n_columns, n_features), within the bounds.

        The change of units moves coefficients at a bound by a rounding error.
        """
        for bound, inside in ((self.lower, xp.maximum), (self.upper, xp.minimum)):
            if bound is not None:
                rounding = 4 * float(xp.finfo(coef.dtype).eps) * xp.abs(coef)
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
    given = [getattr(estimator, name, None) for name in names]
    unpenalised = isinstance(C, float) and math.isinf(C)
    if not unpenalised and given[0] is given[1] is given[2] is None:
        return Regularisation(l1_ratio)
    defaults, n_features = (1.0, -np.inf, np.inf), features.X.shape[1]
    factor, lower, upper = (
        _per_feature(name, default if values is None else values, n_features)
        for name, values, default in zip(names, given, defaults)
    )
    if (factor < 0).any():
        raise ValueError(
            "penalty_factor must not be negative; got "
            f"{factor.min()} for feature {int(factor.argmin())}."
        )
    removed = np.isposinf(factor)
    factor = np.where(removed, 1.0, factor)
    lower = np.where(removed, np.maximum(lower, 0.0), lower)
    upper = np.where(removed, np.minimum(upper, 0.0), upper)
    empty = (lower > upper) | np.isposinf(lower) | np.isneginf(upper)
    if empty.any():
        wrong = int(empty.argmax())
        reason = " by its infinite penalty_factor" * bool(removed[wrong])
        raise ValueError(
            "lower must not be above upper, and no coefficient can be infinite; "
            f"feature {wrong} has lower={lower[wrong]} and upper={upper[wrong]}"
            f"{reason}."
        )
    if unpenalised:
        unused = ["l1_ratio"] * (l1_ratio > 0)
        unused += ["penalty_factor"] * bool((factor != 1).any() and not removed.any())
        if unused:
            warn(
                f"With C=inf there is no penalty: {' and '.join(unused)} "
                f"{'has' if len(unused) == 1 else 'have'} no effect. Use a finite C."
            )
        l1_ratio = 0.0
    dtype = features.accumulation_dtype
    effective = [
        features.place(values, dtype) if (values != default).any() else None
        for values, default in zip((factor, lower, upper), defaults)
    ]
    return Regularisation(l1_ratio, *effective)


def _per_feature(name: str, values: Any, n_features: int) -> np.ndarray:
    """Return a number for each feature, (n_features,), on the host."""
    if arrays.is_foreign(values):
        values = arrays.to_host(values)
    try:
        numbers = np.broadcast_to(np.asarray(values, np.float64), (n_features,))
        if not np.isnan(numbers).any():
            return numbers
    except (TypeError, ValueError):
        pass
    raise InvalidParameterError(
        f"{name} must be None, a number or an array of shape ({n_features},), "
        f"without NaN; got {quoted(values)}."
    )


# -- the problem -----------------------------------------------------------------------


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
    scaler : Scaler
        Change of variables from X to the columns of the solver.
    total_weight : array of shape (n_models,)
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
        if not standardized:
            ones = xp.ones_like(scaler.scale)
            scaler = Scaler(0 * ones, ones, ones)
        # S for weights of mean 1.
        if data.targets.has_shared_weights:
            place = {"dtype": data.accumulation_dtype, "device": data.device}
            total = xp.full(data.targets.n_models, data.n_samples, **place)
        else:
            total = data.total_weight()
        self.total_weight = dataset.mean_weight * total
        self.scaler = scaler
        column_rms = None
        if dataset.robust is not dataset.statistics:
            statistics = dataset.statistics
            squares = statistics.std**2 + (statistics.mean - scaler.mean) ** 2
            column_rms = xp.sqrt(squares) / scaler.scale
        self.objective = Objective(
            data.standardized(scaler),
            spec.loss,
            self.penalty(C),
            fit_intercept=dataset.fit_intercept,
            scaler=None if standardized else dataset.scaler,
            term=None if term is None else partial(term, self.total_weight),
            total_weight=total,
            column_rms=column_rms,
        )

    @property
    def information_rounding(self) -> float:
        """Return the relative rounding error of the information, in standardized units.

        It is the error of ``Objective.information`` for a solver on standardized
        columns. Dense columns are centred before they are summed.
        """
        rounding, scaler = self.objective.accumulation_rounding, self.scaler
        parts = getattr(self.spec.data.matrix, "parts", (self.spec.data.matrix,))
        is_corrected = [not isinstance(part, DenseMatrix) for part in parts]
        if not any(is_corrected):
            return rounding
        ratios = abs(arrays.to_host(scaler.mean / scaler.scale))
        ratio = ratios[np.repeat(is_corrected, [part.shape[1] for part in parts])].max()
        return rounding * SPARSE_SUM_GROWTH * min(1 + ratio**2, MAX_MEAN_GROWTH)

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
        return self.objective.select(models).with_data(data.standardized(self.scaler))

    def penalty(self, C: float | Array) -> Penalty:
        """Return the penalty of the parameters, with strength 1 / (C S)."""
        strength = 1 / (C * self.total_weight)[:, None, None]
        xp = self._features.xp
        return self._regularisation.penalty(strength, self.scaler.scale, xp=xp)

    def parameters(self, start: tuple[Array, Array] | None) -> Array:
        """Return the parameters of raw coefficients and intercepts.

        Without a start, they are those of the null model, or zeros for a solver on raw
        columns.
        """
        if start is None and self.objective.scaler is None:
            return self.objective.null_parameters()
        if start is None:
            return self.objective.zeros()
        coef, intercept = start
        if self.spec.fit_index is not None:
            fitted = np.nonzero(self.spec.fit_index >= 0)[0]
            if fitted.size == 0:
                return self.objective.zeros()
            coef, intercept = arrays.take(coef, fitted), arrays.take(intercept, fitted)
        parameters = self.objective.join(*self.scaler.to_standardized(coef, intercept))
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
        parameters = self.objective.shifted_over_classes(parameters)
        coef, intercept = self.objective.split(parameters)
        coef = self._regularisation.bounded(coef / self.scaler.scale, xp=xp)
        rounded = xp.astype(coef, dtype)
        intercept = intercept - xp.astype(rounded, coef.dtype) @ self.scaler.mean
        # The means move the sum, unless the coefficients sum to zero.
        is_softmax = self.objective.loss.shift_invariant
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
        constants = {"intercept_": UNFITTED_INTERCEPTS}
        return {
            name: self.spec.with_other_rows(values, *constants.get(name, (0, 0, 0)))
            for name, values in fitted.items()
        }

    def _refuse_infinite(self, coef: Array, intercept: Array) -> None:
        xp = self._features.xp
        finite = xp.isfinite(xp.concat([coef, intercept[:, None]], axis=1))
        finite = arrays.to_host(xp.all(finite, axis=0))
        if finite.all():
            return
        names = [*self._features.column_names, "the intercept"]
        name = printable(names[finite.argmin()])
        dtype = str(self._features.dtype).rpartition(".")[2]
        raise FloatingPointError(
            f"The coefficient of {name} is too large for {dtype}: numbers of X are "
            "too small, or too far from zero for their standard deviation. "
            "Standardise the features (sklearn.preprocessing.StandardScaler)."
        )
