"""The path of a quadratic subproblem by itself: one of them ends at the minimum."""

from __future__ import annotations

import numpy as np
import pytest

from xlr.objective import Kinks
from xlr.solvers.box_lasso import BoxLasso, _Path, minimise_quadratic
from xlr.solvers.quadratic import Quadratic

MANY = range(300)


def small_integers(rng: np.random.Generator, shape, end: int) -> np.ndarray:
    return rng.integers(-end, end + 1, size=shape).astype(float)


def bounds(rng: np.random.Generator, size: int, draw) -> tuple[np.ndarray, np.ndarray]:
    """Around zero, at which a few are."""
    lower = np.where(rng.random(size) < 0.2, -draw(size=size), -np.inf)
    upper = np.where(rng.random(size) < 0.2, draw(size=size), np.inf)
    return np.where(rng.random(size) < 0.1, 0.0, lower), upper


def generic(seed: int) -> BoxLasso:
    """No two things happen at once."""
    rng = np.random.default_rng(seed)
    q = int(rng.integers(1, 13))
    rows = rng.normal(size=(3 * q, q)) + rng.normal(size=(3 * q, 1))
    lasso = np.where(rng.random(q) < 0.2, 0.0, rng.exponential(size=q))
    kinks = Kinks(lasso, *bounds(rng, q, rng.exponential))
    start = np.clip(rng.normal(size=q) * (rng.random(q) < 0.5), *kinks[1:])
    gradient = 10 * rng.normal(size=q)
    return BoxLasso(Quadratic(rows.T @ rows, noise=1e-10), gradient, kinks, start)


def with_ties(seed: int) -> BoxLasso:
    """Of small integers: many things happen at once."""
    rng = np.random.default_rng(seed)
    q = int(rng.integers(1, 13))
    rows = small_integers(rng, (3 * q, q), 1)
    rows[0] = 1.0
    lasso = np.where(rng.random(q) < 0.2, 0.0, 1.0)
    kinks = Kinks(lasso, *bounds(rng, q, lambda size: np.ones(size)))
    start = np.clip(small_integers(rng, q, 1) * (rng.random() < 0.5), *kinks[1:])
    gradient = small_integers(rng, q, 3)
    gradient[0] = 3.0
    return BoxLasso(Quadratic(rows.T @ rows, noise=1e-10), gradient, kinks, start)


def collinear(seed: int) -> BoxLasso:
    """More columns than rows, or some of them twice, and a linear term in their range."""
    rng = np.random.default_rng(seed)
    q = int(rng.integers(2, 13))
    rows = rng.normal(size=(q // 2, q)) + rng.normal(size=(q // 2, 1))
    if seed % 2:
        rows = rng.normal(size=(3 * q, q))[:, rng.integers(0, q, size=q)]
    rows /= np.linalg.norm(rows, axis=0)
    matrix = rows.T @ rows + 1e-11 * np.eye(q)
    gradient = 5 * rng.normal(size=len(rows)) @ rows
    kinks = Kinks(np.full(q, 0.5), *bounds(rng, q, rng.exponential))
    start = np.clip(rng.normal(size=q) * (rng.random(q) < 0.5), *kinks[1:])
    return BoxLasso(Quadratic(matrix, noise=1e-10), gradient, kinks, start)


def missed(problem: BoxLasso, u: np.ndarray) -> float:
    """By how much the conditions of a minimum are, beside the linear term.

    The slope with the linear term is at least minus what holds u from going down, and
    at most what holds it from going up.
    """
    lasso, lower, upper = problem.kinks
    lower_half = np.tril(problem.quadratic.matrix)
    matrix = lower_half + np.tril(lower_half, -1).T
    slope = problem.gradient + matrix @ (u - problem.start)
    up = slope + np.where(u >= 0, lasso, -lasso)  # the slopes in both directions
    down = slope - np.where(u > 0, -lasso, lasso)
    falls = np.maximum(np.where(u < upper, -up, 0), np.where(u > lower, down, 0))
    assert (u >= lower).all()
    assert (u <= upper).all()
    return falls.max(initial=0.0) / np.abs(problem.gradient).max()


@pytest.mark.parametrize("draw", [generic, with_ties])
def test_one_path_ends_at_the_minimum(draw):
    moved = 0
    for problem in map(draw, MANY):
        path = _Path(problem, problem.start)
        path.follow()
        assert missed(problem, path.u) < 1e-12
        moved += (path.u != problem.start).any()
    assert moved > 0.9 * len(MANY)


def test_it_ends_at_the_minimum_where_coordinates_can_stand_for_others():
    """Bounds of the coordinate that comes in count as those of the others do."""
    for problem in map(collinear, MANY):
        found, _ = minimise_quadratic(*vars(problem).values())
        assert missed(problem, found) < 1e-8
