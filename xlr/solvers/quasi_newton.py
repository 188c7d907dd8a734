"""What the last steps tell about the Hessian, on top of an estimate of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace

__all__ = ["Pair", "make_pair", "solve"]


class Pair(NamedTuple):
    """A change of the parameters and the change of the gradient that it brought.

    Attributes
    ----------
    change, slope : arrays of shape (n_models, n_parameters)
        s and y.
    inverse : array of shape (n_models,)
        1 / s'y; zero for a model that took no step, whose pair changes nothing.
    """

    change: Array
    slope: Array
    inverse: Array

    def without(self, models: np.ndarray) -> Pair:
        """The pair, but nothing for some models, by their numbers on the host."""
        counts = np.ones(self.inverse.shape[0])
        counts[models] = 0
        xp, device = arrays.namespace(self.inverse), arrays.device_of(self.inverse)
        dtype = self.inverse.dtype
        kept = arrays.move(counts, xp=xp, device=device, dtype=dtype)
        return Pair(self.change, self.slope, self.inverse * kept)

    def select(self, models: np.ndarray) -> Pair:
        """That of some models, by their numbers on the host."""
        return Pair(*(arrays.rows(part, models) for part in self))


def make_pair(change: Array, slope: Array, *, xp: Namespace) -> Pair:
    """The pair of a step, which counts where F curves upwards along it."""
    product = xp.sum(change * slope, axis=1)
    inverse = xp.where(product > 0, 1 / product, xp.zeros_like(product))
    return Pair(change, slope, inverse)


def solve(
    gradient: Array,
    pairs: tuple[Pair, ...],
    estimate: Callable[[Array], Array],
    *,
    xp: Namespace,
) -> Array:
    """B^-1 g for the BFGS matrix B of an estimate and some pairs (two-loop recursion).

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
    q = gradient
    weights = []
    for pair in reversed(pairs):
        weight = pair.inverse * xp.sum(pair.change * q, axis=1)
        weights.append(weight)
        q = q - weight[:, None] * pair.slope
    r = estimate(q)
    for pair, weight in zip(pairs, reversed(weights)):
        correction = weight - pair.inverse * xp.sum(pair.slope * r, axis=1)
        r = r + pair.change * correction[:, None]
    return r
