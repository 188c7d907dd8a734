"""Which features the next model of a path begins with."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy

from xlr import arrays
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Evaluation, Objective, Responses
from xlr.penalties import ElasticNetPenalty, Kinks
from xlr.solvers import path

P = 5


@pytest.fixture(params=[1, 3], ids=["binary", "softmax"])
def make(request):
    """The objective with a lasso of some strength."""
    outputs = request.param
    X, y = np.eye(6, P), np.arange(6.0)[:, None] % max(2, outputs)

    def make(lasso):
        ones = np.ones((1, 1, P))
        kinks = Kinks(lasso * ones, np.full((1, 1, P), -np.inf), np.inf * ones)
        return Objective(
            DenseDesign(X, None, xp=arrays.namespace(X)),
            Responses(1, y, np.ones((6, 1))),
            LogisticLoss() if outputs == 1 else SoftmaxLoss(outputs),
            ElasticNetPenalty(lasso**2 * ones, kinks),
            fit_intercept=True,
            units=None,
        )

    return make


def joined(objective, coef):
    """Parameters, or a gradient, with these in the last class and zeros before."""
    rows = np.zeros((objective.n_outputs, P))
    rows[-1] = coef
    return objective.join(rows, np.zeros(objective.n_outputs))


def test_the_strong_rule(make):
    """Kept where |g| >= 2 kappa - kappa of the last: 2 x 0.75 - 1 = 0.5."""
    now, last = make(0.75), make(1.0)
    gradient = joined(now, [0.51, -0.5, 0.49, -0.49, 0.0])
    at = Evaluation(np.zeros(1), gradient)
    kept = path._kept_by_strong_rule(now, last, now.zeros(), at)
    np.testing.assert_array_equal(kept, [True, True, False, False, False])


def test_who_has_a_coefficient_or_wants_one(make):
    objective = make(0.5)
    parameters = joined(objective, [0.0, 0.0, 0.0, 0.3, -0.3])
    # The last two are where they want to be.
    gradient = joined(objective, [0.4, -0.6, 0.6, -0.5, 0.5])
    wanting = path._wanting(objective, parameters, Evaluation(np.zeros(1), gradient))
    np.testing.assert_array_equal(wanting, [False, True, True, True, True])


def test_who_is_likely_next(make, monkeypatch):
    objective = make(0.5)
    monkeypatch.setattr(path, "AHEAD", 1.0)
    gradient = joined(objective, [0.1, -0.4, 9.0, 0.3, -9.0])
    in_play = np.asarray([False, False, True, False, True])
    at = Evaluation(np.zeros(1), gradient)
    np.testing.assert_array_equal(path._likely_next(objective, in_play, at), [1, 3])


def test_where_the_last_two_lead_to(make):
    """On a straight line, but not across zero, nor away from it."""
    objective = make(0.5)
    before = joined(objective, [0.0, 1.0, 1.0, -2.0, 1.0])
    last = joined(objective, [1.0, 2.0, 0.25, -1.0, 0.0])
    ahead = to_numpy(path._led_to(objective, last, before, 0.5))
    np.testing.assert_array_equal(ahead, joined(objective, [1.5, 2.5, 0.0, -0.5, 0.0]))
    # Where zero is no kink, nothing ends there.
    smooth = make(0.0)
    ahead = to_numpy(path._led_to(smooth, last, before, 0.5))
    expected = joined(smooth, [1.5, 2.5, -0.125, -0.5, -0.5])
    np.testing.assert_array_equal(ahead, expected)


def test_the_features_of_a_solve_as_a_mask():
    np.testing.assert_array_equal(path._mask(None, 3), [True] * 3)
    chosen = path._mask(np.asarray([2, 0]), 4)
    np.testing.assert_array_equal(chosen, [True, False, True, False])


def test_f_with_another_penalty_where_it_is_known_with_one(make):
    now, last = make(0.8), make(0.3)
    parameters = joined(now, [0.5, -1.0, 0.0, 2.0, 0.25])
    at = now.repenalised(last, parameters, last.value_and_gradient(parameters))
    expected = now.value_and_gradient(parameters)
    np.testing.assert_allclose(at.value, expected.value, rtol=1e-14)
    np.testing.assert_allclose(at.gradient, expected.gradient, rtol=1e-13, atol=1e-15)
