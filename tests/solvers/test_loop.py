"""When a fit ends and what it says then."""

from __future__ import annotations

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import to_numpy
from problems import load
from sklearn.exceptions import ConvergenceWarning

import xlr
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss
from xlr.objective import Evaluation, Objective, Responses
from xlr.penalties import L2Penalty
from xlr.solvers import SOLVERS, Status, minimise
from xlr.solvers.loop import _Progress

SECOND_ORDER = ["newton-cholesky", "newton-cg", "lbfgs"]


@pytest.mark.parametrize("solver", SECOND_ORDER)
@pytest.mark.parametrize("C", [1.0, 1e6])
def test_objective_never_rises(solver, C):
    X, y = load("breast_cancer", False)
    model = xlr.LogisticRegression(C=C, solver=solver, max_iter=3000).fit(X, y)
    losses = model.history_["objective"]
    # up to the rounding error of a sum of 569 numbers
    assert (np.diff(losses) <= 16 * np.finfo(float).eps * losses[:-1]).all()
    steps = model.history_["step"]
    assert steps[0] == 0
    assert (losses[1:][steps[1:] == 0] == losses[:-1][steps[1:] == 0]).all()


def test_iteration_limit_warns_with_what_to_do():
    X, y = load("breast_cancer", True)
    model = xlr.LogisticRegression(solver="lbfgs", max_iter=2)
    with pytest.warns(
        ConvergenceWarning, match="Increase max_iter, or use solver="
    ) as w:
        model.fit(X, y)
    assert w[0].filename == __file__  # points at the user's line
    assert not model.converged_
    assert model.optimality_ > model.tol
    assert model.n_iter_ == 2
    assert {len(column) for column in model.history_.values()} == {3}


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_precision_limit_says_where_float32_ends(solver):
    X, y = load("breast_cancer", True)
    model = xlr.LogisticRegression(solver=solver, tol=1e-14)
    with pytest.warns(ConvergenceWarning, match="float32 arithmetic ends.*float64"):
        model.fit(X.astype(np.float32), y)
    assert not model.converged_
    assert model.optimality_ < 1e-5


def test_a_true_answer_from_a_callback_ends_the_fit():
    X, y = load("iris", True)
    objective = binary_objective(X, y == 1)
    solution = minimise(
        SOLVERS["lbfgs"](),
        objective,
        np.zeros((1, objective.n_parameters)),
        tol=1e-9,
        max_iter=100,
        on_iteration=lambda record, parameters: record.iteration == 2,
    )
    assert solution.status == [Status.CALLBACK]
    assert len(solution.records) == 3


def test_start_that_overflows_is_refused():
    X, y = load("iris", True)
    with pytest.raises(FloatingPointError, match="Start from smaller coefficients"):
        xlr.LogisticRegression().fit(
            X, y, coef_init=np.full((3, 4), 1e300) * [[1], [2], [3]]
        )


def binary_objective(X, *labels, weights=None):
    """One binary model for each array of labels."""
    xp = xlr.arrays.namespace(X)
    targets = np.stack(labels, axis=1)
    ones = np.ones((X.shape[0], 1))
    return Objective(
        DenseDesign(X, None, xp=xp),
        Responses(len(labels), targets, ones, counts=weights),
        LogisticLoss(),
        L2Penalty(np.full((1, 1, X.shape[1]), 1e-2)),
        fit_intercept=True,
        units=None,
    )


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_models_that_share_rows_end_where_single_fits_do(solver):
    """The model axis: three problems in one, of different difficulty."""
    X, y = load("iris", True)
    labels = [y == k for k in range(3)]
    together = binary_objective(X, *labels)
    solution = minimise(
        SOLVERS[solver](),
        together,
        np.zeros((3, together.n_parameters)),
        tol=1e-10,
        max_iter=500,
    )
    assert solution.status == [Status.CONVERGED] * 3
    for k, one in enumerate(labels):
        alone = binary_objective(X, one)
        single = minimise(
            SOLVERS[solver](), alone, np.zeros((1, 5)), tol=1e-10, max_iter=500
        )
        np.testing.assert_allclose(
            solution.parameters[k], single.parameters[0], rtol=1e-6, atol=1e-8
        )
        assert solution.n_iter[k] <= len(solution.records) - 1


def test_singular_hessian_of_collinear_columns():
    """Twice the same columns without a penalty: they share the coefficient."""
    X, y = load("breast_cancer", True)
    X = X[:, :3]
    once = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    twice = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(np.hstack([X, X]), y)
    assert twice.converged_
    together = twice.coef_[:, :3] + twice.coef_[:, 3:]
    np.testing.assert_allclose(together, once.coef_, rtol=1e-5)
    assert np.abs(twice.coef_).max() < np.abs(once.coef_).max()


def test_no_warning_comes_from_inside():
    X, y = load("digits", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", xlr.SeparationWarning)
        xlr.LogisticRegression(C=np.inf, tol=1e-3).fit(X * 1e150, y)
        assert np.isfinite(to_numpy(xlr.sigmoid(X * 1e300))).all()


def test_a_step_that_went_wrong_far_out_does_not_overflow_the_host(monkeypatch):
    """Many features make a Hessian dear, and a gradient that grows is no overflow."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 300)) * 1e-3
    objective = binary_objective(X, X[:, 0] > 0)
    solver = SOLVERS["newton-cholesky"]()
    state = solver.init(objective, objective.zeros())
    state = solver.step(objective, state, np.asarray([[0.7], [1e-9], [0.0], [0.0]]))
    monkeypatch.setattr(Objective, "hessian_cost", 400.0)
    solver.step(objective, state, np.asarray([[0.7], [1e3], [1.0], [0.0]]))


@pytest.mark.parametrize("solver", [*SECOND_ORDER, "gradient-descent"])
def test_models_that_are_done_leave(solver, monkeypatch):
    """The passes get narrower, and the answers stay in their places."""
    X, y = load("iris", True)
    labels = [y == 0, y == 1, y == 2, X[:, 1] > 0.1]
    together = binary_objective(X, *labels)
    widths = []
    passes = Objective.value_and_gradient

    def watched(self, parameters):
        widths.append(self.n_models)
        return passes(self, parameters)

    monkeypatch.setattr(Objective, "value_and_gradient", watched)
    options = {"tol": 1e-8, "max_iter": 5_000}
    make = SOLVERS[solver]
    arguments = (None,) if solver == "gradient-descent" else ()
    solution = minimise(make(*arguments), together, together.zeros(), **options)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] == 4
    last = solution.records[-1]
    assert (last.optimality <= 1e-8).all()
    # What has left stands still.
    assert (last.step > 0).sum() <= widths[-1]
    for k, one in enumerate(labels):
        alone = binary_objective(X, one)
        single = minimise(make(*arguments), alone, alone.zeros(), **options)
        np.testing.assert_allclose(
            solution.parameters[k], single.parameters[0], rtol=1e-5, atol=1e-6
        )
        value, _ = passes(alone, solution.parameters[k : k + 1])
        assert value[0] == pytest.approx(last.objective[k], rel=1e-12)


def test_a_refused_step_does_not_settle_a_model():
    """A start within tol, from which the first steps are refused, is no minimum."""
    progress = _Progress(np.ones(1, dtype=bool))
    value, optimality, refused = np.ones(1), np.full(1, 1e-7), np.zeros(1)
    for _ in range(3):
        progress.note(value, optimality, refused)
        assert not progress.settled(1e-9)[0]
    progress.note(value * (1 - 1e-12), optimality, np.ones(1))
    assert progress.settled(1e-9)[0]


class Scripted:
    """A solver that is within tol at once, and lowers F by half as much each time."""

    patience = 99
    standardised = True

    def __init__(self, least):
        self._least, self._fall = least, 2.0

    def init(self, objective, start):
        return self.step(objective, None, None)

    def step(self, objective, state, fetched):
        self._fall /= 2
        value = np.asarray([self._least + self._fall])
        numbers = np.stack([value, [1e-3], [1.0], [0.0]])
        return SimpleNamespace(
            parameters=value[:, None],
            at=Evaluation(value, value[:, None]),
            report=numbers,
        )


@pytest.mark.parametrize(
    ("least", "settle", "n_iter"),
    [
        (1.0, 0.1, 10),  # the next step brings 2^-10 of 1, of which 1e-3 is nothing
        (1000.0, 0.1, 1),
        (1.0, 1e-3, 17),
        (1.0, 0.0, 20),  # four roundings of F
        (1.0, np.inf, 0),
    ],
)
def test_a_fit_goes_on_while_steps_lower_f(least, settle, n_iter):
    objective = SimpleNamespace(
        n_models=1,
        n_outputs=2,
        xp=xlr.arrays.namespace(np.ones(1)),
        rounding=2.0**-22,
        or_zero=lambda start, value: start,
    )
    options = {"tol": 1e-2, "max_iter": 50, "settle": settle}
    solution = minimise(Scripted(least), objective, np.zeros((1, 1)), **options)
    assert solution.status == [Status.CONVERGED]
    assert solution.n_iter[0] == n_iter


def test_a_proof_counts_as_convergence():
    objective = binary_objective(*(load("iris", True)[0], load("iris", True)[1] == 0))
    ended = minimise(
        SOLVERS["newton-cg"](), objective, objective.zeros(), tol=1e-9, max_iter=2
    )
    assert ended.status == [Status.ITERATION_LIMIT]
    F = ended.records[-1].objective
    assert ended.with_proof(2e-3 * F, 1e-3).status == [Status.ITERATION_LIMIT]
    assert ended.with_proof(0.5e-3 * F, 1e-3).status == [Status.CONVERGED]
    # Nothing is below an F of zero.
    nothing = replace(ended, records=[replace(ended.records[-1], objective=0 * F)])
    assert nothing.with_proof(0 * F, 1e-3).status == [Status.CONVERGED]


def test_a_fit_that_begins_where_the_last_ended_may_end_at_once():
    progress = _Progress(np.asarray([False, True]))  # one begins elsewhere
    np.testing.assert_array_equal(progress.settled(1e-9), [True, False])


def test_without_a_penalty_a_fit_without_an_optimum_ends():
    """All rows told apart: F falls to 0 for ever, by a factor each iteration."""
    X, y = load("digits", False)
    with pytest.warns(xlr.SeparationWarning, match="complete separation"):
        model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    assert model.converged_
    assert model.score(X, y) == 1
    assert model.history_["objective"][-1] < 1e-12
    assert model.n_iter_ < 150
