"""Row space: problems with more features than rows, in as many features as rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import DenseMatrix, TrainingData
from xlr.objective import Objective
from xlr.objective.passes import transposed_product
from xlr.penalties import L2Penalty

# Maximum time of a factorisation of the kernel, in products with X.
MAX_PRODUCTS = 1000

# Columns of X in a term of the kernel, as a share of the rows. Their product then takes
# longer than the addition of n^2 numbers.
COLUMN_SHARE = 1 / 2


def row_space(
    objective: Objective,
) -> tuple[Objective, Callable[[Array], Array]] | None:
    r"""Return the objective in as many features as there are rows, in float32.

    The coefficients that minimise F are sums of the rows, w = Lambda^-1 Z'a, with the
    strengths of the penalty in Lambda. With the kernel matrix Z Lambda^-1 Z' = L L' and
    v = L'a, the logits are L v + b and the penalty is \|v\|^2 / 2. The problem has the
    same form, with the matrix L, for any number of features.

    Parameters
    ----------
    objective : Objective

    Returns
    -------
    reduced : Objective
    back : callable
        Converts parameters of ``reduced`` to those of ``objective``.
    None
        Returned instead if the problem is not much smaller, a feature has no ridge
        penalty, or float32 does not resolve the kernel.

    References
    ----------
    Hastie and Tibshirani (2004), *Efficient quadratic regularization for expression
    arrays*, section 3.
    """
    xp, n, data = objective.xp, objective.n_samples, objective.data
    if n > objective.n_features // 2 or not data.in_memory:
        return None
    if n**3 / 3 > MAX_PRODUCTS * data.product_cost or objective.non_smooth is not None:
        return None
    strength = objective.penalty.curvature
    same = xp.all(strength == strength[:1, :, :]) & xp.all(strength > 0)
    if not arrays.to_host(same):
        return None
    strength = strength[0, 0, :]

    # 1. The kernel, in units that give the columns of L the size of standardized ones.
    # Its diagonal includes the uncertainty of float32.
    kernel = _kernel(objective, strength)
    unit = xp.linalg.trace(kernel) / n**2
    ridge = 16 * n * float(xp.finfo(xp.float32).eps)
    identity = xp.eye(n, dtype=objective.wide, device=objective.device)
    kernel = kernel / unit + ridge * identity
    lower = arrays.cholesky(kernel, xp=xp)
    if not arrays.to_host(xp.all(xp.isfinite(lower))):
        return None
    # 2. The problem whose matrix is L.
    targets = data.targets.astype(xp.float32, xp=xp)
    matrix = DenseMatrix(xp.astype(lower, xp.float32), xp=xp)
    reduced = Objective(
        TrainingData(matrix, targets, pool=data.pool),
        objective.loss,
        L2Penalty(xp.ones_like(kernel[:1, None, :]) / unit),
        fit_intercept=objective.fit_intercept,
    )

    def back(parameters: Array) -> Array:
        # a = K^-1 (L v), and w = Lambda^-1 Z'a.
        v, intercept = reduced.split(parameters)
        solve = arrays.positive_definite_solver(kernel[None, :, :], xp=xp)
        a = solve(xp.matmul(v, lower.T)[None, :, :])[0, :, :].T
        a = xp.astype(a, data.dtype)
        (product,) = data.map_reduce(
            transposed_product, width=objective.n_columns, per_row=a
        )
        return objective.join(product / (unit * strength), intercept)

    return reduced, back


def _kernel(objective: Objective, strength: Array) -> Array:
    """Return Z Lambda^-1 Z', summed over columns in float32: (n, n)."""
    xp, n, p = objective.xp, objective.n_samples, objective.n_features
    root = xp.astype(1 / xp.sqrt(strength), xp.float32)
    width, kernel = max(256, int(COLUMN_SHARE * n)), 0.0
    for start in range(0, p, width):
        columns = np.arange(start, min(start + width, p))
        place = arrays.move(columns, xp=xp, device=objective.device)
        values = objective.data.matrix.take_columns(place).to_dense()
        values = xp.astype(values, xp.float32, copy=False) * xp.take(root, place)
        kernel = kernel + arrays.widened(xp.matmul(values, values.T), xp=xp)
    return kernel
