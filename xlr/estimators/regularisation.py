"""Regularisation: penalties and bounds of the coefficients, by feature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.inputs.features import Features
from xlr.penalties import ElasticNetPenalty, L2Penalty, NonSmooth, Penalty
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

    l1_ratio: float
    factor: Array | None
    lower: Array | None
    upper: Array | None

    @property
    def smooth(self) -> bool:
        """True without an L1 penalty and without bounds."""
        return self.l1_ratio == 0 and self.lower is None and self.upper is None

    @property
    def leaves_some_free(self) -> bool:
        """True if a feature has no penalty."""
        if self.factor is None:
            return False
        return bool((arrays.to_host(self.factor) == 0).any())

    def penalty(self, strength: Array, scale: Array, features: Features) -> Penalty:
        """Return the penalty of coefficients scale * w.

        Parameters
        ----------
        strength : array of shape (n_models or 1, 1, 1)
            1 / (C S).
        scale : array of shape (n_features,)
        features : Features
        """
        xp = features.xp
        ridge = _finite(self._ridge(strength, scale), features)
        if self.smooth:
            return L2Penalty(ridge)
        lasso = self.l1_ratio * self._by_feature(strength) / scale
        lasso = _finite(lasso, features)
        unbounded = xp.full_like(scale, xp.inf)
        lower = -unbounded if self.lower is None else self.lower * scale
        upper = unbounded if self.upper is None else self.upper * scale
        non_smooth = NonSmooth(
            lasso, lower + xp.zeros_like(lasso), upper + xp.zeros_like(lasso)
        )
        return ElasticNetPenalty(ridge, non_smooth)

    def holds(self, strength: Array, scale: Array, *, xp: Namespace) -> Array:
        """Return a mask of the coefficients that the penalty holds at zero.

        Apart from rounding, of coefficients scale * w: (n_models or 1, 1, n_features).
        """
        ridge = self._ridge(strength, scale)
        return ridge >= _largest_strength(ridge.dtype, xp=xp)

    def _ridge(self, strength: Array, scale: Array) -> Array:
        # The square of a scale may leave the range.
        return (1 - self.l1_ratio) * self._by_feature(strength) / scale / scale

    def _by_feature(self, strength: Array) -> Array:
        return strength if self.factor is None else strength * self.factor

    def bounded(
        self, coef: Array, at_lower: Array, at_upper: Array, *, xp: Namespace
    ) -> Array:
        """Return raw coefficients, (n_columns, n_features), within the bounds.

        Coefficients at a bound of the solver are exactly at the raw bound.
        """
        if self.lower is not None:
            coef = xp.where(at_lower, self.lower, xp.maximum(coef, self.lower))
        if self.upper is not None:
            coef = xp.where(at_upper, self.upper, xp.minimum(coef, self.upper))
        return coef


def _finite(strength: Array, features: Features) -> Array:
    """Return strengths no larger than holds a coefficient at zero."""
    xp = features.xp
    largest = _largest_strength(strength.dtype, xp=xp)
    return xp.where(strength < largest, strength, xp.full_like(strength, largest))


def _largest_strength(dtype: Any, *, xp: Namespace) -> float:
    """Return the strength that reduces a coefficient to a rounding error."""
    return float(xp.finfo(dtype).max) ** 0.5


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
    least = np.full(n_features, -np.inf) if lower is None else lower
    most = np.full(n_features, np.inf) if upper is None else upper
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
        useless = [
            name
            for name, given in (
                ("l1_ratio", l1_ratio > 0),
                ("penalty_factor", factor is not None and (factor != 1).any()),
            )
            if given
        ]
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
