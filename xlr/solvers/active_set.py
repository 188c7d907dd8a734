"""Proximal Newton on a working set, for many features and few non-zero coefficients."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Start
from xlr.solvers.steps import Diagnostics
from xlr.solvers.working_set import WorkingSet, largest_of_features

# Minimum size of a working set: a number of features, and a multiple of the number of
# features with a coefficient. Too many cost a Hessian each; too few, a pass over all
# of X.
MIN_FEATURES = 128
FEATURES_PER_COEFFICIENT = 2

# Maximum number of iterations on a working set before a check of the other features.
MAX_WORKING_SET_ITERATIONS = 100

# Tolerance on a working set, as a share of the optimality. A smaller one is no use
# while other features violate their KKT conditions. It is at least the rounding error
# of an entry: with a tol below 1e-7, fits to float32 data may end there and warn.
TOL_SHARE = 0.01

# Curvature assumed along a standardized feature outside the working set, to predict the
# decrease of F there: the p (1 - p) of rows whose event has a probability of 1 %.
OUTSIDE_CURVATURE = 0.01


class ActiveSetState(NamedTuple):
    parameters: Array
    at: Evaluation
    working_set: WorkingSet
    predicted_decrease: Array  # of F, by the next step
    diagnostics: Diagnostics


class ActiveSet:
    r"""Proximal Newton on a working set, until no feature violates its KKT condition.

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
    patience = 8.0

    def min_sample_size(self, objective: Objective) -> float:
        """Return inf: the first working set needs the gradient of all rows."""
        return math.inf

    def model_bytes(self, objective: Objective) -> int:
        """Return the approximate bytes of the Hessian of a working set."""
        q = objective.n_outputs * min(objective.n_features, 4 * MIN_FEATURES)
        return 8 * (6 * q**2 + 10 * objective.n_parameters)

    def init(self, objective: Objective, start: Start) -> ActiveSetState:
        diagnostics = Diagnostics.of(objective, *start[:2])
        unknown = objective.xp.full_like(start.at.value, objective.xp.inf)
        return ActiveSetState(*start[:2], WorkingSet(), unknown, diagnostics)

    def step(self, objective: Objective, state: ActiveSetState) -> ActiveSetState:
        xp = objective.xp
        # 1. Minimise over the features of the working set.
        tol = TOL_SHARE * float(state.diagnostics.optimality.max())
        parameters, at, solution, features = state.working_set.solve(
            objective,
            state.parameters,
            _working_set(objective, state),
            tol=max(tol, objective.hessian_rounding),
            max_iter=MAX_WORKING_SET_ITERATIONS,
        )
        # 2. Predicted decrease: by the working set, and by a Newton step for each other
        # feature, g^2 / (2 h).
        gradient = objective.minimum_norm_subgradient(parameters, at.gradient)
        coef = objective.coefficients(gradient)
        outside = xp.astype(objective.place(~features) > 0, coef.dtype)
        decrease = xp.sum((coef * outside) ** 2, axis=(1, 2)) / (2 * OUTSIDE_CURVATURE)
        decrease = decrease + objective.place(solution.decrease)
        change = parameters - state.parameters
        diagnostics = Diagnostics.of(objective, parameters, at, change=change)
        return ActiveSetState(parameters, at, state.working_set, decrease, diagnostics)

    def decrease(self, objective: Objective, state: ActiveSetState) -> Array:
        """Return the predicted decrease by the working set and the other features."""
        return state.predicted_decrease


def _working_set(objective: Objective, state: ActiveSetState) -> np.ndarray:
    """Return a mask of the features for the next solve.

    They have a coefficient, or violate their KKT condition by more than the tolerance
    of the next solve.
    """
    parameters, gradient = state.parameters, state.at.gradient
    gradient = objective.minimum_norm_subgradient(parameters, gradient)
    has_coef = largest_of_features(objective, parameters) > 0
    violation = largest_of_features(objective, gradient)
    size = max(MIN_FEATURES, FEATURES_PER_COEFFICIENT * int(has_coef.sum()))
    order = np.argsort(np.where(has_coef, 0, -violation), kind="stable")[:size]
    needed = has_coef.copy()
    # At least one feature is needed, with the intercept.
    needed[order[violation[order] >= TOL_SHARE * violation.max()]] = True
    return needed
