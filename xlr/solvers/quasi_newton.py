"""BFGS corrections of an estimate of the Hessian, from the last steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from xlr.arrays import Array, Namespace


class Pair(NamedTuple):
    """A step and the change of the gradient along it.

    Attributes
    ----------
    step, change : arrays of shape (n_models, n_parameters)
        s and y.
    inverse : array of shape (n_models,)
        1 / s'y; zero for a model whose pair has no effect.
    """

    step: Array
    change: Array
    inverse: Array


def make_pair(step: Array, change: Array, *, xp: Namespace) -> Pair:
    """Return the pair of a step, without effect unless its curvature is positive."""
    product = xp.vecdot(step, change)
    inverse = xp.where(product > 0, 1 / product, xp.zeros_like(product))
    return Pair(step, change, inverse)


def solve(
    gradient: Array,
    pairs: tuple[Pair, ...],
    estimate: Callable[[Array], Array],
    *,
    xp: Namespace,
) -> Array:
    """Return B^-1 g for the BFGS matrix B of an estimate and pairs: two-loop recursion.

    Parameters
    ----------
    gradient : array of shape (n_models, n_parameters)
    pairs : tuple of Pair
        Oldest first.
    estimate : callable
        Solves with the matrix that the pairs correct.
    xp : namespace

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithm 7.4.
    """
    q, weights = gradient, []
    for pair in reversed(pairs):
        weight = pair.inverse * xp.vecdot(pair.step, q)
        weights.append(weight)
        q = q - weight[:, None] * pair.change
    r = estimate(q)
    for pair, weight in zip(pairs, reversed(weights)):
        correction = weight - pair.inverse * xp.vecdot(pair.change, r)
        r = r + pair.step * correction[:, None]
    return r
