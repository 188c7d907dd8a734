"""The Hessian of F, products with it, and estimates of it."""

from __future__ import annotations

from functools import partial

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import hessian
from xlr.objective.hessian import BlockHessian, DiagonalHessian, Hessian
from xlr.objective.passes import Held, Passes
from xlr.objective.penalised import Penalised
from xlr.objective.pooled_hessian import LEVELS, PooledHessian

__all__ = ["SecondOrder"]

# A pass in units of the multiply-adds of X with one column, which waits for memory:
# that of another column, and the calls of a pass over little data.
COLUMN_COST = 1 / 8
CALL_COST = 1e5

# Numbers that matrices for all classes may hold: so many, or as a share of those of X.
FEW_NUMBERS = 2**20
X_SHARE = 1 / 4

# Curvature along equal changes to all classes that bounds make F have: so little that a
# step comes to the bounds, and enough that it goes no farther.
BOUNDED_SHIFT = 1e-3


class SecondOrder(Penalised):
    """Passes over the rows, a penalty, and the second derivatives of both.

    Parameters
    ----------
    design, responses, loss, penalty, fit_intercept
        As for :class:`Penalised`.
    """

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
        if self._pools_classes(product_cost):
            return self.pooled_hessian(parameters, rough=True)
        return self.class_hessians(parameters, rough=True)

    def _pools_classes(self, product_cost: float) -> bool:
        size = self.n_columns * self.column_size**2
        return self.n_outputs > 1 and size > max(FEW_NUMBERS, X_SHARE * product_cost)

    @property
    def estimate_size(self) -> int:
        """Numbers in a model's :meth:`curvature_estimate`, at most."""
        pools = self._pools_classes(self.design.product_cost)
        return self.column_size**2 * (LEVELS if pools else self.n_outputs)

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
        return PooledHessian(
            total / self.total_weight[:, None],
            centres,
            covariance,
            xp.mean(penalty, axis=1),
            self._gram_rounding(rough=rough),
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
        rounding = self._gram_rounding(rough=rough)
        if rounding == self.wide_rounding:
            rounding = 16 * rounding
        blocks = blocks + self.identity(q) * penalty
        return BlockHessian(blocks, rounding, xp=xp)

    def _gram_rounding(self, *, rough: bool) -> float:
        """Relative rounding error of Gram matrices: of narrow rows, such as those of a
        sample, never better than theirs.
        """
        dtype, _ = self.design.gram_form(rough=rough)
        return float(self.xp.finfo(dtype).eps)

    def _fill_shift_direction(self, matrix: Array) -> Array:
        """Curvature along equal changes to all classes, where the loss has none.

        The gradient has no component there while the coefficients of the classes sum
        to zero, so Newton steps are unchanged; only the factorisation becomes
        possible. Sized as the mean of the diagonal. Not where the penalty decides
        between the classes, and less where bounds do, but only as far as they hold.
        """
        xp, outputs = self.xp, self.n_outputs
        trace = xp.sum(matrix * self.identity(self.n_parameters), axis=(1, 2))
        size = trace / (self.n_parameters * outputs)
        equal = xp.tile(self.identity(self.column_size), (outputs, outputs))
        equal = size[:, None, None] * equal
        if self.kinks is None:
            return equal
        shifts = xp.astype(self._shifts, equal.dtype)
        undecided = (self.kinks.lasso == 0) & (
            self.penalty_curvature(self.zeros()) == 0
        )
        bounded = xp.full_like(shifts, BOUNDED_SHIFT**0.5)
        shifts = xp.where((shifts == 0) & undecided, bounded, shifts)
        return equal * shifts[:, :, None] * shifts[:, None, :]

    def _mean(self, sums: Array) -> Array:
        return sums / self.total_weight[:, None]
