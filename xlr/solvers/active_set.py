"""Proximal Newton on a working set, for many features and few non-zero coefficients."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Start
from xlr.solvers.steps import Diagnostics
from xlr.solvers.working_set import WorkingSet

# Minimum size of a working set: features, and a multiple of those with a coefficient.
LEAST = 128
GROWTH = 2

# Iterations on a working set, after which the other features are checked.
WORKING_SET_ITERATIONS = 100

# Share of the optimality at which a working set is solved well enough.
SOLVED_SHARE = 0.01

# Curvature along a feature outside the working set, to predict its decrease of F: the
# p (1 - p) of rows whose event has a probability of 1 %.
CURVATURE = 0.01


class ActiveSetState(NamedTuple):
    parameters: Array
    at: Evaluation
    subgradient: Array  # minimum-norm subgradient
    working_set: WorkingSet
    left: Array  # predicted decrease of the next step
    diagnostics: Diagnostics


class ActiveSet:
    r"""Proximal Newton on a working set, until no other feature violates its condition.

    The working set holds the features that have a coefficient and those whose
    subgradient is largest. :class:`ProximalNewton` solves its problem on a copy of its
    columns, or :class:`NewtonCG` if there are thousands. A pass over all of X then
    finds the features that violate the KKT conditions.

    References
    ----------
    Friedman, Hastie and Tibshirani (2010), *Regularization paths for generalized linear
    models via coordinate descent*, section 2.6; Massias, Gramfort and Salmon (2018),
    *Celer: a fast solver for the lasso with dual extrapolation*.
    """

    standardized = True
    patience = 8

    def least_sample(self, objective: Objective) -> float:
        """Return inf: the first working set needs the gradient of all rows."""
        return math.inf

    def model_bytes(self, objective: Objective) -> int:
        """Return the approximate bytes of the Hessian of a working set."""
        q = objective.n_outputs * min(objective.n_features, 4 * LEAST)
        return 8 * (6 * q**2 + 10 * objective.n_parameters)

    def init(self, objective: Objective, start: Start) -> ActiveSetState:
        gradient = objective.minimum_norm_subgradient(start[0], start.at.gradient)
        diagnostics = Diagnostics.of(objective, start.at.value, gradient)
        left = objective.xp.full_like(start.at.value, objective.xp.inf)
        return ActiveSetState(*start[:2], gradient, WorkingSet(), left, diagnostics)

    def step(self, objective: Objective, state: ActiveSetState) -> ActiveSetState:
        xp = objective.xp
        # 1. Minimise over the features of the working set.
        parameters, at, solution, features = state.working_set.solve(
            objective,
            state.parameters,
            _working_set(objective, state),
            tol=SOLVED_SHARE * float(state.diagnostics.optimality.max()),
            max_iter=WORKING_SET_ITERATIONS,
        )
        # 2. The predicted decrease from its coefficients and from the others.
        gradient = objective.minimum_norm_subgradient(parameters, at.gradient)
        coef = objective.by_class(gradient)
        outside = xp.astype(objective.place(~features) > 0, coef.dtype)
        left = xp.sum((coef * outside) ** 2, axis=(1, 2)) / (2 * CURVATURE)
        left = left + objective.place(solution.decrease)
        change = parameters - state.parameters
        return ActiveSetState(
            parameters,
            at,
            gradient,
            state.working_set,
            left,
            Diagnostics.of(objective, at.value, gradient, change=change),
        )

    def decrease(self, objective: Objective, state: ActiveSetState) -> Array:
        """Return the predicted decrease from the working set and the other features."""
        return state.left


def _working_set(objective: Objective, state: ActiveSetState) -> np.ndarray:
    """Return a mask of the features for the next solve.

    They have a coefficient, or violate their KKT condition by more than the next solve
    resolves.
    """
    xp = objective.xp
    coef, gradient = (
        objective.split(v)[0] for v in (state.parameters, state.subgradient)
    )
    largest = xp.max(xp.abs(xp.stack([coef, gradient])), axis=1)
    magnitude, violation = arrays.to_host(largest)
    has_coef = magnitude > 0
    size = max(LEAST, GROWTH * int(has_coef.sum()))
    order = np.argsort(np.where(has_coef, 0, -violation), kind="stable")[:size]
    needed = has_coef.copy()
    # At least one feature is needed, with the intercept.
    needed[order[violation[order] >= SOLVED_SHARE * violation.max()]] = True
    return needed
