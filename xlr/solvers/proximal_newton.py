"""Newton's method for penalties with kinks, and for bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.objective import BlockHessian, Evaluation, Kinks, Objective
from xlr.solvers.box_lasso import minimise_quadratic
from xlr.solvers.loop import report
from xlr.solvers.quadratic import Quadratic
from xlr.solvers.reference import Reference
from xlr.solvers.starts import find_start
from xlr.solvers.steps import (
    SUFFICIENT,
    better,
    is_flat,
    next_damping,
    take,
    to_be_damped,
)

__all__ = ["ProximalNewton"]

# Of an iteration in passes, roughly: the quadratic problem is to be solved too.
STEP_COST = 4


class OnHost(NamedTuple):
    """What the steps of the models begin at, of shape (n_models, n_parameters)."""

    parameters: np.ndarray
    gradient: np.ndarray


@dataclass(frozen=True)
class ProximalNewtonState:
    parameters: Array
    at: Evaluation
    kinks: Kinks  # on the host, for each model
    quadratics: list[Quadratic]  # the Hessian of the smooth part, for each model
    fresh: bool  # whether it is that of where the last step was taken
    rough: bool  # whether it is good to float32 only
    damping: Array
    last: OnHost | None  # before the last step
    optimality: np.ndarray | None  # there
    report: Array

    def select(self, models: np.ndarray, objective: Objective) -> ProximalNewtonState:
        return replace(
            self,
            parameters=arrays.rows(self.parameters, models),
            at=self.at.select(models),
            kinks=_kinks_on_host(objective),
            quadratics=[self.quadratics[model] for model in models],
            damping=arrays.rows(self.damping, models),
            last=self.last and OnHost(*(part[models] for part in self.last)),
            optimality=None if self.optimality is None else self.optimality[models],
        )


class ProximalNewton:
    r"""Damped Newton method on the smooth part of F, with the rest as it is.

    With f the smooth part and g and H its derivatives, the next w minimises

    .. math::
        g \cdot (u - w) + \tfrac12 (u - w)' (H + \lambda D) (u - w)
        + \sum_j \kappa_j |u_j|, \qquad l_j \le u_j \le h_j

    exactly, so that zeros are exact.  As in newton-cholesky, the Hessian is begun on a
    sample and held while it serves, corrected by what the steps show (BFGS), and the
    damping grows where the model of f does not hold.

    Parameters
    ----------
    seed : int or None, default=None
        Draws the rows of samples to begin on; None begins where it is told to.
    held : list of Quadratic, default=None
        The Hessian of each model, near where it will begin. They change as the fit
        goes on; an empty list is filled. None computes them, and drops them.

    References
    ----------
    Lee, Sun and Saunders (2014), *Proximal Newton-type methods for minimizing composite
    functions*; Nocedal and Wright (2006), *Numerical Optimization*, eq. 6.19.
    """

    standardised = True
    enough_columns = math.inf
    patience = 8
    rows_per_parameter = 10  # the least that tell a Hessian from noise
    worth_holding = 0.01  # as in newton-cholesky

    def __init__(
        self, seed: int | None = None, held: list[Quadratic] | None = None
    ) -> None:
        self.seed = seed
        self._held = held

    @property
    def finds_start(self) -> bool:
        return self.seed is not None

    def model_bytes(self, objective: Objective) -> int:
        """Its Hessian, copies of it, and the inverse of a part."""
        q = objective.n_parameters
        return 8 * (6 * q**2 + 40 * q)

    def init(self, objective: Objective, start: Array) -> ProximalNewtonState:
        assert objective.kinks is not None
        start = objective.kinks.clip(start, xp=objective.xp)
        least = self.rows_per_parameter * objective.n_parameters
        # What is held is for these models, not for those of a smaller problem.
        smaller = ProximalNewton(self.seed)
        begun = find_start(smaller, objective, start, least, self.seed)
        reference = begun.reference or Reference(objective)
        # A sample is in float32 already.
        sampled = reference.objective.n_samples < objective.n_samples
        rough = objective.is_large and not sampled

        def derivative(smaller: Objective, parameters: Array) -> BlockHessian:
            return smaller.hessian(parameters, rough=rough)

        quadratics = [] if self._held is None else self._held
        known = bool(quadratics)
        if not known:
            hessian = reference.hessian(begun.parameters, derivative)
            quadratics += [
                Quadratic(matrix, hessian.noise)
                for matrix in _on_host(hessian.matrices())
            ]
        return ProximalNewtonState(
            parameters=begun.parameters,
            at=begun.at,
            kinks=_kinks_on_host(objective),
            quadratics=quadratics,
            fresh=begun.reference is None and not known,
            rough=objective.is_large,
            damping=objective.xp.zeros_like(begun.at.value),
            last=None,
            optimality=None,
            report=_report(objective, begun.parameters, begun.at),
        )

    def step(
        self, objective: Objective, state: ProximalNewtonState, fetched: np.ndarray
    ) -> ProximalNewtonState:
        xp, at, w = objective.xp, state.at, state.parameters
        here = OnHost(_on_host(w), _on_host(at.gradient))
        state = self._renewed(objective, state, here, fetched)
        target, predicted = _minimised_models(state, here, xp=xp)
        change = target - w

        trial = objective.value_and_gradient(target)
        slope = objective.subgradient(w, at.gradient)
        trial_slope = objective.subgradient(target, trial.gradient)
        flatter = objective.optimality(trial_slope) < objective.optimality(slope)
        # A model that could not be minimised may be above where it began.
        promised = xp.maximum(predicted, xp.zeros_like(predicted))
        accept = trial.value <= at.value - SUFFICIENT * promised
        accept = accept | (is_flat(objective, at, trial) & flatter)
        new = better(accept, trial, at, xp=xp)
        taken = take(accept, change, xp.zeros_like(change), xp=xp)
        parameters = take(accept, target, w, xp=xp)
        return replace(
            state,
            parameters=parameters,
            at=new,
            damping=next_damping(
                objective, state.damping, predicted, at.value - trial.value, accept
            ),
            last=here,
            optimality=fetched[1],
            report=_report(objective, parameters, new, taken),
        )

    def _renewed(
        self,
        objective: Objective,
        state: ProximalNewtonState,
        here: OnHost,
        fetched: np.ndarray,
    ) -> ProximalNewtonState:
        """The state with what the last step tells of the Hessian.

        With a new one if the old failed, or if a new one pays.
        """
        if state.optimality is None or state.last is None:  # the first step
            return state
        _, optimality, moved, _ = fetched
        refused = moved == 0
        steps = objective.hessian_cost / STEP_COST  # that a Hessian is worth
        slowest = self.worth_holding ** (1 / (1 + steps))
        slow = optimality >= slowest * state.optimality
        # Where the Hessian is as good as it gets, the damping has grown instead.
        renewable = not state.fresh or state.rough
        if not (slow & ~refused).any() and not (refused.any() and renewable):
            for model, quadratic in enumerate(state.quadratics):
                quadratic.correct(
                    *(new[model] - old[model] for new, old in zip(here, state.last))
                )
            return replace(state, fresh=False)
        rough = state.rough and not (refused.any() and state.fresh)
        hessian = objective.hessian(state.parameters, rough=rough)
        for quadratic, matrix in zip(state.quadratics, _on_host(hessian.matrices())):
            quadratic.renew(matrix, hessian.noise)
        return replace(state, fresh=True, rough=rough)


def _on_host(values: Array) -> np.ndarray:
    return arrays.to_host(values).astype(np.float64, copy=False)


def _report(
    objective: Objective, parameters: Array, at: Evaluation, change: Array | None = None
) -> Array:
    slope = objective.subgradient(parameters, at.gradient)
    return report(objective, Evaluation(at.value, slope), change)


def _kinks_on_host(objective: Objective) -> Kinks:
    assert objective.kinks is not None
    shape = objective.n_models, objective.n_parameters
    return Kinks(*(np.broadcast_to(_on_host(part), shape) for part in objective.kinks))


def _minimised_models(
    state: ProximalNewtonState, here: OnHost, *, xp: Namespace
) -> tuple[Array, Array]:
    """Where the damped models of F are least, and by how much less those of F are."""
    damping = arrays.to_host(state.damping)
    target, predicted = np.empty_like(here.parameters), np.empty(damping.shape[0])
    for model, undamped in enumerate(state.quadratics):
        w, gradient = here.parameters[model], here.gradient[model]
        kinks = Kinks(*(part[model] for part in state.kinks))
        added = damping[model] * to_be_damped(undamped.diagonal, gradient)
        quadratic = undamped.damped(added) if damping[model] > 0 else undamped
        target[model], fell = minimise_quadratic(quadratic, gradient, kinks, w)
        predicted[model] = fell + 0.5 * added @ (target[model] - w) ** 2
    place = {"xp": xp, "device": arrays.device_of(state.at.value)}
    return tuple(
        arrays.move(values, dtype=state.parameters.dtype, **place)
        for values in (target, predicted)
    )
