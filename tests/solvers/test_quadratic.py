"""Minima of quadratic functions with an L1 penalty and bounds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import minimize

from xlr.penalties import NonSmooth
from xlr.solvers.quadratic import Quadratic
from xlr.solvers.quadratic_subproblem import minimise_quadratic


class Problem(NamedTuple):
    """A quadratic function near a start, with an L1 penalty and bounds."""

    matrix: np.ndarray
    gradient: np.ndarray  # at the start
    non_smooth: NonSmooth
    start: np.ndarray
    noise: float = 1e-14  # of the entries, relative to the diagonal

    def decrease(self, v: np.ndarray) -> float:
        """Return the decrease of the function from the start to v."""
        step = v - self.start
        penalty = self.non_smooth.l1 @ (np.abs(self.start) - np.abs(v))
        return penalty - step @ (self.gradient + 0.5 * self.matrix @ step)

    def violation(self, v: np.ndarray) -> float:
        """Return the largest minimum-norm subgradient, relative to its terms."""
        scale = np.sqrt(np.diag(self.matrix))
        gradient = self.gradient + self.matrix @ (v - self.start)
        size = np.abs(gradient - self.gradient) + np.abs(self.gradient)
        subgradient = self.non_smooth.minimum_norm_subgradient(v, gradient, xp=np)
        return np.max(np.abs(subgradient / scale)) / np.max(
            size / scale, initial=1e-300
        )


def draw_bounds(rng: np.random.Generator, q: int) -> tuple[np.ndarray, np.ndarray]:
    lower = np.where(rng.random(q) < 0.2, -rng.exponential(size=q), -np.inf)
    upper = np.where(rng.random(q) < 0.2, rng.exponential(size=q), np.inf)
    return np.where(rng.random(q) < 0.1, 0.0, lower), upper


def generic(seed: int, q: int) -> Problem:
    """Return a problem of correlated columns on different scales, some unpenalised."""
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.normal(size=q)
    rows = (rng.normal(size=(3 * q, q)) + rng.normal(size=(3 * q, 1))) * scale
    l1 = np.where(rng.random(q) < 0.2, 0.0, rng.exponential(size=q)) * scale
    non_smooth = NonSmooth(l1, *draw_bounds(rng, q))
    start = np.clip(rng.normal(size=q) * (rng.random(q) < 0.5), *non_smooth[1:])
    return Problem(rows.T @ rows, 10 * rng.normal(size=q) * scale, non_smooth, start)


def tied(seed: int, q: int) -> Problem:
    """Return a problem of small integers: many coordinates become active at once."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-1, 2, size=(3 * q, q)).astype(float)
    rows[0] = 1.0
    lower = np.where(rng.random(q) < 0.3, -1.0, -np.inf)
    start = np.clip(rng.integers(-1, 2, size=q).astype(float), lower, 1.0)
    non_smooth = NonSmooth(np.where(rng.random(q) < 0.2, 0.0, 1.0), lower, np.ones(q))
    return Problem(rows.T @ rows, rng.integers(-3, 4, size=q) * 1.0, non_smooth, start)


def collinear(seed: int, q: int) -> Problem:
    """Return a problem with fewer rows than columns, or equal columns.

    The gradient is in the range of the matrix, so that there is a minimum.
    """
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(max(1, q // 2), q)) + rng.normal(size=(max(1, q // 2), 1))
    if seed % 2:
        rows = rng.normal(size=(3 * q, q))[:, rng.integers(0, q, size=q)]
    rows /= np.linalg.norm(rows, axis=0)
    non_smooth = NonSmooth(np.full(q, 0.5), *draw_bounds(rng, q))
    start = np.clip(rng.normal(size=q) * (rng.random(q) < 0.5), *non_smooth[1:])
    return Problem(
        rows.T @ rows, 5 * rng.normal(size=len(rows)) @ rows, non_smooth, start
    )


def softmax(seed: int, n_features: int) -> Problem:
    """Return a problem of a softmax with unpenalised intercepts: H is singular."""
    rng = np.random.default_rng(seed)
    X = np.column_stack(
        [rng.normal(size=(3 * n_features, n_features)), np.ones(3 * n_features)]
    )
    p = rng.dirichlet(np.ones(3), size=len(X))
    curvature = p[:, :, None] * np.eye(3) - p[:, :, None] * p[:, None, :]
    q = 3 * X.shape[1]
    matrix = np.einsum("nab,ni,nj->aibj", curvature, X, X).reshape(q, q)
    residual = p - np.eye(3)[rng.integers(0, 3, len(X))]
    l1 = np.full((3, X.shape[1]), 10.0 ** rng.uniform(-3, 0.5))
    l1[:, -1] = 0.0
    free = np.full(q, np.inf)
    non_smooth = NonSmooth(l1.ravel(), -free, free)
    return Problem(matrix, (residual.T @ X).ravel(), non_smooth, np.zeros(q))


@pytest.mark.parametrize("draw", [generic, tied, collinear, softmax])
@pytest.mark.parametrize("q", [1, 2, 5, 12, 40])
def test_quadratic_minimum_satisfies_the_kkt_conditions(draw, q):
    for seed in range(10):
        problem = draw(seed, q)
        quadratic = Quadratic(problem.matrix, problem.noise)
        v, decrease = minimise_quadratic(quadratic, *problem[1:4])
        assert problem.violation(v) < 1e-10, seed
        assert (v >= problem.non_smooth.lower).all()
        assert (v <= problem.non_smooth.upper).all()
        size = abs(problem.gradient) @ abs(v - problem.start)
        assert decrease == pytest.approx(
            problem.decrease(v), rel=1e-9, abs=1e-12 * size
        )
        assert decrease >= 0


@pytest.mark.parametrize("draw", [generic, tied, collinear])
@pytest.mark.parametrize("seed", range(3))
def test_quadratic_minimum_agrees_with_scipy(draw, seed):
    """SciPy runs L-BFGS-B on v = a - b, with a and b at least 0."""
    problem = draw(seed, 6)
    l1, lower, upper = problem.non_smooth

    def value_and_gradient(ab):
        v = ab[:6] - ab[6:]
        step = v - problem.start
        derivative = problem.gradient + problem.matrix @ step
        value = step @ (problem.gradient + derivative) / 2 + l1 @ (ab[:6] + ab[6:])
        return value, np.concatenate([derivative + l1, l1 - derivative])

    # The lower bounds here are at most 0, and the upper ones at least 0.
    ends = [(0.0, end) for end in np.concatenate([upper, -lower])]
    start = np.maximum(np.concatenate([problem.start, -problem.start]), 0.0)
    options = {"maxiter": 100_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-12}
    found = minimize(value_and_gradient, start, jac=True, bounds=ends, options=options)
    _, decrease = minimise_quadratic(
        Quadratic(problem.matrix, problem.noise), *problem[1:4]
    )
    best = l1 @ abs(problem.start) - found.fun
    assert decrease == pytest.approx(best, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("q", [30, 300])
@pytest.mark.parametrize("seed", range(2))
def test_quadratic_minimum_after_bfgs_corrections_of_the_matrix(seed, q):
    """In a fit, one quadratic serves many gradients, and BFGS corrects it."""
    rng = np.random.default_rng(seed)
    problem = generic(seed, q)
    quadratic = Quadratic(problem.matrix, problem.noise)
    matrix, v = problem.matrix, problem.start
    for _ in range(10):
        step = rng.normal(size=q) / np.sqrt(np.diag(matrix))
        change = matrix @ step * rng.uniform(0.8, 1.25)
        product = matrix @ step
        quadratic.bfgs_update(step, change)
        matrix = matrix + np.outer(change, change) / (step @ change)
        matrix -= np.outer(product, product) / (step @ product)
        moved = problem.gradient * (1 + 0.2 * rng.normal(size=q))
        now = Problem(matrix, moved, problem.non_smooth, v)
        v, _ = minimise_quadratic(quadratic, *now[1:4])
        assert now.violation(v) < 1e-10
        np.testing.assert_allclose(quadratic.diagonal, np.diag(matrix), rtol=1e-9)
