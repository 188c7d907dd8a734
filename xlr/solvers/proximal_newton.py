"""Newton's method for penalties with kinks, and for bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.objective import BlockHessian, Evaluation, Kinks, Objective
from xlr.solvers.box_lasso import BoxLasso, minimise_quadratic
from xlr.solvers.loop import report
from xlr.solvers.starts import Reference, find_start
from xlr.solvers.steps import SUFFICIENT, better, is_flat, next_damping, take

__all__ = ["ProximalNewton"]

# Of an iteration in passes, roughly: the quadratic problem is to be solved too.
STEP_COST = 4

# Rounding error of the entries of a Hessian that is good to float32.
ROUGH = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class ProximalNewtonState:
    parameters: Array
    at: Evaluation
    kinks: Kinks  # on the host, for each model
    matrix: Array  # the Hessian of the smooth part: (n_models, q, q)
    fresh: bool  # whether it is that of where the last step was taken
    rough: bool  # whether it is good to float32 only
    damping: Array
    optimality: np.ndarray | None  # before the last step
    report: Array

    def select(self, models: np.ndarray, objective: Objective) -> ProximalNewtonState:
        return replace(
            self,
            parameters=arrays.rows(self.parameters, models),
            at=self.at.select(models),
            kinks=_kinks_on_host(objective),
            matrix=arrays.rows(self.matrix, models),
            damping=arrays.rows(self.damping, models),
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

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    @property
    def finds_start(self) -> bool:
        return self.seed is not None

    def model_bytes(self, objective: Objective) -> int:
        """Its Hessian, copies of it, and a factor."""
        q = objective.n_parameters
        return 8 * (6 * q**2 + 40 * q)

    def init(self, objective: Objective, start: Array) -> ProximalNewtonState:
        assert objective.kinks is not None
        start = objective.kinks.clip(start, xp=objective.xp)
        least = self.rows_per_parameter * objective.n_parameters
        begun = find_start(self, objective, start, least, self.seed)
        reference = begun.reference or Reference(objective)
        # A sample is in float32 already.
        sampled = reference.objective.n_samples < objective.n_samples
        rough = objective.is_large and not sampled

        def derivative(smaller: Objective, parameters: Array) -> BlockHessian:
            return smaller.hessian(parameters, rough=rough)

        return ProximalNewtonState(
            parameters=begun.parameters,
            at=begun.at,
            kinks=_kinks_on_host(objective),
            matrix=reference.hessian(begun.parameters, derivative).matrices(),
            fresh=begun.reference is None,
            rough=objective.is_large,
            damping=objective.xp.zeros_like(begun.at.value),
            optimality=None,
            report=_report(objective, begun.parameters, begun.at),
        )

    def step(
        self, objective: Objective, state: ProximalNewtonState, fetched: np.ndarray
    ) -> ProximalNewtonState:
        xp, at, w = objective.xp, state.at, state.parameters
        state = self._renewed(objective, state, fetched)
        target, predicted = _minimised_models(state, xp=xp)
        change = target - w

        trial = objective.value_and_gradient(target)
        slope = objective.subgradient(w, at.gradient)
        trial_slope = objective.subgradient(target, trial.gradient)
        flatter = objective.optimality(trial_slope) < objective.optimality(slope)
        accept = trial.value <= at.value - SUFFICIENT * predicted
        accept = accept | (is_flat(objective, at, trial) & flatter)
        new = better(accept, trial, at, xp=xp)
        taken = take(accept, change, xp.zeros_like(change), xp=xp)
        parameters = take(accept, target, w, xp=xp)
        return replace(
            state,
            parameters=parameters,
            at=new,
            matrix=_corrected(state.matrix, taken, new.gradient - at.gradient, xp=xp),
            damping=next_damping(
                objective, state.damping, predicted, at.value - trial.value, accept
            ),
            optimality=fetched[1],
            report=_report(objective, parameters, new, taken),
        )

    def _renewed(
        self, objective: Objective, state: ProximalNewtonState, fetched: np.ndarray
    ) -> ProximalNewtonState:
        """The state with a new Hessian if the old one failed, or if a new one pays."""
        if state.optimality is None:  # the first step
            return state
        _, optimality, moved, _ = fetched
        refused = moved == 0
        steps = objective.hessian_cost / STEP_COST  # that a Hessian is worth
        slowest = self.worth_holding ** (1 / (1 + steps))
        slow = optimality >= slowest * state.optimality
        # Where the Hessian is as good as it gets, the damping has grown instead.
        renewable = not state.fresh or state.rough
        if not (slow & ~refused).any() and not (refused.any() and renewable):
            return replace(state, fresh=False)
        rough = state.rough and not (refused.any() and state.fresh)
        matrix = objective.hessian(state.parameters, rough=rough).matrices()
        return replace(state, matrix=matrix, fresh=True, rough=rough)


def _report(
    objective: Objective, parameters: Array, at: Evaluation, change: Array | None = None
) -> Array:
    slope = objective.subgradient(parameters, at.gradient)
    return report(objective, Evaluation(at.value, slope), change)


def _kinks_on_host(objective: Objective) -> Kinks:
    assert objective.kinks is not None
    shape = objective.n_models, objective.n_parameters
    return Kinks(
        *(np.broadcast_to(arrays.to_host(part), shape) for part in objective.kinks)
    )


def _minimised_models(
    state: ProximalNewtonState, *, xp: Namespace
) -> tuple[Array, Array]:
    """Where the damped models of F are least, and by how much less those of F are."""
    w = arrays.to_host(state.parameters).astype(np.float64)
    lasso, lower, upper = state.kinks
    matrices = arrays.to_host(state.matrix).astype(np.float64, copy=False)
    gradient = arrays.to_host(state.at.gradient)
    damping = arrays.to_host(state.damping)
    target, predicted = np.empty_like(w), np.empty(w.shape[0])
    for model, matrix in enumerate(matrices):
        at, ridge = w[model], damping[model] * np.diagonal(matrix)
        damped = matrix
        if damping[model] > 0:
            damped = matrix.copy()
            damped[np.diag_indices(len(at))] += ridge
        noise = 4 * len(at) ** 0.5 * ROUGH
        problem = BoxLasso(
            damped,
            damped @ at - gradient[model],
            lasso[model],
            lower[model],
            upper[model],
            noise,
        )
        found = target[model] = minimise_quadratic(problem, at)
        fell = problem.value(at) - problem.value(found)
        predicted[model] = fell + 0.5 * ridge @ (found - at) ** 2
    place = {"xp": xp, "device": arrays.device_of(state.at.value)}
    return tuple(
        arrays.move(values, dtype=state.parameters.dtype, **place)
        for values in (target, predicted)
    )


def _corrected(matrix: Array, step: Array, change: Array, *, xp: Namespace) -> Array:
    """BFGS: the matrix changed so that it takes the step to the change of gradient."""
    product = xp.matmul(matrix, step[:, :, None])[:, :, 0]
    before = xp.sum(step * product, axis=1)
    after = xp.sum(step * change, axis=1)
    # Rounding alone would make it indefinite; and there is nothing to learn of no step.
    sound = (before > 0) & (after > 1e-4 * before)
    ones = xp.ones_like(before)
    old = product / xp.sqrt(xp.where(sound, before, ones))[:, None]
    new = change / xp.sqrt(xp.where(sound, after, ones))[:, None]
    corrected = matrix + new[:, :, None] * new[:, None, :]
    corrected = corrected - old[:, :, None] * old[:, None, :]
    return xp.where(sound[:, None, None], corrected, matrix)
