r"""The objective: mean loss plus penalty, with its first and second derivatives.

For each model, with weights s_i, S = sum(s_i) and linear predictor
eta_i = z_i.w + b + offset_i,

    F(w, b) = (1/S) sum_i s_i loss(eta_i, y_i) + penalty(w)

Parameters of several models are one array, (n_models, n_parameters). A row holds the
coefficients of one model, output (class) by output, each followed by its intercept:
[w_1, b_1, w_2, b_2, ...].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import DenseMatrix, Scaler, Targets
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.hessian_matrices import (
    BlockHessian,
    DiagonalHessian,
    Hessian,
    PooledHessian,
    bordered,
    softmax_hessian,
)
from xlr.penalties import NonSmooth, Penalty

# Relative rounding error of F, a sum of many numbers, in machine epsilons of X.
VALUE_ROUNDINGS = 16

# The same in machine epsilons of the dtype of the sum. NumPy adds the rows of a block
# one by one if there are several models: 25 were seen with 6,000 rows.
SUM_ROUNDINGS = 64

# Number of arrays of the size of the logits that a pass has at a time.
N_TEMPORARIES = 4

# Size of an array whose memory does not matter: numbers, 8 MB. Larger arrays of
# curvatures take at most this share of the numbers of X.
MAX_SMALL_ARRAY = 2**20
MAX_SHARE_OF_X = 1 / 4

# Number of outputs of all models up to which Hessian products store the curvature of
# each row in spite of these limits.
MIN_STORED_OUTPUTS = 16

# Maximum size of a dense X that Hessian products read as a copy in float32: numbers,
# 512 MB. They take half the time. And the minimum share of the copied numbers in the
# time of a product: indices and codes stay as large.
MAX_FLOAT32_COPY = 2**27
MIN_COPIED_SHARE = 1 / 2

# Maximum time of an estimate of the Hessian, in products with X: as many as a fit by
# conjugate gradients takes.
MAX_ESTIMATE_PRODUCTS = 200

# Curvature added along the null space of the softmax where bounds limit it, as a share
# of the mean of the diagonal. More would hide the small curvature of a class with
# little weight: 1e-3 took 627 iterations, 1e-8 takes 20.
BOUNDED_NULL_SPACE_CURVATURE = 1e-8

# Time of each further output in a pass, as a share of that of the first.
OUTPUT_COST = 1 / 8

# Time of the calls of a pass over little data, in multiply-adds.
CALL_COST = 1e5

# Minimum time of a Hessian, in iterations. On little data, it is the time of the calls
# of a pass and a factorisation, relative to those of a step. Fits to iris, wine and
# 1,000 x 10 are equally fast with 0.1 to 0.6, and slower with 1 (two cores of an x86
# server, one thread).
MIN_HESSIAN_COST = 0.3

# Maximum time of a cheap Hessian, in passes.
MAX_CHEAP_HESSIAN_PASSES = 4

# Minimum number of rows per parameter for which resamples share a start: with fewer,
# they differ too much.
MIN_ROWS_FOR_SHARED_START = 10

# Minimum width of a pass for the information of sparse rows and codes. They are summed
# one by one: rounding errors, which hide collinear columns, grow with the block.
MIN_SPARSE_INFORMATION_WIDTH = 32

# Share added to each class for the intercepts of the null model.
ADDED_SHARE = 1e-9


class Evaluation(NamedTuple):
    """F at some parameters.

    Attributes
    ----------
    value : array of shape (n_models,)
    gradient : array of shape (n_models, n_parameters)
        Gradient of the smooth part of F.
    """

    value: Array
    gradient: Array


def pays_in_float32(data: Any) -> bool:
    """Return whether Hessian products should read a copy of X in float32."""
    if data.product_cost > MAX_FLOAT32_COPY or not data.in_memory:
        return False
    stored = data.matrix.stored
    pays = math.prod(stored.shape) >= MIN_COPIED_SHARE * data.product_cost
    pays = pays or not arrays.is_floating(stored, xp=data.xp)
    return pays and data.dtype == data.xp.float64


class Objective:
    """Mean loss plus penalty of one or several models that share X.

    Parameters
    ----------
    data : TrainingData
        Rows, targets and weights.
    loss : Loss
    penalty : Penalty, or an object with its attributes and methods
        Penalty of the coefficients; the intercepts have none.
    fit_intercept : bool
    scaler : Scaler, default=None
        Converts the gradient to standardized units, for data that are not standardized.
    term : callable, default=None
        ``term(objective, parameters)`` evaluates a smooth term of F in addition to the
        mean loss and the penalty. It may depend on the rows, as Firth's penalty does.
        The Hessian does not include its curvature.
    total_weight : array of shape (n_models,), default=None
        S, if it is known.
    column_rms : array of shape (n_features,), default=None
        Root mean squares of the columns of the data, if they are not one.

    Attributes
    ----------
    rounding, value_rounding : float
        Relative rounding error of an entry of X, and of F.
    accumulation_rounding, hessian_rounding : float
        Relative rounding error of a sum over the rows, and of an entry of the Hessian.
    """

    def __init__(
        self,
        data: Any,
        loss: Loss,
        penalty: Penalty,
        *,
        fit_intercept: bool,
        scaler: Scaler | None = None,
        term: Callable[[Objective, Array], Evaluation] | None = None,
        total_weight: Array | None = None,
        column_rms: Array | None = None,
    ) -> None:
        self.column_rms = column_rms
        self.data = data
        self.loss = loss
        self.penalty = penalty
        self.fit_intercept = fit_intercept
        self.scaler = scaler
        self.term = term
        self.xp, self.device = data.xp, data.device
        self.accumulation_dtype = data.accumulation_dtype
        self.n_samples, self.n_features = data.n_samples, data.n_features
        self.n_models, self.n_outputs = data.targets.n_models, loss.n_outputs
        self.n_columns = self.n_models * self.n_outputs
        self.output_size = self.n_features + fit_intercept
        self.n_parameters = self.n_outputs * self.output_size
        self.rounding = float(self.xp.finfo(data.dtype).eps)
        self.accumulation_rounding = float(self.xp.finfo(self.accumulation_dtype).eps)
        self.value_rounding = max(
            VALUE_ROUNDINGS * self.rounding, SUM_ROUNDINGS * self.accumulation_rounding
        )
        self.hessian_rounding = max(self.rounding, 16 * self.accumulation_rounding)
        self._width = N_TEMPORARIES * self.n_columns
        self._coef_shape = self.n_models, self.n_outputs, self.n_features
        self.total_weight = (
            data.total_weight() if total_weight is None else total_weight
        )
        self.non_smooth: NonSmooth | None = None
        if penalty.non_smooth is not None:
            intercept_terms = 0.0, -np.inf, np.inf
            values = map(self.per_parameter, penalty.non_smooth, intercept_terms)
            self.non_smooth = NonSmooth(*values)

    # -- other models, rows, columns and penalties ------------------------------------

    def _with(self, data: Any, penalty: Penalty, **changed: Any) -> Objective:
        """Return the objective with other data, penalty and keyword arguments."""
        options = {
            "fit_intercept": self.fit_intercept,
            "scaler": self.scaler,
            "term": self.term,
            "total_weight": self.total_weight,
            "column_rms": self.column_rms,
            **changed,
        }
        return Objective(data, self.loss, penalty, **options)

    def with_data(self, data: Any) -> Objective:
        """Return the objective on other rows with the same weights."""
        return self._with(data, self.penalty)

    def in_float32(self) -> Objective:
        """Return the objective of Hessian products, in float32 if that pays.

        It does not pay if the full Hessian is cheap, because then few products are
        needed.
        """
        if self.has_cheap_hessian or not pays_in_float32(self.data):
            return self
        return self.with_data(self.data.astype(self.xp.float32))

    def with_penalty(self, penalty: Penalty) -> Objective:
        """Return the objective with another penalty."""
        return self._with(self.data, penalty)

    def select(self, models: np.ndarray) -> Objective:
        """Return the objective of some models, by ascending indices on the host."""
        if models.shape[0] == self.n_models:
            return self
        weight = arrays.take(self.total_weight, models)
        penalty = self.penalty.select(models)
        return self._with(self.data.select(models), penalty, total_weight=weight)

    def sample(self, size: int, seed: int) -> Objective:
        """Return the objective on about ``size`` random rows, in float32."""
        sample = self.data.sample(size, seed)
        return self._with(sample, self.penalty, total_weight=None)

    def take_columns(self, features: Array) -> Objective:
        """Return F on a copy of some columns, with the other coefficients at zero."""
        penalty = self.penalty.take_columns(features, xp=self.xp)
        rms = self.column_rms
        rms = None if rms is None else self.xp.take(rms, features)
        data, options = self.data.take_columns(features), {"column_rms": rms}
        return self._with(data, penalty, scaler=None, **options)

    def without_resampling(self) -> tuple[Objective, np.ndarray, np.ndarray] | None:
        """Return the models on all rows that the current models resample.

        Returns
        -------
        objective : Objective
        first : ndarray of int
            The first current model of each model on all rows.
        model_of : ndarray of shape (n_models,)
            The model on all rows for each current model.
        None
            Returned instead if there are fewer than two resamples per model on average,
            or few rows per parameter.
        """
        targets: Targets = self.data.targets
        too_few_rows = self.n_samples < MIN_ROWS_FOR_SHARED_START * self.n_parameters
        if targets.resample_of is None or too_few_rows:
            return None
        _, first, model_of = np.unique(
            targets.resample_of, return_index=True, return_inverse=True
        )
        if first.shape[0] > self.n_models / 2:
            return None
        data = self.data.select(first).without_counts()
        penalty = self.penalty.select(first)
        return self._with(data, penalty, total_weight=None), first, model_of

    # -- parameters -------------------------------------------------------------------

    def join(self, coef: Array, intercept: Array) -> Array:
        """Join coefficients (n_columns, n_features) and intercepts to parameters."""
        if self.fit_intercept:
            coef = self.xp.concat([coef, intercept[:, None]], axis=1)
        return self.xp.reshape(coef, (self.n_models, self.n_parameters))

    def split(self, parameters: Array) -> tuple[Array, Array]:
        """Return coefficients, (n, n_features), and intercepts or zeros, (n,)."""
        columns = self.xp.reshape(parameters, (-1, self.output_size))
        if self.fit_intercept:
            return columns[:, :-1], columns[:, -1]
        return columns, self.xp.zeros_like(columns[:, 0])

    def coefficients(self, parameters: Array) -> Array:
        """Return the coefficients: (n_models, n_outputs, n_features)."""
        columns = self.xp.reshape(parameters, (self.n_models, self.n_outputs, -1))
        return columns[:, :, : self.n_features]

    def zeros(self) -> Array:
        """Return parameters of zero."""
        shape = self.n_models, self.n_parameters
        return self.xp.zeros(shape, dtype=self.accumulation_dtype, device=self.device)

    def null_parameters(self) -> Array:
        """Return zero coefficients, and intercepts that nearly minimise the mean loss.

        They are the logits of the class shares, made finite for a class without weight.
        With an offset there is no such formula, and they are zero.
        """
        if not self.fit_intercept or self.data.targets.offset is not None:
            return self.zeros()
        xp = self.xp
        logits = xp.log(self.class_shares + ADDED_SHARE)
        if self.loss.shift_invariant:
            logits = logits[:, : self.n_outputs]
            intercept = logits - xp.mean(logits, axis=1, keepdims=True)
        else:
            intercept = logits[:, 1:] - logits[:, :1]
        place = {"dtype": self.accumulation_dtype, "device": self.device}
        coef = xp.zeros(self._coef_shape, **place)
        parameters = xp.concat([coef, intercept[:, :, None]], axis=2)
        return xp.reshape(parameters, (self.n_models, self.n_parameters))

    def project(self, parameters: Array) -> Array:
        """Return the nearest parameters within the bounds."""
        if self.non_smooth is None:
            return parameters
        return self.non_smooth.project(parameters, xp=self.xp)

    def place(self, values: np.ndarray, dtype: Any = None) -> Array:
        """Move numbers from the host to the device, in the parameters' dtype."""
        xp, device, dtype = self.xp, self.device, dtype or self.accumulation_dtype
        return arrays.move(values, xp=xp, device=device, dtype=dtype)

    def centred_over_classes(self, vector: Array, free: Array | None = None) -> Array:
        """Subtract the mean over the classes, where that changes no probability.

        The gradient and the Newton step of the softmax loss have no component in its
        null space: a change that all classes share. An estimate of the Hessian by
        single classes would add one.

        Parameters
        ----------
        vector : array of shape (n_models, n_parameters)
        free : array of shape (n_models, n_parameters), default=None
            1 for free parameters, 0 for active ones. If given, features with only an L1
            penalty are centred too, unless the parameter of a class is active.
        """
        if not self.loss.shift_invariant:
            return vector
        shape = self.n_models, self.n_outputs, self.output_size
        by_class = self.xp.reshape(vector, shape)
        mean = self.xp.sum(by_class, axis=1, keepdims=True) / self.n_outputs
        centred = self.xp.reshape(by_class - mean, vector.shape)
        if self.non_smooth is None:
            return centred
        is_centred, l1_alone, _ = self._restrictions
        if free is not None:
            all_free = self.xp.min(self.xp.reshape(free, shape), axis=1, keepdims=True)
            all_free = all_free + self.xp.zeros_like(by_class)
            all_free = self.xp.reshape(all_free, free.shape) > 0
            is_centred = is_centred | (l1_alone & all_free)
        return self.xp.where(is_centred, centred, vector)

    def shifted_over_classes(self, parameters: Array) -> Array:
        """Minimise over the null space of the softmax, where a formula is known.

        Newton's method takes short steps or none along the null space. A ridge penalty
        is smallest where the mean over the classes is zero, and an L1 penalty alone
        where the median is. With bounds alone F is constant, and the mean moves as
        close to zero as they allow.
        """
        parameters = self.centred_over_classes(parameters)
        if not self.loss.shift_invariant or self.non_smooth is None:
            return parameters
        xp, shape = self.xp, (self.n_models, self.n_outputs, self.output_size)
        by_class = xp.reshape(parameters, shape)
        half, over_classes = self.n_outputs // 2, {"axis": 1, "keepdims": True}
        # 1. For an L1 penalty: the median at zero.
        median = xp.sort(by_class, axis=1)[:, half : half + 1, :]
        at_median = xp.reshape(by_class - median, parameters.shape)
        # 2. For bounds: the mean near zero. Rounding may exceed a bound.
        _, lower, upper = (xp.reshape(values, shape) for values in self.non_smooth)
        mean = xp.sum(by_class, **over_classes) / self.n_outputs
        shift = xp.maximum(-mean, xp.max(lower - by_class, **over_classes))
        shift = xp.minimum(shift, xp.min(upper - by_class, **over_classes))
        within_bounds = xp.reshape(by_class + shift, parameters.shape)
        within_bounds = self.non_smooth.project(within_bounds, xp=xp)
        _, l1_alone, bounds_alone = self._restrictions
        shifted = xp.where(l1_alone, at_median, parameters)
        return xp.where(bounds_alone, within_bounds, shifted)

    @cached_property
    def _restrictions(self) -> tuple[Array, Array, Array]:
        """Masks of the parameters: unrestricted, with L1 alone, with bounds alone.

        Unrestricted parameters may have a ridge penalty, the others have none.
        """
        assert self.non_smooth is not None
        l1, lower, upper = self.non_smooth
        has_bounds = (lower > -self.xp.inf) | (upper < self.xp.inf)
        has_l1, has_ridge = l1 > 0, self.penalty_curvature > 0
        l1_alone = has_l1 & ~has_bounds & ~has_ridge
        return ~has_l1 & ~has_bounds, l1_alone, has_bounds & ~has_l1 & ~has_ridge

    # -- value and gradient -----------------------------------------------------------

    def value_and_gradient(self, parameters: Array) -> Evaluation:
        """Return F and the gradient of its smooth part, in one pass."""
        xp, p, weight = self.xp, self.n_features, self.total_weight
        value, product, total = self.data.map_reduce(
            passes.value_and_gradient, self.loss, parameters, width=self._width
        )
        coef = xp.reshape(parameters, (*self._coef_shape[:2], -1))[:, :, :p]
        penalty, penalty_gradient = self.penalty.value_and_gradient(coef, xp=xp)
        value = value / weight + penalty
        gradient = xp.reshape(product, self._coef_shape) / weight[:, None, None]
        gradient = gradient + penalty_gradient
        if self.fit_intercept:
            total = xp.reshape(total, (self.n_models, self.n_outputs, 1))
            gradient = xp.concat([gradient, total / weight[:, None, None]], axis=2)
        gradient = xp.reshape(gradient, parameters.shape)
        if self.term is not None:
            term = self.term(self, parameters)
            value, gradient = value + term.value, gradient + term.gradient
        return Evaluation(value, gradient)

    def with_penalty_of(
        self, other: Objective, parameters: Array, at: Evaluation
    ) -> Evaluation:
        """Return F and its gradient, from those of another penalty, without a pass."""
        new, old = self.penalty_terms(parameters), other.penalty_terms(parameters)
        value = at.value + (new.value - old.value)
        return Evaluation(value, at.gradient + (new.gradient - old.gradient))

    # -- penalty ----------------------------------------------------------------------

    def penalty_terms(self, parameters: Array) -> Evaluation:
        """Return the penalty of each model, and the gradient of its smooth part."""
        coef = self.coefficients(parameters)
        value, gradient = self.penalty.value_and_gradient(coef, xp=self.xp)
        return Evaluation(value, self.per_parameter(gradient))

    @cached_property
    def penalty_curvature(self) -> Array:
        """Second derivatives of the penalty: (n_models, n_parameters)."""
        return self.per_parameter(self.penalty.curvature)

    def per_parameter(self, values: Array, intercept: float = 0.0) -> Array:
        """Return values of the coefficients, and one for intercepts, per parameter.

        Parameters
        ----------
        values : array of shape (n_models or 1, n_outputs or 1, n_features)
        intercept : float

        Returns
        -------
        array of shape (n_models, n_parameters)
        """
        xp = self.xp
        if values.shape != self._coef_shape:
            values = xp.broadcast_to(values, self._coef_shape)
        if self.fit_intercept:
            ends = xp.full_like(values[:, :, :1], intercept)
            values = xp.concat([values, ends], axis=2)
        return xp.reshape(values, (self.n_models, self.n_parameters))

    def minimum_norm_subgradient(self, parameters: Array, gradient: Array) -> Array:
        """Return the minimum-norm subgradient, given the smooth part's gradient."""
        xp, non_smooth = self.xp, self.non_smooth
        if non_smooth is None:
            return gradient
        return non_smooth.minimum_norm_subgradient(parameters, gradient, xp=xp)

    def largest_logits(self, parameters: Array) -> np.ndarray:
        """Return the largest absolute logit without offset, on the host."""
        largest = self.data.map_reduce(
            passes.largest_logit,
            self.loss,
            parameters,
            width=self._width,
            combine=passes.larger,
        )
        return arrays.to_host(largest[0])

    # -- second derivatives -----------------------------------------------------------

    def hessian_ratios(self, parameters: Array) -> Array | None:
        """Return the ratios of the Hessians of the loss to the first: (n_models,).

        If the curvature does not depend on the labels, models with the same parameters
        have the same Hessian. Null models of the binary loss have one curvature in all
        rows.

        Returns
        -------
        array of shape (n_models,), or None if the Hessians are not known to be
        multiples of one.
        """
        has_shared_weights = self.data.targets.has_shared_weights
        if self.n_models == 1 or not (has_shared_weights and self.loss.is_canonical):
            return None
        xp = self.xp
        if arrays.to_host(xp.all(parameters == parameters[:1, :])):
            return xp.ones_like(parameters[:, 0])
        coef, intercept = self.split(parameters)
        may_be_null = self.n_outputs == 1 and self.data.targets.offset is None
        if not may_be_null or arrays.to_host(xp.any(coef != 0)):
            return None
        logits, labels = intercept[None, :, None], xp.zeros_like(intercept)[None, :]
        curvature = self.loss.curvature(logits, labels, xp=xp).values[0, :, 0]
        if not arrays.to_host(xp.all(curvature > 0)):  # the exponential underflows
            return None
        return curvature / curvature[0]

    def hessian(self, parameters: Array, ratios: Array | None = None) -> BlockHessian:
        """Return the Hessian, in one pass.

        ``ratios``, from :meth:`hessian_ratios`, save the products of all models except
        the first.
        """
        models = self if ratios is None else self.select(np.zeros(1, dtype=np.int64))
        matrix = models.loss_hessian(parameters[: models.n_models, :])
        matrix = matrix / models.total_weight[:, None, None]
        if ratios is not None:
            matrix = matrix * ratios[:, None, None]
        if self.loss.shift_invariant:
            matrix = self._with_null_space_curvature(matrix)
        penalty = self.penalty_curvature
        matrix = matrix[:, None, :, :]
        return BlockHessian(matrix, penalty, self.hessian_rounding, xp=self.xp)

    def hessian_on_host(self, parameters: Array) -> np.ndarray:
        """Return the Hessian of one model in float64: (n_parameters, n_parameters)."""
        hessian = self.hessian(parameters)
        blocks, penalty = map(arrays.to_host, (hessian.blocks, hessian.penalty))
        return blocks[0, 0].astype(np.float64) + np.diag(penalty[0])

    def loss_hessian(self, parameters: Array, by_class: bool = False) -> Array:
        """Return the Hessian of the sum of the losses: (n_models, q, q).

        With ``by_class``, return only the blocks of single classes, in float32, stacked
        as (n_columns, q, q).
        """
        xp, size = self.xp, self.n_features * (1 if by_class else self.n_outputs)
        sums = self.data.map_reduce(
            passes.gram_sums,
            self.loss,
            parameters,
            xp.float32 if by_class else self.data.dtype,
            by_class,
            # The sums are matrices of this size: many rows must share their addition.
            width=max(size, self.n_columns),
            least=4 * size,
        )
        matrix = bordered(*sums, xp=xp) if self.fit_intercept else sums[0]
        if by_class or self.n_outputs == 1:
            return matrix
        return softmax_hessian(matrix, self.n_outputs, xp=xp)

    def information(self, parameters: Array) -> tuple[Array, Array, Array]:
        """Return the sum of the losses of one model and its derivatives, in one pass.

        The penalty is not part of it. Products are in the accumulation dtype.

        Returns
        -------
        loss : array of shape (1,)
            Minus the log-likelihood.
        gradient : array of shape (1, n_parameters)
        hessian : array of shape (1, n_parameters, n_parameters)
            The observed information, which equals the expected one.
        """
        width, matrix = self.n_outputs * self.n_features, self.data.matrix
        if not isinstance(getattr(matrix, "matrix", matrix), DenseMatrix):
            width = max(width, MIN_SPARSE_INFORMATION_WIDTH)
        loss, product, total, *sums = self.data.map_reduce(
            passes.information_sums, self.loss, parameters, width=width, least=4 * width
        )
        hessian = bordered(*sums, xp=self.xp) if self.fit_intercept else sums[0]
        if self.n_outputs > 1:
            hessian = softmax_hessian(hessian, self.n_outputs, xp=self.xp)
        return loss, self.join(product, total), hessian

    def class_hessians(self, parameters: Array) -> BlockHessian:
        """Return the blocks of the Hessian of single classes, in float32."""
        xp, q = self.xp, self.output_size
        matrix = self.loss_hessian(parameters, by_class=True)
        blocks = xp.reshape(matrix, (self.n_models, self.n_outputs, q, q))
        blocks = blocks / self.total_weight[:, None, None, None]
        penalty = self.penalty_curvature
        rounding = max(float(xp.finfo(xp.float32).eps), 16 * self.accumulation_rounding)
        return BlockHessian(blocks, penalty, rounding, xp=xp)

    def pooled_hessian(self, parameters: Array) -> PooledHessian:
        """Return an estimate with one covariance for all classes, in float32."""
        xp, p = self.xp, self.n_features
        gram, total, *sums = self.data.map_reduce(
            passes.pooled_sums,
            self.loss,
            parameters,
            self.fit_intercept,
            width=max(p, self._width),
            least=4 * p,
        )
        whole, centres = xp.sum(total, axis=1)[:, None, None], None
        covariance = gram / whole
        if self.fit_intercept:
            known = xp.where(total > 0, total, xp.ones_like(total))[:, :, None]
            centres = xp.reshape(sums[0], self._coef_shape) / known
            shares = centres * (total[:, :, None] / whole)
            covariance = covariance - xp.matmul(xp.matrix_transpose(shares), centres)
        curvature = total / self.total_weight[:, None]
        penalty = xp.mean(self.coefficients(self.penalty_curvature), axis=1)
        return PooledHessian(curvature, centres, covariance, penalty, xp=xp)

    def _with_null_space_curvature(self, matrix: Array) -> Array:
        r"""Return the Hessian with curvature in the null space of the softmax.

        It adds :math:`u_k u_l \delta_j` to the entry of classes k and l in parameter j:
        curvature along a shift of all classes. :math:`\delta_j` is the mean over the
        classes of the diagonal of the Hessian, divided by their number. The matrix then
        has a Cholesky factor. Newton steps do not change: with centred coefficients,
        the gradient has no component there. The factor u is 1 for parameters without L1
        penalty and bounds, and small for parameters with bounds alone. It is 0 for all
        others, where a penalty determines the shift.
        """
        xp, n, k, q = self.xp, self.n_models, self.n_outputs, self.output_size
        diagonal = xp.reshape(xp.linalg.diagonal(matrix), (n, k, q))
        delta = xp.sum(diagonal, axis=1) / k**2
        identity = xp.eye(q, dtype=matrix.dtype, device=self.device)
        added = identity[:, None, :] * delta[:, None, None, None, :]  # (n, 1, q, 1, q)
        if self.non_smooth is not None:
            unrestricted, _, bounds_alone = self._restrictions
            u = xp.astype(unrestricted, added.dtype)
            bounded = xp.full_like(u, BOUNDED_NULL_SPACE_CURVATURE**0.5)
            u = xp.where(bounds_alone, bounded, u)
            added = added * xp.reshape(u, (n, k, q, 1, 1))
            added = added * xp.reshape(u, (n, 1, 1, k, q))
        by_class = xp.reshape(matrix, (n, k, q, k, q)) + added
        return xp.reshape(by_class, matrix.shape)

    def hessian_diagonal(self, parameters: Array) -> Array:
        """Return the diagonal of the Hessian, in one pass: (n_models, n_parameters)."""
        diagonal, total = self.data.map_reduce(
            passes.hessian_diagonal, self.loss, parameters, width=self._width
        )
        diagonal = self.join(diagonal, total) / self.total_weight[:, None]
        return diagonal + self.penalty_curvature

    def hessian_operator(self, parameters: Array) -> Callable[[Array], Array]:
        """Return a function that multiplies by the Hessian, in one pass per product.

        It stores the curvature of each row if that takes little memory.
        """
        values = None
        max_numbers = max(MAX_SMALL_ARRAY, MAX_SHARE_OF_X * self.data.product_cost)
        max_outputs = max(MIN_STORED_OUTPUTS, max_numbers / self.n_samples)
        if self.data.in_memory and self.n_columns <= max_outputs:
            values = self.data.map_rows(
                passes.curvature_values, self.loss, parameters, width=self._width
            )
        penalty = self.penalty_curvature

        def product(vector: Array) -> Array:
            sums = self.data.map_reduce(
                passes.hessian_product,
                self.loss,
                parameters,
                vector,
                width=self._width,
                per_row=values,
            )
            return self.join(*sums) / self.total_weight[:, None] + penalty * vector

        return product

    def estimated_hessian(self, parameters: Array) -> Hessian:
        """Return an estimate of the Hessian that takes fewer passes than a fit.

        It holds the blocks of single classes in float32. If these are large compared
        with X, all classes share one Gram matrix. With too many features for a
        factorisation, it is the diagonal.
        """
        product_cost = self.data.product_cost
        cost = self.n_samples * self.data.matrix.gram_cost + self.output_size**3 / 3
        if cost >= MAX_ESTIMATE_PRODUCTS * product_cost:
            return DiagonalHessian(self.hessian_diagonal(parameters), xp=self.xp)
        size = self.n_columns * self.output_size**2
        max_size = max(MAX_SMALL_ARRAY, MAX_SHARE_OF_X * product_cost)
        if self.n_outputs > 1 and size > max_size:
            return self.pooled_hessian(parameters)
        return self.class_hessians(parameters)

    # -- costs and scales -------------------------------------------------------------

    @cached_property
    def is_large(self) -> bool:
        """Return whether X fills several blocks: arithmetic then dominates the time."""
        width = N_TEMPORARIES * self.n_outputs
        return not self.data.in_memory or len(self.data.row_slices(width)) > 1

    @cached_property
    def hessian_cost(self) -> float:
        """Return the approximate time of a model's Hessian, in passes for gradients."""
        n, size = self.n_samples, self.n_outputs * self.n_features
        # A pass for many outputs costs less than a pass for each.
        speedup = (1 + OUTPUT_COST) / (1 / self.n_columns + OUTPUT_COST)
        product = self.data.product_cost
        if self.is_large:
            gram = n * self.data.matrix.gram_cost * self.n_outputs**2
            return speedup * (1.5 + gram / (5 * self.n_outputs * product))
        one_pass = CALL_COST / self.n_models + 2 * product * self.n_outputs / speedup
        return max(MIN_HESSIAN_COST, (n / 2 + size / 3) * size**2 / (10 * one_pass))

    @property
    def has_cheap_hessian(self) -> bool:
        """Return whether the Hessian takes at most the time of a few passes."""
        return self.hessian_cost <= MAX_CHEAP_HESSIAN_PASSES

    def optimality(self, parameters: Array, gradient: Array) -> tuple[Array, Array]:
        """Return the optimality, (n_models,), and the minimum-norm subgradient.

        The optimality is the max-norm of the subgradient in standardized units.
        ``gradient`` is that of the smooth part.
        """
        subgradient = gradient
        if self.non_smooth is not None:
            subgradient = self.minimum_norm_subgradient(parameters, gradient)
        scaled = subgradient
        if self.scaler is not None:
            scaled = self.join(*self.scaler.gradient(*self.split(subgradient)))
        return self.xp.max(self.xp.abs(scaled), axis=1), subgradient

    @cached_property
    def class_shares(self) -> Array:
        """Return the share of each class in the total weight: (n_models, n_classes)."""
        weights = self.data.class_weights(max(2, self.n_outputs))
        return weights / self.total_weight[:, None]

    def curvature_bound(self) -> Array:
        r"""Return a bound L on the largest eigenvalue of any Hessian of F: (n_models,).

        The largest eigenvalue of Z'SZ / S is at most its trace, the mean square of the
        rows, which takes one pass. Gradient descent with step size 1 / L never raises F
        (Nesterov 2004, *Introductory Lectures on Convex Optimization*, 1.2.3).
        """
        (squares,) = self.data.map_reduce(
            passes.squared_rows, self.fit_intercept, width=self._width
        )
        strength = self.xp.max(self.penalty_curvature, axis=1)
        return self.loss.curvature_bound() * squares / self.total_weight + strength
