"""One solve by conjugate gradients, against what is least in its Krylov space."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from xlr import arrays
from xlr.objective import Kinks
from xlr.solvers import NewtonCG
from xlr.solvers.newton_cg import MORE_ON_HOST, NewtonCGState

MODELS, SIZE = 3, 8
RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(MODELS, 2 * SIZE, SIZE))
MATRIX = ROOT.transpose(0, 2, 1) @ ROOT
SLOPE = 7 * RNG.normal(size=(MODELS, SIZE))
DIAGONAL = RNG.uniform(1.0, 9.0, size=(MODELS, SIZE))  # of an estimate of the matrix
PRECONDITIONER = 10 ** RNG.uniform(-0.5, 0.5, size=(MODELS, SIZE))
DAMPING = np.asarray([0.0, 0.5, 3.0])
DAMPED = MATRIX + np.einsum("m,mi,ij->mij", DAMPING, DIAGONAL, np.eye(SIZE))


class Quadratics:
    """As much of an objective as a solve looks at; it counts the products."""

    xp = arrays.namespace(SLOPE)
    rounding = 2.0**-52

    def __init__(self, matrix=MATRIX, kinks=None, mean_is_nothing=False):
        self._matrix, self.kinks = matrix, kinks
        self._mean_is_nothing = mean_is_nothing
        self.n_products = 0

    def curvature(self, parameters):
        return self._matrix

    def hessian_product(self, curvature, parameters, vector):
        self.n_products += 1
        return np.einsum("mij,mj->mi", curvature, vector)

    def symmetric(self, vector):
        """Equal changes to all are taken out, or not."""
        mean = vector.mean(axis=1, keepdims=True)
        return vector - mean if self._mean_is_nothing else vector


def state(**fields) -> NewtonCGState:
    zeros = np.zeros((MODELS, SIZE))
    start = NewtonCGState(
        parameters=zeros,
        at=None,
        damping=DAMPING,
        cautious=np.zeros(MODELS, dtype=bool),
        reference=None,
        product_cost=0.0,
        diagonal=DIAGONAL,
        precondition=lambda vector: vector / PRECONDITIONER,
        fresh=True,
        budget=SIZE,
        forcing=0.0,
        first_optimality=1.0,
        report=None,
    )
    return replace(start, **fields)


def solve(objective, slope=SLOPE, **fields):
    """The change, the error, and how many products they took."""
    with arrays.quiet():  # as the loop does
        step, error = NewtonCG._solve(objective, state(**fields), slope)
    np.testing.assert_array_equal(step.diagonal, DIAGONAL)
    np.testing.assert_array_equal(step.damping, DAMPING)
    return step.change, error, objective.n_products


def least_in_krylov_space(n_products, model, slope=SLOPE):
    """The least of a model's g'd + d'Ad / 2 after some products, and the error there.

    Where d is in the space that M^-1 g spans with its products with M^-1 A; the error
    is the residual in the norm of M^-1, as a share of that of g.
    """
    A, g, M = DAMPED[model], slope[model], PRECONDITIONER[model]
    vectors = [g / M]
    for _ in range(n_products - 1):
        product = A @ vectors[-1] / M
        vectors.append(product / np.linalg.norm(product))
    basis, _ = np.linalg.qr(np.stack(vectors, axis=1))
    d = -basis @ np.linalg.solve(basis.T @ A @ basis, basis.T @ g)
    residual = g + A @ d
    return d, np.sqrt(residual @ (residual / M) / (g @ (g / M)))


def errors(n_products):
    return [least_in_krylov_space(n_products, model)[1] for model in range(MODELS)]


@pytest.mark.parametrize("size", [1.0, 1e-6])
@pytest.mark.parametrize("budget", [1, 2, 4])
def test_a_solve_is_the_least_after_as_many_products(budget, size):
    change, error, n_products = solve(Quadratics(), size * SLOPE, budget=budget)
    assert n_products == budget
    for model in range(MODELS):
        expected, share = least_in_krylov_space(budget, model)
        np.testing.assert_allclose(change[model], size * expected, rtol=1e-8)
        assert error[model] == pytest.approx(share, rel=1e-9)


def test_products_past_the_solution_do_no_harm():
    change, error, _ = solve(Quadratics(), budget=5 * SIZE)
    np.testing.assert_allclose(
        change, np.linalg.solve(DAMPED, -SLOPE[..., None])[..., 0], rtol=1e-9
    )
    assert (error < 1e-12).all()


def test_on_the_host_a_solve_ends_when_all_are_good_enough():
    for forcing in (0.3, 0.1):
        _, error, n_products = solve(Quadratics(), budget=SIZE, forcing=forcing)
        enough = next(k for k in range(1, 99) if max(errors(k)) <= forcing)
        assert min(errors(enough - 1)) <= forcing  # the models differ
        assert n_products == enough
        np.testing.assert_allclose(error, errors(enough), rtol=1e-6)


def test_a_solve_ends_when_it_took_too_many():
    for forcing in (0.0, 1e-300):
        _, _, n_products = solve(Quadratics(), budget=2, forcing=forcing)
        assert n_products == (2 * MORE_ON_HOST if forcing else 2)


def test_a_device_is_not_asked(monkeypatch):
    monkeypatch.setattr(arrays, "in_host_memory", lambda x: False)
    _, _, n_products = solve(Quadratics(), budget=6, forcing=0.9)
    assert n_products == 6


def test_nothing_moves_where_only_rounding_is_left():
    """To within 16 roundings of the gradient: an eighth, for one of 2^-7."""
    objective = Quadratics()
    objective.rounding = 2.0**-7
    change, error, _ = solve(objective, budget=4 * SIZE)
    for model in range(MODELS):
        enough = next(k for k in range(1, 99) if errors(k)[model] <= 1 / 8)
        expected, share = least_in_krylov_space(enough, model)
        np.testing.assert_allclose(change[model], expected, rtol=1e-9, atol=1e-12)
        assert error[model] == pytest.approx(share, rel=1e-9)


@pytest.mark.parametrize("bend", [0.0, -1.0])
def test_nothing_moves_where_f_does_not_bend_upwards(bend):
    """Nor is it said to be solved; a model that bends goes its own way."""
    matrix = MATRIX.copy()
    matrix[0] = bend * np.eye(SIZE)
    change, error, _ = solve(Quadratics(matrix), budget=3)
    np.testing.assert_array_equal(change[0], np.zeros(SIZE))
    assert error[0] == 1
    np.testing.assert_allclose(
        change[1], least_in_krylov_space(3, 1)[0], rtol=1e-9, atol=1e-12
    )


def test_a_model_that_is_done_does_not_move():
    slope = SLOPE.copy()
    slope[1] = 0
    change, error, _ = solve(Quadratics(), slope, budget=3)
    np.testing.assert_array_equal(change[1], np.zeros(SIZE))
    np.testing.assert_array_equal(error[1], 0.0)
    np.testing.assert_allclose(
        change[2], least_in_krylov_space(3, 2)[0], rtol=1e-9, atol=1e-12
    )
    # Nor is it waited for.
    _, _, n_products = solve(Quadratics(), slope, budget=SIZE, forcing=0.3)
    assert n_products < SIZE


def test_what_rests_at_a_kink_is_left_out():
    """The others solve as if it were not there."""
    lasso, free = np.ones((MODELS, SIZE)), np.asarray([0, 2, 3, 6])
    slope = np.zeros_like(SLOPE)
    slope[:, free] = SLOPE[:, free]
    kinks = Kinks(lasso, -np.inf * lasso, np.inf * lasso)
    change, _, _ = solve(Quadratics(kinks=kinks), slope)
    expected = np.zeros_like(slope)
    part = DAMPED[:, free[:, None], free]
    expected[:, free] = np.linalg.solve(part, -slope[:, free, None])[..., 0]
    np.testing.assert_allclose(change, expected, rtol=1e-8, atol=1e-12)


def test_equal_changes_to_all_are_taken_out():
    """The least of those that sum to zero, though the preconditioner leaves them."""
    change, error, _ = solve(Quadratics(mean_is_nothing=True))
    _, _, rows = np.linalg.svd(np.ones((1, SIZE)))
    basis = rows[1:].T  # of the vectors that sum to zero
    for model in range(MODELS):
        inside = basis.T @ DAMPED[model] @ basis
        expected = -basis @ np.linalg.solve(inside, basis.T @ SLOPE[model])
        np.testing.assert_allclose(change[model], expected, rtol=1e-8)
    assert (error < 1e-8).all()


# -- the plan of a solve ---------------------------------------------------------------


@pytest.fixture
def planned(monkeypatch):
    """The state with the plan for the next solve, given the last and what it told."""
    monkeypatch.setattr(
        NewtonCGState,
        "with_new_preconditioner",
        lambda self: replace(self, precondition="new", fresh=True),
    )

    def planned(optimality, residual, moved=1.0, *, n_parameters=1000, **fields):
        told = np.zeros((4, MODELS))
        told[1], told[2], told[3] = optimality, moved, residual
        return NewtonCG()._planned(
            SimpleNamespace(n_parameters=n_parameters), state(**fields), told
        )

    return planned


def test_the_first_solve_is_as_it_was_set(planned):
    plan = planned([0.2, 0.7, 0.1], 1.0, first_optimality=0.0, budget=8, forcing=0.1)
    assert (plan.budget, plan.forcing, plan.first_optimality) == (8, 0.1, 0.7)
    plan = planned([0.2, 1.5, 0.1], 1.0, first_optimality=0.7, budget=8)
    assert (plan.budget, plan.forcing, plan.first_optimality) == (16, 0.1, 1.5)


@pytest.mark.parametrize(
    ("optimality", "forcing"),
    [(1e-6, 0.01), (0.0016, 0.02), (0.0036, 0.03), (0.25, 0.1)],
)
def test_forcing_is_the_root_of_what_the_slope_fell_by(planned, optimality, forcing):
    """Between a hundredth and a tenth; the model that is farthest out counts."""
    plan = planned([1e-9, optimality, 1e-9], 0.3, first_optimality=4.0)
    assert plan.forcing == pytest.approx(forcing)
    assert plan.first_optimality == 4.0


@pytest.mark.parametrize(
    ("residual", "budget"),
    [
        (0.05, 8),  # log(0.01) / log(0.05) = 1.54
        (1e-3, 4),  # 0.67
        (1e-6, 3),  # the least
        (0.0, 3),
        (0.2, 10),  # 2.86, but no more than twice as many
        (1.0, 10),
        (3.0, 10),
        (np.nan, 10),
    ],
)
def test_products_are_as_many_as_the_last_ones_ask_for(planned, residual, budget):
    """5 of them, for a residual of a hundredth, if each lowers it by as much."""
    plan = planned(1e-4, [0.0, 0.0, residual], budget=5)
    assert plan.budget == budget


def test_products_are_no_more_than_twice_the_parameters(planned):
    assert planned(1e-4, 0.9, budget=10, n_parameters=7).budget == 14


def test_the_preconditioner_is_kept_while_it_serves(planned):
    """It does where the last solve was good enough; a new one has its chance."""
    for residual, fresh, renewed in (
        (0.05, True, False),
        (0.05, False, True),
        (0.01, False, False),
        (0.005, False, False),
    ):
        plan = planned(1e-4, residual, fresh=fresh, budget=5)
        assert (plan.precondition == "new") == renewed
        assert plan.fresh == renewed
        if renewed:  # for a solve like the last
            assert (plan.budget, plan.forcing) == (5, 0.0)
    # Another damping, after a step that was refused, asks for another.
    for fresh in (True, False):
        assert planned(1e-4, 0.005, [1, 0, 1], fresh=fresh).precondition == "new"
