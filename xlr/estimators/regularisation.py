"""Regularisation: the penalty and the bounds of an estimator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.inputs.features import Features
from xlr.penalties import NonSmooth, Penalty
from xlr.text import quoted, warn


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
        if self.factor is None:
            return False
        return bool((arrays.to_host(self.factor) == 0).any())

    def penalty(self, strength: Array, scale: Array, *, xp: Namespace) -> Penalty:
        """Return the penalty of coefficients scale * w.

        Parameters
        ----------
        strength : array of shape (n_models or 1, 1, 1)
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
    return Regularisation(
        l1_ratio,
        *(
            None
            if (values == default).all()
            else features.place(values, features.accumulation_dtype)
            for values, default in zip((factor, lower, upper), defaults)
        ),
    )


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
