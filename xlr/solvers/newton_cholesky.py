"""Newton's method with the whole Hessian, factorised."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import BlockHessian, Evaluation, Objective
from xlr.solvers import quasi_newton
from xlr.solvers.loop import report
from xlr.solvers.reference import Reference
from xlr.solvers.starts import find_start
from xlr.solvers.steps import (
    DampedStep,
    better,
    is_acceptable,
    next_damping,
    take,
    to_be_damped,
)

__all__ = ["NewtonCholesky"]


class Factors(NamedTuple):
    """A factorised Hessian, the damping it has, on the host, and what that is of."""

    solve: Callable[[Array], Array]
    damping: np.ndarray
    diagonal: Array


@dataclass(frozen=True)
class NewtonState:
    parameters: Array
    at: Evaluation
    hessian: BlockHessian
    fresh: np.ndarray  # whether the last step was taken where the Hessian was computed
    rough: np.ndarray  # whether the Hessian is good to float32 only
    factors: Factors | None  # of the Hessian; None if it is new
    pairs: tuple[quasi_newton.Pair, ...]  # the steps since it was computed
    damping: Array
    optimality: np.ndarray | None  # before the last step
    report: Array

    def select(self, models: np.ndarray, objective: Objective) -> NewtonState:
        return replace(
            self,
            parameters=arrays.rows(self.parameters, models),
            at=self.at.select(models),
            hessian=self.hessian.select(models),
            factors=None,
            pairs=tuple(pair.select(models) for pair in self.pairs),
            damping=arrays.rows(self.damping, models),
            fresh=self.fresh[models],
            rough=self.rough[models],
            optimality=None if self.optimality is None else self.optimality[models],
        )


class NewtonCholesky:
    r"""Damped Newton method (Levenberg-Marquardt) that holds its Hessian while it may.

    With g and H the gradient and Hessian of F, and D the diagonal of H, or the
    largest of g where that is more,

    .. math:: w \leftarrow w - (H + \lambda D)^{-1} g

    A Hessian costs more than a gradient: it is kept, corrected by what the steps
    taken with it show (BFGS), until a new one would pay.  On many rows the start and
    the first Hessian come from random samples of them, where a Newton step costs
    little.  The damping :math:`\lambda` is zero but for rounding while the quadratic
    model predicts F well, and grows where a step is refused or H cannot be
    factorised.

    Parameters
    ----------
    seed : int or None, default=None
        Draws the rows of samples to begin on; None begins where it is told to.

    References
    ----------
    Marquardt (1963), *An algorithm for least-squares estimation of nonlinear
    parameters*; Nocedal and Wright (2006), *Numerical Optimization*, ch. 4 and 6;
    Roosta-Khorasani and Mahoney (2019), *Sub-sampled Newton methods*.
    """

    standardised = True
    enough_columns = math.inf
    patience = 8
    rows_per_parameter = 10  # the least that tell a Hessian from noise
    # The passes that a new Hessian costs must, spent on steps with the old one, bring
    # the gradient down by this factor for it to be kept.
    worth_holding = 0.01
    # Where there is no minimum and F falls like exp(-t), a Newton step leaves 1 / e of
    # the gradient. One that leaves more than this is short where the rounding of a
    # rough Hessian outweighs the curvature.
    slow = 0.5

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    @property
    def finds_start(self) -> bool:
        return self.seed is not None

    def model_bytes(self, objective: Objective) -> int:
        """Its Hessian, and a factor of it made of a copy; steps and gradients."""
        q = objective.n_parameters
        return 8 * (3 * q**2 + 40 * q)

    def init(self, objective: Objective, start: Array) -> NewtonState:
        least = self.rows_per_parameter * objective.n_parameters
        begun = find_start(self, objective, start, least, self.seed)
        parameters, at = begun.parameters, begun.at
        reference = begun.reference or Reference(objective)
        # A sample is in float32 already.
        sampled = reference.objective.n_samples < objective.n_samples
        rough = objective.is_large and not sampled
        hessian = reference.hessian(
            parameters, lambda smaller, w: smaller.hessian(w, rough=rough)
        )
        return NewtonState(
            parameters=parameters,
            at=at,
            hessian=hessian,
            fresh=np.full(objective.n_models, begun.reference is None),
            rough=np.full(objective.n_models, objective.is_large),
            factors=None,
            pairs=(),
            damping=objective.xp.zeros_like(at.value),
            optimality=None,
            report=report(objective, at),
        )

    def step(
        self, objective: Objective, state: NewtonState, fetched: np.ndarray
    ) -> NewtonState:
        xp, at = objective.xp, state.at
        state = self._renewed(objective, state, fetched)
        factors, damping = state.factors, fetched[3]
        if factors is None or (damping != factors.damping).any():
            diagonal = to_be_damped(state.hessian.diagonal, at.gradient)
            solve = state.hessian.solver(state.damping, diagonal)
            # A damped step has equal changes to all classes, which the Hessian is
            # filled up along: the next ones would take them back only slowly.
            factors = Factors(
                lambda b: objective.symmetric(solve(b)), damping, diagonal
            )
        direction = quasi_newton.solve(at.gradient, state.pairs, factors.solve, xp=xp)
        step = DampedStep(-direction, factors.diagonal, state.damping)
        trial = objective.value_and_gradient(state.parameters + step.change)
        accept = is_acceptable(objective, at, trial, step.change)
        change = take(accept, step.change, xp.zeros_like(step.change), xp=xp)
        new = better(accept, trial, at, xp=xp)
        pair = quasi_newton.make_pair(change, new.gradient - at.gradient, xp=xp)
        predicted = step.predicted(at.gradient, xp=xp)
        new_damping = next_damping(
            objective, state.damping, predicted, at.value - trial.value, accept
        )
        return replace(
            state,
            parameters=state.parameters + change,
            at=new,
            factors=factors,
            pairs=(*state.pairs, pair),
            damping=new_damping,
            optimality=fetched[1],
            report=report(objective, new, change, new_damping),
        )

    def _renewed(
        self, objective: Objective, state: NewtonState, fetched: np.ndarray
    ) -> NewtonState:
        """The state with a new Hessian for each model whose old one failed, or for
        which a new one pays.
        """
        if state.optimality is None:  # the first step
            return state
        _, optimality, moved, _ = fetched
        refused = moved == 0
        # The rate itself to that power would overflow for a step that went wrong.
        slowest = self.worth_holding ** (1 / (1 + objective.hessian_cost))
        holds = optimality < slowest * state.optimality
        # Where the Hessian is as good as it gets, the damping has grown instead.
        renew = np.where(refused, ~state.fresh | state.rough, ~holds)
        if not (renew.any() or refused.any()):
            return replace(state, fresh=renew)
        pairs = state.pairs[:-1] if refused.all() else state.pairs  # nothing learnt
        slow = refused | (optimality > self.slow * state.optimality)
        rough = state.rough & ~(slow & state.fresh)
        fresh = renew | (state.fresh & refused)
        hessian = state.hessian
        for kind in (True, False):
            models = np.nonzero(renew & (rough == kind))[0]
            if models.size == renew.size:
                hessian = objective.hessian(state.parameters, rough=kind)
            elif models.size:
                at = arrays.rows(state.parameters, models)
                new = objective.select(models).hessian(at, rough=kind)
                hessian = hessian.replace(models, new)
        if renew.all():
            pairs = ()
        elif renew.any():
            pairs = tuple(pair.without(np.nonzero(renew)[0]) for pair in pairs)
        return replace(
            state,
            hessian=hessian,
            factors=None if renew.any() else state.factors,
            fresh=fresh,
            rough=np.where(renew, rough, state.rough),
            pairs=pairs,
        )
