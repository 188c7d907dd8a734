"""What the penalty is for parameters, of which it leaves the intercepts free."""

from __future__ import annotations

from xlr.arrays import Array
from xlr.cached import cached_property
from xlr.design import Design
from xlr.losses import Loss
from xlr.objective.passes import Passes
from xlr.objective.responses import Responses
from xlr.penalties import Kinks, Penalty

__all__ = ["Penalised"]


class Penalised(Passes):
    """Passes over the rows, and a penalty.

    Parameters
    ----------
    design, responses, loss, fit_intercept
        As for :class:`Passes`.
    penalty : Penalty
        Of the coefficients; the intercepts are free.
    """

    def __init__(
        self,
        design: Design,
        responses: Responses,
        loss: Loss,
        penalty: Penalty,
        *,
        fit_intercept: bool,
    ) -> None:
        super().__init__(design, responses, loss, fit_intercept=fit_intercept)
        self.penalty = penalty

    @cached_property
    def kinks(self) -> Kinks | None:
        """Those of the penalty, for parameters: (n_models, n_parameters).

        The intercepts have none.
        """
        if self.penalty.kinks is None:
            return None
        coef = self.by_class(self.zeros())
        free = self.xp.full_like(coef[:, :, 0], self.xp.inf)
        outside = (self.xp.zeros_like(free), -free, free)
        return Kinks(
            *(
                self.join(
                    self.xp.reshape(part + coef, (self.n_columns, -1)),
                    self.xp.reshape(beside, (-1,)),
                )
                for part, beside in zip(self.penalty.kinks, outside)
            )
        )

    @property
    def _shifts(self) -> Array:
        """Which parameters equal changes to all classes leave as good as they were."""
        assert self.kinks is not None
        lasso, lower, upper = self.kinks
        return (lasso == 0) & (lower == -self.xp.inf) & (upper == self.xp.inf)

    def subgradient(self, parameters: Array, gradient: Array) -> Array:
        """The least subgradient of F, whose smooth part has this gradient."""
        if self.kinks is None:
            return gradient
        return self.kinks.subgradient(parameters, gradient, xp=self.xp)

    def symmetric(self, vector: Array) -> Array:
        """The vector without equal changes to all classes, if those change nothing.

        Neither the gradient nor a Newton step at symmetric parameters has any; an
        estimate of the Hessian that sees one class at a time would bring them in.
        """
        if not self.loss.shift_invariant:
            return vector
        even = self.without_equal_changes(vector)
        return even if self.kinks is None else self.xp.where(self._shifts, even, vector)

    def penalty_gradient(self, parameters: Array) -> Array:
        """Gradient of its smooth part: (n_models, n_parameters)."""
        gradient = self.penalty.gradient(self.by_class(parameters), xp=self.xp)
        return self._with_free_intercept(gradient)

    def penalty_curvature(self, parameters: Array) -> Array:
        """Second derivatives of the penalty: (n_models, n_parameters)."""
        curvature = self.penalty.curvature(self.by_class(parameters), xp=self.xp)
        return self._with_free_intercept(curvature)

    def _with_free_intercept(self, values: Array) -> Array:
        columns = self.xp.reshape(values, (self.n_columns, -1))
        return self.join(columns, self.xp.zeros_like(columns[:, 0]))
