"""Floor 3: the objective, and the only place where a pass over the rows happens.

For each model, with weights s_i, S = sum(s_i) and linear predictor
eta_i = z_i.w + b,

    F(w, b) = (1/S) sum_i s_i loss(eta_i, y_i) + penalty(w)

A solver sees ``parameters`` of shape (n_models, n_parameters) only.  A row holds
one model's coefficients, output (class) by output, each followed by its
intercept: [w_1, b_1, w_2, b_2, ...].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from xlr import arrays
from xlr.arrays import Array
from xlr.design import (
    DenseBlock,
    DenseDesign,
    Standardisation,
    row_blocks,
    sum_over_blocks,
)
from xlr.losses import Loss
from xlr.penalties import Penalty

__all__ = ["Evaluation", "Objective"]


class Evaluation(NamedTuple):
    """What one pass over the rows finds out about some parameters.

    Attributes
    ----------
    value : array of shape (n_models,)
    gradient : array of shape (n_models, n_parameters)
    hessian : array of shape (n_models, n_parameters, n_parameters)
        None where it was not asked for.
    """

    value: Array
    gradient: Array
    hessian: Array = None


class Objective:
    """Mean loss plus penalty of one or several models that share X.

    Parameters
    ----------
    design : DenseDesign
    targets : array of shape (n_samples, n_models or 1)
        Class codes, in the dtype of the design.
    weights : array of shape (n_samples, n_models or 1)
        Sample weights, in the dtype of the design.
    loss : Loss
    penalty : Penalty
    n_models : int
    fit_intercept : bool
    units : Standardisation or None
        How the gradient is brought to standardised units to measure optimality,
        for a design that is not standardised itself.
    """

    def __init__(
        self,
        design: DenseDesign,
        targets: Array,
        weights: Array,
        loss: Loss,
        penalty: Penalty,
        *,
        n_models: int,
        fit_intercept: bool,
        units: Standardisation | None,
    ) -> None:
        self.xp = design.xp
        self.design = design
        self.targets = targets
        self.weights = weights
        self.loss = loss
        self.penalty = penalty
        self.n_models = n_models
        self.fit_intercept = fit_intercept
        self.units = units
        self.wide = arrays.widest_float(xp=self.xp, device=design.device)
        self.n_columns = n_models * loss.n_outputs
        self.column_size = design.n_features + fit_intercept
        self.n_parameters = loss.n_outputs * self.column_size
        self.total_weight = self.xp.sum(weights, axis=0, dtype=self.wide)

    @property
    def rounding(self) -> float:
        """Relative rounding error of one number of X: eps of its dtype."""
        return float(self.xp.finfo(self.design.dtype).eps)

    # -- parameters, columns and their intercepts ---------------------------------

    def join(self, coef: Array, intercept: Array) -> Array:
        """(n_columns, n_features) and (n_columns,) to parameters."""
        columns = coef
        if self.fit_intercept:
            columns = self.xp.concat([coef, intercept[:, None]], axis=1)
        return self.xp.reshape(columns, (self.n_models, self.n_parameters))

    def split(self, parameters: Array) -> tuple[Array, Array]:
        """Parameters to (n_columns, n_features) and (n_columns,); the inverse."""
        columns = self.xp.reshape(parameters, (self.n_columns, self.column_size))
        if self.fit_intercept:
            return columns[:, :-1], columns[:, -1]
        return columns, self.xp.zeros_like(columns[:, 0])

    # -- passes over the rows ------------------------------------------------------

    def value_and_gradient(self, parameters: Array) -> Evaluation:
        """F and its gradient, in one pass."""
        return self._evaluate(parameters, with_hessian=False)

    def value_gradient_hessian(self, parameters: Array) -> Evaluation:
        """F, its gradient and its Hessian, in one pass."""
        return self._evaluate(parameters, with_hessian=True)

    def _evaluate(self, parameters: Array, *, with_hessian: bool) -> Evaluation:
        xp, loss = self.xp, self.loss
        coef, intercept = self.split(parameters)
        narrow_coef = xp.astype(coef, self.design.dtype)
        narrow_intercept = xp.astype(intercept, self.design.dtype)

        def kernel(block: DenseBlock, y: Array, s: Array) -> tuple[Array, ...]:
            logits = self._logits(block, narrow_coef, narrow_intercept)
            value = s * loss.value(logits, y, xp=xp)
            slope = s[..., None] * loss.gradient(logits, y, xp=xp)
            slope = xp.reshape(slope, (-1, self.n_columns))
            sums = self._wide_sum(value), self._rmatvec(block, slope)
            if not with_hessian:
                return sums
            h = s[..., None, None] * loss.curvature(logits, y, xp=xp)
            return *sums, *self._hessian_parts(block, h)

        width = self.n_columns * (loss.n_outputs if with_hessian else 1)
        value, slope, *parts = self._sum(kernel, width)
        coef_by_model = xp.reshape(coef, (self.n_models, loss.n_outputs, -1))
        value = value / self.total_weight + self.penalty.value(coef_by_model, xp=xp)
        gradient = self._by_model(slope) + self._penalty_gradient(coef_by_model)
        if not with_hessian:
            return Evaluation(value, gradient)
        return Evaluation(value, gradient, self._hessian(coef_by_model, *parts))

    def hessian_product(self, parameters: Array, vector: Array) -> Array:
        """Hessian at ``parameters`` times ``vector``, in one pass.

        The logits are computed again, in the same product with X as those of
        ``vector``: reading X is the price, and nothing of the size of the rows is
        kept.
        """
        xp, loss = self.xp, self.loss
        coef, intercept = self.split(parameters)
        direction, direction_intercept = self.split(vector)
        both = xp.astype(xp.concat([coef, direction]), self.design.dtype)
        both_intercepts = xp.astype(
            xp.concat([intercept, direction_intercept]), self.design.dtype
        )

        def kernel(block: DenseBlock, y: Array, s: Array) -> tuple[Array, ...]:
            predictors = self._logits(block, both, both_intercepts)
            logits = predictors[:, : self.n_models, :]
            change = predictors[:, self.n_models :, :]
            product = loss.curvature_product(logits, y, change, xp=xp)
            product = xp.reshape(s[..., None] * product, (-1, self.n_columns))
            return (self._rmatvec(block, product),)

        (product,) = self._sum(kernel, 2 * self.n_columns)
        coef_by_model = xp.reshape(coef, (self.n_models, loss.n_outputs, -1))
        curvature = self._penalty_curvature(coef_by_model)
        return self._by_model(product) + curvature * vector

    def hessian_diagonal(self, parameters: Array) -> Array:
        """Diagonal of the Hessian, in one pass: (n_models, n_parameters)."""
        xp, loss = self.xp, self.loss
        coef, intercept = self.split(parameters)
        narrow_coef = xp.astype(coef, self.design.dtype)
        narrow_intercept = xp.astype(intercept, self.design.dtype)

        def kernel(block: DenseBlock, y: Array, s: Array) -> tuple[Array, ...]:
            logits = self._logits(block, narrow_coef, narrow_intercept)
            h = s[..., None] * loss.curvature_diagonal(logits, y, xp=xp)
            h = xp.reshape(h, (-1, self.n_columns))
            return (self._with_sum(block.gram_diagonal(h), h),)

        (diagonal,) = self._sum(kernel, self.n_columns)
        coef_by_model = xp.reshape(coef, (self.n_models, loss.n_outputs, -1))
        return self._by_model(diagonal) + self._penalty_curvature(coef_by_model)

    def _sum(
        self, kernel: Callable[..., tuple[Array, ...]], width: int
    ) -> tuple[Array, ...]:
        slices = row_blocks(self.design.X, width, xp=self.xp)
        return sum_over_blocks(kernel, self.design, slices, self.targets, self.weights)

    def _logits(self, block: DenseBlock, coef: Array, intercept: Array) -> Array:
        """(n_rows, models, n_outputs) for columns of one or two sets of models."""
        logits = block.matvec(coef)
        if self.fit_intercept:
            logits = logits + intercept
        models = coef.shape[0] // self.loss.n_outputs
        return self.xp.reshape(logits, (-1, models, self.loss.n_outputs))

    def _wide_sum(self, values: Array) -> Array:
        return self.xp.sum(values, axis=0, dtype=self.wide)

    def _rmatvec(self, block: DenseBlock, residual: Array) -> Array:
        """[Z'r, sum(r)] for each column r: (n_columns, column_size), in wide."""
        return self._with_sum(block.rmatvec(residual), residual)

    def _with_sum(self, product: Array, per_row: Array) -> Array:
        """The intercept's share next to that of the features: a sum over the rows."""
        product = self.xp.astype(product, self.wide)
        if not self.fit_intercept:
            return product
        total = self._wide_sum(per_row)
        return self.xp.concat([product, total[:, None]], axis=1)

    def _by_model(self, columns: Array) -> Array:
        """Sums over rows of each column to means, a row per model."""
        by_model = self.xp.reshape(columns, (self.n_models, self.n_parameters))
        return by_model / self.total_weight[:, None]

    # -- the penalty, which leaves the intercepts free -----------------------------

    def _penalty_gradient(self, coef: Array) -> Array:
        gradient = self.penalty.gradient(coef, xp=self.xp)
        return self._with_free_intercept(gradient)

    def _penalty_curvature(self, coef: Array) -> Array:
        curvature = self.penalty.curvature(coef, xp=self.xp)
        return self._with_free_intercept(curvature)

    def _with_free_intercept(self, values: Array) -> Array:
        columns = self.xp.reshape(values, (self.n_columns, -1))
        return self.join(columns, self.xp.zeros_like(columns[:, 0]))

    # -- the Hessian ---------------------------------------------------------------

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        """Pairs of outputs (k, m) with k <= m; the Hessian is symmetric."""
        outputs = range(self.loss.n_outputs)
        return [(k, m) for k in outputs for m in outputs if k <= m]

    def _hessian_parts(self, block: DenseBlock, h: Array) -> tuple[Array, Array]:
        r"""Z' diag(h_km) Z for k <= m, and [Z'h_km, sum h_km] for all k, m.

        ``h`` has shape (n_rows, n_models, n_outputs, n_outputs).
        """
        xp = self.xp
        grams = [
            block.gram(h[:, model, k, m])
            for model in range(self.n_models)
            for k, m in self._pairs
        ]
        flat = xp.reshape(h, (-1, self.n_columns * self.loss.n_outputs))
        return xp.astype(xp.stack(grams), self.wide), self._rmatvec(block, flat)

    def _hessian(self, coef: Array, grams: Array, margins: Array) -> Array:
        """Put the summed parts together: (n_models, n_parameters, n_parameters)."""
        xp, models, outputs = self.xp, self.n_models, self.loss.n_outputs
        features = self.design.n_features
        # A gram is a symmetric matrix, so that of (m, k) is that of (k, m).
        place = {pair: index for index, pair in enumerate(self._pairs)}
        grams = xp.reshape(grams, (models, len(place), features, features))
        hessian = xp.stack(
            [
                grams[:, place[min(k, m), max(k, m)], :, :]
                for k in range(outputs)
                for m in range(outputs)
            ],
            axis=1,
        )
        hessian = xp.reshape(hessian, (models, outputs, outputs, features, features))
        if self.fit_intercept:
            margins = xp.reshape(margins, (models, outputs, outputs, self.column_size))
            top = xp.concat([hessian, margins[..., :-1, None]], axis=-1)
            hessian = xp.concat([top, margins[..., None, :]], axis=-2)
        hessian = hessian / self.total_weight[:, None, None, None, None]
        if self.loss.shift_invariant:
            hessian = hessian + self._fill_shift_direction(hessian)
        hessian = xp.reshape(
            xp.permute_dims(hessian, (0, 1, 3, 2, 4)),
            (models, self.n_parameters, self.n_parameters),
        )
        penalty = self._penalty_curvature(coef)[:, None, :]
        return hessian + self._identity(self.n_parameters) * penalty

    def _fill_shift_direction(self, hessian: Array) -> Array:
        """Curvature where the loss has none: along equal changes to all classes.

        The gradient has no component there, so Newton steps are unchanged; only
        the factorisation becomes possible. Sized as the mean of the diagonal.
        """
        xp, identity = self.xp, self._identity(self.column_size)
        trace = sum(
            xp.sum(hessian[:, k, k, :, :] * identity, axis=(1, 2))
            for k in range(self.loss.n_outputs)
        )
        size = trace / (self.n_parameters * self.loss.n_outputs)
        return size[:, None, None, None, None] * identity

    def _identity(self, size: int) -> Array:
        return self.xp.eye(size, dtype=self.wide, device=self.design.device)

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
            trace = trace + self.design.n_features
        else:
            trace = trace + xp.sum(units.scale**2 + units.mean**2)
        coef = xp.zeros(
            (self.n_models, 1, self.design.n_features),
            dtype=self.wide,
            device=self.design.device,
        )
        strength = xp.max(self.penalty.curvature(coef, xp=xp), axis=(1, 2))
        return self.loss.curvature_bound() * trace + strength
