"""Problems with more features than rows, in the space of the rows."""

from __future__ import annotations

from collections.abc import Callable

from xlr import arrays
from xlr.arrays import Array
from xlr.design import DenseDesign
from xlr.objective.objective import Objective
from xlr.penalties import L2Penalty

__all__ = ["row_space"]

# Products with X, in multiply-adds, beyond which a factorisation of the kernel matrix
# is not worth it.
MOST_PRODUCTS = 1000


def row_space(
    objective: Objective,
) -> tuple[Objective, Callable[[Array], Array]] | None:
    r"""The objective in as many features as there are rows, in float32.

    The coefficients that minimise F are sums of the rows, w = Lambda^-1 Z'a, with
    the strengths of the penalty in Lambda. With the kernel matrix
    Z Lambda^-1 Z' = L L' and v = L'a, the logits are L v + b and the penalty is
    \|v\|^2 / 2: a problem of the same form whose design is L, whatever the number of
    features of this one.

    Parameters
    ----------
    objective : Objective

    Returns
    -------
    reduced : Objective
    back : callable
        Takes its parameters to those of ``objective``.
    None
        Instead of both where that is not a much smaller problem, where a feature is
        not penalised or not by a square, or where float32 does not resolve the kernel.

    References
    ----------
    Hastie and Tibshirani (2004), *Efficient quadratic regularization for expression
    arrays*, section 3.
    """
    xp, n, design = objective.xp, objective.n_samples, objective.design
    if n > objective.n_features // 2 or not (objective.is_large and objective.has_rows):
        return None
    if n**3 / 3 > MOST_PRODUCTS * design.product_cost:
        return None
    if objective.kinks is not None:
        return None
    place = {"dtype": objective.wide, "device": objective.device}
    strength = objective.penalty.curvature(
        xp.zeros((1, 1, objective.n_features), **place), xp=xp
    )
    if strength.shape[0] > 1 or not arrays.to_host(xp.all(strength > 0)):
        return None
    strength = strength[0, 0, :]

    kernel = xp.astype(design.kernel(strength, xp.float32), objective.wide)
    # In units that make the columns of L about as large as standardised ones, and
    # with as much on the diagonal as float32 leaves uncertain.
    unit = xp.linalg.trace(kernel) / n**2
    ridge = 16 * n * float(xp.finfo(xp.float32).eps)
    kernel = kernel / unit + ridge * xp.eye(n, **place)
    lower = arrays.cholesky(kernel, xp=xp)
    if not arrays.to_host(xp.all(xp.isfinite(lower))):
        return None
    offset = design.offset
    if offset is not None:
        offset = xp.astype(offset, xp.float32)
    rows = xp.astype(lower, xp.float32)
    reduced = Objective(
        DenseDesign(rows, None, offset, workers=design.workers, xp=xp),
        objective.responses.astype(xp.float32, xp=xp),
        objective.loss,
        L2Penalty(xp.ones((1, 1, n), **place) / unit),
        fit_intercept=objective.fit_intercept,
        units=None,
    )

    def back(parameters: Array) -> Array:
        v, intercept = reduced.split(parameters)
        solve = arrays.positive_definite_solver(kernel[None, :, :], xp=xp)
        logits = xp.matmul(v, lower.T)  # less intercept and offset
        residual = xp.astype(solve(logits[None, :, :])[0, :, :].T, design.dtype)
        shape = (n, objective.n_models, objective.n_outputs)
        residual = xp.reshape(residual, shape)
        product, _ = objective.split(objective.transposed_product(residual))
        return objective.join(product / (unit * strength), intercept)

    return reduced, back
