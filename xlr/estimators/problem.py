"""From checked data to an objective, and from its parameters back to coefficients."""

from __future__ import annotations

from typing import Any

from xlr import arrays
from xlr.arrays import Array
from xlr.design import DenseDesign, standardise
from xlr.estimators.inputs import Features, Labels
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective
from xlr.penalties import L2Penalty
from xlr.threads import Workers

__all__ = ["Problem"]


class Problem:
    """What a solver is given for some data, and what its answer means.

    Parameters
    ----------
    features : Features
    labels : Labels
    weights : array of shape (n_samples,)
        In the widest dtype.
    C : float
    fit_intercept : bool
    standardised : bool
        Whether the solver wants the columns of X standardised.
    workers : Workers
        Threads for the passes over the rows.

    Attributes
    ----------
    objective : Objective
    """

    @arrays.quiet()
    def __init__(
        self,
        features: Features,
        labels: Labels,
        weights: Array,
        *,
        C: float,
        fit_intercept: bool,
        standardised: bool,
        workers: Workers,
    ) -> None:
        xp, X = features.xp, features.X
        self._features = features
        self._fit_intercept = fit_intercept
        units = standardise(X, weights, centre=fit_intercept, workers=workers, xp=xp)
        self._units = units if standardised else None

        strength = 1 / (C * xp.sum(weights)) * xp.ones_like(units.scale)
        if standardised:
            strength = strength / units.scale**2
        largest = float(xp.finfo(strength.dtype).max) ** 0.5
        strength = xp.where(strength < largest, strength, largest)
        # Only ratios of the weights matter; around 1 they fit X's dtype.
        weights = weights / xp.mean(weights)
        n_classes = labels.classes.shape[0]
        design = DenseDesign(X, self._units, workers=workers, xp=xp)
        self.objective = Objective(
            design.standardised_if_small(),
            features.place(labels.codes, X.dtype)[:, None],
            xp.astype(weights, X.dtype, copy=False)[:, None],
            LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes),
            L2Penalty(strength[None, None, :]),
            n_models=1,
            fit_intercept=fit_intercept,
            units=None if standardised else units,
        )

    def parameters(self, start: tuple[Array, Array] | None) -> Array:
        """Coefficients and intercepts, in the units of X, as a solver sees them.

        None is zero.
        """
        if start is None:
            return self.objective.zeros()
        coef, intercept = start
        if self._units is not None:
            coef, intercept = self._units.into(coef, intercept)
        return self.objective.symmetric(self.objective.join(coef, intercept))

    def coefficients(self, parameters: Array) -> dict[str, Any]:
        """``coef_`` and ``intercept_``, in the units and the dtype of X.

        Of equally good multinomial models, the one that is symmetric in the classes,
        for which the penalty is least.
        """
        xp, dtype = self._features.xp, self._features.X.dtype
        coef, intercept = self.objective.split(self.objective.symmetric(parameters))
        if self._units is not None:
            coef, intercept = self._units.out_of(coef, intercept)
        if not self._fit_intercept:
            intercept = xp.zeros_like(intercept)
        return {
            "coef_": xp.astype(coef, dtype),
            "intercept_": xp.astype(intercept, dtype),
        }
