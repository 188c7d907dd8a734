"""The sums over the rows that inference needs, against dense formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from xlr import arrays
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses, cluster_scores, information
from xlr.penalties import L2Penalty

N, P = 40, 3


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    ("loss", "n_classes"),
    [(LogisticLoss(), 2), (SoftmaxLoss(2), 2), (SoftmaxLoss(4), 4)],
    ids=["binary", "two outputs", "four outputs"],
)
def test_sums_of_the_rows_as_by_their_scores(loss, n_classes, fit_intercept):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, P)), rng.integers(0, n_classes, N)
    repeats, factors = rng.integers(0, 4, N), rng.uniform(0.5, 2, n_classes)
    weights = repeats * factors[y]
    problem = Objective(
        DenseDesign(X, None, xp=arrays.namespace(X)),
        Responses(1, y[:, None].astype(float), weights[:, None]),
        loss,
        L2Penalty(np.ones((1, 1, P))),
        fit_intercept=fit_intercept,
        units=None,
    )
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
    np.testing.assert_allclose(found.slope, weights @ scores)
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
