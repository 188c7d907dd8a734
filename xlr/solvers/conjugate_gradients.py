"""Preconditioned conjugate gradients, for the linear systems of several models."""

from __future__ import annotations

import math
from collections.abc import Callable

from xlr import arrays
from xlr.arrays import Array, Namespace

# Factor on the planned products of a solve that may end when its residual is small.
MORE_ON_HOST = 4

# Relative residual, in rounding errors, below which a solve cannot improve.
ROUNDED = 16


def plan_products(share: float, residual: float, n_products: int) -> tuple[int, float]:
    """Return the number of products of the next solve, and its relative residual.

    With a relative residual of sqrt(|g| / |g_0|) Newton's method converges faster than
    linearly (Eisenstat and Walker 1996, *Choosing the forcing terms in an inexact
    Newton method*). A tenth is enough far from the minimum. Below a hundredth, a new
    Hessian is a better use of the time.

    Parameters
    ----------
    share : float
        |g| / |g_0|.
    residual : float
        Relative residual of the last solve.
    n_products : int
        Number of products of the last solve.
    """
    forcing, planned = min(0.1, max(0.01, share**0.5)), 2 * n_products
    if 0 <= residual < 1:
        # Each product reduces the residual by about the same factor.
        factor = math.log(forcing) / math.log(max(residual, 1e-9))
        planned = min(planned, math.ceil(factor * n_products))
    return planned, forcing


def conjugate_gradients(
    multiply: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    right: Array,
    *,
    n_products: int,
    forcing: float,
    rounding: float,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Solve A x = b approximately; return x and its relative residual.

    Parameters
    ----------
    multiply, precondition : callables
        Multiply an array (n_models, n_parameters) by A, and by an estimate of A^-1.
    right : array of shape (n_models, n_parameters)
        b.
    n_products : int
        Number of products on a device, which does not wait for the residual. On the
        host, up to four times as many, until the residual is small enough.
    forcing : float
        Target for the relative residual.
    rounding : float
        Relative rounding error of a number.
    xp : namespace

    Returns
    -------
    x : array of shape (n_models, n_parameters)
    residual : array of shape (n_models,)
        Norm of the residual relative to b, both in the norm of the preconditioner.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithm 5.3.
    """
    x, residual = xp.zeros_like(right), right
    search = precondition(residual)
    first_size = size = xp.vecdot(residual, search)
    least = (ROUNDED * rounding) ** 2 * first_size
    zeros = xp.zeros_like(size)
    looks = arrays.in_host_memory(size)
    enough = forcing**2 * first_size
    for _ in range(MORE_ON_HOST * n_products if looks else n_products):
        product = multiply(search)
        curvature = xp.vecdot(search, product)
        # At the solution, only rounding is left: such models do not move.
        moving = (size > least) & (curvature > 0)
        step_size = xp.where(moving, size / curvature, zeros)[:, None]
        x = x + step_size * search
        residual = residual - step_size * product
        scaled = precondition(residual)
        new_size = xp.vecdot(residual, scaled)
        ratio = xp.where(moving, new_size / size, zeros)[:, None]
        search = scaled + ratio * search
        size = new_size
        if looks and arrays.to_host(xp.all(size <= enough)):
            break
    return x, xp.sqrt(xp.where(first_size > 0, size / first_size, zeros))
