"""Objectives on every library, dtype and device, compared with NumPy.

On NumPy, test_derivatives.py compares their derivatives with differences.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from conftest import to_numpy
from make_objective import make_objective

from xlr.objective import Objective, jeffreys_term

N, P, N_MODELS = 24, 3, 3
RNG = np.random.default_rng(0)
# Multiples of 1/16 are exact in float32.
X = RNG.integers(-32, 33, size=(N, P)) / 16 + [0, 2, -1]
WEIGHTS = RNG.integers(4, 17, size=N) / 8
COUNTS = RNG.integers(0, 3, size=(N, N_MODELS)).astype(float)
RIDGE = RNG.integers(1, 9, size=(N_MODELS, 1, P)) / 16
LABELS = {k: RNG.integers(0, k, size=(N, N_MODELS)).astype(float) for k in (2, 3)}
OFFSET = RNG.integers(-8, 9, size=(N, 3)) / 8
PARAMETERS = RNG.integers(-16, 17, size=(N_MODELS, 3 * (P + 1))) / 16
VECTOR = RNG.integers(-16, 17, size=(N_MODELS, 3 * (P + 1))) / 16

# On JAX, test_jax_tracing.py suffices.
pytestmark = pytest.mark.slow_on_jax
class_numbers = pytest.mark.parametrize("n_classes", [2, 3], ids=["binary", "softmax"])


def make(n_classes, *, has_intercept=True, models=slice(None), **options):
    """Return the objective of all or some models, with an offset."""
    if has_intercept:
        options["offset"] = OFFSET[:, : 1 if n_classes == 2 else 3]
    return make_objective(
        X,
        LABELS[n_classes][:, models],
        WEIGHTS,
        counts=COUNTS[:, models],
        n_classes=n_classes,
        fit_intercept=has_intercept,
        ridge=RIDGE[models],
        **options,
    )


@pytest.fixture
def on_backend(place, sum_dtype):
    """Return the options of an objective on the backend."""
    return {"place": place, "place_sums": lambda values: place(values, sum_dtype)}


@pytest.fixture
def close(dtype, sum_dtype, assert_close):
    """Return a function that compares sums over rows to the precision of the rows."""

    def close(actual, expected, rtol={"float32": 2e-6, "float64": 1e-10}[dtype]):
        atol = rtol * np.abs(expected).max()
        assert_close(actual, expected, atol=float(atol), as_dtype=sum_dtype)

    return close


def evaluate(objective, parameters, vector):
    """Return value, gradient, and Hessian with a product, its diagonal and a bound."""
    return (
        *objective.value_and_gradient(parameters),
        objective.hessian(parameters).blocks,
        objective.hessian_operator(parameters)(vector),
        objective.hessian_diagonal(parameters),
        objective.curvature_bound(),
    )


@pytest.mark.parametrize("has_intercept", [True, False])
@class_numbers
def test_objective_on_every_library_equals_numpy(
    n_classes, has_intercept, on_backend, close
):
    expected = make(n_classes, has_intercept=has_intercept)
    objective = make(n_classes, has_intercept=has_intercept, **on_backend)
    arguments = [part[:, : expected.n_parameters] for part in (PARAMETERS, VECTOR)]
    results = evaluate(objective, *map(on_backend["place_sums"], arguments))
    for result, reference in zip(results, evaluate(expected, *arguments)):
        close(result, reference)


def jeffreys(w):
    """Return minus half the log-determinant of the first model's information matrix.

    It is divided by the total weight, as F is.
    """
    Z = np.column_stack([X, np.ones(N)])
    p = 1 / (1 + np.exp(-Z @ w - OFFSET[:, 0]))
    s = WEIGHTS * COUNTS[:, 0]
    information = (Z * (s * p * (1 - p))[:, None]).T @ Z
    return -np.linalg.slogdet(information)[1] / 2 / s.sum()


def test_objective_with_jeffreys_term_equals_its_formula(on_backend, close, dtype):
    plain = make(2, models=slice(0, 1), **on_backend)
    term = partial(jeffreys_term, plain.total_weight)
    parts = plain.data, plain.loss, plain.penalty
    with_term = Objective(*parts, fit_intercept=True, term=term)
    w, h = PARAMETERS[0, : P + 1], 1e-5
    parameters = on_backend["place_sums"](w[None])
    derivative = [
        (jeffreys(w + h * e) - jeffreys(w - h * e)) / (2 * h) for e in np.eye(P + 1)
    ]
    value, gradient = map(to_numpy, plain.value_and_gradient(parameters))
    rtol = {"float32": 1e-5, "float64": 1e-8}[dtype]
    # Objectives of other models, rows and penalties keep the term.
    for objective in (
        with_term,
        with_term.select(np.asarray([0])),
        with_term.with_penalty(plain.penalty),
        with_term.with_data(plain.data),
        with_term.take_columns(plain.xp.asarray([0, 1, 2], device=plain.device)),
    ):
        found = objective.value_and_gradient(parameters)
        close(found.value, value + jeffreys(w), rtol=rtol)
        close(found.gradient, gradient + np.asarray([derivative]), rtol=rtol)


@pytest.mark.parametrize(
    ("by_class", "damping"), [(False, 0.0), (True, 0.5)], ids=["whole", "by class"]
)
@class_numbers
def test_hessian_solver_solves_its_damped_equations(
    n_classes, damping, by_class, on_backend
):
    objective, place = make(n_classes, **on_backend), on_backend["place_sums"]
    w, v = (part[:, : objective.n_parameters] for part in (PARAMETERS, VECTOR))
    method = objective.class_hessians if by_class else objective.hessian
    hessian = method(place(w))
    added = damping * np.arange(1.0, v.size + 1).reshape(N_MODELS, -1)
    solved = to_numpy(hessian.solver(place(added))(place(v)))
    blocks = to_numpy(hessian.blocks)
    shape = blocks.shape[:3]
    diagonal = to_numpy(hessian.penalty).reshape(shape) + added.reshape(shape)
    matrices = blocks + diagonal[..., None] * np.eye(shape[2])
    products = np.einsum("mbij,mbj->mbi", matrices, solved.reshape(shape))
    np.testing.assert_allclose(products, v.reshape(shape), atol=1e-4)
