"""Newton's method with the whole Hessian, factorised."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import BlockHessian, Evaluation, Objective
from xlr.solvers import quasi_newton
from xlr.solvers.loop import Start
from xlr.solvers.steps import (
    Diagnostics,
    damping_scale,
    next_damping,
    renewal,
    try_step,
)
from xlr.solvers.surrogate import Surrogate

__all__ = ["NewtonCholesky"]


class NewtonState(NamedTuple):
    parameters: Array
    at: Evaluation
    hessian: BlockHessian
    is_fresh: np.ndarray  # whether the Hessian was computed where the last step began
    solve: Any  # solves with H + lambda D; None before that is factorised
    added: Array | None  # lambda D; None where lambda is zero
    damping: np.ndarray  # lambda
    pairs: tuple[quasi_newton.Pair, ...]  # the steps since the Hessian was computed
    before: np.ndarray  # the optimality one iteration ago
    diagnostics: Diagnostics


class NewtonCholesky:
    r"""Damped Newton method (Levenberg-Marquardt) that keeps its Hessian for a while.

    With g and H the gradient and Hessian of F, and D = max(diag H, max abs(g)),

    .. math:: w \leftarrow w - (H + \lambda D)^{-1} g

    A Hessian costs more than a gradient: it is kept, corrected by the steps taken with
    it (BFGS), until a new one pays. On many rows the first Hessian is that of a random
    sample. The damping :math:`\lambda` is zero, apart from rounding, while the
    quadratic model predicts F well, and grows where a step is refused or H cannot be
    factorised.

    References
    ----------
    Marquardt (1963), *An algorithm for least-squares estimation of nonlinear
    parameters*; Nocedal and Wright (2006), *Numerical Optimization*, ch. 4 and 6;
    Roosta-Khorasani and Mahoney (2019), *Sub-sampled Newton methods*.
    """

    standardized = True
    patience = 8
    rows_per_parameter = 10  # below, the Hessian of a sample is noise

    def least_sample(self, objective: Objective) -> float:
        """Return the rows that a Hessian on a sample needs."""
        return self.rows_per_parameter * objective.n_parameters

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of a Hessian, its factor and a copy, and of vectors."""
        q = objective.n_parameters
        return 8 * (3 * q**2 + 40 * q)

    def init(self, objective: Objective, start: Start) -> NewtonState:
        surrogate = start.surrogate or Surrogate(objective)
        state = NewtonState(
            parameters=start.parameters,
            at=start.at,
            hessian=surrogate.hessian(start.parameters, Objective.hessian),
            is_fresh=np.full(objective.n_models, start.surrogate is None),
            solve=None,
            added=None,
            damping=np.zeros(objective.n_models),
            pairs=(),
            before=np.full(objective.n_models, math.inf),
            diagnostics=Diagnostics.of(objective, *start.at),
        )
        return _factorised(objective, state, state.damping)

    def step(self, objective: Objective, state: NewtonState) -> NewtonState:
        xp, last, rounding = objective.xp, state.diagnostics, objective.rounding
        # 1. A new Hessian or factor, where those at hand do not serve any more.
        state = _renewed(objective, state)
        # 2. Trial step, taken if F falls as far as its gradient promises.
        w, at = state.parameters, state.at
        step = -_solve(objective, state)
        damped = []
        if state.added is not None:
            damped.append(xp.vecdot(state.added * step, step))
        trial = try_step(objective, at.gradient, w + step, step, *damped)
        accept = trial.is_acceptable(last, rounding)
        # 3. Damping, from the decrease of F and of its quadratic model: half of
        # d' lambda D d - g'd.
        predicted = 0.5 * (sum(trial.more) - trial.slope_before)
        fell = last.value - trial.value
        damping = next_damping(last.damping, predicted, fell, accept, rounding)
        new = trial.taken(accept, state, at.gradient, damping, objective=objective)
        # 4. The pair of the step corrects the Hessian (BFGS).
        change = new.parameters - w, new.at.gradient - at.gradient
        return state._replace(
            parameters=new.parameters,
            at=new.at,
            pairs=(*state.pairs, quasi_newton.make_pair(*change, xp=xp)),
            before=last.optimality,
            diagnostics=new.diagnostics,
        )

    def decrease(self, objective: Objective, state: NewtonState) -> Array:
        """Return g'(H + lambda D)^-1 g / 2."""
        step = _solve(objective, state)
        return 0.5 * objective.xp.vecdot(state.at.gradient, step)


def _solve(objective: Objective, state: NewtonState) -> Array:
    """Return (H + lambda D)^-1 g, with H corrected by the pairs."""

    def centred(vector: Array) -> Array:
        # A damped step has a component in the null space of the softmax, along which H
        # was filled up: the next steps would take it back only slowly.
        return objective.centred_over_classes(state.solve(vector))

    solve = centred if objective.loss.shift_invariant else state.solve
    if not state.pairs:
        return solve(state.at.gradient)
    return quasi_newton.solve(state.at.gradient, state.pairs, solve, xp=objective.xp)


def _factorised(
    objective: Objective, state: NewtonState, damping: np.ndarray
) -> NewtonState:
    """Return the state with a factor of H + lambda D."""
    diagonal = state.hessian.diagonal
    added = None
    if damping.any():
        scale = damping_scale(diagonal, state.at.gradient, xp=objective.xp)
        added = objective.place(damping)[:, None] * scale
    return state._replace(
        solve=state.hessian.solver(added), added=added, damping=damping
    )


def _renewed(objective: Objective, state: NewtonState) -> NewtonState:
    """Return the state with a new Hessian or factor for the models that need one."""
    last = state.diagnostics
    if math.isinf(state.before[0]):  # the first step
        return state
    renew = renewal(last, state.before, state.is_fresh, objective.hessian_cost)
    hessian, pairs = state.hessian, state.pairs
    if not renew.any():
        if state.solve is not None and (last.damping == state.damping).all():
            return state._replace(is_fresh=renew)
    elif renew.all():
        hessian, pairs = objective.hessian(state.parameters), ()
    else:
        models = np.nonzero(renew)[0]
        at = arrays.rows(state.parameters, models)
        hessian = hessian.replace(models, objective.select(models).hessian(at))
        pairs = tuple(pair.without(renew) for pair in pairs)
    is_fresh = renew | (state.is_fresh & (last.step_norm == 0))
    state = state._replace(hessian=hessian, pairs=pairs, is_fresh=is_fresh)
    return _factorised(objective, state, last.damping)
