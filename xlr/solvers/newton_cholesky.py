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
from xlr.solvers.steps import Diagnostics, damping_scale, renewal, try_step


class NewtonState(NamedTuple):
    parameters: Array
    at: Evaluation
    hessian: BlockHessian
    is_fresh: np.ndarray  # whether the Hessian belongs to the start of the last step
    solve: Any  # solves with H + lambda D; None before the factorisation
    added: Array | None  # lambda D; None where lambda is zero
    damping: np.ndarray  # lambda
    pairs: tuple[quasi_newton.Pair, ...]  # the steps since the Hessian was computed
    before: np.ndarray  # the optimality one iteration ago
    diagnostics: Diagnostics


class NewtonCholesky:
    r"""Damped Newton method (Levenberg-Marquardt) that keeps its Hessian for a while.

    With g and H the gradient and Hessian of F, and D = max(diag H, max abs(g)),

    .. math:: w \leftarrow w - (H + \lambda D)^{-1} g

    A Hessian costs more than a gradient. The method keeps it for several steps, which
    correct it (BFGS), while that is faster than a new one. On many rows, the first
    Hessian is that of a random sample. The damping :math:`\lambda` is zero while the
    quadratic model predicts F well. It grows if a step is rejected or H has no Cholesky
    factor.

    References
    ----------
    Marquardt (1963), *An algorithm for least-squares estimation of nonlinear
    parameters*; Nocedal and Wright (2006), *Numerical Optimization*, ch. 4 and 6;
    Roosta-Khorasani and Mahoney (2019), *Sub-sampled Newton methods*.
    """

    standardized = True
    patience = 8
    rows_per_parameter = 10  # with fewer, the Hessian of a sample is noise

    def least_sample(self, objective: Objective) -> float:
        """Return the minimum rows of a sample for a Hessian."""
        return self.rows_per_parameter * objective.n_parameters

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of a Hessian, its factor and a copy, and of vectors."""
        q = objective.n_parameters
        return 8 * (3 * q**2 + 40 * q)

    def init(self, objective: Objective, start: Start) -> NewtonState:
        w, surrogate = start.parameters, start.surrogate
        if surrogate is None:
            is_shared = objective.shares_hessian(w)
            hessian = objective.hessian(w, is_shared=is_shared)
        else:
            hessian = surrogate.hessian(w, Objective.hessian)
        state = NewtonState(
            parameters=w,
            at=start.at,
            hessian=hessian,
            is_fresh=np.full(objective.n_models, surrogate is None),
            solve=None,
            added=None,
            damping=np.zeros(objective.n_models),
            pairs=(),
            before=np.full(objective.n_models, math.inf),
            diagnostics=Diagnostics.of(objective, *start.at),
        )
        return _factorised(objective, state, state.damping)

    def step(self, objective: Objective, state: NewtonState) -> NewtonState:
        xp, last = objective.xp, state.diagnostics
        w, at = state.parameters, state.at
        # 1. A new Hessian or factor, if the old one is too inaccurate.
        if not math.isinf(state.before[0]):  # not the first step
            cost = objective.hessian_cost
            renew = renewal(last, state.before, state.is_fresh, cost)
            is_fresh = renew | (state.is_fresh & (last.step_norm == 0))
            state = state._replace(is_fresh=is_fresh)
            n_renewed = np.count_nonzero(renew)
            if n_renewed == objective.n_models:
                state = state._replace(hessian=objective.hessian(w), pairs=())
            elif n_renewed:
                state = _with_some_renewed(objective, state, renew)
            if n_renewed or np.count_nonzero(last.damping != state.damping):
                state = _factorised(objective, state, last.damping)
        if state.solve is None:  # models have left
            state = _factorised(objective, state, last.damping)
        # 2. Trial step, accepted if F decreases as far as its gradient predicts.
        step = -quasi_newton.solve(at.gradient, state.pairs, state.solve, xp=xp)
        damped = []
        if state.added is not None:
            damped.append(xp.vecdot(state.added * step, step))
        trial = try_step(objective, at.gradient, w + step, step, *damped)
        accept = trial.is_acceptable(last, objective.rounding)
        # 3. Damping, from the decrease of F and of its quadratic model: half of
        # d' lambda D d - g'd.
        predicted = 0.5 * (sum(trial.more) - trial.slope_before)
        new = trial.taken(accept, state, at.gradient, objective, predicted)
        # 4. The step corrects the Hessian (BFGS).
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
        xp, gradient = objective.xp, state.at.gradient
        step = quasi_newton.solve(gradient, state.pairs, state.solve, xp=xp)
        return 0.5 * xp.vecdot(gradient, step)


def _factorised(
    objective: Objective, state: NewtonState, damping: np.ndarray
) -> NewtonState:
    """Return the state with a factor of H + lambda D."""
    diagonal = state.hessian.diagonal
    added = None
    if np.count_nonzero(damping):
        scale = damping_scale(diagonal, state.at.gradient, xp=objective.xp)
        added = objective.place(damping)[:, None] * scale
    factor = state.hessian.solver(added)

    def centred(vector: Array) -> Array:
        # H has artificial curvature in the null space of the softmax. A damped step
        # has a component there, which the next steps would remove only slowly.
        return objective.centred_over_classes(factor(vector))

    solve = centred if objective.loss.shift_invariant else factor
    return state._replace(solve=solve, added=added, damping=damping)


def _with_some_renewed(
    objective: Objective, state: NewtonState, renew: np.ndarray
) -> NewtonState:
    """Return the state with a new Hessian for some of the models."""
    models = np.nonzero(renew)[0]
    at = arrays.rows(state.parameters, models)
    hessian = objective.select(models).hessian(at)
    return state._replace(
        hessian=state.hessian.replace(models, hessian),
        pairs=tuple(pair.without(renew) for pair in state.pairs),
    )
