"""Parameters that are worse than zero, or than what bounds have nearest to it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy

from xlr.design import DenseDesign
from xlr.losses import LogisticLoss
from xlr.objective import Objective, Responses
from xlr.penalties import ElasticNetPenalty, Kinks, L2Penalty

N, P, MODELS = 60, 3, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P))
Y = (X[:, :1] + RNG.normal(size=(N, 1)) > 0).astype(float)
GOOD, BAD, NONE = np.eye(P)[0], -40.0 * np.eye(P)[0], np.zeros(P)


@pytest.fixture
def problem(place, xp, not_compiled_for_long):
    """Of three models; with bounds from ``lower`` on."""

    def problem(lower=None):
        nothing = np.zeros((1, 1, P))
        penalty = L2Penalty(place(nothing))
        if lower is not None:
            kinks = nothing, nothing + lower, nothing + np.inf
            penalty = ElasticNetPenalty(
                place(nothing), Kinks(*(place(part) for part in kinks))
            )
        return Objective(
            DenseDesign(place(X), None, xp=xp),
            Responses(MODELS, place(Y), place(np.ones((N, 1)))),
            LogisticLoss(),
            penalty,
            fit_intercept=False,
            units=None,
        )

    return problem


@pytest.mark.parametrize("lower", [None, -50.0, 0.25])
@pytest.mark.parametrize("bad", [[0], [1, 2], [0, 1, 2]])
def test_the_worse_models_begin_at_zero_or_near(bad, lower, problem, place):
    objective = problem(lower)
    start = np.tile(GOOD, (MODELS, 1)) + 0.25
    start[bad] = BAD
    expected = start.copy()
    expected[bad] = max(0.0, lower or 0.0)
    value = objective.value_and_gradient(place(start)).value
    found = objective.or_zero(place(start), value)
    np.testing.assert_array_equal(
        to_numpy(found), expected.astype(to_numpy(found).dtype)
    )


@pytest.mark.parametrize("rows", [(GOOD, GOOD, NONE), (NONE, GOOD, GOOD)])
def test_what_is_no_worse_is_where_it_was(rows, problem, place):
    """No copy of it: what is known there holds on."""
    objective, start = problem(), place(np.stack(rows))
    value = objective.value_and_gradient(start).value
    assert objective.or_zero(start, value) is start


def test_what_is_not_finite_stays(problem, place):
    objective, start = problem(), place(np.stack([BAD, BAD, GOOD]))
    value = place(np.asarray([np.inf, 40.0, 0.1]))
    found = to_numpy(objective.or_zero(start, value))
    np.testing.assert_array_equal(found, np.stack([BAD, NONE, GOOD]))


def test_zero_itself_takes_no_pass(problem, monkeypatch):
    objective = problem()
    zeros = objective.zeros()
    value = objective.value_and_gradient(zeros).value
    monkeypatch.setattr(Objective, "value_and_gradient", None)
    assert objective.or_zero(zeros, value) is zeros


def test_ones_are_not_taken_for_zeros(problem, place):
    objective, start = problem(), place(np.ones((MODELS, P)))
    value = place(np.full(MODELS, 40.0))
    np.testing.assert_array_equal(to_numpy(objective.or_zero(start, value)), 0)
