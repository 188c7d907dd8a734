"""Near the minimum of a quadratic function with kinks, by the textbook's steps."""

from __future__ import annotations

import numpy as np
import pytest

from xlr.objective import Kinks
from xlr.solvers import box_lasso
from xlr.solvers.box_lasso import BoxLasso, _descend, _Path
from xlr.solvers.quadratic import Quadratic

SIZE = 12


def correlations(seed: int) -> np.ndarray:
    """With one eigenvalue that is much larger than the others."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(3 * SIZE, SIZE)) + rng.normal(size=(3 * SIZE, 1))
    return np.corrcoef(rows, rowvar=False)


def problem(seed: int, lasso: float = 0.8) -> BoxLasso:
    """Some coordinates are bounded, some have no kink, and all begin off zero."""
    rng = np.random.default_rng(seed)
    upper = np.where(rng.random(SIZE) < 0.3, 0.2, np.inf)
    kinks = Kinks(
        np.where(rng.random(SIZE) < 0.2, 0.0, lasso), np.full(SIZE, -3.0), upper
    )
    start = np.minimum(rng.normal(size=SIZE), upper)
    linear = 2 * rng.normal(size=SIZE)
    return BoxLasso(Quadratic(correlations(seed), 1e-10), linear, kinks, start)


class Textbook:
    """FISTA by Beck and Teboulle (2009), section 4, with constant steps.

    Begun again where a step points uphill: the gradient scheme of O'Donoghue and Candès
    (2015), eq. 13.
    """

    def __init__(self, of: BoxLasso) -> None:
        self._of, self._matrix = of, of.quadratic.matrix
        self._step = 1 / (1.1 * np.linalg.eigvalsh(self._matrix)[-1])
        self.points, self._y, self._k = [self._of.start], self._of.start, 0
        self.restarts = 0

    def nearest(self, v: np.ndarray) -> np.ndarray:
        lasso, lower, upper = self._of.kinks
        shrunk = np.sign(v) * np.maximum(np.abs(v) - self._step * lasso, 0)
        return np.clip(shrunk, lower, upper)

    def advance(self) -> np.ndarray:
        x, y = self.points[-1], self._y
        gradient = self._of.gradient + self._matrix @ (y - self._of.start)
        new = self.nearest(y - self._step * gradient)
        if (y - new) @ (new - x) > 0:
            self.restarts, self._k = self.restarts + 1, 0
        # (t_k - 1) / t_(k + 1), as t goes 1, 1.618, 2.194, 2.750, ...
        t = [1.0]
        for _ in range(self._k + 1):
            t.append(0.5 + (0.25 + t[-1] ** 2) ** 0.5)
        self._y = new + (t[-2] - 1) / t[-1] * (new - x)
        self._k += 1
        self.points.append(new)
        return new


@pytest.mark.parametrize("seed", range(3))
def test_the_descent_is_the_textbooks(seed, monkeypatch):
    textbook = Textbook(problem(seed))
    monkeypatch.setattr(box_lasso, "ENOUGH_UNCHANGED", 10**9)
    for n_steps in range(1, 60):
        monkeypatch.setattr(box_lasso, "MAX_DESCENT", n_steps)
        expected = textbook.advance()
        np.testing.assert_allclose(_descend(problem(seed)), expected, atol=1e-6)
    assert textbook.restarts > 0


@pytest.mark.parametrize("seed", range(3))
def test_it_ends_once_the_same_coordinates_have_rested_for_a_while(seed, monkeypatch):
    monkeypatch.setattr(box_lasso, "ENOUGH_UNCHANGED", 5)
    textbook = Textbook(problem(seed))
    rests = []
    while len(rests) < 6 or any((now != rests[-1]).any() for now in rests[-6:]):
        textbook.advance()
        rests = [point == 0 for point in textbook.points]
    assert len(rests) > 6  # they were others at first
    expected = textbook.points[-1]
    np.testing.assert_allclose(_descend(problem(seed)), expected, atol=1e-6)
    # Without kinks none ever rest.
    textbook = Textbook(problem(seed, lasso=0.0))
    for _ in range(5):
        expected = textbook.advance()
    np.testing.assert_allclose(_descend(problem(seed, lasso=0.0)), expected, atol=1e-6)


def test_steps_are_short_enough_where_to_move_all_alike_changes_nothing():
    """As of three classes that are equally likely: H = (I - 11'/3) x G."""
    gram = np.diag(np.arange(1.0, 5.0))
    matrix = np.kron(np.eye(3) - 1 / 3, gram) + 1e-14 * np.eye(12)
    free = Kinks(np.full(12, 0.1), np.full(12, -np.inf), np.full(12, np.inf))
    linear = np.kron([1.0, -2.0, 1.0], np.ones(4))
    of = BoxLasso(Quadratic(matrix, 1e-10), linear, free, np.zeros(12))
    u = _descend(of)
    assert of.fall(u) > 0
    assert _Path(of, u).violation() < 0.05 < _Path(of, of.start).violation()


@pytest.mark.parametrize("side", [1, -1])
def test_how_far_the_conditions_of_a_minimum_are_missed(side):
    """In units of the numbers they are made of: |H(u - w)| + |g| at the largest."""
    kinks = Kinks(np.asarray([0.0, 1.5]), np.full(2, -np.inf), np.full(2, np.inf))
    gradient = side * np.asarray([-1.0, 2.0])
    problem = BoxLasso(Quadratic(np.eye(2), 1e-10), gradient, kinks, np.zeros(2))

    def violation(*u):
        return _Path(problem, side * np.asarray(u)).violation()

    # The first wants to move with a slope of 1, the second beyond its kink with 0.5.
    assert violation(0, 0) == pytest.approx(1 / 2)
    assert violation(0.75, 0) == pytest.approx(0.5 / 2)
    # On the far side of the minimum: 3 - 1 of 3 + 1.
    assert violation(3, 0) == pytest.approx(2 / 4)
    assert violation(1, -0.5) == 0
