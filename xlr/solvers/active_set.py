"""Proximal Newton on a working set: many features, few of them with a coefficient."""

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

# Features of a working set at the least, and as a multiple of those with a coefficient.
LEAST = 128
GROWTH = 2

# Iterations on a working set: more are better spent on a look at the other features.
WORKING_SET_ITERATIONS = 100

# Share of the optimality at which a working set is solved well enough.
SOLVED_SHARE = 0.01

# Curvature of a feature outside the working set, for the decrease that it would bring:
# p (1 - p) of rows whose event has a probability of 1 %.
CURVATURE = 0.01


class ActiveSetState(NamedTuple):
    parameters: Array
    at: Evaluation
    subgradient: Array  # of minimum norm
    working_set: WorkingSet
    seed: int | None  # draws the sample that the first solve begins on
    left: Array  # predicted decrease by the next step
    diagnostics: Diagnostics


class ActiveSet:
    r"""Proximal Newton on a working set, until no other feature violates its condition.

    The working set holds the features that have a coefficient and those whose
    subgradient is largest. Its problem is solved on a copy of its columns by
    :class:`ProximalNewton`, or by :class:`NewtonCG` where they are thousands; a pass
    over all of X then finds the features that violate the KKT conditions.

    Parameters
    ----------
    seed : int or None, default=None
        Draws a sample to begin on; None for none.

    References
    ----------
    Friedman, Hastie and Tibshirani (2010), *Regularization paths for generalized linear
    models via coordinate descent*, section 2.6; Massias, Gramfort and Salmon (2018),
    *Celer: a fast solver for the lasso with dual extrapolation*.
    """

    standardized = True
    patience = 8

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def least_sample(self, objective: Objective) -> float:
        """Return inf: the first working set is solved on a sample, not all features."""
        return math.inf

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of the Hessian of a working set, roughly."""
        q = objective.n_outputs * min(objective.n_features, 4 * LEAST)
        return 8 * (6 * q**2 + 10 * objective.n_parameters)

    def init(self, objective: Objective, start: Start) -> ActiveSetState:
        gradient = objective.minimum_norm_subgradient(start[0], start.at.gradient)
        diagnostics = Diagnostics.of(objective, start.at.value, gradient)
        left = objective.xp.full_like(start.at.value, objective.xp.inf)
        return ActiveSetState(
            *start[:2], gradient, WorkingSet(), self.seed, left, diagnostics
        )

    def step(self, objective: Objective, state: ActiveSetState) -> ActiveSetState:
        xp = objective.xp
        # 1. Minimise over the features of the working set.
        parameters, at, solution, features = state.working_set.solve(
            objective,
            state.parameters,
            *_working_set(objective, state),
            tol=SOLVED_SHARE * float(state.diagnostics.optimality.max()),
            max_iter=WORKING_SET_ITERATIONS,
            seed=state.seed,
        )
        # 2. The decrease that its coefficients and the others would still bring.
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
            None,
            left,
            Diagnostics.of(objective, at.value, gradient, change=change),
        )

    def decrease(self, objective: Objective, state: ActiveSetState) -> Array:
        """Return what the working set and the other features would bring."""
        return state.left


def _working_set(
    objective: Objective, state: ActiveSetState
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features that are needed, as a mask, and those that are welcome.

    Needed are those with a coefficient, and those that violate their KKT condition by
    more than the next solve will resolve.
    """
    xp = objective.xp
    coef, gradient = (
        objective.split(v)[0] for v in (state.parameters, state.subgradient)
    )
    largest = xp.max(xp.abs(xp.stack([coef, gradient])), axis=1)
    size, violation = arrays.to_host(largest)
    has_coef = size > 0
    room = max(LEAST, GROWTH * int(has_coef.sum()))
    order = np.argsort(np.where(has_coef, 0, -violation), kind="stable")[:room]
    needed = has_coef.copy()
    # One at least, though none may violate its condition: the intercept goes with it.
    needed[order[violation[order] >= SOLVED_SHARE * violation.max()]] = True
    return needed, order[violation[order] > 0]
