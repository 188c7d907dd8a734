"""Minima in the row space are minima in the space of the features."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy
from make_objective import make_objective

from xlr.objective import row_space
from xlr.solvers import NewtonCholesky, minimise

N, P = 20, 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P))
WEIGHTS = RNG.uniform(0.5, 2, size=N)
RIDGE = RNG.uniform(0.01, 0.1, size=(1, 1, P))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_minimum_in_the_row_space_is_the_minimum(n_classes, fit_intercept):
    objective = make_objective(
        X,
        np.arange(N) % n_classes,
        WEIGHTS,
        n_classes=n_classes,
        offset=RNG.normal(size=(N, 1 if n_classes == 2 else n_classes)),
        fit_intercept=fit_intercept,
        ridge=RIDGE,
    )
    reduced, to_original = row_space(objective)
    assert reduced.n_features == N
    solution = minimise(
        NewtonCholesky(), reduced, reduced.zeros(), tol=1e-6, max_iter=50
    )
    gradient = objective.value_and_gradient(to_original(solution.parameters)).gradient
    size = np.abs(to_numpy(objective.value_and_gradient(objective.zeros()).gradient))
    assert np.abs(to_numpy(gradient)).max() < 1e-4 * size.max()


@pytest.mark.parametrize(
    "options", [{"ridge": 0.0}, {"ridge": 1.0, "l1": 0.1}], ids=["no ridge", "L1"]
)
def test_row_space_needs_a_ridge_penalty_alone(options):
    assert row_space(make_objective(X, np.arange(N) % 2, **options)) is None
