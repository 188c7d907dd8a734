"""Gradient descent with a fixed learning rate."""

from __future__ import annotations

import math
from typing import NamedTuple

from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Start
from xlr.solvers.steps import Diagnostics


class GradientDescentState(NamedTuple):
    parameters: Array
    at: Evaluation
    learning_rate: Array | float  # the user's, or 1 / L of each model: (n_models, 1)
    diagnostics: Diagnostics


class GradientDescent:
    r"""Batch gradient descent with a fixed learning rate.

    .. math:: w \leftarrow w - \gamma \nabla F(w)

    on the columns of X as they are; the other solvers standardize them. The iterates
    equal those of a textbook loop.

    Parameters
    ----------
    learning_rate : float or None
        The rate :math:`\gamma`. None takes 1 / L, with L a bound on the curvature of F,
        so that F never rises.
    """

    standardized = False
    patience = math.inf  # only max_iter ends a fit without progress

    def __init__(self, learning_rate: float | None) -> None:
        self.learning_rate = None if learning_rate is None else float(learning_rate)

    def min_sample_size(self, objective: Objective) -> float:
        """Return inf: the iterates begin at the user's start, not on a sample."""
        return math.inf

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of parameters and gradients."""
        return 8 * 4 * objective.n_parameters

    def init(self, objective: Objective, start: Start) -> GradientDescentState:
        rate = self.learning_rate
        if rate is None:
            rate = 1 / objective.curvature_bound()[:, None]
        diagnostics = Diagnostics.of(objective, *start[:2])
        return GradientDescentState(*start[:2], rate, diagnostics)

    def step(
        self, objective: Objective, state: GradientDescentState
    ) -> GradientDescentState:
        change = -state.learning_rate * state.at.gradient
        parameters = state.parameters + change
        at = objective.value_and_gradient(parameters)
        diagnostics = Diagnostics.of(objective, parameters, at, change=change)
        return GradientDescentState(parameters, at, state.learning_rate, diagnostics)

    def decrease(self, objective: Objective, state: GradientDescentState) -> Array:
        """Return the decrease to first order; F decreases by at least half of it."""
        squares = state.learning_rate * state.at.gradient**2
        return objective.xp.sum(squares, axis=1)
