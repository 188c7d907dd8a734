"""Newton's method with the whole Hessian, factorised."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
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
    pairs: tuple[quasi_newton.Pair, ...]  # earlier steps with this Hessian
    moved: tuple[Array, Array] | None  # the last step, and the change of the gradient
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
            moved=None,
            before=np.full(objective.n_models, math.inf),
            diagnostics=Diagnostics.of(objective, *start.at),
        )
        return state._replace(**_factorised(objective, state, hessian))

    def step(self, objective: Objective, state: NewtonState) -> NewtonState:
        xp, last = objective.xp, state.diagnostics
        w, at = state.parameters, state.at
        # 1. A new Hessian or factor, if the old one is too inaccurate.
        state = _prepared(objective, state)
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
        return state._replace(
            parameters=new.parameters,
            at=new.at,
            moved=(new.parameters - w, new.at.gradient - at.gradient),
            before=last.optimality,
            diagnostics=new.diagnostics,
        )

    def decrease(self, objective: Objective, state: NewtonState) -> Array:
        """Return g'(H + lambda D)^-1 g / 2."""
        xp, gradient = objective.xp, state.at.gradient
        pairs = _all_pairs(state, xp=xp)
        step = quasi_newton.solve(gradient, pairs, state.solve, xp=xp)
        return 0.5 * xp.vecdot(gradient, step)


def _prepared(objective: Objective, state: NewtonState) -> NewtonState:
    """Return the state with the Hessian, its factor and the pairs for the next step."""
    last, hessian, is_fresh = state.diagnostics, state.hessian, state.is_fresh
    pairs, n_renewed = state.pairs, 0
    if state.moved is not None:
        renew = renewal(last, state.before, is_fresh, objective.hessian_cost)
        is_fresh = renew | (is_fresh & (last.step_norm == 0))
        n_renewed = np.count_nonzero(renew)
        if n_renewed == objective.n_models:
            hessian, pairs = objective.hessian(state.parameters), ()
        else:  # the last step corrects the Hessian (BFGS)
            pairs = _all_pairs(state, xp=objective.xp)
        if 0 < n_renewed < objective.n_models:
            models = np.nonzero(renew)[0]
            at = arrays.rows(state.parameters, models)
            hessian = hessian.replace(models, objective.select(models).hessian(at))
            pairs = tuple(pair.without(renew) for pair in pairs)
    factor = {}
    is_damped_anew = np.count_nonzero(last.damping != state.damping)
    if n_renewed or is_damped_anew or state.solve is None:  # None: models have left
        factor = _factorised(objective, state, hessian)
    return state._replace(hessian=hessian, is_fresh=is_fresh, pairs=pairs, **factor)


def _all_pairs(state: NewtonState, *, xp: Namespace) -> tuple[quasi_newton.Pair, ...]:
    """Return the pairs of all steps with the Hessian of the state."""
    if state.moved is None:
        return state.pairs
    return *state.pairs, quasi_newton.make_pair(*state.moved, xp=xp)


def _factorised(
    objective: Objective, state: NewtonState, hessian: BlockHessian
) -> dict[str, Any]:
    """Return the fields of a state with a factor of H + lambda D."""
    added, damping = None, state.diagnostics.damping
    if np.count_nonzero(damping):
        scale = damping_scale(hessian.diagonal, state.at.gradient, xp=objective.xp)
        added = objective.place(damping)[:, None] * scale
    factor = hessian.solver(added)

    def centred(vector: Array) -> Array:
        # H has artificial curvature in the null space of the softmax. A damped step
        # has a component there, which the next steps would remove only slowly.
        return objective.centred_over_classes(factor(vector))

    solve = centred if objective.loss.shift_invariant else factor
    return {"solve": solve, "added": added, "damping": damping}
