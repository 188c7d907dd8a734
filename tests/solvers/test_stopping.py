"""Ends of fits: convergence, the limits of iterations and precision, and minima."""

from __future__ import annotations

import warnings
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from conftest import to_numpy
from problems import load, objective
from scipy.sparse import csr_array
from scipy.special import logsumexp, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import xlr
from xlr import arrays
from xlr.objective import Evaluation
from xlr.solvers import Diagnostics, Start, Status, minimise

SMOOTH = ["newton-cholesky", "newton-cg", "lbfgs"]


class ScriptedState(NamedTuple):
    """State of a scripted solver."""

    parameters: np.ndarray
    at: Evaluation
    decrease: np.ndarray
    diagnostics: Diagnostics


class ScriptedSolver:
    """A solver that reports given values of F, optimality, step and decrease."""

    standardized = True

    def __init__(self, *records, patience=99.0):
        self._records, self.patience = list(records), patience

    def init(self, objective, start):
        return self._next(start.parameters)

    def step(self, objective, state):
        return self._next(state.parameters)

    def decrease(self, objective, state):
        return state.decrease

    def _next(self, parameters):
        value, optimality, step, decrease = (
            np.asarray(part, dtype=float) for part in self._records[0]
        )
        if len(self._records) > 1:
            self._records.pop(0)
        zeros = 0 * value
        at = Evaluation(value, parameters)
        diagnostics = Diagnostics(value, optimality, step, zeros)
        return ScriptedState(parameters, at, decrease, diagnostics)


def run(solver, **options):
    """Run a scripted solver of one model, with tol=1e-2."""
    start = np.ones((1, 1))
    at = Evaluation(np.ones(1), start)
    # The solver does not evaluate its objective.
    objective = SimpleNamespace(
        n_models=1, n_outputs=1, xp=arrays.namespace(np.ones(1)), rounding=2**-22
    )
    options = {"tol": 1e-2, "max_iter": 20, **options}
    return minimise(solver, objective, Start(start, at), **options)


# Records within tol, whose predicted decrease halves in each iteration.
HALVING = [([1.0], [1e-3], [1.0], [2.0**-k]) for k in range(30)]


@pytest.mark.parametrize(
    ("decrease_share", "n_iter"),
    [
        (np.inf, 0),
        (0.1, 10),  # 2^-10 is the first decrease below 1e-3 F
        (1e-3, 17),
        (0.0, 20),  # four roundings of F
    ],
)
def test_fit_within_tol_continues_while_a_step_would_lower_f(decrease_share, n_iter):
    solution = run(ScriptedSolver(*HALVING), decrease_share=decrease_share, max_iter=50)
    assert solution.status == [Status.CONVERGED]
    assert solution.n_iter[0] == n_iter


def test_fit_within_tol_that_would_lower_f_has_not_converged():
    solution = run(ScriptedSolver(*HALVING), max_iter=3)
    assert solution.status == [Status.ITERATION_LIMIT]
    assert solution.decrease[0] == 2.0**-3


def test_fit_above_tol_has_not_converged():
    solver = ScriptedSolver(([1.0], [0.5], [1.0], [0.0]))
    assert run(solver, max_iter=3).status == [Status.ITERATION_LIMIT]


@pytest.mark.parametrize("patience", [1, 3])
def test_fit_without_progress_stops_after_the_patience_of_its_solver(patience):
    solver = ScriptedSolver(([1.0], [0.5], [0.0], [1.0]), patience=patience)
    solution = run(solver, max_iter=50)
    assert solution.status == [Status.PRECISION_LIMIT]
    assert solution.n_iter[0] == patience


# -- fits ------------------------------------------------------------------------------


def with_outlier(seed):
    rng = np.random.default_rng(seed)
    n, p = int(rng.choice([30, 60])), int(rng.choice([1, 2]))
    X, y = rng.normal(size=(n, p)), rng.integers(3, size=n)
    X[0, 0] = 1e8
    return X, y


@cache
def lowest_with_outlier(seed, C=0.01):
    """Return the lowest F without an intercept, by Newton steps with halving."""
    X, y = with_outlier(seed)
    n, p = X.shape
    scale = np.median(np.abs(X), axis=0)
    Z, one_hot, ridge = X / scale, np.eye(3)[y], 1 / (C * n) / scale**2

    def value(w):
        logits = Z @ w.T
        losses = logsumexp(logits, axis=1) - (one_hot * logits).sum(axis=1)
        return losses.mean() + (ridge * w**2).sum() / 2

    w, F = np.zeros((3, p)), np.log(3)
    while True:
        q = softmax(Z @ w.T, axis=1)
        g = ((q - one_hot).T @ Z / n + ridge * w).reshape(-1)
        curvature = q[:, :, None] * (np.eye(3) - q[:, None, :])
        H = np.einsum("ikl,ia,ib->kalb", curvature, Z, Z) / n
        H = H.reshape(g.size, g.size) + np.diag(np.tile(ridge, 3))
        root = np.sqrt(np.diag(H))
        d = np.linalg.lstsq(H / root / root[:, None], g / root)[0] / root
        d = d.reshape(w.shape)
        sizes = 0.5 ** np.arange(60)
        values = [value(w - size * d) for size in sizes]
        best = int(np.argmin(values))
        if values[best] >= F:
            return F
        w, F = w - sizes[best] * d, values[best]


@pytest.mark.parametrize("solver", SMOOTH)
@pytest.mark.parametrize("seed", range(30, 36))
def test_converged_fit_is_at_the_minimum_despite_an_outlier(seed, solver):
    """A row of 1e8 gives F a plateau, which only the curvature leads out of."""
    X, y = with_outlier(seed)
    model = xlr.LogisticRegression(C=0.01, fit_intercept=False, solver=solver)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    if model.converged_:
        lowest = lowest_with_outlier(seed)
        assert model.history_["objective"][-1] <= lowest * (1 + 1e-9)


@pytest.mark.parametrize(("seed", "l1_ratio"), [(2, 0.0), (4, 0.0), (5, 0.0), (2, 1.0)])
def test_newton_cg_reaches_the_minimum_of_nearly_collinear_columns(seed, l1_ratio):
    """An estimate in float32 hides the small joint curvature of such columns."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 10.0 ** (seed % 3), size=(80, 1))
    X, y = x ** np.arange(1, 5), rng.integers(0, 3, size=80)
    weights = 10.0 ** rng.uniform(-3, 3, size=80)
    options = {"C": 10.0 ** (seed - 1), "l1_ratio": l1_ratio, "max_iter": 5000}
    reached, lowest = (
        xlr.LogisticRegression(solver=solver, tol=tol, **options)
        .fit(X, y, weights)
        .history_["objective"][-1]
        for solver, tol in [("newton-cg", 1e-6), ("auto", 1e-9)]
    )
    assert reached <= lowest * (1 + 1e-9)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("dtype", ["float64"])  # float32 ends before the minimum
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_newton_cg_takes_few_iterations_for_nearly_collinear_columns(
    seed, l1_ratio, place, dtype, backend
):
    """One of two such columns ends at zero for each difference of two classes."""
    if not backend.supports(dtype):
        pytest.skip(f"{backend.device} has no {dtype}")
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(150, 6))
    X = np.column_stack([X, X[:, 0] + 1e-4 * X[:, -1] ** 2])
    y = (X @ rng.normal(size=(7, 5)) + rng.gumbel(size=(150, 5))).argmax(1)
    model = xlr.LogisticRegression(C=1000.0, l1_ratio=l1_ratio, solver="newton-cg")
    model.fit(place(X), place(y))
    assert model.converged_
    assert model.n_iter_[0] <= 100


@pytest.mark.shared_arithmetic
@pytest.mark.slow_on_jax
@pytest.mark.parametrize("solver", ["newton-cg", "proximal-newton", "active-set"])
@pytest.mark.parametrize("n_classes", [3, 5])
def test_median_coefficient_of_the_classes_is_zero_with_l1_penalty_alone(
    solver, n_classes, place
):
    """Only the penalty has a derivative along the null space of the softmax."""
    rng = np.random.default_rng(n_classes)
    X = rng.integers(-3, 4, size=(90, 2))
    scores = X @ rng.normal(size=(2, n_classes)) + rng.gumbel(size=(90, n_classes))
    y = scores.argmax(axis=1)
    model = xlr.LogisticRegression(C=100.0, l1_ratio=1.0, solver=solver)
    coef = to_numpy(model.fit(place(X * 1.0), place(y)).coef_)
    assert model.converged_
    np.testing.assert_allclose(np.median(coef, axis=0), 0, atol=1e-6)


@pytest.mark.parametrize("solver", [*SMOOTH, "proximal-newton", "active-set"])
@pytest.mark.parametrize(
    ("name", "C"), [("breast_cancer", 10.0), ("wine", 0.1), ("wine", 1e4)]
)
def test_default_fit_is_within_1e_10_of_its_minimum(name, C, solver):
    X, y = load(name, standardised=True)
    penalised = {"l1_ratio": 0.5} if solver in ("proximal-newton", "active-set") else {}
    model = xlr.LogisticRegression(C=C, solver=solver, max_iter=2000, **penalised)
    model.fit(X, y)
    assert model.converged_
    assert model.optimality_ <= model.tol
    best = xlr.LogisticRegression(C=C, tol=1e-12, max_iter=2000, **penalised)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best.fit(X, y)
    least = best.history_["objective"][-1]
    assert model.history_["objective"][-1] <= least * (1 + 1e-10)


def test_iteration_limit_warning_says_what_to_do():
    X, y = load("breast_cancer", standardised=True)
    model = xlr.LogisticRegression(solver="lbfgs", max_iter=2)
    with pytest.warns(
        ConvergenceWarning, match="Increase max_iter, or use solver="
    ) as caught:
        model.fit(X, y)
    assert caught[0].filename == __file__  # the file of the user's call
    assert not model.converged_
    assert model.optimality_ > model.tol
    assert model.n_iter_ == 2
    assert {len(column) for column in model.history_.values()} == {3}


@pytest.mark.parametrize("solver", SMOOTH)
def test_precision_limit_warning_of_float32_advises_float64(solver):
    X, y = load("breast_cancer", standardised=True)
    model = xlr.LogisticRegression(solver=solver, tol=1e-14)
    with pytest.warns(ConvergenceWarning, match="float32 arithmetic ends.*float64"):
        model.fit(X.astype(np.float32), y)
    assert not model.converged_
    assert model.optimality_ < 1e-5


@pytest.mark.parametrize(
    ("C", "make"), [(1e6, np.asarray), (1e6, csr_array), (np.inf, np.asarray)]
)
def test_newton_cg_converges_on_separable_float32_rows(C, make):
    """The rounding error of p must not hide the curvature of certain rows."""
    X, y = (part[::3] for part in load("digits", standardised=False))
    models = {}
    for dtype in (np.float32, np.float64):
        model = xlr.LogisticRegression(C=C, solver="newton-cg", max_iter=1000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", xlr.SeparationWarning)
            model.fit(make(X.astype(dtype)), y)
        assert model.converged_
        models[dtype] = model
    assert models[np.float32].n_iter_ < 2 * models[np.float64].n_iter_
    F = [model.history_["objective"][-1] for model in models.values()]
    assert abs(F[0] - F[1]) < 1e-8


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_newton_takes_few_iterations_from_zero(name):
    """Steps of size 1 would take 7 or 8: the curvature decreases along the first."""
    X, y = load(name, standardised=True)
    model = xlr.LogisticRegression(solver="newton-cholesky").fit(X, y)
    assert model.converged_
    assert model.n_iter_[0] <= 6


@pytest.mark.parametrize("seed", range(3))
def test_newton_converges_on_separable_classes(seed):
    """Each step divides F by e, because the curvature of certain rows falls with F."""
    X = np.random.default_rng(seed).normal(size=(90, 3))
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    with pytest.warns(xlr.SeparationWarning):
        model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    assert model.converged_
    assert model.n_iter_ < 50
    F = model.history_["objective"]
    np.testing.assert_allclose(F[-1] / F[-2], np.exp(-1), rtol=0.05)


def test_collinear_columns_share_their_coefficient():
    X, y = load("breast_cancer", standardised=True)
    X = X[:, :3]
    once = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    twice = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(np.hstack([X, X]), y)
    assert twice.converged_
    total = twice.coef_[:, :3] + twice.coef_[:, 3:]
    np.testing.assert_allclose(total, once.coef_, rtol=1e-5)
    assert np.abs(twice.coef_).max() < np.abs(once.coef_).max()


# -- many rows: fits start on a sample -------------------------------------------------

N, P = 30_000, 20


def draw(n_classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P)) @ rng.normal(size=(P, P)) + rng.normal(size=P)
    scores = X @ rng.normal(size=(P, n_classes)) / P + rng.gumbel(size=(N, n_classes))
    return X, scores.argmax(axis=1)


def objective_of(model, X, y):
    """Return F of a fit."""
    return objective(model.coef_, model.intercept_, X, y, 1.0)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg"])
def test_fit_that_starts_on_a_sample_reaches_the_minimum(solver, n_classes):
    X, y = draw(n_classes)
    model = xlr.LogisticRegression(solver=solver).fit(X, y)
    expected = LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(X, y)
    assert model.converged_
    assert objective_of(model, X, y) <= objective_of(expected, X, y) * (1 + 1e-9)
    assert model.history_["optimality"][0] < 0.05  # much lower than at zero
    # Another sample, number of threads and order of the rows give the same minimum.
    order = np.argsort(y, kind="stable")
    options = {"solver": solver, "random_state": 7, "n_jobs": 2}
    again = xlr.LogisticRegression(**options).fit(X[order], y[order])
    assert objective_of(again, X, y) == pytest.approx(
        objective_of(model, X, y), rel=1e-9
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg"])
def test_fit_of_a_class_outside_the_sample_reaches_the_minimum(solver):
    X, _ = draw(2)
    y = np.zeros(N, dtype=int)
    y[[17, 12_000, 29_000]] = 1
    model = xlr.LogisticRegression(solver=solver).fit(X, y)
    expected = LogisticRegression(
        solver="newton-cholesky", tol=1e-12, max_iter=1000
    ).fit(X, y)
    assert objective_of(model, X, y) <= objective_of(expected, X, y) * (1 + 1e-7)
