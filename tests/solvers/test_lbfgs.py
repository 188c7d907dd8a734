"""Steps of L-BFGS on quadratic functions, against the matrices written out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from xlr import arrays
from xlr.objective import Evaluation
from xlr.solvers import LBFGS

MODELS, SIZE, STEPS = 2, 6, 12
MEMORY, RENEWAL = 3, 4
RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(MODELS, 2 * SIZE, SIZE))
MATRIX = ROOT.transpose(0, 2, 1) @ ROOT
MINIMUM = RNG.normal(size=(MODELS, SIZE))
DIAGONAL = np.einsum("mii->mi", MATRIX) * RNG.uniform(0.5, 2.0, size=(MODELS, SIZE))
WITHOUT_MEAN = np.eye(SIZE) - 1 / SIZE


class Quadratics:
    """(w - c)'A(w - c) / 2 for each model, and an estimate of A that w changes."""

    xp = arrays.namespace(MATRIX)
    rounding = 2.0**-52
    n_models, n_parameters, column_size = MODELS, SIZE, SIZE
    is_large, n_samples, n_drawable = False, 100, 100
    design = SimpleNamespace(product_cost=1e9)

    def __init__(self, share, mean_is_nothing):
        self._share = np.asarray(share)[:, None]  # of the estimate that is seen
        self.mean = WITHOUT_MEAN if mean_is_nothing else np.eye(SIZE)

    def value_and_gradient(self, parameters):
        away = self.symmetric(parameters - MINIMUM)
        slope = self.symmetric(np.einsum("mij,mj->mi", MATRIX, away))
        return Evaluation(np.sum(away * slope, axis=1) / 2, slope)

    def optimality(self, slope):
        return np.abs(slope).max(axis=1)

    def symmetric(self, vector):
        return vector @ self.mean

    def diagonal(self, parameters):
        return self._share * DIAGONAL * (1 + np.abs(parameters))

    def curvature_estimate(self, parameters, product_cost):
        diagonal = self.diagonal(parameters)
        return SimpleNamespace(
            diagonal=diagonal,
            solver=lambda damping, least: lambda v: v / diagonal,
        )


class Textbook:
    """The same method for one model, with the inverse BFGS matrix in full.

    Nocedal and Wright (2006), eq. 6.17.
    """

    def __init__(self, objective, model):
        self._of, self._model = objective, model
        self._mean = objective.mean
        self._matrix = self._mean @ MATRIX[model] @ self._mean
        self.w = np.zeros(SIZE)
        self.pairs, self.length = [], 1.0
        self.look()

    def look(self):
        everywhere = np.tile(self.w, (MODELS, 1))
        diagonal = self._of.diagonal(everywhere)[self._model]
        self._inverse = self._mean @ np.diag(1 / diagonal) @ self._mean
        taken = self.pairs and self.pairs[-1][0].any()
        self.scale = self.scale_along(*self.pairs[-1]) if taken else 1.0

    def scale_along(self, s, y):
        return y @ self._inverse @ y / (s @ y)

    def step(self):
        """Whether it is kept; if not, the next goes to the minimum along its line."""
        inverse = self._inverse / self.scale
        for s, y in self.pairs:
            if s.any():
                turn = np.eye(SIZE) - np.outer(y, s) / (s @ y)
                inverse = turn.T @ inverse @ turn + np.outer(s, s) / (s @ y)
        slope = self._matrix @ (self.w - MINIMUM[self._model])
        step = -self.length * inverse @ slope
        promised, bend = -slope @ step, step @ self._matrix @ step
        kept = bend / 2 - promised <= -1e-4 * promised
        if kept:
            self.length = 1.0
            self.w = self.w + step
            self.pairs.append((step, self._matrix @ step))
            self.scale = self.scale_along(*self.pairs[-1])
        else:
            least = promised / bend
            assert 0.1 < least < 0.5
            self.length *= least
            self.pairs.append((0 * step, 0 * step))
        return kept


@pytest.mark.parametrize(
    "share", [(1, 1), (0.3, 1), (0.3, 0.3)], ids=["good", "one", "none"]
)
@pytest.mark.parametrize("mean_is_nothing", [False, True])
def test_steps_are_those_of_the_matrix_written_out(share, mean_is_nothing):
    """Where estimates are too small the first steps are too long, and refused."""
    objective = Quadratics(share, mean_is_nothing)
    solver = LBFGS()
    solver.memory, solver.renewal = MEMORY, RENEWAL
    expected = [Textbook(objective, model) for model in range(MODELS)]
    with arrays.quiet():  # as the loop does
        state = solver.init(objective, np.zeros((MODELS, SIZE)))
        refused = []
        for number in range(STEPS):
            state = solver.step(objective, state, state.report)
            for one in expected:
                if number > 0 and number % RENEWAL == 0:
                    one.look()
            kept = [one.step() for one in expected]
            for one in expected:
                if not any(kept):
                    one.pairs.pop()
                one.pairs = one.pairs[-MEMORY:]
            refused.append(kept.count(False))
            np.testing.assert_array_equal(state.report[2] > 0, kept)
            for model, one in enumerate(expected):
                np.testing.assert_allclose(
                    state.parameters[model], one.w, rtol=1e-7, atol=1e-9
                )
    assert refused[0] == share.count(0.3)
