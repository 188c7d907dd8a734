"""Passes over the rows: sums of a loss and its derivatives, without a penalty."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.design import (
    Block,
    Design,
    add,
    reduce_over_blocks,
    sum_over_blocks,
)
from xlr.losses import Curvature, Loss
from xlr.objective import hessian
from xlr.objective.layout import Layout
from xlr.objective.responses import Responses

__all__ = ["Passes", "linear_map"]

# Arrays of the size of the logits that a pass over them holds at a time.
TEMPORARIES = 4


def linear_map(
    design: Design, coef: Array, intercept: Array | None, *, xp: Namespace
) -> Callable[[Block], Array]:
    """What brings a block of a design to z.w + b: (n_rows, m).

    Parameters
    ----------
    design : Design
    coef : array of shape (m, n_features)
    intercept : array of shape (m,) or None
        None for zeros, without adding them.
    xp : namespace
    """
    moved = xp.zeros_like(coef[:, 0]) if intercept is None else intercept
    coef, moved = design.fold(coef, moved)
    coef, moved = xp.astype(coef, design.dtype), xp.astype(moved, design.dtype)

    def products(block: Block) -> Array:
        columns = block.matvec(coef)
        if intercept is not None:
            columns += moved
        return columns

    return products


class Passes(Layout):
    """A loss on weighted rows, for one or several models that share X.

    Parameters
    ----------
    design : Design
    responses : Responses
        With weights in the dtype of the design.
    loss : Loss
    fit_intercept : bool

    Attributes
    ----------
    has_rows : bool
        Whether there are rows to be had, and not sums over them alone.
    """

    has_rows = True

    def __init__(
        self,
        design: Design,
        responses: Responses,
        loss: Loss,
        *,
        fit_intercept: bool,
    ) -> None:
        super().__init__(
            responses.n_models,
            loss.n_outputs,
            design.n_features,
            fit_intercept,
            dtype=arrays.widest_float(xp=design.xp, device=design.device),
            device=design.device,
            xp=design.xp,
        )
        self.design = design
        self.responses = responses
        self.loss = loss
        self._cuts: dict[tuple[int, int], list[slice]] = {}

    @functools.cached_property
    def total_weight(self) -> Array:
        """The sum of each model's weights: (n_models,)."""
        return self.responses.total_weight(self.wide, xp=self.xp)

    def class_weights(self) -> Array:
        """The sum of each model's weights in each class: (n_models, n_classes)."""
        n_classes = max(2, self.n_outputs)
        return self.responses.class_weights(n_classes, self.wide, xp=self.xp)

    def offset_sizes(self) -> Array:
        """The sum over the rows of the largest size of their offsets: a number."""
        largest = self.xp.max(self.xp.abs(self.design.offset), axis=1)
        weights = self.responses.weights[:, 0]
        return self.xp.sum(largest * weights, dtype=self.wide)

    @property
    def rounding(self) -> float:
        """Relative rounding error of one number of X: eps of its dtype."""
        return float(self.xp.finfo(self.design.dtype).eps)

    @property
    def wide_rounding(self) -> float:
        """That of what is summed over the rows: eps of the widest dtype."""
        return float(self.xp.finfo(self.wide).eps)

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.design.n_samples

    @property
    def n_drawable(self) -> int:
        """Most rows that a sample may have."""
        return self.design.n_drawable

    @property
    def is_large(self) -> bool:
        """Whether X fills several blocks, so that arithmetic is what takes the time."""
        return self.design.is_large(TEMPORARIES * self.n_outputs)

    def over_rows(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        beside: Any = None,
        combine: Callable[[Any, Any], Any] = add,
        name: str,
    ) -> tuple[Any, ...]:
        """What a function of these passes returns, as a tuple.

        Parameters
        ----------
        function : callable
            Takes the passes, the arguments, and what there is beside.
        *arguments
            The same for all rows.
        beside : array of shape (n_samples, ...), default=None
            What belongs to the rows; None for nothing.
        combine : callable, default=add
            What makes one of its results for two parts of the rows.
        name : str
            What the pass is for.
        """
        more = () if beside is None else (beside,)
        found = function(self, *arguments, *more)
        return found if isinstance(found, tuple) else (found,)

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

        width = max(self.n_features, TEMPORARIES * pooled.n_columns)
        slices = self._slices(width, least=4 * self.n_features)
        value, product, total = reduce_over_blocks(
            on_rows, add, slices, self.design.workers
        )
        # From all counts and models to the models there are.
        n_counts = value.shape[0]
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

    def curvature(self, parameters: Array) -> Curvature:
        """Second derivatives of the loss in all logits, times the weights of the rows.

        Arrays of shape (n_samples, n_models, n_outputs): what
        :meth:`hessian_product` needs of the parameters.
        """
        targets, weights = self.responses.block(slice(None), xp=self.xp)
        point = self.loss.at(self.logits(parameters), targets, xp=self.xp)
        return point.curvature().weighted(weights, xp=self.xp)

    def logits(self, parameters: Array) -> Array:
        """Linear predictors of all rows: (n_samples, n_models, n_outputs)."""
        logits = self.logits_of_block(parameters)
        slices = self._slices(TEMPORARIES * self.n_columns)
        parts = reduce_over_blocks(
            lambda rows: (logits(self.design.block(rows)),),
            operator.add,
            slices,
            self.design.workers,
        )
        return self.xp.concat(list(parts))

    def curvature_product(self, curvature: Curvature, vector: Array) -> Array:
        """The second derivatives of the sum of the loss times a vector, in one pass."""
        xp = self.xp
        change = self.products_of_block(vector)

        def kernel(block: Block, *parts: Array) -> tuple[Array, Array]:
            here = Curvature(*parts) if len(parts) > 1 else Curvature(parts[0], None)
            return self.rmatvec(block, here.product(change(block), xp=xp))

        per_row = [part for part in curvature if part is not None]
        slices = self._slices(TEMPORARIES * self.n_columns)
        return self.gathered(*sum_over_blocks(kernel, self.design, slices, *per_row))

    def curvature_diagonal(self, parameters: Array) -> Array:
        """The second derivatives of the sum of the loss in each parameter."""
        xp = self.xp
        logits = self.logits_of_block(parameters)

        def kernel(block: Block, y: Array, s: Array) -> tuple[Array, Array]:
            here = self.loss.at(logits(block), y, xp=xp).curvature()
            h = xp.reshape(here.weighted(s, xp=xp).own(xp=xp), (-1, self.n_columns))
            diagonal = xp.astype(block.gram_diagonal(h), self.wide, copy=False)
            return diagonal, xp.sum(h, axis=0, dtype=self.wide)

        return self.join(*self.sum_over_rows(kernel, TEMPORARIES * self.n_columns))

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
        logits = self.logits_of_block(parameters)

        def kernel(block: Block, y: Array, s: Array) -> tuple[Array]:
            here = self.loss.at(logits(block), y, xp=xp).curvature()
            here = here.weighted(s, xp=xp)
            if by_class:
                here = Curvature(here.own(xp=xp), None)
            here = here.astype(dtype, xp=xp)
            rows = block.for_gram(dtype, folded=folded)
            sums = hessian.row_sums(rows, here, self.fit_intercept, xp=xp)
            return (xp.astype(sums, self.wide, copy=False),)

        # The sums are matrices of this width: adding them must not cost more than they.
        width = self.n_features if by_class else self.n_outputs * self.n_features
        return self.sum_over_rows(kernel, width, least=4 * width)[0]

    def transposed_product(self, residual: Array) -> Array:
        """Z'r and sum(r) for residuals of the shape of the logits, as parameters."""
        slices = self._slices(TEMPORARIES * self.n_columns)
        return self.gathered(
            *sum_over_blocks(self.rmatvec, self.design, slices, residual)
        )

    # -- what a pass is made of ----------------------------------------------------

    def _slices(self, width: int, least: int = 1) -> list[slice]:
        if (width, least) not in self._cuts:
            self._cuts[width, least] = self.design.slices(width, least)
        return self._cuts[width, least]

    def sum_over_rows(
        self, kernel: Callable[..., tuple[Array, ...]], width: int, least: int = 1
    ) -> tuple[Array, ...]:
        """Sum what the kernel makes of each block, its targets and its weights."""

        def on_rows(rows: slice) -> tuple[Array, ...]:
            y, s = self.responses.block(rows, xp=self.xp)
            return kernel(self.design.block(rows), y, s)

        slices = self._slices(width, least)
        return reduce_over_blocks(on_rows, add, slices, self.design.workers)

    def products_of_block(self, parameters: Array) -> Callable[[Block], Array]:
        """What brings a block to z.w + b: (n_rows, n_models, n_outputs)."""
        products = self.columns_of_block(*self.split(parameters))
        shape = -1, self.n_models, self.n_outputs
        return lambda block: self.xp.reshape(products(block), shape)

    def columns_of_block(
        self, coef: Array, intercept: Array
    ) -> Callable[[Block], Array]:
        """What brings a block to z.w + b, for coefficients (m, n_features) and
        intercepts (m,): (n_rows, m).
        """
        added = intercept if self.fit_intercept else None
        return linear_map(self.design, coef, added, xp=self.xp)

    def logits_of_block(self, parameters: Array) -> Callable[[Block], Array]:
        """What brings a block to its logits: (n_rows, n_models, n_outputs)."""
        products = self.products_of_block(parameters)

        def logits(block: Block) -> Array:
            added = block.offset
            return (
                products(block)
                if added is None
                else products(block) + added[:, None, :]
            )

        return logits

    def rmatvec(self, block: Block, residual: Array) -> tuple[Array, Array]:
        """Z'r and sum(r) for residuals of the shape of the logits, in wide."""
        residual = self.xp.reshape(residual, (-1, self.n_columns))
        product = self.xp.astype(block.rmatvec(residual), self.wide, copy=False)
        return product, self.xp.sum(residual, axis=0, dtype=self.wide)

    def gathered(self, product: Array, total: Array) -> Array:
        """The sums over blocks as parameters."""
        return self.join(self.design.unfold(product, total), total)
