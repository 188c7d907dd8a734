"""The choice of a solver follows its cost."""

from __future__ import annotations

import pytest

from xlr.solvers import choose


@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_outputs"),
    [
        (2, 1, 1),
        (569, 30, 1),
        (150, 4, 3),
        (10**6, 50, 1),
        (200_000, 500, 1),
        # Of many classes, too.
        (100, 5, 30),
        (1000, 20, 10),
        (1000, 100, 3),
    ],
)
def test_auto_solver_factorises_few_parameters(n_samples, n_features, n_outputs):
    assert choose(n_samples, n_features, n_outputs) == "newton-cholesky"


@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_outputs"),
    [
        (2000, 20_000, 1),
        (1797, 64, 10),
        (10**5, 10**4, 1),
        (500, 10**5, 20),
        # As many columns as rows make a preconditioner as dear as it is of use.
        (1000, 1000, 10),
    ],
)
def test_many_parameters_are_not(n_samples, n_features, n_outputs):
    assert choose(n_samples, n_features, n_outputs) == "newton-cg"


@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_outputs"),
    [
        (60_000, 784, 10),
        (100_000, 512, 100),
        (1_280_000, 1024, 1000),
        (1_000_000, 3000, 2),
    ],
)
def test_many_classes_are_learnt_from_gradients(n_samples, n_features, n_outputs):
    assert choose(n_samples, n_features, n_outputs) == "lbfgs"


def test_products_with_chunks_are_not_asked_for():
    """Each would be a pass over all chunks."""
    for n_features, n_outputs in ((30, 1), (2000, 1), (5000, 1), (784, 10)):
        name = choose(10**7, n_features, n_outputs, in_chunks=True)
        few = n_features * n_outputs <= 2048
        assert name == ("newton-cholesky" if few else "lbfgs")


def test_a_sparse_matrix_is_judged_by_what_its_rows_cost():
    words, categories = (200.0, 60_000.0), (120.0, 20_000.0)
    assert choose(20_000, 100_000, 1, sparse_costs=words) == "newton-cg"
    assert choose(500_000, 20_000, 20, sparse_costs=(40.0, 180.0)) == "newton-cg"
    assert choose(500_000, 2_000, 1, sparse_costs=categories) == "newton-cg"
    assert choose(500_000, 60, 1, sparse_costs=(40.0, 180.0)) == "newton-cholesky"
    assert choose(20_000, 100_000, 1, smooth=False, sparse_costs=words) == "newton-cg"
    assert choose(20_000, 100_000, 1, smooth=False) == "active-set"
    few = choose(20_000, 200, 1, smooth=False, sparse_costs=(40.0, 400.0))
    assert few == "proximal-newton"
