"""Passes over the rows: sums of a loss and its derivatives, without a penalty."""

from __future__ import annotations

import operator

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Block, add, reduce_over_blocks, sum_over_blocks
from xlr.losses import Curvature
from xlr.objective import hessian
from xlr.objective.blockwise import TEMPORARIES, Blockwise

__all__ = ["Held", "Passes"]

# Columns of W whose curvature in each row is held: at least so many, and more as a
# share of the numbers in a row of X.
FEW_COLUMNS = 16
MEMORY_SHARE = 1 / 4

# The curvature of the rows of a block by the number of its first.
Held = dict[int, Curvature]


class Passes(Blockwise):
    """The sums over all rows that F and its derivatives are made of."""

    def loss_and_slope(self, parameters: Array) -> tuple[Array, Array]:
        """The sum of the loss, (n_models,), and its gradient, in one pass."""
        xp = self.xp
        logits = self.logits_of_block(parameters)

        def kernel(block: Block, y: Array, s: Array) -> tuple[Array, ...]:
            point = self.loss.at(logits(block), y, xp=xp)
            slope = s[..., None] * point.gradient()
            value = xp.sum(s * point.value(), axis=0, dtype=self.wide)
            return value, *self.rmatvec(block, slope)

        value, *slope = self.sum_over_rows(kernel, TEMPORARIES * self.n_columns)
        return value, self.gathered(*slope)

    def loss_and_slope_of_resamples(
        self, pooled: Passes, parameters: Array, of: np.ndarray
    ) -> tuple[Array, Array]:
        """:meth:`loss_and_slope` where resamples of one model share its parameters.

        Their logits are the same, and their sums are products of the counts C with the
        losses and with Z diag(slope) of the one model: no exponentials, and no numbers
        for each row and model.

        Parameters
        ----------
        pooled : Passes
            The models without their counts.
        parameters : array of shape (pooled.n_models, n_parameters)
        of : ndarray of shape (n_models,)
            The model of ``pooled`` for each of these.
        """
        xp, responses = self.xp, self.responses
        logits = pooled.logits_of_block(parameters)
        columns = range(pooled.n_columns)
        all_counts: Array = responses.counts

        def on_rows(rows: slice) -> tuple[Array, ...]:
            block = self.design.block(rows)
            y, s = pooled.responses.block(rows, xp=xp)
            counts = xp.astype(all_counts[rows, :], self.design.dtype).T
            point = self.loss.at(logits(block), y, xp=xp)
            value = xp.matmul(counts, s * point.value())
            slope = xp.reshape(s[..., None] * point.gradient(), (-1, len(columns)))
            product = [block.weighted_sums(counts, slope[:, k]) for k in columns]
            parts = value, xp.stack(product), xp.matmul(counts, slope)
            return tuple(xp.astype(part, self.wide, copy=False) for part in parts)

        n_counts = all_counts.shape[1]
        width = max(self.n_features, TEMPORARIES * pooled.n_columns, n_counts)
        slices = self.slices(width, least=4 * self.n_features)
        value, product, total = reduce_over_blocks(
            on_rows, add, slices, self.design.workers
        )
        # From all counts and models to the models there are.
        count_of = np.arange(self.n_models)
        if responses.count_of is not None:
            count_of = arrays.to_host(responses.count_of)
        value = arrays.rows(xp.reshape(value, (-1,)), count_of * pooled.n_models + of)
        outputs = np.arange(self.n_outputs)
        column = (of[:, None] * self.n_outputs + outputs).reshape(-1)
        counted = np.repeat(count_of, self.n_outputs)
        product = xp.reshape(product, (-1, self.n_features))
        product = arrays.rows(product, column * n_counts + counted)
        total = arrays.rows(xp.reshape(total, (-1,)), counted * len(columns) + column)
        return value, self.gathered(product, total)

    def curvature(self, parameters: Array) -> Held | Array:
        """What :meth:`curvature_product` needs of the parameters, in one pass.

        The curvature of each row, in the blocks of a pass, where it takes little memory
        beside X. Else the parameters, from which each product finds it again.
        """
        if not self._holds_curvature:
            return parameters
        curvature = self.curvature_of_block(parameters)

        def on_rows(rows: slice) -> tuple[tuple[int, Curvature]]:
            y, s = self.responses.block(rows, xp=self.xp)
            return ((rows.start, curvature(self.design.block(rows), y, s)),)

        slices = self.slices(TEMPORARIES * self.n_columns)
        found = reduce_over_blocks(on_rows, operator.add, slices, self.design.workers)
        return dict(found)

    @property
    def _holds_curvature(self) -> bool:
        stored = self.design.product_cost / self.n_samples
        return self.n_columns <= max(FEW_COLUMNS, MEMORY_SHARE * stored)

    def curvature_product(self, curvature: Held | Array, vector: Array) -> Array:
        """The second derivatives of the sum of the loss times a vector, in one pass.

        ``curvature`` is what :meth:`curvature` returns, or parameters.
        """
        xp = self.xp
        change = self.products_of_block(vector)

        def on_rows(rows: slice) -> tuple[Array, Array]:
            block = self.design.block(rows)
            if isinstance(curvature, dict):
                here = curvature[rows.start]
            else:
                y, s = self.responses.block(rows, xp=xp)
                here = find(block, y, s)
            return self.rmatvec(block, here.product(change(block), xp=xp))

        if not isinstance(curvature, dict):
            find = self.curvature_of_block(curvature)
        slices = self.slices(TEMPORARIES * self.n_columns)
        return self.gathered(
            *reduce_over_blocks(on_rows, add, slices, self.design.workers)
        )

    def curvature_diagonal(self, parameters: Array) -> Array:
        """The second derivatives of the sum of the loss in each parameter."""
        xp = self.xp
        curvature = self.curvature_of_block(parameters)

        def kernel(block: Block, y: Array, s: Array) -> tuple[Array, Array]:
            h = xp.reshape(curvature(block, y, s).own(xp=xp), (-1, self.n_columns))
            diagonal = xp.astype(block.gram_diagonal(h), self.wide, copy=False)
            return diagonal, xp.sum(h, axis=0, dtype=self.wide)

        return self.join(*self.sum_over_rows(kernel, TEMPORARIES * self.n_columns))

    def squared_rows(self) -> Array:
        """The sum of the weights times the squares of the rows: (n_models,).

        With 1 for the intercept.
        """
        xp = self.xp

        def kernel(block: Block, y: Array, s: Array) -> tuple[Array]:
            weights = xp.broadcast_to(s, (s.shape[0], self.n_models))
            squares = xp.sum(block.gram_diagonal(weights), axis=1, dtype=self.wide)
            if self.fit_intercept:
                squares = squares + xp.sum(weights, axis=0, dtype=self.wide)
            return (squares,)

        return self.sum_over_rows(kernel, TEMPORARIES * self.n_models)[0]

    def curvature_sums(
        self, parameters: Array, *, rough: bool, by_class: bool = False
    ) -> Array:
        """What all rows add to the Hessians, as :func:`hessian.row_sums` forms it.

        Parameters
        ----------
        parameters : array of shape (n_models, n_parameters)
        rough : bool
            Whether float32 is precise enough for the products.
        by_class : bool, default=False
            Only the blocks that belong to one class each.
        """
        xp = self.xp
        dtype, folded = self.design.gram_form(rough=rough)
        curvature = self.curvature_of_block(parameters)

        def kernel(block: Block, y: Array, s: Array) -> tuple[Array]:
            here = curvature(block, y, s)
            if by_class:
                here = Curvature(here.own(xp=xp), coupled=False)
            here = here.astype(dtype, xp=xp)
            rows = block.for_gram(dtype, folded=folded)
            sums = hessian.row_sums(rows, here, self.fit_intercept, xp=xp)
            return (xp.astype(sums, self.wide, copy=False),)

        # The sums are matrices of this size: adding them must not cost more than they.
        size = self.n_features if by_class else self.n_outputs * self.n_features
        width = max(size, self.n_columns)
        return self.sum_over_rows(kernel, width, least=4 * size)[0]

    def pooled_curvature(
        self, parameters: Array, *, rough: bool
    ) -> tuple[Array, Array, Array]:
        """The blocks of the Hessians that belong to one class each, summed over the
        classes, and the sum of the rows that the block of each class counts.

        Parameters
        ----------
        parameters : array of shape (n_models, n_parameters)
        rough : bool
            Whether float32 is precise enough for the products.

        Returns
        -------
        pooled : array of shape (n_models, q, q)
            As :meth:`curvature_sums` forms it, with q the ``column_size``.
        counted : array of shape (n_columns, n_features)
            Z'h for the curvature h in each class.
        total : array of shape (n_columns,)
            sum(h).
        """
        xp = self.xp
        dtype, folded = self.design.gram_form(rough=rough)
        curvature = self.curvature_of_block(parameters)

        def kernel(block: Block, y: Array, s: Array) -> tuple[Array, ...]:
            own = curvature(block, y, s).own(xp=xp)
            pooled = Curvature(xp.sum(own, axis=-1, keepdims=True), coupled=False)
            pooled = pooled.astype(dtype, xp=xp)
            rows = block.for_gram(dtype, folded=folded)
            sums = hessian.row_sums(rows, pooled, self.fit_intercept, xp=xp)
            sums = xp.astype(sums[:, 0, :, :], self.wide, copy=False)
            return sums, *self.rmatvec(block, own)

        width = max(self.n_features, TEMPORARIES * self.n_columns)
        pooled, counted, total = self.sum_over_rows(
            kernel, width, least=4 * self.n_features
        )
        return pooled, self.design.unfold(counted, total), total

    def transposed_product(self, residual: Array) -> Array:
        """Z'r and sum(r) for residuals of the shape of the logits, as parameters."""
        slices = self.slices(TEMPORARIES * self.n_columns)
        return self.gathered(
            *sum_over_blocks(self.rmatvec, self.design, slices, residual)
        )
