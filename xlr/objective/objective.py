"""F for one or several models, and its derivatives, by passes over the rows.

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

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import (
    DenseBlock,
    DenseDesign,
    Standardisation,
    add,
    reduce_over_blocks,
    row_blocks,
    sum_over_blocks,
)
from xlr.losses import Curvature, Loss, LossPoint
from xlr.objective import hessian
from xlr.objective.hessian import BlockHessian, DiagonalHessian, Hessian
from xlr.penalties import L2Penalty, Penalty

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
        self._cuts: dict[tuple[int, int], list[slice]] = {}

    @property
    def rounding(self) -> float:
        """Relative rounding error of one number of X: eps of its dtype."""
        return float(self.xp.finfo(self.design.dtype).eps)

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.design.n_samples

    @property
    def is_large(self) -> bool:
        """Whether X fills several blocks, so that arithmetic is what takes the time."""
        return len(self._slices(self.n_columns)) > 1

    @property
    def hessian_cost(self) -> float:
        """Time of a Hessian in passes of value and gradient, roughly."""
        features, outputs = self.design.n_features, self.loss.n_outputs
        if not self.is_large:
            return 1.0
        return 1.5 + outputs * features / 100

    def sample(self, size: int, seed: int) -> Objective:
        """The objective on ``size`` random rows, drawn with replacement, in float32.

        Its minimiser is close to that of the whole, and so are its second
        derivatives; both cost a fraction.
        """
        xp = self.xp
        rng = np.random.default_rng([seed, size])
        drawn = np.sort(rng.integers(0, self.n_samples, size=size))
        rows = arrays.move(drawn, xp=xp, device=self.design.device)
        return Objective(
            self.design.sample(rows),
            xp.astype(xp.take(self.targets, rows, axis=0), xp.float32),
            xp.astype(xp.take(self.weights, rows, axis=0), xp.float32),
            self.loss,
            self.penalty,
            n_models=self.n_models,
            fit_intercept=self.fit_intercept,
            units=self.units,
        )

    @property
    def fits_row_space(self) -> bool:
        """Whether :meth:`row_space` exists and makes the problem much smaller."""
        if self.n_samples > self.design.n_features // 2 or not self.is_large:
            return False
        place = {"dtype": self.wide, "device": self.design.device}
        zeros = self.xp.zeros((1, 1, self.design.n_features), **place)
        strength = self.penalty.curvature(zeros, xp=self.xp)
        return strength.shape[0] == 1 and bool(
            arrays.to_host(self.xp.all(strength > 0))
        )

    def row_space(self) -> tuple[Objective, Callable[[Array], Array]]:
        r"""The objective in as many features as there are rows, in float32.

        The coefficients that minimise F are sums of the rows, w = Lambda^-1 Z'a, with
        the strengths of the penalty in Lambda. With the kernel matrix
        Z Lambda^-1 Z' = L L' and v = L'a, the logits are L v + b and the penalty is
        |v|^2 / 2: a problem of the same form whose design is L, whatever the number of
        features of this one.

        Returns
        -------
        objective : Objective
        back : callable
            Takes its parameters to those of this one.

        References
        ----------
        Hastie and Tibshirani (2004), *Efficient quadratic regularization for expression
        arrays*, section 3.
        """
        xp, n = self.xp, self.n_samples
        place = {"dtype": self.wide, "device": self.design.device}
        zeros = xp.zeros((1, 1, self.design.n_features), **place)
        strength = self.penalty.curvature(zeros, xp=xp)[0, 0, :]
        kernel = xp.astype(self.design.kernel(strength, xp.float32), self.wide)
        # In units that make the columns of L about as large as standardised ones, and
        # with as much on the diagonal as float32 leaves uncertain.
        unit = xp.linalg.trace(kernel) / n**2
        ridge = 16 * n * float(xp.finfo(xp.float32).eps)
        kernel = kernel / unit + ridge * xp.eye(n, **place)
        lower = xp.linalg.cholesky(kernel)
        reduced = Objective(
            DenseDesign(
                xp.astype(lower, xp.float32), None, workers=self.design.workers, xp=xp
            ),
            xp.astype(self.targets, xp.float32),
            xp.astype(self.weights, xp.float32),
            self.loss,
            L2Penalty(xp.ones((1, 1, n), **place) / unit),
            n_models=self.n_models,
            fit_intercept=self.fit_intercept,
            units=None,
        )

        def back(parameters: Array) -> Array:
            v, intercept = reduced.split(parameters)
            a = arrays.positive_definite_solver(kernel[None, :, :], xp=xp)
            dual = xp.concat([a((lower @ column)[None, :]) for column in v])
            residual = xp.astype(dual.T, self.design.dtype) / unit
            shape = (-1, self.n_models, self.loss.n_outputs)
            product, total = self._sum_rows(xp.reshape(residual, shape))
            return self.join(self.design.unfold(product, total) / strength, intercept)

        return reduced, back

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

    def zeros(self) -> Array:
        """Parameters that are all zero: (n_models, n_parameters)."""
        shape = self.n_models, self.n_parameters
        return self.xp.zeros(shape, dtype=self.wide, device=self.design.device)

    # -- passes over the rows ------------------------------------------------------

    def value_and_gradient(self, parameters: Array) -> Evaluation:
        """F and its gradient, in one pass."""
        xp = self.xp
        logits = self._logits(parameters)

        def kernel(block: DenseBlock, y: Array, s: Array) -> tuple[Array, ...]:
            point = self.loss.at(logits(block), y, xp=xp)
            slope = s[..., None] * point.gradient()
            value = xp.sum(s * point.value(), axis=0, dtype=self.wide)
            return value, *self._rmatvec(block, slope)

        value, *slope = self._sum(kernel, self.n_columns)
        coef = self._by_class(parameters)
        value = value / self.total_weight + self.penalty.value(coef, xp=xp)
        gradient = self._with_free_intercept(self.penalty.gradient(coef, xp=xp))
        return Evaluation(value, self._gradient(*slope) + gradient)

    def hessian(self, parameters: Array, *, rough: bool = False) -> Hessian:
        """The Hessian, in one pass.

        Parameters
        ----------
        parameters : array of shape (n_models, n_parameters)
        rough : bool, default=False
            Whether float32 is precise enough for the products, which take most of
            the time.
        """
        together = self.loss.n_outputs * self.design.n_features
        own, *sums = self._hessian_sums(parameters, rough, together, lambda c: c)
        matrix = hessian.assemble(
            own, sums[0] if sums else None, self.fit_intercept, xp=self.xp
        )
        matrix = matrix / self.total_weight[:, None, None]
        if self.loss.shift_invariant:
            matrix = matrix + self._fill_shift_direction(matrix)
        return self._with_penalty(matrix[:, None, :, :], parameters, rough)

    def curvature_estimate(self, parameters: Array) -> Hessian:
        """An estimate of the Hessian that is cheap beside a few products with it.

        The blocks of the classes where a factorisation costs no more than tens of
        products with the Hessian, else the diagonal.
        """
        q = self.column_size
        if q / 40 + q**2 / (6 * self.n_samples) < 100:
            return self.class_hessians(parameters, rough=self.is_large)
        return DiagonalHessian(self.hessian_diagonal(parameters), xp=self.xp)

    def class_hessians(self, parameters: Array, *, rough: bool = False) -> BlockHessian:
        """The blocks of the Hessian that belong to one class each, in one pass."""
        (own,) = self._hessian_sums(
            parameters,
            rough,
            self.design.n_features,
            lambda curvature: Curvature(curvature.own(), None),
        )
        blocks = own / self.total_weight[:, None, None, None]
        return self._with_penalty(blocks, parameters, rough)

    def _hessian_sums(
        self,
        parameters: Array,
        rough: bool,
        width: int,
        part: Callable[[Curvature], Curvature],
    ) -> tuple[Array, ...]:
        xp = self.xp
        dtype = xp.float32 if rough else self.design.dtype
        logits = self._logits(parameters)

        def kernel(block: DenseBlock, y: Array, s: Array) -> tuple[Array, ...]:
            curvature = self._curvature(self.loss.at(logits(block), y, xp=xp), s)
            curvature = part(curvature).astype(dtype, xp=xp)
            Z = xp.astype(block.standardised(), dtype, copy=False)
            sums = hessian.row_sums(Z, curvature, self.fit_intercept, xp=xp)
            return tuple(xp.astype(total, self.wide, copy=False) for total in sums)

        # The sums are matrices of this width: adding them must not cost more than they.
        return self._sum(kernel, width, least=4 * width)

    def _with_penalty(
        self, blocks: Array, parameters: Array, rough: bool
    ) -> BlockHessian:
        xp, (models, n_blocks, q, _) = self.xp, blocks.shape
        penalty = xp.reshape(
            self._penalty_curvature(parameters), (models, n_blocks, 1, q)
        )
        rounding = float(xp.finfo(xp.float32 if rough else self.wide).eps)
        blocks = blocks + self._identity(q) * penalty
        return BlockHessian(blocks, rounding if rough else 16 * rounding, xp=xp)

    def curvature(self, parameters: Array) -> Curvature:
        """Second derivatives of the loss in all logits, times the weights of the rows.

        Arrays of shape (n_samples, n_models, n_outputs): what
        :meth:`hessian_product` needs of the parameters.
        """
        logits = self.logits(parameters)
        point = self.loss.at(logits, self.targets, xp=self.xp)
        return self._curvature(point, self.weights)

    def logits(self, parameters: Array) -> Array:
        """Linear predictors of all rows: (n_samples, n_models, n_outputs)."""
        logits = self._logits(parameters)
        parts: dict[int, Array] = {}

        def on_rows(rows: slice) -> tuple[()]:
            parts[rows.start] = logits(self.design.block(rows))
            return ()

        slices = self._slices(self.n_columns)
        reduce_over_blocks(on_rows, add, slices, self.design.workers)
        return self.xp.concat([parts[rows.start] for rows in slices])

    def hessian_product(
        self, curvature: Curvature, parameters: Array, vector: Array
    ) -> Array:
        """Hessian at ``parameters`` times ``vector``, in one pass.

        ``curvature`` is that at the parameters.
        """
        xp = self.xp
        change = self._logits(vector)

        def kernel(block: DenseBlock, *parts: Array) -> tuple[Array, Array]:
            here = Curvature(*parts) if len(parts) > 1 else Curvature(parts[0], None)
            return self._rmatvec(block, here.product(change(block), xp=xp))

        per_row = [part for part in curvature if part is not None]
        slices = self._slices(self.n_columns)
        product = sum_over_blocks(kernel, self.design, slices, *per_row)
        return self._gradient(*product) + self._penalty_curvature(parameters) * vector

    def _sum_rows(self, residual: Array) -> tuple[Array, ...]:
        """Z'r and sum(r) for residuals of all rows."""
        slices = self._slices(self.n_columns)
        return sum_over_blocks(self._rmatvec, self.design, slices, residual)

    def hessian_diagonal(self, parameters: Array) -> Array:
        """Diagonal of the Hessian, in one pass: (n_models, n_parameters)."""
        xp = self.xp
        logits = self._logits(parameters)

        def kernel(block: DenseBlock, y: Array, s: Array) -> tuple[Array, Array]:
            curvature = self._curvature(self.loss.at(logits(block), y, xp=xp), s)
            h = xp.reshape(curvature.own(), (-1, self.n_columns))
            diagonal = xp.astype(block.gram_diagonal(h), self.wide, copy=False)
            return diagonal, xp.sum(h, axis=0, dtype=self.wide)

        diagonal = self._by_model(self.join(*self._sum(kernel, self.n_columns)))
        return diagonal + self._penalty_curvature(parameters)

    def _slices(self, width: int, least: int = 1) -> list[slice]:
        if (width, least) not in self._cuts:
            X, threads = self.design.X, self.design.workers.n
            cut = row_blocks(X, width, least=least, n_threads=threads, xp=self.xp)
            self._cuts[width, least] = cut
        return self._cuts[width, least]

    def _sum(
        self, kernel: Callable[..., tuple[Array, ...]], width: int, least: int = 1
    ) -> tuple[Array, ...]:
        slices = self._slices(width, least)
        return sum_over_blocks(kernel, self.design, slices, self.targets, self.weights)

    def _logits(self, parameters: Array) -> Callable[[DenseBlock], Array]:
        """What brings a block to its logits: (n_rows, n_models, n_outputs)."""
        xp, dtype = self.xp, self.design.dtype
        coef, intercept = self.design.fold(*self.split(parameters))
        coef, intercept = xp.astype(coef, dtype), xp.astype(intercept, dtype)

        def logits(block: DenseBlock) -> Array:
            columns = block.matvec(coef)
            if self.fit_intercept:
                columns += intercept
            return xp.reshape(columns, (-1, self.n_models, self.loss.n_outputs))

        return logits

    def _curvature(self, point: LossPoint, s: Array) -> Curvature:
        return point.curvature().weighted(s, xp=self.xp)

    def _rmatvec(self, block: DenseBlock, residual: Array) -> tuple[Array, Array]:
        """Z'r and sum(r) for residuals of the shape of the logits, in wide."""
        residual = self.xp.reshape(residual, (-1, self.n_columns))
        product = self.xp.astype(block.rmatvec(residual), self.wide, copy=False)
        return product, self.xp.sum(residual, axis=0, dtype=self.wide)

    def _gradient(self, product: Array, total: Array) -> Array:
        """Means from the sums over blocks, as parameters."""
        return self._by_model(self.join(self.design.unfold(product, total), total))

    def _by_model(self, sums: Array) -> Array:
        return sums / self.total_weight[:, None]

    # -- the penalty, which leaves the intercepts free -----------------------------

    def _by_class(self, parameters: Array) -> Array:
        """Coefficients of shape (n_models, n_outputs, n_features)."""
        shape = self.n_models, self.loss.n_outputs, self.design.n_features
        return self.xp.reshape(self.split(parameters)[0], shape)

    def _penalty_curvature(self, parameters: Array) -> Array:
        curvature = self.penalty.curvature(self._by_class(parameters), xp=self.xp)
        return self._with_free_intercept(curvature)

    def _with_free_intercept(self, values: Array) -> Array:
        columns = self.xp.reshape(values, (self.n_columns, -1))
        return self.join(columns, self.xp.zeros_like(columns[:, 0]))

    def symmetric(self, vector: Array) -> Array:
        """The vector without equal changes to all classes, if those change nothing.

        Neither the gradient nor a Newton step at symmetric parameters has any; an
        estimate of the Hessian that sees one class at a time would bring them in.
        """
        if not self.loss.shift_invariant:
            return vector
        shape = self.n_models, self.loss.n_outputs, self.column_size
        by_class = self.xp.reshape(vector, shape)
        by_class = by_class - self.xp.mean(by_class, axis=1, keepdims=True)
        return self.xp.reshape(by_class, vector.shape)

    # -- where the loss has no curvature ---------------------------------------------

    def _fill_shift_direction(self, matrix: Array) -> Array:
        """Curvature along equal changes to all classes, where the loss has none.

        The gradient has no component there while the coefficients of the classes sum
        to zero, so Newton steps are unchanged; only the factorisation becomes
        possible. Sized as the mean of the diagonal.
        """
        xp, outputs = self.xp, self.loss.n_outputs
        trace = xp.sum(matrix * self._identity(self.n_parameters), axis=(1, 2))
        size = trace / (self.n_parameters * outputs)
        equal = xp.tile(self._identity(self.column_size), (outputs, outputs))
        return size[:, None, None] * equal

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
