"""The sums over the rows that inference needs, against dense formulas."""

from __future__ import annotations

import numpy as np
import pytest
from make_objective import make_penalty
from scipy.special import softmax

from xlr import arrays
from xlr.data import DenseMatrix, Targets, TrainingData
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, cluster_scores, information

N, P = 40, 3


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    ("loss", "n_classes"),
    [(LogisticLoss(), 2), (SoftmaxLoss(2), 2), (SoftmaxLoss(4), 4)],
    ids=["binary", "two outputs", "four outputs"],
)
def test_information_is_the_sum_over_the_scores_of_the_rows(
    loss, n_classes, fit_intercept
):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, P)), rng.integers(0, n_classes, N)
    repeats, factors = rng.integers(0, 4, N), rng.uniform(0.5, 2, n_classes)
    weights = repeats * factors[y]
    targets = Targets(1, y[:, None].astype(float), weights[:, None])
    data = TrainingData(DenseMatrix(X, xp=arrays.namespace(X)), targets)
    penalty = make_penalty(P, ridge=1.0)
    problem = Objective(data, loss, penalty, fit_intercept=fit_intercept)
    at = rng.normal(size=(1, problem.n_parameters))

    Z = np.column_stack([X, np.ones(N)])[:, : problem.column_size]
    logits = Z @ at.reshape(loss.n_outputs, -1).T
    if loss.n_outputs == 1:
        logits = np.column_stack([0 * logits, logits])
    p = softmax(logits, axis=1)
    residual = (p - np.eye(n_classes)[y])[:, -loss.n_outputs :]
    scores = (residual[:, :, None] * Z[:, None, :]).reshape(N, -1)
    middle = p[:, :, None] * (np.eye(n_classes) - p[:, None, :])
    middle = middle[:, -loss.n_outputs :, -loss.n_outputs :]
    hessian = np.einsum("i,ikl,ia,ib->kalb", weights, middle, Z, Z)

    found = information(problem, at, factors)
    expected_loss = -weights @ np.log(p[np.arange(N), y])
    np.testing.assert_allclose(found.loss, expected_loss)
    np.testing.assert_allclose(found.gradient, weights @ scores)
    size = problem.n_parameters
    np.testing.assert_allclose(
        found.hessian, hessian.reshape(size, size), rtol=1e-9, atol=1e-12
    )
    counted = repeats * factors[y] ** 2
    outer = np.einsum("i,ia,ib->ab", counted, scores, scores)
    np.testing.assert_allclose(found.outer, outer, rtol=1e-9, atol=1e-12)
    assert information(problem, at).outer is None

    clusters = rng.integers(0, 5, N)
    expected = [(weights * (clusters == k)) @ scores for k in range(6)]
    found, counted = cluster_scores(problem, at, 6, clusters)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(
        counted, np.bincount(clusters[weights > 0], minlength=6)
    )
