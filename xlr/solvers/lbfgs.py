"""The limited-memory BFGS quasi-Newton method."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers import quasi_newton
from xlr.solvers.loop import Start
from xlr.solvers.steps import Diagnostics, shortened, try_step
from xlr.solvers.surrogate import ROWS_PER_FEATURE, Surrogate, preconditioner


class LBFGSState(NamedTuple):
    parameters: Array
    at: Evaluation
    step_size: np.ndarray
    pairs: tuple[quasi_newton.Pair, ...]
    surrogate: Surrogate  # the objective whose Hessian is estimated
    solve: Any  # solves with an estimate E of the Hessian; None if models were removed
    scale: Array  # factor on E, from the curvature along the last step
    n_steps: int  # number of steps so far
    diagnostics: Diagnostics

    def with_new_estimate(self, objective: Objective) -> LBFGSState:
        """Return the state with an estimate of the Hessian at its parameters."""
        estimate = self.surrogate.hessian(self.parameters, Objective.estimated_hessian)
        undamped = objective.xp.zeros_like(self.at.value)
        solve, _ = preconditioner(estimate, undamped, self.at.gradient)
        centred = objective.centred_over_classes
        ones = objective.xp.ones_like(self.at.value)
        state = self._replace(solve=lambda v: centred(solve(centred(v))), scale=ones)
        if not self.pairs:
            return state
        return state._replace(scale=state.scale_along(self.pairs[-1]))

    def scale_along(self, pair: quasi_newton.Pair) -> Array:
        """Return the scale y'E^-1 y / s'y: (n_models,).

        Models whose pair has no effect keep their scale.
        """
        xp = arrays.namespace(self.scale)
        scale = xp.vecdot(pair.change, self.solve(pair.change)) * pair.inverse
        return xp.where(pair.inverse > 0, scale, self.scale)


class LBFGS:
    r"""L-BFGS from an estimate of the Hessian.

    The direction is :math:`-B^{-1} g`. The quasi-Newton matrix B starts from a multiple
    of the diagonal of the Hessian, or of its diagonal blocks, one per class. The last
    steps s and gradient changes y update B. Every few iterations the estimate is
    computed again, because curvature moves to the rows that are still uncertain. After
    a rejected step, the next iteration tries a shorter one. Each iteration is one pass
    over the rows.

    References
    ----------
    Nocedal and Wright (2006), *Numerical Optimization*, algorithms 7.4 and 7.5.
    """

    standardized = True
    patience = 30.0
    n_pairs = 20
    iterations_per_estimate = 8  # of the Hessian

    def min_sample_size(self, objective: Objective) -> float:
        """Return the minimum rows of a sample for the curvature of a class."""
        return ROWS_PER_FEATURE * objective.output_size

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of the pairs and of the estimate."""
        pairs = self.n_pairs * objective.n_parameters
        estimate = objective.n_outputs * objective.output_size**2
        return 8 * 3 * (pairs + estimate)

    def init(self, objective: Objective, start: Start) -> LBFGSState:
        xp, (parameters, at) = objective.xp, start[:2]
        state = LBFGSState(
            parameters=parameters,
            at=at,
            step_size=np.ones(objective.n_models),
            pairs=(),
            surrogate=Surrogate.shared(objective, start.surrogate),
            solve=None,
            scale=xp.ones_like(at.value),
            n_steps=0,
            diagnostics=Diagnostics.of(objective, parameters, at),
        )
        return state.with_new_estimate(objective)

    def step(self, objective: Objective, state: LBFGSState) -> LBFGSState:
        last = state.diagnostics
        # 1. A new estimate every few iterations.
        n_steps = state.n_steps
        is_due = n_steps > 0 and n_steps % self.iterations_per_estimate == 0
        if state.solve is None or is_due:
            state = state.with_new_estimate(objective)
        # 2. Trial step, accepted if F decreases sufficiently (Armijo).
        w, at = state.parameters, state.at
        step = -objective.place(state.step_size)[:, None] * _solve(objective, state)
        trial = try_step(objective, at.gradient, w + step, step)
        accept = trial.meets_armijo(last, objective.value_rounding)
        # 3. A shorter step after a rejection.
        shorter = state.step_size * shortened(trial, last)
        size = np.where(accept, 1.0, shorter)
        state = state._replace(step_size=size, n_steps=n_steps + 1)
        new = trial.taken(accept, state, objective)
        if not accept.any():
            return new
        # 4. The pair of the step corrects the estimate.
        change = new.parameters - w, new.at.gradient - at.gradient
        pair = quasi_newton.make_pair(*change, xp=objective.xp)
        pairs = (*state.pairs, pair)[-self.n_pairs :]
        return new._replace(pairs=pairs, scale=state.scale_along(pair))

    def decrease(self, objective: Objective, state: LBFGSState) -> Array:
        """Return g'B^-1 g / 2, or g'H^-1 g / 2 with a cheap Hessian.

        The gradient along nearly collinear columns is small compared with the decrease
        that it allows, which H shows and B does not.
        """
        gradient = state.at.gradient
        if objective.has_cheap_hessian:
            step = objective.hessian(state.parameters).solver(None)(gradient)
        else:
            step = _solve(objective, state)
        return 0.5 * objective.xp.vecdot(gradient, step)


def _solve(objective: Objective, state: LBFGSState) -> Array:
    """Return B^-1 g for the quasi-Newton matrix B."""
    return quasi_newton.solve(
        state.at.gradient,
        state.pairs,
        lambda vector: state.solve(vector) / state.scale[:, None],
        xp=objective.xp,
    )
