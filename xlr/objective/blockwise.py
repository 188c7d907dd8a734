"""What a pass over the rows is made of: blocks, their logits, sums over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.cached import cached_property
from xlr.design import Block, Design, add, reduce_over_blocks
from xlr.losses import Curvature, Loss
from xlr.objective.layout import Layout
from xlr.objective.responses import Responses

__all__ = ["TEMPORARIES", "Blockwise", "linear_map"]

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


class Blockwise(Layout):
    """A loss on weighted rows in blocks, for one or several models that share X.

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

    @cached_property
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

    def slices(self, width: int, least: int = 1) -> list[slice]:
        """The rows cut for a pass, as :meth:`Design.slices` does, once a width."""
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

        slices = self.slices(width, least)
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

    def curvature_of_block(
        self, parameters: Array
    ) -> Callable[[Block, Array, Array], Curvature]:
        """What finds the weighted curvature of a block with its targets and weights."""
        xp = self.xp
        logits = self.logits_of_block(parameters)

        def curvature(block: Block, y: Array, s: Array) -> Curvature:
            here = self.loss.at(logits(block), y, xp=xp).curvature()
            return here.weighted(s, xp=xp)

        return curvature

    def rmatvec(self, block: Block, residual: Array) -> tuple[Array, Array]:
        """Z'r and sum(r) for residuals of the shape of the logits, in wide."""
        residual = self.xp.reshape(residual, (-1, self.n_columns))
        product = self.xp.astype(block.rmatvec(residual), self.wide, copy=False)
        return product, self.xp.sum(residual, axis=0, dtype=self.wide)

    def gathered(self, product: Array, total: Array) -> Array:
        """The sums over blocks as parameters."""
        return self.join(self.design.unfold(product, total), total)
