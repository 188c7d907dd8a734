"""F for one or several models, and its derivatives.

For each model, with weights s_i, S = sum(s_i) and linear predictor
eta_i = z_i.w + b,

    F(w, b) = (1/S) sum_i s_i loss(eta_i, y_i) + penalty(w)
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Design, Standardisation
from xlr.losses import Loss
from xlr.objective import hessian
from xlr.objective.hessian import BlockHessian, DiagonalHessian, Hessian
from xlr.objective.passes import Held, Passes
from xlr.objective.penalised import Penalised
from xlr.objective.pooled_hessian import PooledHessian
from xlr.objective.responses import Responses
from xlr.penalties import Penalty

__all__ = ["Evaluation", "Objective"]

# A pass in units of the multiply-adds of X with one column, which waits for memory:
# that of another column, and the calls of a pass over little data.
COLUMN_COST = 1 / 8
CALL_COST = 1e5

# Numbers that matrices for all classes may hold: so many, or as a share of those of X.
FEW_NUMBERS = 2**20
MEMORY_SHARE = 1 / 4


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


class Objective(Penalised):
    """Mean loss plus penalty of one or several models that share X.

    Parameters
    ----------
    design, responses, loss, penalty, fit_intercept
        As for :class:`Penalised`.
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

    # -- value, gradient and products with the Hessian ------------------------------

    def value_and_gradient(self, parameters: Array) -> Evaluation:
        """F and its gradient, in one pass."""
        return self._evaluation(parameters, *self.loss_and_slope(parameters))

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

    def hessian_product(
        self, curvature: Held | Array, parameters: Array, vector: Array
    ) -> Array:
        """Hessian at ``parameters`` times ``vector``, in one pass.

        ``curvature`` is that at the parameters, as :meth:`curvature` finds it.
        """
        product = self._mean(self.curvature_product(curvature, vector))
        return product + self.penalty_curvature(parameters) * vector

    def hessian_diagonal(self, parameters: Array) -> Array:
        """Diagonal of the Hessian, in one pass: (n_models, n_parameters)."""
        diagonal = self._mean(self.curvature_diagonal(parameters))
        return diagonal + self.penalty_curvature(parameters)

    def _mean(self, sums: Array) -> Array:
        return sums / self.total_weight[:, None]

    # -- Hessians --------------------------------------------------------------------

    @property
    def hessian_cost(self) -> float:
        """Time of a model's Hessian in passes of value and gradient, roughly.

        A pass for many columns costs each of them a fraction of what it costs one.
        """
        n, size = self.n_samples, self.n_outputs * self.n_features
        share = (1 + COLUMN_COST) / (1 / self.n_columns + COLUMN_COST)
        product = self.design.product_cost
        if self.is_large:
            gram = n * self.design.gram_cost * self.n_outputs**2
            return share * (1.5 + gram / (5 * self.n_outputs * product))
        one_pass = CALL_COST / self.n_models + 2 * product * self.n_outputs / share
        return max(1.0, (n / 2 + size / 3) * size**2 / (10 * one_pass))

    def hessian(self, parameters: Array, *, rough: bool = False) -> BlockHessian:
        """The Hessian, in one pass.

        Parameters
        ----------
        parameters : array of shape (n_models, n_parameters)
        rough : bool, default=False
            Whether float32 is precise enough for the products, which take most of
            the time.
        """
        sums = self.curvature_sums(parameters, rough=rough)
        matrix = hessian.assemble(sums, self.n_outputs, self.fit_intercept, xp=self.xp)
        matrix = self.gathered_matrix(matrix, rough=rough)
        matrix = matrix / self.total_weight[:, None, None]
        if self.loss.shift_invariant:
            matrix = matrix + self._fill_shift_direction(matrix)
        return self._with_penalty(matrix[:, None, :, :], parameters, rough)

    def hessian_on_host(self, parameters: Array) -> np.ndarray:
        """That of one model, (n_parameters, n_parameters), in float64."""
        blocks = arrays.to_host(self.hessian(parameters).blocks)
        return blocks[0, 0].astype(np.float64)

    def curvature_estimate(self, parameters: Array, product_cost: float) -> Hessian:
        """An estimate of the Hessian that is cheap beside tens of products with it.

        The blocks of the classes where they are, pooled where those of all classes
        would be as large as X; else the diagonal. In float32, which is twice as fast
        and near enough for an estimate.

        Parameters
        ----------
        parameters : array of shape (n_models, n_parameters)
        product_cost : float
            Of the design with which the products will be.
        """
        gram = self.n_samples * self.design.gram_cost
        if gram + self.column_size**3 / 3 >= 200 * product_cost:
            return DiagonalHessian(self.hessian_diagonal(parameters), xp=self.xp)
        size = self.n_columns * self.column_size**2
        if self.n_outputs == 1 or size <= max(FEW_NUMBERS, MEMORY_SHARE * product_cost):
            return self.class_hessians(parameters, rough=True)
        return self.pooled_hessian(parameters, rough=True)

    def pooled_hessian(
        self, parameters: Array, *, rough: bool = False
    ) -> PooledHessian:
        """The blocks of the classes with one covariance for all, in one pass."""
        xp, shape = self.xp, (self.n_models, self.n_outputs)
        pooled, counted, total = self.over_rows(
            partial(Passes.pooled_curvature, rough=rough),
            parameters,
            name="pooled-curvature",
        )
        p = self.n_features
        pooled = self.gathered_matrix(pooled, rough=rough)[:, :p, :p]
        total = xp.reshape(total, shape)
        everything = xp.sum(total, axis=1)[:, None, None]
        covariance, centres = pooled / everything, None
        if self.fit_intercept:
            known = xp.where(total > 0, total, xp.ones_like(total))[:, :, None]
            centres = xp.reshape(counted, (*shape, p)) / known
            weighted = centres * (total[:, :, None] / everything)
            between = xp.matmul(xp.matrix_transpose(weighted), centres)
            covariance = covariance - between
        penalty = self.penalty.curvature(self.by_class(parameters), xp=xp)
        rounding = float(xp.finfo(xp.float32 if rough else self.wide).eps)
        return PooledHessian(
            total / self.total_weight[:, None],
            centres,
            covariance,
            xp.mean(penalty, axis=1),
            rounding,
            xp=xp,
        )

    def class_hessians(self, parameters: Array, *, rough: bool = False) -> BlockHessian:
        """The blocks of the Hessian that belong to one class each, in one pass."""
        own = self.curvature_sums(parameters, rough=rough, by_class=True)
        q = self.column_size
        matrices = self.xp.reshape(own, (self.n_columns, q, q))
        matrices = self.gathered_matrix(matrices, rough=rough)
        own = self.xp.reshape(matrices, own.shape)
        blocks = own / self.total_weight[:, None, None, None]
        return self._with_penalty(blocks, parameters, rough)

    def gathered_matrix(self, matrix: Array, *, rough: bool) -> Array:
        """Symmetric matrices that blocks sum up, (n, m q, m q), in standardised units.

        With q = ``column_size``; ``rough`` as they were summed.
        """
        if not self.design.gram_form(rough=rough)[1]:
            return matrix
        q = self.column_size
        return hessian.change_units(matrix, self._unfolded, q, xp=self.xp)

    def _unfolded(self, gradients: Array) -> Array:
        """Gradients (m, q) of what blocks sum up, to standardised units."""
        if not self.fit_intercept:
            return self.design.unfold(gradients, self.xp.zeros_like(gradients[:, 0]))
        total = gradients[:, -1]
        changed = self.design.unfold(gradients[:, :-1], total)
        return self.xp.concat([changed, total[:, None]], axis=1)

    def _with_penalty(
        self, blocks: Array, parameters: Array, rough: bool
    ) -> BlockHessian:
        xp, (models, n_blocks, q, _) = self.xp, blocks.shape
        penalty = xp.reshape(
            self.penalty_curvature(parameters), (models, n_blocks, 1, q)
        )
        rounding = float(xp.finfo(xp.float32 if rough else self.wide).eps)
        blocks = blocks + self.identity(q) * penalty
        return BlockHessian(blocks, rounding if rough else 16 * rounding, xp=xp)

    def _fill_shift_direction(self, matrix: Array) -> Array:
        """Curvature along equal changes to all classes, where the loss has none.

        The gradient has no component there while the coefficients of the classes sum
        to zero, so Newton steps are unchanged; only the factorisation becomes
        possible. Sized as the mean of the diagonal. Not where the penalty has kinks,
        which decide between the classes.
        """
        xp, outputs = self.xp, self.n_outputs
        trace = xp.sum(matrix * self.identity(self.n_parameters), axis=(1, 2))
        size = trace / (self.n_parameters * outputs)
        equal = xp.tile(self.identity(self.column_size), (outputs, outputs))
        equal = size[:, None, None] * equal
        if self.kinks is None:
            return equal
        shifts = xp.astype(self._shifts, equal.dtype)
        return equal * shifts[:, :, None] * shifts[:, None, :]

    # -- scales --------------------------------------------------------------------

    def optimality(self, gradient: Array) -> Array:
        """Max-norm of the gradient in standardised units, shape (n_models,)."""
        if self.units is not None:
            gradient = self.join(*self.units.gradient(*self.split(gradient)))
        return self.xp.max(self.xp.abs(gradient), axis=1)

    def curvature_bound(self) -> Array:
        r"""Upper bound L on the largest eigenvalue of any Hessian of F: (n_models,).

        The largest eigenvalue of Z'Z / n is at most its trace, the sum of the mean
        squares of the columns. Gradient descent with a rate of 1 / L never raises
        F (Nesterov 2004, *Introductory Lectures on Convex Optimization*, 1.2.3).
        """
        xp, units = self.xp, self.units
        trace = float(self.fit_intercept)
        if units is None:
            trace = trace + self.n_features
        else:
            trace = trace + xp.sum(units.scale**2 + units.mean**2)
        coef = xp.zeros(
            (self.n_models, 1, self.n_features),
            dtype=self.wide,
            device=self.device,
        )
        strength = xp.max(self.penalty.curvature(coef, xp=xp), axis=(1, 2))
        return self.loss.curvature_bound() * trace + strength
