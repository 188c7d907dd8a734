"""Minima of each solver against SciPy's, many models at once, and far starts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from conftest import to_numpy
from make_objective import make_objective
from problems import load
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from xlr import arrays
from xlr.solvers import SOLVERS, GradientDescent, Status, minimise

SMOOTH = ["newton-cholesky", "newton-cg", "lbfgs"]
NON_SMOOTH = ["newton-cg", "proximal-newton", "active-set"]

N, P = 40, 4
RNG = np.random.default_rng(0)
X = RNG.integers(-32, 33, size=(N, P)) / 16
WEIGHTS = RNG.integers(1, 17, size=N) / 8
# Labels of two models.
LABELS = {
    2: np.stack([X[:, k] + RNG.logistic(size=N) > 0 for k in (0, 1)], axis=1),
    3: np.stack(
        [(X[:, k : k + 3] + RNG.gumbel(size=(N, 3))).argmax(axis=1) for k in (0, 1)],
        axis=1,
    ),
}
class_numbers = pytest.mark.parametrize("n_classes", [2, 3], ids=["binary", "softmax"])


def solver_named(name):
    return GradientDescent(None) if name == "gradient-descent" else SOLVERS[name]()


class Formula:
    """F of one model, its gradient, and its minimum by SciPy."""

    def __init__(self, y, *, ridge, l1=0.0, lower=-np.inf, upper=np.inf):
        self.one_hot = np.eye(int(y.max()) + 1)[y.astype(int)]
        self.n_outputs = 1 if self.one_hot.shape[1] == 2 else self.one_hot.shape[1]
        self.shares, self.ridge, self.l1 = WEIGHTS / WEIGHTS.sum(), ridge, l1
        self.bounds = lower, upper

    def smooth(self, w):
        """Return mean loss and L2 penalty, and their gradient."""
        columns = w.reshape(self.n_outputs, P + 1)
        logits = X @ columns[:, :P].T + columns[:, P]
        if self.n_outputs == 1:
            logits = np.column_stack([0 * logits, logits])
        value = self.shares @ (
            logsumexp(logits, axis=1) - (self.one_hot * logits).sum(axis=1)
        )
        residual = self.shares[:, None] * (softmax(logits, axis=1) - self.one_hot)
        residual = residual[:, -self.n_outputs :]
        gradient = np.column_stack([residual.T @ X, residual.sum(axis=0)])
        gradient[:, :P] += self.ridge * columns[:, :P]
        value += self.ridge * (columns[:, :P] ** 2).sum() / 2
        return value, gradient.reshape(-1)

    def value(self, w):
        coef = w.reshape(self.n_outputs, P + 1)[:, :P]
        return self.smooth(w)[0] + self.l1 * np.abs(coef).sum()

    def minimum(self):
        """Return the lowest F, with w as the difference of two non-negative vectors."""
        size = self.n_outputs * (P + 1)
        is_coef = np.arange(size) % (P + 1) < P
        lower, upper = (
            np.where(is_coef, bound, unbounded)
            for bound, unbounded in zip(self.bounds, (-np.inf, np.inf))
        )
        l1 = np.where(is_coef, self.l1, 0.0)

        def value_and_gradient(parts):
            positive, negative = parts[:size], parts[size:]
            value, gradient = self.smooth(positive - negative)
            value += l1 @ (positive + negative)
            return value, np.concatenate([gradient + l1, -gradient + l1])

        least = np.concatenate([np.maximum(lower, 0), np.maximum(-upper, 0)])
        most = np.concatenate([np.maximum(upper, 0), np.maximum(-lower, 0)])
        found = minimize(
            value_and_gradient,
            least,
            jac=True,
            method="L-BFGS-B",
            bounds=np.column_stack([least, most]),
            options={"ftol": 1e-16, "gtol": 1e-11, "maxiter": 10_000, "maxfun": 10**5},
        )
        return self.value(found.x[:size] - found.x[size:])


def minimise_and_check(solver, n_classes, place, sum_dtype, dtype, **penalty):
    """Minimise both models, compare F with the minimum of each; return parameters."""
    objective = make_objective(
        X,
        LABELS[n_classes],
        WEIGHTS,
        n_classes=n_classes,
        place=place,
        place_sums=lambda values: place(values, sum_dtype),
        **penalty,
    )
    tol = {"float32": 1e-5, "float64": 1e-8}[dtype]
    solution = minimise(solver, objective, objective.zeros(), tol=tol, max_iter=2000)
    assert solution.status == [Status.CONVERGED] * 2
    rtol = {"float32": 1e-6, "float64": 1e-10}[dtype]
    parameters = to_numpy(solution.parameters).astype(float)
    for model, y in enumerate(LABELS[n_classes].T):
        formula = Formula(y, **penalty)
        reached, least = formula.value(parameters[model]), formula.minimum()
        assert reached <= least * (1 + rtol)
        assert solution.records[-1].objective[model] == pytest.approx(reached, rel=1e-5)
    return parameters


@pytest.mark.slow_on_jax
@class_numbers
@pytest.mark.parametrize("solver", [*SMOOTH, "gradient-descent"])
def test_solver_reaches_the_minimum(solver, n_classes, place, sum_dtype, dtype):
    arguments = solver_named(solver), n_classes, place, sum_dtype, dtype
    minimise_and_check(*arguments, ridge=0.25)


@pytest.mark.slow_on_jax
@class_numbers
@pytest.mark.parametrize("solver", NON_SMOOTH)
def test_solver_reaches_the_minimum_of_l1_within_bounds(
    solver, n_classes, place, sum_dtype, dtype
):
    penalty = {"ridge": 0.05, "l1": 0.05, "lower": -0.25, "upper": 0.5}
    arguments = solver_named(solver), n_classes, place, sum_dtype, dtype
    parameters = minimise_and_check(*arguments, **penalty)
    coef = parameters.reshape(-1, P + 1)[:, :P]
    assert (coef == 0).any()
    assert ((coef == -0.25) | (coef == 0.5)).any()


# -- many models -----------------------------------------------------------------------

FLOWERS, SPECIES = load("iris", standardised=True)


def species_objective(**penalty):
    """Return an objective with a binary model for each species, easy and hard ones."""
    labels = np.stack([k == SPECIES for k in range(3)], axis=1)
    return make_objective(FLOWERS, labels, **penalty)


@pytest.mark.parametrize("solver", SMOOTH)
def test_models_that_share_rows_end_where_single_fits_do(solver):
    objective = species_objective(ridge=1e-2)
    options = {"tol": 1e-9, "max_iter": 500}
    solution = minimise(SOLVERS[solver](), objective, objective.zeros(), **options)
    assert solution.status == [Status.CONVERGED] * 3
    for k in range(3):
        alone = objective.select(np.asarray([k]))
        single = minimise(SOLVERS[solver](), alone, alone.zeros(), **options)
        np.testing.assert_allclose(
            solution.parameters[k], single.parameters[0], rtol=1e-6, atol=1e-8
        )
        assert solution.n_iter[k] <= len(solution.records) - 1
        value = alone.value_and_gradient(solution.parameters[k : k + 1]).value[0]
        assert solution.records[-1].objective[k] == pytest.approx(value, rel=1e-12)
        assert solution.at.value[k] == pytest.approx(value, rel=1e-12)


# -- far starts, a start at the minimum, and callbacks ---------------------------------

FAR_AWAY = 10 * np.random.default_rng(0).normal(size=(3, 5))


@pytest.mark.parametrize("solver", SMOOTH)
def test_solver_never_raises_f_from_a_far_start(solver):
    """F is nearly linear there: Newton steps are too long, and rejected."""
    objective, seen = species_objective(ridge=1e-2), []
    solution = minimise(
        SOLVERS[solver](),
        objective,
        FAR_AWAY,
        tol=1e-8,
        max_iter=200,
        on_iteration=lambda record, w: seen.append((record, w)),
    )
    assert solution.status == [Status.CONVERGED] * 3
    n_rejected = 0
    for (previous, w), (record, w_next) in pairwise(seen):
        assert (record.objective <= previous.objective * (1 + 1e-14)).all()
        moved = np.abs(w_next - w).max(axis=1)
        running = previous.optimality > 1e-8
        np.testing.assert_allclose(
            record.step[running], moved[running], rtol=1e-9, atol=1e-13
        )
        n_rejected += int(((record.step == 0) & running).sum())
    assert n_rejected > 3


@pytest.mark.parametrize("solver", ["newton-cg", "proximal-newton"])
def test_solver_stays_within_bounds_from_a_far_start(solver):
    objective = species_objective(ridge=1e-2, l1=1e-2, lower=-2.0, upper=2.0)
    start, seen = np.clip(FAR_AWAY, -2, 2), []
    solution = minimise(
        SOLVERS[solver](),
        objective,
        start,
        tol=1e-8,
        max_iter=200,
        on_iteration=lambda record, w: seen.append(w),
    )
    assert solution.status == [Status.CONVERGED] * 3
    assert all((np.abs(w[:, :4]) <= 2).all() for w in seen)
    assert (np.abs(solution.parameters[:, :4]) == 2).any()
    assert (solution.parameters == 0).any()


@pytest.mark.parametrize("solver", SMOOTH)
def test_solver_that_starts_at_the_minimum_stays_there(solver):
    """With balanced classes and columns of zeros, the minimum is at zero."""
    objective = make_objective(np.zeros((6, 2)), np.arange(6) % 2, ridge=0.1)
    options = {"tol": 1e-12, "max_iter": 9}
    solution = minimise(SOLVERS[solver](), objective, objective.zeros(), **options)
    assert solution.status == [Status.CONVERGED]
    assert solution.n_iter[0] == 0


def test_objective_that_overflows_raises_an_error():
    objective = species_objective(ridge=1e-2)
    start = objective.zeros()
    start[1] = 1e200
    with arrays.quiet(), pytest.raises(FloatingPointError, match="Start from smaller"):
        minimise(SOLVERS["lbfgs"](), objective, start, tol=1e-3, max_iter=9)


def test_callback_that_returns_true_ends_a_fit():
    objective = species_objective(ridge=1e-2)
    solution = minimise(
        SOLVERS["lbfgs"](),
        objective,
        objective.zeros(),
        tol=1e-9,
        max_iter=100,
        on_iteration=lambda record, w: record.iteration == 2,
    )
    assert solution.status == [Status.CALLBACK] * 3
    assert len(solution.records) == 3
    seconds, columns = solution.history()
    assert {len(column) for column in (seconds, *columns.values())} == {3}
    assert (np.diff(seconds) >= 0).all()
