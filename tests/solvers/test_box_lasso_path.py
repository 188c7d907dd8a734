"""The path of a quadratic subproblem by itself: one of them ends at the minimum."""

from __future__ import annotations

import numpy as np
import pytest

import xlr
from xlr.objective import Kinks
from xlr.solvers import box_lasso
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


def collinear(seed: int, largest: int = 13) -> BoxLasso:
    """More columns than rows, or some twice; the linear term is in their range."""
    rng = np.random.default_rng(seed)
    q = int(rng.integers(2, largest))
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


class Counted(Quadratic):
    """How many steps a path has taken, each with one product."""

    def times(self, u: np.ndarray) -> np.ndarray:
        self.n_products = getattr(self, "n_products", 0) + 1
        return super().times(u)


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


def n_steps(problem: BoxLasso) -> int:
    problem.quadratic.__class__ = Counted
    path = _Path(problem, problem.start)
    path.follow()
    return problem.quadratic.n_products - 2


def test_rounding_errors_on_the_way_are_mended_at_its_end():
    """So that one path is enough, but for a few."""
    again = 0
    for problem in map(collinear, range(200)):
        path = _Path(problem, problem.start)
        path.follow()
        again += missed(problem, path.u) > 1e-10
    assert again < 0.1 * 200


def test_what_came_to_rest_or_left_is_not_sent_back_by_rounding():
    problems = [collinear(seed, 60) for seed in range(60)]
    n_coordinates = sum(problem.start.size for problem in problems)
    assert sum(map(n_steps, problems)) < 1.5 * n_coordinates


def test_a_path_that_goes_in_a_circle_is_given_up():
    for seed in (397, 903, 1775, 3049, 4627, 4629, 4805, *range(200)):
        problem = collinear(seed)
        assert n_steps(problem) < 4 * problem.start.size, seed


def test_a_fit_of_more_parameters_than_rows_goes_in_no_circles(monkeypatch):
    """A weak penalty leaves as many coefficients as the rows can tell apart."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(20, 40)), rng.integers(0, 4, 20)
    n_steps, ends = 0, _Path._ends

    def counted(path, velocity):
        nonlocal n_steps
        n_steps += 1
        return ends(path, velocity)

    monkeypatch.setattr(_Path, "_ends", counted)
    model = xlr.LogisticRegression(C=1e3, l1_ratio=1, solver="proximal-newton")
    model.fit(X, y)
    assert model.converged_
    assert n_steps < 8 * 4 * 41


@pytest.mark.parametrize("sign", [1, -1])
def test_without_kinks_a_path_is_one_step(sign):
    problem = generic(0)
    q = problem.start.size
    free = Kinks(np.zeros(q), np.full(q, -np.inf), np.full(q, np.inf))
    quadratic = Counted(np.tril(problem.quadratic.matrix), noise=1e-10)
    path = _Path(
        BoxLasso(quadratic, sign * 1e3 * np.ones(q), free, sign * np.ones(q)),
        sign * np.ones(q),
    )
    before = quadratic.n_products
    path.follow()
    # That of the step, and the slope at the end.
    assert quadratic.n_products == before + 2
    assert (path.u * sign < 0).any()


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**40])
def test_a_problem_in_other_units_takes_the_same_path(scale):
    for problem in map(generic, range(20)):
        scaled = BoxLasso(
            problem.quadratic,
            problem.gradient * scale,
            Kinks(*(scale * end for end in problem.kinks)),
            problem.start * scale,
        )
        paths = _Path(problem, problem.start), _Path(scaled, scaled.start)
        for path in paths:
            path.follow(anew=True)
        np.testing.assert_array_equal(paths[1].u, paths[0].u * scale)


def test_what_wants_to_leave_where_it_rests():
    """Not what is just at the end of its range, and not what moves."""
    q = 8
    kinks = Kinks(np.ones(q), np.full(q, -9.0), np.full(q, 9.0))
    u = np.asarray([0, 0, 0, 0, 9, 9, -9, 5.0])
    # Its residual is minus the slope.
    gradient = -np.asarray([1.0, -1.0, 1.5, -1.5, 0.5, 1.5, -0.5, 7.0])
    path = _Path(BoxLasso(Quadratic(np.eye(q), 1e-10), gradient, kinks, u), u)
    # At the upper bound it would go down with a residual below 1, at the lower up.
    assert path.n_wanting == 2 + 1 + 1


@pytest.mark.parametrize("extra", [0, 1])
def test_steps_for_all_at_once_where_many_want_to_leave(extra, monkeypatch):
    q = box_lasso.MANY + extra
    kinks = Kinks(np.ones(q), np.full(q, -np.inf), np.full(q, np.inf))
    calls = []
    monkeypatch.setattr(
        box_lasso, "_descend", lambda problem: calls.append(1) or problem.start
    )
    found, _ = minimise_quadratic(
        Quadratic(np.eye(q), 1e-10), np.full(q, 3.0), kinks, np.zeros(q)
    )
    np.testing.assert_allclose(found, -2.0)
    assert len(calls) == extra


def test_the_second_path_has_an_inverse_that_is_computed_again(monkeypatch):
    anew = []

    class Watched(Quadratic):
        def inverse_of(self, inside, **options):
            anew.append(options["anew"])
            return super().inverse_of(inside, **options)

    # As if rounding had spoiled the first.
    follow = _Path.follow

    def spoiled(path, **options):
        follow(path, **options)
        path.u += 1e-3 if len(anew) < 3 else 0.0

    monkeypatch.setattr(_Path, "follow", spoiled)
    problem = generic(3)
    quadratic = Watched(np.tril(problem.quadratic.matrix), noise=1e-10)
    free = problem.kinks._replace(lower=np.full(problem.start.size, -np.inf))
    free = free._replace(upper=-free.lower)
    minimise_quadratic(quadratic, problem.gradient, free, problem.start)
    assert anew == [False, True, True]
