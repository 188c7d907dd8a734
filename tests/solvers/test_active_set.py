"""Which features an active set is solved on, how well, and from where."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from xlr import arrays
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Evaluation, Objective, Responses
from xlr.penalties import ElasticNetPenalty, Kinks
from xlr.solvers import ActiveSet, active_set, minimise
from xlr.solvers.active_set import ActiveSetState, _in_play
from xlr.solvers.columns import Columns

N, P = 120, 200


def problem(n_models=1, n_outputs=1, n_features=P, n_samples=N, bound=np.inf):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features))
    scores = X[:, :3] * 2 + rng.gumbel(size=(n_samples, 3))
    y = scores.argmax(axis=1)
    targets = [y % max(2, n_outputs)] + [(y == k) for k in range(1, n_models)]
    y = np.stack(targets, axis=1).astype(float)
    ones = np.ones((1, 1, n_features))
    kinks = Kinks(0.02 * ones, -bound * ones, bound * ones)
    return Objective(
        DenseDesign(X, None, xp=arrays.namespace(X)),
        Responses(n_models, y, np.ones((n_samples, 1))),
        LogisticLoss() if n_outputs == 1 else SoftmaxLoss(n_outputs),
        ElasticNetPenalty(0.01 * ones, kinks),
        fit_intercept=True,
        units=None,
    )


# -- the columns in play ---------------------------------------------------------------


def chosen(n_features, n_in_play, beside=()):
    objective = problem(n_features=n_features)
    in_play = np.arange(n_features) < n_in_play
    numbers = np.asarray(beside, dtype=int)
    features, part = Columns().of(objective, in_play, numbers)
    assert part.n_features == (n_features if features is None else len(features))
    return features


@pytest.mark.parametrize(("n_features", "n_in_play"), [(10, 1), (60, 9), (100, 90)])
def test_of_few_features_or_most_of_them_no_copy_is_made(n_features, n_in_play):
    assert chosen(n_features, n_in_play) is None


def test_of_many_features_some_are_copied_with_those_beside():
    np.testing.assert_array_equal(chosen(100, 3, beside=[50, 7]), [0, 1, 2, 7, 50])


def test_a_copy_serves_while_it_holds_what_is_in_play(monkeypatch):
    objective, columns = problem(), Columns()
    copied, of_features = [], Objective.of_features

    def watched(self, features):
        copied.append(features.tolist())
        return of_features(self, features)

    monkeypatch.setattr(Objective, "of_features", watched)
    for in_play in ([3, 4], [4, 50], [4], [5, 50]):
        mask = np.isin(np.arange(P), in_play)
        features, part = columns.of(objective, mask, np.asarray([50]))
        assert set(in_play) <= set(features.tolist())
        assert part.n_features == len(features)
    assert copied == [[3, 4, 50], [5, 50]]


def in_play_of(objective, coef, slope):
    """The features that must be in play, and those that may, given each as a row."""
    n_models, zeros = objective.n_models, np.zeros(len(coef))
    state = ActiveSetState(
        parameters=objective.join(coef, zeros),
        at=Evaluation(np.ones(n_models), np.zeros(1)),
        slope=objective.join(slope, zeros),
        columns=Columns(),
        first=False,
        report=np.zeros((4, n_models)),
    )
    must, may = _in_play(objective, state)
    return np.nonzero(must)[0].tolist(), may.tolist()


@pytest.mark.parametrize(("n_models", "n_outputs"), [(1, 1), (3, 1), (1, 3)])
def test_a_feature_is_in_play_for_whatever_class_or_model_wants_it(n_models, n_outputs):
    coef, slope = np.zeros((2, n_models * n_outputs, P))
    coef[-1, 3] = -0.5
    slope[0, 5], slope[-1, 7], slope[0, 9] = 2.0, -0.9, 1e-2
    must, may = in_play_of(problem(n_models, n_outputs), coef, slope)
    # Of what the ninth wants, the next solve would leave as much.
    assert must == [3, 5, 7]
    assert may == [5, 7, 9]


def test_the_most_wanting_come_along(monkeypatch):
    monkeypatch.setattr(active_set, "LEAST", 3)
    coef, slope = np.zeros((2, 1, P))
    coef[0, 4], slope[0, 10:15] = 0.5, [0.1, -0.4, 0.2, 0.5, -0.3]
    assert in_play_of(problem(), coef, slope) == ([4, 11, 13, 14], [13, 11, 14])


def test_one_is_in_play_though_none_wants_to_be():
    must, may = in_play_of(problem(), *np.zeros((2, 1, P)))
    assert must
    assert not may


# -- a fit -----------------------------------------------------------------------------


def test_a_start_beyond_the_bounds_is_moved_onto_them():
    objective = problem(bound=0.3)
    state = ActiveSet().init(objective, objective.zeros() + 20)
    np.testing.assert_array_equal(state.parameters[0, :P], 0.3)
    expected = objective.value_and_gradient(state.parameters)
    np.testing.assert_array_equal(state.at.value, expected.value)


def test_a_model_that_is_done_does_not_make_others_solve_further(monkeypatch):
    tolerances = []
    solve_on = active_set.solve_on

    def watched(*given, tol, **more):
        tolerances.append(tol)
        return solve_on(*given, tol=tol, **more)

    monkeypatch.setattr(active_set, "solve_on", watched)
    objective = problem(n_models=2)
    state = ActiveSet().init(objective, objective.zeros())
    done = state.report.copy()
    done[1] = [0.05, 0.0]
    ActiveSet().step(objective, state, done)
    done[1] = [0.05, 0.05]
    ActiveSet().step(objective, state, done)
    assert tolerances[0] == tolerances[1]
    assert 1e-4 < tolerances[0] < 0.1


def test_samples_are_drawn_for_the_first_solve_alone(monkeypatch):
    """A later one begins closer than a sample would."""
    monkeypatch.setattr(arrays, "block_bytes", lambda x: 2**14)
    drawn, sampled, seen = [], Objective.sample, []

    def watched(self, size, seed):
        drawn.append(len(seen))
        return sampled(self, size, seed)

    monkeypatch.setattr(Objective, "sample", watched)
    monkeypatch.setattr(active_set, "LEAST", 4)
    objective = problem(n_samples=12_000, n_features=70)
    solution = minimise(
        ActiveSet(0),
        objective,
        objective.zeros(),
        tol=1e-8,
        max_iter=50,
        on_iteration=lambda record, w: seen.append((record.step[0], w)),
    )
    assert (solution.records[-1].optimality <= 1e-8).all()
    assert len(seen) > 2
    assert set(drawn) == {1}
    for (_, w), (step, u) in pairwise(seen):
        assert step == pytest.approx(np.abs(u - w).max())
