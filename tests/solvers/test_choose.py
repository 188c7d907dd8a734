"""The choice of a solver follows its cost."""

from __future__ import annotations

import pytest

from xlr.solvers import choose


@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_classes"),
    [(2, 1, 2), (569, 30, 2), (150, 4, 3), (10**6, 50, 2), (200_000, 500, 2)],
)
def test_few_parameters_are_factorised(n_samples, n_features, n_classes):
    assert choose(n_samples, n_features, n_classes) == "newton-cholesky"


@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_classes"),
    [(2000, 20_000, 2), (60_000, 784, 10), (1797, 64, 10), (10**5, 10**4, 2)],
)
def test_many_parameters_are_not(n_samples, n_features, n_classes):
    assert choose(n_samples, n_features, n_classes) == "newton-cg"
