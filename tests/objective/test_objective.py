"""The objective against an independent formula, and its exact derivatives."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from conftest import to_numpy
from make_objective import in_dask_chunks, make_objective

from xlr.objective import JeffreysTerm, Objective

N, P, MODELS = 24, 3, 3
RNG = np.random.default_rng(0)
# Multiples of 1/16, so that they are the same numbers in float32.
X = RNG.integers(-32, 33, size=(N, P)) / 16 + [0, 2, -1]
WEIGHTS = RNG.integers(4, 17, size=N) / 8
COUNTS = RNG.integers(0, 3, size=(N, MODELS)).astype(float)
RIDGE = RNG.integers(0, 9, size=(MODELS, 1, P)) / 16
LABELS = {k: RNG.integers(0, k, size=(N, MODELS)).astype(float) for k in (2, 3)}
OFFSET = RNG.integers(-8, 9, size=(N, 3)) / 8
PARAMETERS = RNG.integers(-16, 17, size=(MODELS, 3 * (P + 1))) / 16
VECTOR = RNG.integers(-16, 17, size=(MODELS, 3 * (P + 1))) / 16

class_numbers = pytest.mark.parametrize("n_classes", [2, 3], ids=["binary", "softmax"])
# On JAX a fit that JAX computes stands for these: test_jax_tracing.py.
pytestmark = pytest.mark.slow_on_jax
shapes = pytest.mark.parametrize(
    ("fit_intercept", "offset"), [(True, True), (False, False)], ids=["both", "neither"]
)


def n_outputs(n_classes):
    return 1 if n_classes == 2 else n_classes


def size_of(n_classes, fit_intercept=True):
    return n_outputs(n_classes) * (P + fit_intercept)


def formula(row, model, n_classes, fit_intercept, offset):
    """Return F of one model, also for complex parameters."""
    outputs = n_outputs(n_classes)
    columns = row.reshape(outputs, P + fit_intercept)
    coef = columns[:, :P]
    logits = X @ coef.T
    if fit_intercept:
        logits = logits + columns[:, P]
    if offset:
        logits = logits + OFFSET[:, :outputs]
    y, s = LABELS[n_classes][:, model], WEIGHTS * COUNTS[:, model]
    if n_classes == 2:
        loss = np.log(1 + np.exp(logits[:, 0])) - y * logits[:, 0]
    else:
        chosen = logits[np.arange(N), y.astype(int)]
        loss = np.log(np.exp(logits).sum(axis=1)) - chosen
    return s @ loss / s.sum() + (RIDGE[model] * coef**2).sum() / 2


@lru_cache
def expected(n_classes, fit_intercept=True, offset=False):
    """Return values, gradients (exact, by complex steps) and Hessians of all models."""
    size = size_of(n_classes, fit_intercept)
    options = n_classes, fit_intercept, offset
    identity, h = np.eye(size), 1e-5

    def gradient(row, model):
        steps = [row + 1e-30j * e for e in identity]
        return np.asarray([formula(s, model, *options).imag / 1e-30 for s in steps])

    values, gradients, hessians = [], [], []
    for model, row in enumerate(PARAMETERS[:, :size]):
        values.append(formula(row, model, *options))
        gradients.append(gradient(row, model))
        ends = (
            (gradient(row + h * e, model), gradient(row - h * e, model))
            for e in identity
        )
        hessians.append([(up - down) / (2 * h) for up, down in ends])
    return np.asarray(values), np.asarray(gradients), np.asarray(hessians)


@pytest.fixture
def make(place, wide):
    """Return a function that makes the objective of all or some models."""

    def make(n_classes, fit_intercept=True, models=slice(None), **options):
        outputs = n_outputs(n_classes)
        if options.pop("offset", False):
            options["offset"] = OFFSET[:, :outputs]
        return make_objective(
            X,
            LABELS[n_classes][:, models],
            WEIGHTS,
            counts=COUNTS[:, models],
            n_classes=n_classes,
            fit_intercept=fit_intercept,
            ridge=options.pop("ridge", RIDGE[models]),
            place=place,
            wide=lambda values: place(values, wide),
            **options,
        )

    return make


@pytest.fixture
def at(place, wide):
    """Return a function that places parameters or vectors in the widest dtype."""

    def at(values, n_classes, fit_intercept=True, models=slice(None)):
        return place(values[models, : size_of(n_classes, fit_intercept)], wide)

    return at


@pytest.fixture
def close(dtype, wide, assert_close):
    """Return a function that compares sums over rows in the precision of the rows."""
    rtol = {"float32": 2e-6, "float64": 1e-9}[dtype]

    def close(actual, expected, rtol=rtol):
        atol = rtol * np.abs(expected).max()
        assert_close(actual, expected, atol=float(atol), as_dtype=wide)

    return close


def blocks_of(hessian):
    """Return the blocks with the penalty: (n_models, n_blocks, q, q)."""
    blocks, penalty = to_numpy(hessian.blocks), to_numpy(hessian.penalty)
    return blocks + penalty.reshape(blocks.shape[:-1])[..., None] * np.eye(
        blocks.shape[-1]
    )


def whole(hessian):
    """Return the Hessian of each model: (n_models, q, q)."""
    blocks = blocks_of(hessian)
    assert blocks.shape[1] == 1
    return blocks[:, 0]


def along_equal_changes(fit_intercept=True):
    """Return the projection onto the null space of the softmax of three classes."""
    return np.kron(np.full((3, 3), 1 / 3), np.eye(P + fit_intercept))


def everything(objective, parameters, vector):
    """Return value, gradient, Hessian and curvature at some parameters."""
    return (
        *objective.value_and_gradient(parameters),
        objective.hessian(parameters).blocks,
        objective.hessian_operator(parameters)(vector),
        objective.hessian_diagonal(parameters),
        objective.curvature_bound(),
    )


# -- values and derivatives ------------------------------------------------------------


@shapes
@class_numbers
def test_objective_value_and_gradient(
    n_classes, fit_intercept, offset, make, at, close
):
    parameters = at(PARAMETERS, n_classes, fit_intercept)
    objective = make(n_classes, fit_intercept, offset=offset)
    value, gradient, _ = expected(n_classes, fit_intercept, offset)
    found = objective.value_and_gradient(parameters)
    close(found.value, value)
    close(found.gradient, gradient)


@shapes
@class_numbers
def test_objective_hessian(n_classes, fit_intercept, offset, make, at, close, dtype):
    objective = make(n_classes, fit_intercept, offset=offset)
    hessian_object = objective.hessian(at(PARAMETERS, n_classes, fit_intercept))
    found = whole(hessian_object)
    *_, hessian = expected(n_classes, fit_intercept, offset)
    atol = {"float32": 2e-6, "float64": 1e-9}[dtype] * np.abs(hessian).max()
    if n_classes > 2:  # curvature is added along equal changes, and only there
        along, added = along_equal_changes(fit_intercept), found - hessian
        np.testing.assert_allclose(along @ added @ along, added, rtol=0, atol=4 * atol)
        rank = P + fit_intercept
        assert (np.linalg.eigvalsh(added)[:, -rank:] > 0.01).all()
        hessian = hessian + along @ added @ along
    np.testing.assert_allclose(found, hessian, rtol=0, atol=4 * atol)
    close(hessian_object.diagonal, np.diagonal(found, axis1=1, axis2=2))


@shapes
@class_numbers
def test_objective_hessian_operator_and_diagonal(
    n_classes, fit_intercept, offset, make, at, close
):
    objective = make(n_classes, fit_intercept, offset=offset)
    parameters = at(PARAMETERS, n_classes, fit_intercept)
    vector = at(VECTOR, n_classes, fit_intercept)
    *_, hessian = expected(n_classes, fit_intercept, offset)
    product = np.einsum("mij,mj->mi", hessian, to_numpy(vector))
    close(objective.hessian_operator(parameters)(vector), product)
    diagonal = np.diagonal(hessian, axis1=1, axis2=2)
    close(objective.hessian_diagonal(parameters), diagonal)


@class_numbers
def test_objective_curvature_bound_exceeds_every_eigenvalue(n_classes, make, at):
    objective = make(n_classes)
    bound = to_numpy(objective.curvature_bound())
    largest = []
    for factor in (0, 1 / 8, 1):  # curvature is largest near zero logits
        parameters = at(factor * PARAMETERS, n_classes)
        hessian = whole(objective.hessian(parameters))
        if n_classes > 2:
            away = np.eye(hessian.shape[-1]) - along_equal_changes()
            hessian = away @ hessian @ away
        largest.append(np.linalg.eigvalsh(hessian).max(axis=1))
    largest = np.max(largest, axis=0)
    assert (largest <= bound * (1 + 1e-6)).all()
    assert (bound < 8 * largest).all()  # of use as a step size


@pytest.mark.usefixtures("in_this_thread")
@class_numbers
def test_objective_of_dask_chunks(n_classes):
    pytest.importorskip("dask.array")
    options = {"n_classes": n_classes, "ridge": RIDGE}
    offset = OFFSET[:, : n_outputs(n_classes)]
    whole_rows = make_objective(
        X, LABELS[n_classes], WEIGHTS, counts=COUNTS, offset=offset, **options
    )
    in_chunks = in_dask_chunks(whole_rows, (5, 12, 7))
    size = size_of(n_classes)
    w, v = PARAMETERS[:, :size], VECTOR[:, :size]
    for found, reference in zip(
        everything(in_chunks, w, v), everything(whole_rows, w, v)
    ):
        np.testing.assert_allclose(found, reference, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(in_chunks.class_shares(), whole_rows.class_shares())
    few = np.asarray([2, 0])
    part = in_chunks.select(few).value_and_gradient(w[few])
    at = whole_rows.value_and_gradient(w)
    np.testing.assert_allclose(part.gradient, at.gradient[few], rtol=1e-10, atol=1e-14)


# -- Firth's term ----------------------------------------------------------------------


def jeffreys(row):
    """Return minus half the log-determinant of the first model's information."""
    Z = np.column_stack([X, np.ones(N)])
    p = 1 / (1 + np.exp(-Z @ row))
    s = WEIGHTS * COUNTS[:, 0]
    information = (Z * (s * p * (1 - p))[:, None]).T @ Z
    return -np.linalg.slogdet(information)[1] / 2 / s.sum()


def test_objective_with_jeffreys_term(make, at, close, dtype):
    plain = make(2, models=slice(0, 1))
    with_term = Objective(
        plain.data,
        plain.loss,
        plain.penalty,
        fit_intercept=True,
        term=JeffreysTerm(plain.total_weight),
    )
    parameters = at(PARAMETERS, 2, True, slice(0, 1))
    row, h = PARAMETERS[0, : P + 1], 1e-5
    derivative = [
        (jeffreys(row + h * e) - jeffreys(row - h * e)) / (2 * h) for e in np.eye(P + 1)
    ]
    value, gradient, _ = expected(2)
    rtol = {"float32": 1e-5, "float64": 1e-8}[dtype]
    # The term stays with the objective of other models, rows and penalties.
    for objective in (
        with_term,
        with_term.select(np.asarray([0])),
        with_term.with_penalty(plain.penalty),
        with_term.with_data(plain.data),
        with_term.take_columns(plain.xp.asarray([0, 1, 2], device=plain.device)),
    ):
        found = objective.value_and_gradient(parameters)
        close(found.value, value[:1] + jeffreys(row), rtol=rtol)
        close(found.gradient, gradient[:1] + np.asarray([derivative]), rtol=rtol)


# -- solving with a Hessian ------------------------------------------------------------


@pytest.mark.parametrize(("by_class", "damping"), [(False, 0.0), (True, 0.5)])
@class_numbers
def test_hessian_solver_solves_its_damped_equations(
    n_classes, damping, by_class, make, at, place, wide
):
    objective = make(n_classes, ridge=RIDGE + 1 / 16)
    parameters, vector = at(PARAMETERS, n_classes), at(VECTOR, n_classes)
    method = objective.class_hessians if by_class else objective.hessian
    hessian = method(parameters)
    added = damping * np.arange(1.0, to_numpy(vector).size + 1).reshape(MODELS, -1)
    solved = to_numpy(hessian.solver(place(added, wide))(vector))
    blocks = blocks_of(hessian)
    q = blocks.shape[-1]
    for model in range(MODELS):
        for k in range(blocks.shape[1]):
            part = slice(k * q, (k + 1) * q)
            matrix = blocks[model, k] + np.diag(added[model, part])
            reference = np.linalg.solve(matrix, to_numpy(vector)[model, part])
            np.testing.assert_allclose(
                solved[model, part], reference, rtol=1e-2, atol=1e-3
            )
            residual = matrix @ solved[model, part] - to_numpy(vector)[model, part]
            assert np.abs(residual).max() < 1e-4
