"""Row space: a problem with more features than rows, in as many features as rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import DenseMatrix, TrainingData
from xlr.data.blocks import add, cut, map_reduce
from xlr.data.matrix import GRAM_SPEEDUP
from xlr.objective.objective import Objective
from xlr.penalties import Penalty

# Maximum estimated time of the kernel matrix and its factors, in products with X. For
# 2,000 x 20,000 it is 55. Conjugate gradients take about 160, with half the bytes.
MAX_KERNEL_PRODUCTS = 100

# Minimum number of columns of X in a term of the kernel matrix, also as a share of the
# rows: their product then takes longer than the addition of n^2 numbers.
MIN_COLUMNS, MIN_COLUMN_SHARE = 256, 1 / 2


def row_space(
    objective: Objective,
) -> tuple[Objective, Callable[[Array], Array]] | None:
    r"""Return the objective in as many features as there are rows, in float32.

    The coefficients that minimise F are sums of the rows,
    :math:`w = \Lambda^{-1} Z^T a`, with the strengths of the ridge penalty in
    :math:`\Lambda`. With the kernel matrix :math:`K = Z \Lambda^{-1} Z^T = L L^T` and
    :math:`v = L^T a`, the logits are L v + b and the penalty is :math:`|v|^2 / 2`. The
    problem has the same form, with the matrix L, for any number of features.

    Returns
    -------
    reduced : Objective
    to_original : callable
        Converts parameters of ``reduced`` to those of ``objective``.
    None
        Returned instead if the problem is not much smaller, a feature has no ridge
        penalty, the penalties of the models differ, or float32 does not resolve K.

    References
    ----------
    Hastie and Tibshirani (2004), *Efficient quadratic regularization for expression
    arrays*, section 3.
    """
    xp, data = objective.xp, objective.data
    n, p = objective.n_samples, objective.n_features
    strength = objective.penalty.curvature
    is_smooth = objective.non_smooth is None and objective.term is None
    if not (is_smooth and data.in_memory and strength.shape[0] == 1):
        return None
    cost = n**2 * (p + n) / (2 * GRAM_SPEEDUP)
    if 2 * n > p or cost > MAX_KERNEL_PRODUCTS * data.product_cost:
        return None
    if not arrays.to_host(xp.all(strength > 0)):
        return None
    # 1. K, divided by a unit that gives the columns of L the size of standardized
    # columns. Its diagonal includes the rounding errors of float32.
    kernel = _kernel(objective, xp.sqrt(strength[0, 0, :]))
    unit = xp.sum(xp.linalg.diagonal(kernel)) / n**2
    identity = xp.eye(n, dtype=kernel.dtype, device=objective.device)
    kernel = kernel / unit + 16 * n * float(xp.finfo(xp.float32).eps) * identity
    factor = arrays.cholesky(kernel, xp=xp)
    if not arrays.to_host(xp.all(xp.isfinite(factor))):
        return None
    # 2. The problem with the matrix L.
    matrix = DenseMatrix(xp.astype(factor, xp.float32), xp=xp)
    targets = data.targets.astype(xp.float32, xp=xp)
    reduced = Objective(
        TrainingData(matrix, targets, pool=data.pool),
        objective.loss,
        Penalty(xp.ones_like(kernel[None, :1, :]) / unit),
        fit_intercept=objective.fit_intercept,
    )

    def to_original(parameters: Array) -> Array:
        # a = K^-1 L v, and w = Lambda^-1 Z'a.
        v, intercept = reduced.split(parameters)
        solve = arrays.positive_definite_solver(kernel[None, :, :], xp=xp)
        a = solve(xp.matmul(v, factor.T)[None, :, :])[0, :, :]
        coef = data.matrix.transpose_matvec(xp.astype(a.T, data.dtype))
        return objective.join(coef / (unit * strength[0, :, :]), intercept)

    return reduced, to_original


def _kernel(objective: Objective, root: Array) -> Array:
    """Return K, summed over blocks of columns in float32: (n_samples, n_samples)."""
    xp, data = objective.xp, objective.data

    def of_columns(columns: slice) -> tuple[Array]:
        ids = np.arange(columns.start, columns.stop)
        part = data.matrix.take_columns(arrays.move_like(ids, root))
        values = xp.astype(part.to_dense() / root[columns], xp.float32)
        return (arrays.widened(xp.matmul(values, values.T), xp=xp),)

    size = max(MIN_COLUMNS, int(MIN_COLUMN_SHARE * objective.n_samples))
    slices = cut(objective.n_features, size, n_threads=data.pool.n_threads)
    return map_reduce(of_columns, slices, data.pool, add)[0]
