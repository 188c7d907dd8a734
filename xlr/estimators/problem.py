"""From checked data to an objective, and from its parameters back to coefficients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from xlr import arrays
from xlr.arrays import Array
from xlr.design import DenseDesign, standardise
from xlr.estimators.inputs import Features, Labels
from xlr.losses import LogisticLoss, Loss, SoftmaxLoss
from xlr.objective import Objective, Responses
from xlr.penalties import L2Penalty
from xlr.threads import Workers

__all__ = ["Problem", "Task", "multinomial", "one_vs_rest"]


@dataclass(frozen=True)
class Task:
    """What one or several models are to predict from the same rows.

    Attributes
    ----------
    loss : Loss
    responses : Responses
        With weights in the widest dtype.
    """

    loss: Loss
    responses: Responses


def multinomial(features: Features, labels: Labels, weights: Array) -> Task:
    """One model of all classes; ``weights`` has shape (n_samples,)."""
    n_classes = labels.classes.shape[0]
    loss = LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes)
    targets = features.place(labels.codes, features.X.dtype)
    return Task(loss, Responses(1, targets[:, None], weights[:, None]))


def one_vs_rest(
    features: Features, labels: Labels, weights: Array, *, balanced: bool
) -> Task:
    """A binary model for each class, against all others.

    Parameters
    ----------
    features : Features
    labels : Labels
    weights : array of shape (n_samples,)
    balanced : bool
        Whether each class weighs as much as all others together.
    """
    xp, device = features.xp, features.device
    codes = features.place(labels.codes, None)
    classes = xp.arange(labels.classes.shape[0], dtype=codes.dtype, device=device)
    own = codes[:, None] == classes
    factors = None
    if balanced:
        share = weights @ xp.astype(own, weights.dtype) / xp.sum(weights)
        factors = xp.stack([0.5 / (1 - share), 0.5 / share], axis=1)
    responses = Responses(
        classes.shape[0],
        xp.astype(own, xp.uint8),
        weights[:, None],
        class_factors=factors,
    )
    return Task(LogisticLoss(), responses)


class Problem:
    """What a solver is given for some data, and what its answer means.

    Parameters
    ----------
    features : Features
    task : Task
    C : float or array of shape (n_models,)
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
        task: Task,
        *,
        C: float | Array,
        fit_intercept: bool,
        standardised: bool,
        workers: Workers,
    ) -> None:
        xp, X = features.xp, features.X
        self._features = features
        self._fit_intercept = fit_intercept
        # Only ratios of the weights matter; around 1 they fit X's dtype.
        weights = task.responses.weights
        unit = xp.mean(weights)
        responses = replace(task.responses, weights=weights / unit)
        responses = responses.astype(X.dtype, xp=xp)
        # One change of units serves all models, whatever each of them weighs.
        units = standardise(
            X, weights[:, 0], centre=fit_intercept, workers=workers, xp=xp
        )
        self._units = units if standardised else None

        design = DenseDesign(X, self._units, workers=workers, xp=xp)
        total = unit * responses.total_weight(weights.dtype, xp=xp)
        if responses.weighs_alike and isinstance(C, float):
            total = total[:1]
        strength = 1 / (C * total)[:, None, None]
        strength = strength * xp.ones_like(units.scale)
        if standardised:
            strength = strength / units.scale**2
        largest = float(xp.finfo(strength.dtype).max) ** 0.5
        strength = xp.where(strength < largest, strength, largest)
        self.objective = Objective(
            design.standardised_if_small(),
            responses,
            task.loss,
            L2Penalty(strength),
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
