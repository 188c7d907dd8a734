"""F for one or several models, and its derivatives.

For each model, with weights s_i, S = sum(s_i) and linear predictor
eta_i = z_i.w + b,

    F(w, b) = (1/S) sum_i s_i loss(eta_i, y_i) + penalty(w)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Design, Standardisation
from xlr.losses import Loss
from xlr.objective.responses import Responses
from xlr.objective.second_order import SecondOrder
from xlr.penalties import Penalty

__all__ = ["Evaluation", "Objective"]


class Evaluation(NamedTuple):
    """What one pass over the rows finds out about some parameters.

    Attributes
    ----------
    value : array of shape (n_models,)
    gradient : array of shape (n_models, n_parameters)
    """

    value: Array
    gradient: Array

    def select(self, models: np.ndarray) -> Evaluation:
        """That of some models, by their numbers on the host."""
        return Evaluation(*(arrays.rows(part, models) for part in self))


class Objective(SecondOrder):
    """Mean loss plus penalty of one or several models that share X.

    Parameters
    ----------
    design, responses, loss, penalty, fit_intercept
        As for :class:`SecondOrder`.
    units : Standardisation or None
        How the gradient is brought to standardised units to measure optimality,
        for a design that is not standardised itself.
    """

    def __init__(
        self,
        design: Design,
        responses: Responses,
        loss: Loss,
        penalty: Penalty,
        *,
        fit_intercept: bool,
        units: Standardisation | None,
    ) -> None:
        super().__init__(design, responses, loss, penalty, fit_intercept=fit_intercept)
        self.units = units

    def sample(self, size: int, seed: int) -> Objective:
        """The objective on ``size`` random rows, in float32.

        Its minimiser is close to that of the whole, and so are its second
        derivatives; both cost a fraction.
        """
        xp = self.xp
        drawn = self.design.draw(size, seed)
        rows = arrays.move(drawn, xp=xp, device=self.device)
        return Objective(
            self.design.sample(rows, xp.float32),
            self.responses.sample(rows, xp.float32, xp=xp),
            self.loss,
            self.penalty,
            fit_intercept=self.fit_intercept,
            units=self.units,
        )

    def select(self, models: np.ndarray) -> Objective:
        """The objective of some of the models, by their numbers."""
        if models.shape[0] == self.n_models:
            return self
        chosen = self._with_models(
            self.responses.select(models), self.penalty.select(models)
        )
        chosen.total_weight = arrays.rows(self.total_weight, models)
        return chosen

    def _like(
        self,
        design: Design,
        responses: Responses,
        penalty: Penalty,
        units: Standardisation | None,
    ) -> Objective:
        """F of the same loss with other parts."""
        return Objective(
            design,
            responses,
            self.loss,
            penalty,
            fit_intercept=self.fit_intercept,
            units=units,
        )

    def _with_models(self, responses: Responses, penalty: Penalty) -> Objective:
        return self._like(self.design, responses, penalty, self.units)

    def with_penalty(self, penalty: Penalty) -> Objective:
        """The same with another penalty."""
        changed = self._with_models(self.responses, penalty)
        changed.total_weight = self.total_weight
        return changed

    def pooled(self) -> tuple[Objective, np.ndarray] | None:
        """One model, on all rows alike, for those that are resamples of each other.

        Returns
        -------
        objective : Objective
        of : ndarray of shape (n_models,)
            Its model for each of these.
        None
            Instead of both where that is not far fewer models.
        """
        if self.responses.resample_of is None:
            return None
        _, first, of = np.unique(
            self.responses.resample_of, return_index=True, return_inverse=True
        )
        if first.shape[0] > self.n_models / 2:
            return None
        responses = self.responses.select(first).without_counts()
        return self._with_models(responses, self.penalty.select(first)), of

    def of_features(self, features: Array) -> Objective:
        """F for some of the features, by their numbers: the others' coefficients are 0.

        On a standardised copy of their columns.
        """
        penalty = self.penalty.of_features(features, xp=self.xp)
        design = self.design.of_features(features)
        return self._like(design, self.responses, penalty, None)

    # -- value and gradient ---------------------------------------------------------

    def value_and_gradient(self, parameters: Array) -> Evaluation:
        """F and its gradient, in one pass."""
        return self._evaluation(parameters, *self.loss_and_slope(parameters))

    def or_zero(self, parameters: Array, value: Array) -> Array:
        """The parameters, or zeros for the models whose F is lower there.

        Far out on the wrong side, F has neither curvature nor a minimum in sight. What
        is not finite stays, to be known of.
        """
        xp = self.xp
        if not arrays.to_host(xp.any(parameters != 0)):
            return parameters
        zeros = self.zeros()
        if self.kinks is not None:
            zeros = self.kinks.clip(zeros, xp=xp)
        lower = self.value_and_gradient(zeros).value < value
        lower = lower & xp.isfinite(value)
        if not arrays.to_host(xp.any(lower)):
            return parameters
        return xp.where(lower[:, None], zeros, parameters)

    def repenalised(
        self, other: Objective, parameters: Array, at: Evaluation
    ) -> Evaluation:
        """F and its gradient where those with another penalty are known."""
        xp, coef = self.xp, self.by_class(parameters)
        mine, others = self.penalty, other.penalty
        value = mine.value(coef, xp=xp) - others.value(coef, xp=xp)
        change = mine.gradient(coef, xp=xp) - others.gradient(coef, xp=xp)
        return Evaluation(
            at.value + value, at.gradient + self._with_free_intercept(change)
        )

    def at_pooled(
        self, pooled: Objective, parameters: Array, of: np.ndarray
    ) -> Evaluation:
        """F and its gradient where each model has the parameters of its pooled one.

        ``pooled`` and ``of`` are what :meth:`pooled` returned.
        """
        sums = self.loss_and_slope_of_resamples(pooled, parameters, of)
        return self._evaluation(arrays.rows(parameters, of), *sums)

    def _evaluation(self, parameters: Array, loss: Array, slope: Array) -> Evaluation:
        coef = self.by_class(parameters)
        value = loss / self.total_weight + self.penalty.value(coef, xp=self.xp)
        return Evaluation(value, self._mean(slope) + self.penalty_gradient(parameters))

    # -- scales --------------------------------------------------------------------

    def optimality(self, gradient: Array) -> Array:
        """Max-norm of the gradient in standardised units, shape (n_models,)."""
        if self.units is not None:
            gradient = self.join(*self.units.gradient(*self.split(gradient)))
        return self.xp.max(self.xp.abs(gradient), axis=1)

    def curvature_bound(self) -> Array:
        r"""Upper bound L on the largest eigenvalue of any Hessian of F: (n_models,).

        The largest eigenvalue of Z'SZ / S is at most its trace, the mean square of the
        rows, by the weights of each model: in one pass. Gradient descent with a rate of
        1 / L never raises F (Nesterov 2004, *Introductory Lectures on Convex
        Optimization*, 1.2.3).
        """
        xp = self.xp
        coef = self.by_class(self.zeros())
        strength = xp.max(self.penalty.curvature(coef, xp=xp), axis=(1, 2))
        trace = self.squared_rows() / self.total_weight
        return self.loss.curvature_bound() * trace + strength
