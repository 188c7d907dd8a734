"""The quadratic subproblem, by enumeration and by the conditions of its minimum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlr.penalties import Kinks
from xlr.solvers.box_lasso import BoxLasso, minimise_quadratic


def problem(seed: int, q: int, *, rank: int | None = None) -> BoxLasso:
    """Random, with free coordinates, bounds and correlations."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(rank or 3 * q, q)) + rng.normal(size=(rank or 3 * q, 1))
    matrix = (
        rows.T @ rows / len(rows) * np.outer(*2 * [scale := 10 ** rng.normal(size=q)])
    )
    if rank is not None:
        matrix = matrix + 1e-12 * np.diag(scale**2)
    lasso = np.where(rng.random(q) < 0.2, 0.0, rng.exponential(size=q) * scale / 2)
    lower = np.where(rng.random(q) < 0.2, -rng.exponential(size=q), -np.inf)
    upper = np.where(rng.random(q) < 0.2, rng.exponential(size=q), np.inf)
    lower = np.where(rng.random(q) < 0.1, 0.0, lower)
    linear = 2 * rng.normal(size=q) * scale
    return BoxLasso(matrix, linear, lasso, lower, upper, noise=1e-10)


def slope(quadratic: BoxLasso, u: np.ndarray) -> np.ndarray:
    kinks = Kinks(quadratic.lasso, quadratic.lower, quadratic.upper)
    gradient = quadratic.matrix @ u - quadratic.linear
    return kinks.subgradient(u, gradient, xp=np) / np.sqrt(np.diag(quadratic.matrix))


def by_enumeration(quadratic: BoxLasso) -> float:
    """The least value over all ways to rest: at zero, at a bound, or on either side."""
    best = np.inf
    places = []
    for lasso, low, high in zip(quadratic.lasso, quadratic.lower, quadratic.upper):
        rest = {v for v in (low, high) if np.isfinite(v)}
        rest |= {0.0} if lasso > 0 and low <= 0 <= high else set()
        places.append([*sorted(rest), "+", "-"])
    for choice in itertools.product(*places):
        free = np.asarray([isinstance(c, str) for c in choice])
        sign = np.asarray([{"+": 1.0, "-": -1.0}.get(c, 0.0) for c in choice])
        u = np.asarray([0.0 if isinstance(c, str) else c for c in choice])
        right = quadratic.linear - quadratic.lasso * sign - quadratic.matrix @ u
        H = quadratic.matrix[np.ix_(free, free)]
        u[free] = np.linalg.solve(H, right[free]) if free.any() else []
        inside = (u >= quadratic.lower) & (u <= quadratic.upper)
        if inside.all():
            best = min(best, quadratic.value(u))
    return best


@given(seed=st.integers(0, 10_000), q=st.integers(1, 4))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_the_minimum_is_that_of_enumeration(seed, q):
    quadratic = problem(seed, q)
    rng = np.random.default_rng(seed)
    start = np.clip(rng.normal(size=q), quadratic.lower, quadratic.upper)
    u = minimise_quadratic(quadratic, start)
    least = by_enumeration(quadratic)
    assert quadratic.value(u) == pytest.approx(least, rel=1e-9, abs=1e-9)
    assert (u >= quadratic.lower).all()
    assert (u <= quadratic.upper).all()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("q", [5, 40, 150])
@pytest.mark.parametrize("start", ["zero", "random", "near"])
def test_the_conditions_of_a_minimum_hold(seed, q, start):
    quadratic = problem(seed, q)
    u = np.clip(np.zeros(q), quadratic.lower, quadratic.upper)
    if start == "random":
        u = np.random.default_rng(seed).normal(size=q)
        u = np.clip(u, quadratic.lower, quadratic.upper)
    if start == "near":
        nearby = BoxLasso(
            quadratic.matrix,
            quadratic.linear * 1.01,
            quadratic.lasso,
            quadratic.lower,
            quadratic.upper,
            quadratic.noise,
        )
        u = minimise_quadratic(nearby, u)
    found = minimise_quadratic(quadratic, u)
    assert np.abs(slope(quadratic, found)).max() < 1e-8
    # Once there, nothing moves.
    np.testing.assert_array_equal(minimise_quadratic(quadratic, found), found)


@pytest.mark.parametrize("seed", range(6))
def test_what_the_others_can_stand_for_comes_in_for_one_of_them(seed):
    """More coordinates than the matrix has dimensions."""
    quadratic = problem(seed, 30, rank=10)
    everywhere = np.full(30, 0.5) * np.sqrt(np.diag(quadratic.matrix))
    quadratic = BoxLasso(
        quadratic.matrix,
        quadratic.matrix @ np.linspace(-1, 1, 30),  # within its range
        everywhere,
        quadratic.lower,
        quadratic.upper,
        quadratic.noise,
    )
    start = np.clip(np.zeros(30), quadratic.lower, quadratic.upper)
    found = minimise_quadratic(quadratic, start)
    assert np.abs(slope(quadratic, found)).max() < 1e-6
