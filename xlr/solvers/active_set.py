"""Many features, of which few have a coefficient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.columns import Columns
from xlr.solvers.loop import Solution, minimise, report
from xlr.solvers.newton_cg import NewtonCG
from xlr.solvers.proximal_newton import ProximalNewton
from xlr.solvers.quadratic import Quadratic

__all__ = ["ActiveSet", "inner_solver", "solve_on"]

# Features in play at the least, and as many times those that have a coefficient.
LEAST = 128
GROWTH = 2

# Iterations on the features in play: more are better spent on asking the others.
MAX_ITER = 100

# Parameters in play beyond which their Hessian is too large to have.
MOST_PARAMETERS = 2500

# By how much the optimality of the features in play falls before the others are asked.
ENOUGH = 0.01


@dataclass(frozen=True)
class ActiveSetState:
    parameters: Array
    at: Evaluation
    slope: Array  # the least subgradient
    columns: Columns
    first: bool
    report: Array

    def select(self, models: np.ndarray, objective: Objective) -> ActiveSetState:
        return ActiveSetState(
            arrays.rows(self.parameters, models),
            self.at.select(models),
            arrays.rows(self.slope, models),
            Columns(),
            self.first,
            arrays.rows(self.report.T, models).T,
        )


class ActiveSet:
    r"""Proximal Newton on the features in play, until no other one wants to be.

    In play are the features that have a coefficient and those whose subgradient is
    largest.  Their problem is solved on a copy of their columns by
    :class:`ProximalNewton`, or by :class:`NewtonCG` where they are thousands; a pass
    over all of X then tells what the others would do, and so nothing is left out that
    belongs in.

    Parameters
    ----------
    seed : int or None, default=None
        As for :class:`ProximalNewton`.

    References
    ----------
    Friedman, Hastie and Tibshirani (2010), *Regularization paths for generalized linear
    models via coordinate descent*, section 2.6; Massias, Gramfort and Salmon (2018),
    *Celer: a fast solver for the lasso with dual extrapolation*.
    """

    standardised = True
    finds_start = False
    enough_columns = math.inf
    patience = 8

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def model_bytes(self, objective: Objective) -> int:
        """The Hessian of the features in play, roughly."""
        q = objective.n_outputs * min(objective.n_features, 4 * LEAST)
        return 8 * (6 * q**2 + 10 * objective.n_parameters)

    def init(self, objective: Objective, start: Array) -> ActiveSetState:
        assert objective.kinks is not None
        start = objective.kinks.clip(start, xp=objective.xp)
        at = objective.value_and_gradient(start)
        return _state(objective, start, at, Columns(), first=True)

    def step(
        self, objective: Objective, state: ActiveSetState, fetched: np.ndarray
    ) -> ActiveSetState:
        features, part = state.columns.of(objective, *_in_play(objective, state))
        parameters, at, _ = solve_on(
            inner_solver(
                part, state.columns.held, seed=self.seed if state.first else None
            ),
            features,
            part,
            objective,
            state.parameters,
            tol=ENOUGH * float(fetched[1].max()),
            max_iter=MAX_ITER,
        )
        change = parameters - state.parameters
        return _state(objective, parameters, at, state.columns, change)


def inner_solver(
    part: Objective, held: list[Quadratic], *, seed: int | None = None
) -> ProximalNewton | NewtonCG:
    """The solver for the features in play.

    Parameters
    ----------
    part : Objective
        F for these features.
    held, seed
        As for :class:`ProximalNewton`.
    """
    if part.n_parameters > MOST_PARAMETERS:
        return NewtonCG(seed)
    return ProximalNewton(seed, held)


def solve_on(
    solver: ProximalNewton | NewtonCG,
    features: Array | None,
    part: Objective,
    whole: Objective,
    parameters: Array,
    *,
    tol: float,
    max_iter: int,
) -> tuple[Array, Evaluation, Solution]:
    """Minimise F over the coefficients of some features, the others being zero.

    Parameters
    ----------
    solver : ProximalNewton or NewtonCG
    features : array of int or None
        Their numbers; None for all.
    part, whole : Objective
        F for these features, and for all.
    parameters : array of shape (n_models, n_parameters)
        Of the whole: where to begin.
    tol, max_iter
        As for :func:`minimise`.

    Returns
    -------
    parameters : array of shape (n_models, n_parameters)
        Of the whole.
    at : Evaluation
        The whole objective there.
    solution : Solution
        Of the part.
    """
    xp = whole.xp
    if features is None:
        solution = minimise(solver, whole, parameters, tol=tol, max_iter=max_iter)
        return solution.parameters, solution.at, solution
    coef, intercept = whole.split(parameters)
    start = part.join(xp.take(coef, features, axis=1), intercept)
    solution = minimise(solver, part, start, tol=tol, max_iter=max_iter)
    found, intercept = part.split(solution.parameters)
    coef = arrays.spread(found, features, whole.n_features, xp=xp)
    parameters = whole.join(coef, intercept)
    return parameters, whole.value_and_gradient(parameters), solution


def _state(
    objective: Objective,
    parameters: Array,
    at: Evaluation,
    columns: Columns,
    change: Array | None = None,
    *,
    first: bool = False,
) -> ActiveSetState:
    slope = objective.subgradient(parameters, at.gradient)
    numbers = report(objective, Evaluation(at.value, slope), change)
    return ActiveSetState(parameters, at, slope, columns, first, numbers)


def _in_play(
    objective: Objective, state: ActiveSetState
) -> tuple[np.ndarray, np.ndarray]:
    """The features that must be in play, as a mask, and those that may as well.

    The first have a coefficient, or want one more than the next solve will resolve.
    """
    xp = objective.xp
    coef, slope = (objective.split(v)[0] for v in (state.parameters, state.slope))
    largest = xp.max(xp.abs(xp.stack([coef, slope])), axis=1)
    size, wanted = arrays.to_host(largest)
    has_coef = size > 0
    room = max(LEAST, GROWTH * int(has_coef.sum()))
    order = np.argsort(np.where(has_coef, 0, -wanted), kind="stable")[:room]
    must = has_coef.copy()
    # One at least, though none may want to: the intercept is found beside it.
    must[order[wanted[order] >= ENOUGH * wanted.max()]] = True
    return must, order[wanted[order] > 0]
