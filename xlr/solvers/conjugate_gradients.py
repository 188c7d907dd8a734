"""Preconditioned conjugate gradients, for the linear systems of several models."""

from __future__ import annotations

import math
from collections.abc import Callable

from xlr import arrays
from xlr.arrays import Array, Namespace

# Factor on the planned number of products where a test of the residual, which is free
# on the host, can end the solve earlier.
HOST_PRODUCTS_FACTOR = 4

# Relative residual, in rounding errors, below which a solve cannot improve.
MIN_RESIDUAL_ROUNDINGS = 16


def plan_products(share: float, residual: float, n_products: int) -> tuple[int, float]:
    """Return the number of products of the next solve, and its relative residual.

    With a relative residual of sqrt(|g| / |g_0|) Newton's method converges faster than
    linearly (Nocedal and Wright 2006, *Numerical Optimization*, section 7.1; Eisenstat
    and Walker 1996, *Choosing the forcing terms in an inexact Newton method*). A tenth
    is enough far from the minimum. Below a hundredth, a new Hessian is a better use of
    the time.

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
    b: Array,
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
        Multiply an array (n_models, n_parameters) by A, and by M^-1, an estimate of
        A^-1.
    b : array of shape (n_models, n_parameters)
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
    # The residual r = b - A x has the squared norm r' M^-1 r, for a preconditioner M.
    x, residual = xp.zeros_like(b), b
    direction = precondition(residual)
    first_square = square = xp.vecdot(residual, direction)
    min_square = (MIN_RESIDUAL_ROUNDINGS * rounding) ** 2 * first_square
    target = forcing**2 * first_square
    zeros = xp.zeros_like(square)
    is_on_host = arrays.in_host_memory(square)
    for _ in range(HOST_PRODUCTS_FACTOR * n_products if is_on_host else n_products):
        product = multiply(direction)
        curvature = xp.vecdot(direction, product)
        # A residual of rounding errors gives no direction: such models stay.
        moves = (square > min_square) & (curvature > 0)
        step_size = xp.where(moves, square / curvature, zeros)[:, None]
        x = x + step_size * direction
        residual = residual - step_size * product
        preconditioned = precondition(residual)
        new_square = xp.vecdot(residual, preconditioned)
        ratio = xp.where(moves, new_square / square, zeros)[:, None]
        direction = preconditioned + ratio * direction
        square = new_square
        if is_on_host and arrays.to_host(xp.all(square <= target)):
            break
    return x, xp.sqrt(xp.where(first_square > 0, square / first_square, zeros))
