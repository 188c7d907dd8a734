"""What the last iterations tell of a fit, and the end that follows from it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from problems import load
from test_loop import binary_objective

from xlr import arrays
from xlr.objective import Evaluation
from xlr.solvers import SOLVERS, Status, minimise
from xlr.solvers.loop import _Progress, report

OBJECTIVE = SimpleNamespace(
    n_models=1,
    n_outputs=2,
    xp=arrays.namespace(np.ones(1)),
    rounding=0.0,
    or_zero=lambda start, value: start,
)


def idle(values, optimality):
    """For how many iterations nothing improved, after each."""
    progress = _Progress(np.zeros(1, dtype=bool))
    seen = []
    for value, flatness in zip(values, optimality, strict=True):
        progress.note(np.asarray([value]), np.asarray([flatness]), np.ones(1))
        seen.append(int(progress.idle[0]))
    return seen


def test_an_objective_below_all_before_is_progress():
    values = [2.0, 1.0, 1.0, 1.5, 1.2, 1.0, 0.9, 0.95]
    assert idle(values, [1.0] * 8) == [0, 0, 1, 2, 3, 4, 0, 1]


def test_an_optimality_a_tenth_below_all_before_is_progress():
    optimality = [4.0, 3.8, 3.7, 3.5, 3.4, 9.0, 3.2, 3.1, 0.1, 0.095, 0.0, 0.0]
    expected = [0, 1, 2, 0, 1, 2, 3, 0, 0, 1, 0, 1]
    assert idle([1.0] * 12, optimality) == expected


@pytest.mark.parametrize("negligible", [0.0, 8.0])
@pytest.mark.parametrize(
    ("before", "after", "share_of_fall"),
    [(0.2, 0.1, 0.25), (1.0, 0.1, 0.01), (0.1, 0.3, 1), (0.5, 0, 0), (0, 0, 0)],
)
def test_the_next_step_brings_less_by_the_square_of_the_gradient(
    before, after, share_of_fall, negligible
):
    """Of a parabola: at a share r of the gradient there is r^2 of the fall to come."""
    progress = _Progress(np.zeros(1, dtype=bool))
    progress.note(np.asarray([4.5]), np.asarray([before]), np.ones(1))
    progress.note(np.asarray([4.0]), np.asarray([after]), np.ones(1))
    expected = 0.5 * share_of_fall / max(4.0, negligible)
    assert progress.settled(1.001 * expected, negligible)[0]
    assert progress.settled(0.999 * expected, negligible)[0] == (expected == 0)


def test_an_objective_that_rose_foretells_nothing():
    progress = _Progress(np.ones(1, dtype=bool))
    for value in (1.0, 2.0):
        progress.note(np.asarray([value]), np.ones(1), np.ones(1))
    assert progress.settled(0.0)[0]


class Scripted:
    """A solver that reports what it is told to, and keeps what it is given."""

    standardised = True

    def __init__(self, *reports, patience=99):
        self._reports, self.patience, self.given = list(reports), patience, []

    def init(self, objective, start):
        return self._next(start)

    def step(self, objective, state, fetched):
        self.given.append(fetched)
        return self._next(state.parameters)

    def _next(self, parameters):
        numbers = np.asarray(self._reports[0], dtype=float)
        if len(self._reports) > 1:
            self._reports.pop(0)
        at = Evaluation(numbers[0], parameters)
        return SimpleNamespace(parameters=parameters, at=at, report=numbers)


@pytest.mark.parametrize("patience", [1, 3])
def test_a_fit_without_progress_ends_with_the_patience_of_its_solver(patience):
    stuck = Scripted([[1.0], [0.5], [0.0], [0.0]], patience=patience)
    solution = minimise(stuck, OBJECTIVE, np.ones((1, 1)), tol=1e-3, max_iter=50)
    assert solution.status == [Status.PRECISION_LIMIT]
    assert solution.n_iter[0] == patience


def test_one_model_that_overflows_is_refused_beside_others():
    objective = SimpleNamespace(**{**vars(OBJECTIVE), "n_models": 2})
    solver = Scripted([[1.0, np.inf], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    with pytest.raises(FloatingPointError, match="The objective is inf after"):
        minimise(solver, objective, np.ones((2, 1)), tol=1e-3, max_iter=9)


def test_a_model_that_is_done_asks_for_nothing_while_it_waits_for_others():
    """Whatever becomes of it: it is flat, its step was kept, nothing is left over."""
    objective = SimpleNamespace(**{**vars(OBJECTIVE), "n_models": 5})
    first = [[1.0] * 5, [1.0] * 5, [1.0] * 5, [0.5] * 5]
    then = [[0.5] * 5, [0.1, 0.0, 0.1, 0.1, 0.1], [1.0] * 5, [0.5] * 5]
    last = [[0.4] * 5, [0.0, 9.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 1.0, 1.0], [0.5] * 5]
    solver = Scripted(first, then, last)
    options = {"tol": 1e-3, "max_iter": 9, "settle": np.inf}
    solution = minimise(solver, objective, np.ones((5, 1)), **options)
    assert solution.status == [Status.CONVERGED] * 5
    np.testing.assert_array_equal(solution.n_iter, [2, 1, 2, 2, 2])
    at_first, waiting = solver.given
    np.testing.assert_array_equal(at_first, first)
    np.testing.assert_array_equal(waiting[1:, 1], [0.0, 1.0, 0.0])
    others = [0, 2, 3, 4]
    np.testing.assert_array_equal(waiting[:, others], np.asarray(then)[:, others])


def test_seconds_are_those_since_the_fit_began():
    began = time.perf_counter()
    solution = minimise(
        Scripted([[1.0], [0.5], [1.0], [0.0]]),
        OBJECTIVE,
        np.ones((1, 1)),
        tol=1e-3,
        max_iter=5,
    )
    seconds = solution.history()["seconds"]
    assert (np.diff(seconds) >= 0).all()
    assert 0 <= seconds[0] <= seconds[-1] <= time.perf_counter() - began


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_a_start_at_a_minimum_that_is_zero_is_its_end(solver):
    """As many rows of both classes, and columns that tell nothing: no slope at all."""
    objective = binary_objective(np.zeros((6, 2)), np.arange(6) % 2 == 0)
    solution = minimise(
        SOLVERS[solver](), objective, objective.zeros(), tol=0.0, max_iter=9
    )
    assert solution.status == [Status.CONVERGED]
    assert solution.n_iter[0] == 0


def test_a_start_elsewhere_within_tol_is_looked_at_once_more():
    X, y = load("iris", True)
    objective = binary_objective(X, y == 0, y == 0)
    start = objective.zeros()
    start[1, 0] = -0.1
    solution = minimise(SOLVERS["lbfgs"](), objective, start, tol=9.0, max_iter=50)
    assert solution.n_iter[0] == 0 < solution.n_iter[1]


def test_the_numbers_of_an_iteration():
    X, y = load("iris", True)
    objective = binary_objective(X, y == 0, y == 1)
    at = objective.value_and_gradient(objective.zeros())
    change = np.asarray([[0.1, -0.3, 0.2, 0.0, 0.0], [0.0] * 5])
    extra = np.asarray([0.25, 0.5])
    value, optimality, step, rest = report(objective, at, change, extra)
    np.testing.assert_array_equal(value, at.value)
    np.testing.assert_allclose(optimality, np.abs(at.gradient).max(axis=1))
    np.testing.assert_array_equal(step, [0.3, 0.0])
    np.testing.assert_array_equal(rest, extra)
    np.testing.assert_array_equal(report(objective, at)[2:], np.zeros((2, 2)))
