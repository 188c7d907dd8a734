"""Derivatives of random objectives against central differences."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import array_api_compat.numpy as xp
import numpy as np
import pytest
import scipy.sparse as sp
from make_objective import make_penalty

from xlr.data import (
    DenseMatrix,
    Scaler,
    SparseMatrix,
    Targets,
    TrainingData,
    column_statistics,
)
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")

EPS = float(np.finfo(np.float64).eps)

# Along a line, the third derivative of a row's loss is the third cumulant of a variable
# within the range R of the row's logit changes. It is at most THIRD_BOUND R^3, which
# two values of suitable odds attain. The fourth derivative is at most R^4 / 8.
THIRD_BOUND = 1 / (6 * 3**0.5)
FOURTH_BOUND = 1 / 8

# Largest change of a parameter: errors of truncation and rounding are then similar.
STEP = 1e-4


class Shape(NamedTuple):
    """Shape and options of a random objective."""

    seed: int
    n_samples: int
    n_features: int
    n_models: int
    n_outputs: int
    fit_intercept: bool
    sparse: bool
    standardized: bool
    offset: bool
    lasso: bool
    weights: str  # "shared" by the models, their "own", or "indexed": see Targets


shapes = st.builds(
    Shape,
    seed=st.integers(0, 2**32 - 1),
    n_samples=st.integers(1, 40),
    n_features=st.integers(1, 5),
    n_models=st.integers(1, 4),
    n_outputs=st.sampled_from([1, 3, 4]),
    fit_intercept=st.booleans(),
    sparse=st.booleans(),
    standardized=st.booleans(),
    offset=st.booleans(),
    lasso=st.booleans(),
    weights=st.sampled_from(["shared", "own", "indexed"]),
)
many_examples = hypothesis.settings(
    max_examples=150, deadline=None, derandomize=True, database=None
)


class Drawn(NamedTuple):
    """An objective, parameters, and a small step."""

    objective: Objective
    parameters: np.ndarray
    step: np.ndarray
    ranges: np.ndarray  # ranges of the logit changes, (n_samples, n_models)
    shares: np.ndarray  # shares of the total weight, (n_samples, n_models)
    sizes: np.ndarray  # absolute standardised features, once per output


def draw_targets(shape, rng):
    n, m, n_outputs = shape.n_samples, shape.n_models, shape.n_outputs
    n_classes = max(2, n_outputs)
    weights = rng.uniform(0.1, 2, size=(n, 1))
    if shape.weights == "shared" or n_outputs > 1:
        labels = rng.integers(0, n_classes, size=(n, 1)).astype(float)
        return Targets(m, labels, weights)
    labels = rng.integers(0, n_classes, size=(n, m)).astype(np.uint8)
    if shape.weights == "own":
        return Targets(m, labels, weights, counts=rng.uniform(0.1, 2, size=(n, m)))
    return Targets(
        m,
        labels,
        weights,
        counts=rng.integers(1, 4, size=(n, 2)),
        class_factors=rng.uniform(0.5, 2, size=(m, 2)),
        label_of=rng.integers(0, m, size=m),
        count_of=rng.integers(0, 2, size=m),
    )


def draw(shape: Shape) -> Drawn:
    """Draw an objective of the shape, and a point and a step at which to test it."""
    rng = np.random.default_rng(shape.seed)
    n, p, m = shape.n_samples, shape.n_features, shape.n_models
    X = rng.normal(size=(n, p)) * rng.integers(0, 2, size=(n, p)) + shape.seed % 3
    targets = draw_targets(shape, rng)
    offset = rng.normal(size=(n, shape.n_outputs)) if shape.offset else None
    matrix = (
        SparseMatrix(sp.csr_array(X), xp=xp) if shape.sparse else DenseMatrix(X, xp=xp)
    )
    data, scaler = TrainingData(matrix, replace(targets, offset=offset)), None
    if shape.standardized:
        one_model = Targets(1, targets.weights, targets.weights)
        _, mean, std = column_statistics(TrainingData(matrix, one_model))
        if not shape.fit_intercept:
            mean, std = np.zeros(p), np.hypot(mean, std)
        scaler = Scaler.of(mean, std, matrix.dtype, xp=xp)
        data = data.standardized(scaler)
    strength = rng.exponential(size=(m, 1, p))
    penalty = make_penalty(p, ridge=strength, l1=2 * strength * shape.lasso)
    objective = Objective(
        data,
        LogisticLoss() if shape.n_outputs == 1 else SoftmaxLoss(shape.n_outputs),
        penalty,
        fit_intercept=shape.fit_intercept,
    )
    # Far from zero, where the L1 penalty has no derivative.
    parameters = rng.choice([-1, 1], size=(m, objective.n_parameters))
    parameters = parameters * rng.uniform(0.1, 1, size=parameters.shape)
    step = rng.uniform(-1, 1, size=parameters.shape)
    step *= STEP / np.abs(step).max()

    z = (X - scaler.mean) / scaler.scale if scaler else X
    z = np.column_stack([z, np.ones(n)])[:, : p + shape.fit_intercept]
    steps = step.reshape(m, shape.n_outputs, -1)
    changes = np.einsum("np,mop->nmo", z, steps)
    if shape.n_outputs == 1:  # the logit of the first class is zero
        changes = np.concatenate([changes, 0 * changes], axis=-1)
    _, weights = targets.block(slice(None), xp=xp)
    weights = np.broadcast_to(weights, (n, m))
    return Drawn(
        objective,
        parameters,
        step,
        np.ptp(changes, axis=-1),
        weights / weights.sum(axis=0),
        np.tile(np.abs(z), shape.n_outputs),
    )


@many_examples
@hypothesis.given(shapes)
def test_objective_gradient_agrees_with_differences_of_f(shape):
    drawn = draw(shape)
    objective, w, v = drawn.objective, drawn.parameters, drawn.step
    up, down = (objective.value_and_gradient(w + h * v).value for h in (1, -1))
    at = objective.value_and_gradient(w)
    gradient = objective.minimum_norm_subgradient(w, at.gradient)
    derivative = (gradient * v).sum(axis=1)
    truncation = THIRD_BOUND / 6 * (drawn.shares * drawn.ranges**3).sum(axis=0)
    rounding = 64 * EPS * (np.abs(up) + np.abs(down))
    assert (np.abs((up - down) / 2 - derivative) <= truncation + rounding).all()


@many_examples
@hypothesis.given(shapes)
def test_hessian_operator_agrees_with_differences_of_the_gradient(shape):
    drawn = draw(shape)
    objective, w, v = drawn.objective, drawn.parameters, drawn.step
    up, down = (objective.value_and_gradient(w + h * v).gradient for h in (1, -1))
    product = objective.hessian_operator(w)(v)
    cubes = drawn.shares * drawn.ranges**3
    truncation = FOURTH_BOUND / 6 * np.einsum("nm,np->mp", cubes, drawn.sizes)
    rounding = 64 * EPS * (np.abs(up) + np.abs(down) + drawn.sizes.max())
    assert (np.abs((up - down) / 2 - product) <= truncation + rounding).all()


@many_examples
@hypothesis.given(shapes)
def test_hessian_matrix_diagonal_and_bound_agree_with_its_operator(shape):
    drawn = draw(shape)
    objective, w, v = drawn.objective, drawn.parameters, drawn.step
    multiply = objective.hessian_operator(w)
    # The matrix has curvature added in the null space of the softmax.
    v = objective.centred_over_classes(v)
    product = multiply(v)
    hessian = objective.hessian(w)
    matrix = hessian.blocks[:, 0] + hessian.penalty[:, None] * np.eye(w.shape[1])
    atol = 64 * EPS * (np.abs(matrix).max() + drawn.sizes.max() ** 2)
    np.testing.assert_allclose(matrix, matrix.transpose(0, 2, 1), atol=atol)
    np.testing.assert_allclose(np.einsum("mij,mj->mi", matrix, v), product, atol=atol)
    columns = [multiply(np.tile(e, (shape.n_models, 1))) for e in np.eye(w.shape[1])]
    of_operator = np.stack(columns, axis=-1)
    diagonal = np.diagonal(of_operator, axis1=1, axis2=2)
    np.testing.assert_allclose(objective.hessian_diagonal(w), diagonal, atol=atol)
    eigenvalues = np.linalg.eigvalsh(of_operator)
    bound = objective.curvature_bound() * (1 + 1e-12)
    assert (eigenvalues.max(axis=1) <= bound).all()
    assert eigenvalues.min() >= -atol
