"""The quadratic subproblem, by enumeration and by the conditions of its minimum."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest

from xlr.penalties import Kinks
from xlr.solvers.box_lasso import minimise_quadratic
from xlr.solvers.quadratic import Quadratic

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")


class Problem(NamedTuple):
    """u'Hu / 2 - c'u + sum(kappa |u|) within bounds."""

    matrix: np.ndarray
    linear: np.ndarray
    kinks: Kinks

    def value(self, u: np.ndarray) -> float:
        lasso = self.kinks.lasso @ np.abs(u)
        return u @ (0.5 * (self.matrix @ u) - self.linear) + lasso

    def minimise(self, start: np.ndarray, held: Quadratic | None = None) -> np.ndarray:
        """By the function that is tested, which must say how far it fell."""
        gradient = self.matrix @ start - self.linear
        quadratic = held or Quadratic(self.matrix, noise=1e-10)
        found, fell = minimise_quadratic(quadratic, gradient, self.kinks, start)
        before, after = self.value(start), self.value(found)
        assert fell == pytest.approx(before - after, rel=1e-8, abs=1e-8 * abs(after))
        return found


def problem(seed: int, q: int, *, rank: int | None = None) -> Problem:
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
    return Problem(matrix, linear, Kinks(lasso, lower, upper))


def slope(quadratic: Problem, u: np.ndarray) -> np.ndarray:
    gradient = quadratic.matrix @ u - quadratic.linear
    least = quadratic.kinks.subgradient(u, gradient, xp=np)
    return least / np.sqrt(np.diag(quadratic.matrix))


def by_enumeration(quadratic: Problem) -> float:
    """The least value over all ways to rest: at zero, at a bound, or on either side."""
    best = np.inf
    places = []
    for lasso, low, high in zip(*quadratic.kinks):
        rest = {v for v in (low, high) if np.isfinite(v)}
        rest |= {0.0} if lasso > 0 and low <= 0 <= high else set()
        places.append([*sorted(rest), "+", "-"])
    for choice in itertools.product(*places):
        free = np.asarray([isinstance(c, str) for c in choice])
        sign = np.asarray([{"+": 1.0, "-": -1.0}.get(c, 0.0) for c in choice])
        u = np.asarray([0.0 if isinstance(c, str) else c for c in choice])
        right = quadratic.linear - quadratic.kinks.lasso * sign - quadratic.matrix @ u
        H = quadratic.matrix[np.ix_(free, free)]
        u[free] = np.linalg.solve(H, right[free]) if free.any() else []
        inside = (u >= quadratic.kinks.lower) & (u <= quadratic.kinks.upper)
        if inside.all():
            best = min(best, quadratic.value(u))
    return best


@hypothesis.given(seed=st.integers(0, 10_000), q=st.integers(1, 4))
@hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_the_minimum_is_that_of_enumeration(seed, q):
    quadratic = problem(seed, q)
    rng = np.random.default_rng(seed)
    start = np.clip(rng.normal(size=q), quadratic.kinks.lower, quadratic.kinks.upper)
    u = quadratic.minimise(start)
    least = by_enumeration(quadratic)
    assert quadratic.value(u) == pytest.approx(least, rel=1e-9, abs=1e-9)
    assert (u >= quadratic.kinks.lower).all()
    assert (u <= quadratic.kinks.upper).all()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("q", [5, 40, 150])
@pytest.mark.parametrize("start", ["zero", "random", "near"])
def test_the_conditions_of_a_minimum_hold(seed, q, start):
    quadratic = problem(seed, q)
    u = np.clip(np.zeros(q), quadratic.kinks.lower, quadratic.kinks.upper)
    if start == "random":
        u = np.random.default_rng(seed).normal(size=q)
        u = np.clip(u, quadratic.kinks.lower, quadratic.kinks.upper)
    if start == "near":
        u = quadratic._replace(linear=1.01 * quadratic.linear).minimise(u)
    found = quadratic.minimise(u)
    assert np.abs(slope(quadratic, found)).max() < 1e-8
    # Once there, nothing moves.
    np.testing.assert_array_equal(quadratic.minimise(found), found)


@pytest.mark.parametrize("seed", range(4))
def test_one_inverse_serves_many_problems(seed):
    first = problem(seed, 60)
    held = Quadratic(first.matrix, noise=1e-10)
    rng = np.random.default_rng(seed)
    u = np.clip(np.zeros(60), first.kinks.lower, first.kinks.upper)
    for _ in range(20):
        moved = first.linear * (1 + 0.2 * rng.normal(size=60))
        quadratic = first._replace(linear=moved)
        u = quadratic.minimise(u, held)
        assert np.abs(slope(quadratic, u)).max() < 1e-8


@pytest.mark.parametrize("seed", range(6))
def test_what_the_others_can_stand_for_comes_in_for_one_of_them(seed):
    """More coordinates than the matrix has dimensions."""
    quadratic = problem(seed, 30, rank=10)
    everywhere = np.full(30, 0.5) * np.sqrt(np.diag(quadratic.matrix))
    quadratic = Problem(
        quadratic.matrix,
        quadratic.matrix @ np.linspace(-1, 1, 30),  # within its range
        quadratic.kinks._replace(lasso=everywhere),
    )
    start = np.clip(np.zeros(30), quadratic.kinks.lower, quadratic.kinks.upper)
    found = quadratic.minimise(start)
    assert np.abs(slope(quadratic, found)).max() < 1e-6
