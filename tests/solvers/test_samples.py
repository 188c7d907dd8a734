"""Whether a fit begins on a sample of the rows, and what is taken of it."""

from __future__ import annotations

import numpy as np
import pytest
from test_starts import DATA, N, P, large_objective

import xlr
from xlr.design import DenseDesign
from xlr.design.blocks import draw_rows
from xlr.losses import LogisticLoss
from xlr.objective import Objective, Responses
from xlr.penalties import ElasticNetPenalty, Kinks, L2Penalty
from xlr.solvers import NewtonCholesky, ProximalNewton, minimise
from xlr.solvers.reference import Reference
from xlr.solvers.starts import Start, find_start


@pytest.fixture
def drawn(monkeypatch):
    """How many rows each sample was of."""
    sizes, sample = [], Objective.sample

    def watched(self, size, seed):
        sizes.append(size)
        return sample(self, size, seed)

    monkeypatch.setattr(Objective, "sample", watched)
    return sizes


def test_few_rows_or_too_few_of_them_are_not_sampled(drawn):
    """Nor more than the rows that there are to draw from."""
    few, many = large_objective(500), large_objective()
    start = find_start(NewtonCholesky(0), few, few.zeros(), least=1, seed=0)
    assert not drawn
    assert not start.parameters.any()
    start = find_start(NewtonCholesky(0), many, many.zeros(), least=N // 4, seed=0)
    assert not drawn
    assert not start.parameters.any()
    many.design.n_drawable = 1000  # as where chunks are drawn from
    find_start(NewtonCholesky(0), many, many.zeros(), least=200, seed=0)
    assert drawn[0] == 1000


@pytest.mark.parametrize("solver", [NewtonCholesky, ProximalNewton])
@pytest.mark.parametrize(("n_samples", "samples"), [(1600, 0), (1760, 1)])
def test_a_sample_has_ten_rows_for_each_parameter(
    solver, n_samples, samples, drawn, monkeypatch
):
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**14)
    objective = large_objective(n_samples)  # of 21 parameters
    solver(0).init(objective, objective.zeros())
    assert len(drawn) == samples


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_noise_of_a_hessian_adds_up_as_rounding_errors_do(dtype):
    """By the square root of how many there are; they are those of the rows."""
    noise = []
    for n_features in (3, 15):
        X, ones = np.eye(20, n_features, dtype=dtype), np.ones((1, 1, n_features))
        objective = Objective(
            DenseDesign(X, None, xp=xlr.arrays.namespace(X)),
            Responses(1, np.arange(20.0)[:, None] % 2, np.ones((20, 1))),
            LogisticLoss(),
            ElasticNetPenalty(0.1 * ones, Kinks(0.1 * ones, -9 * ones, 9 * ones)),
            fit_intercept=True,
            units=None,
        )
        state = ProximalNewton().init(objective, objective.zeros())
        noise.append(state.quadratics[0].noise)
    assert noise[1] / noise[0] == pytest.approx(2)
    assert 1 < noise[0] / np.finfo(dtype).eps < 200


def test_each_model_begins_at_the_better_of_its_start_and_the_samples():
    """A class of three rows, which the sample does not hold, and one of many."""
    X, y = DATA[2]
    held = draw_rows(N, N // 8, seed=0)
    rare = np.isin(np.arange(N), np.setdiff1d(np.arange(N), held)[[17, 9000, 19_000]])
    both = Objective(
        DenseDesign(X, None, xp=xlr.arrays.namespace(X)),
        Responses(2, np.stack([rare, y], axis=1).astype(float), np.ones((N, 1))),
        LogisticLoss(),
        L2Penalty(np.full((1, 1, P), 1e-3)),
        fit_intercept=True,
        units=None,
    )
    best = minimise(NewtonCholesky(), both, both.zeros(), tol=1e-6, max_iter=50)
    start = best.parameters * np.asarray([[1.0], [0.0]])
    begun = find_start(NewtonCholesky(0), both, start, least=200, seed=0)
    np.testing.assert_array_equal(begun.parameters[0], start[0])
    first = both.value_and_gradient(start).value
    assert begun.at.value[0] == first[0]
    assert begun.at.value[1] < 0.9 * first[1]
    expected = both.value_and_gradient(begun.parameters)
    np.testing.assert_array_equal(begun.at.value, expected.value)


def test_the_hessian_is_looked_at_on_all_rows_or_a_sample_of_them():
    """Not on those that the start was found on, but for resamples of one model."""
    objective = large_objective(500)
    at = objective.value_and_gradient(objective.zeros())
    few = Reference(large_objective(100))
    for begun in (Start(at, at), Start(at, at, few)):
        assert begun.to_look_at(objective, 0).objective is objective
    pooled = Reference(large_objective(100), of=np.zeros(1, dtype=int))
    found = Start(at, at, pooled).to_look_at(objective, 0)
    assert found.objective is pooled.objective
    assert found.of is pooled.of
