"""Gradient descent, as every textbook has it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import report

__all__ = ["GradientDescent"]


@dataclass(frozen=True)
class GradientDescentState:
    parameters: Array
    at: Evaluation
    learning_rate: Array | float
    report: Array

    def select(self, models: np.ndarray, objective: Objective) -> GradientDescentState:
        rate = self.learning_rate
        return GradientDescentState(
            parameters=arrays.rows(self.parameters, models),
            at=self.at.select(models),
            learning_rate=rate
            if isinstance(rate, float)
            else arrays.rows(rate, models),
            report=self.report,
        )


class GradientDescent:
    r"""Batch gradient descent with a fixed learning rate.

    .. math:: w \leftarrow w - \gamma \nabla F(w)

    in the units of X as it is given, unlike the other solvers: the path is the
    one a textbook's loop would take, number by number.

    Parameters
    ----------
    learning_rate : float or None
        The rate :math:`\gamma`; None takes 1 / L, with L a bound on the curvature
        of F, so that F never rises.
    """

    standardised = False
    enough_columns = math.inf
    finds_start = False
    patience = float("inf")  # the schedule is the user's: run it to its end

    def __init__(self, learning_rate: float | None) -> None:
        self.learning_rate = None if learning_rate is None else float(learning_rate)

    def model_bytes(self, objective: Objective) -> int:
        """Parameters and gradients."""
        return 8 * 4 * objective.n_parameters

    def init(self, objective: Objective, start: Array) -> GradientDescentState:
        at = objective.value_and_gradient(start)
        rate = self.learning_rate
        if rate is None:
            rate = 1 / objective.curvature_bound()[:, None]
        return GradientDescentState(start, at, rate, report(objective, at))

    def step(
        self, objective: Objective, state: GradientDescentState, fetched: np.ndarray
    ) -> GradientDescentState:
        change = -state.learning_rate * state.at.gradient
        parameters = state.parameters + change
        at = objective.value_and_gradient(parameters)
        numbers = report(objective, at, change)
        return GradientDescentState(parameters, at, state.learning_rate, numbers)
