"""Preconditioned conjugate gradients, for the linear systems of several models."""

from __future__ import annotations

from collections.abc import Callable

from xlr import arrays
from xlr.arrays import Array, Namespace

# Factor on the planned products of a solve that may end when its residual is small.
MORE_ON_HOST = 4

# Relative residual at which only rounding is left, in rounding errors.
ROUNDED = 16


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
        Take (n_models, n_parameters) to A times it, and to nearly A^-1 times it.
    right : array of shape (n_models, n_parameters)
        b.
    n_products : int
        Products to spend on a device, which does not wait for the residual. On the host
        up to four times as many, until the residual is small enough.
    forcing : float
        Relative residual that is small enough; 0 for exactly ``n_products``.
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
    looks = arrays.in_host_memory(size) and forcing > 0
    enough = forcing**2 * first_size
    for _ in range(MORE_ON_HOST * n_products if looks else n_products):
        product = multiply(search)
        curvature = xp.vecdot(search, product)
        # Past the solution there is only rounding: such models stand still.
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
