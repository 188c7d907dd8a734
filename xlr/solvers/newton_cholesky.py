"""Newton's method with the full Hessian, factorised."""

from __future__ import annotations

import math
from collections.abc import Callable
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
    needs_new_hessian,
    newton_step_size,
    try_step,
)

# Number of first steps whose size may differ from 1. Where some rows are separable
# there is no finite minimum, and longer steps overshoot for the other rows.
MAX_LINE_SEARCHES = 4

# Optimality below which Newton steps have size 1. In the fits of small.md and to 102
# simulated sets, searches below it saved no time.
MIN_SEARCHED_OPTIMALITY = 1e-2

# A step size this close to 1 is 1, and so are the sizes of later steps.
UNIT_SIZE_TOLERANCE = 0.03


class NewtonState(NamedTuple):
    parameters: Array
    at: Evaluation
    hessian: BlockHessian
    is_fresh: np.ndarray  # whether the Hessian belongs to the start of the last step
    solve: Any  # solves with H + lambda D; None if models were removed
    added: Array | None  # lambda D; None where lambda is zero
    damping: np.ndarray  # lambda
    searches: np.ndarray  # whether the size of the next step may differ from 1
    n_steps: int
    pairs: tuple[quasi_newton.Pair, ...]  # earlier steps with this Hessian
    before: tuple[Array, Array]  # parameters and gradient before the last step
    last_optimality: np.ndarray  # one iteration ago
    diagnostics: Diagnostics


class NewtonCholesky:
    r"""Damped Newton method (Levenberg-Marquardt) that keeps its Hessian for a while.

    With g and H the gradient and Hessian of F, and D = max(diag H, max abs(g)),

    .. math:: w \leftarrow w - t\, (H + \lambda D)^{-1} g

    The step size t is 1, except in the first undamped steps, which
    :func:`~xlr.solvers.steps.newton_step_size` adjusts.

    A Hessian costs more than a gradient. It is reused, with BFGS corrections, while
    that is faster than computing a new one. On many rows, the first Hessian is that of
    a random sample. The damping :math:`\lambda` is zero while the quadratic model
    predicts F well. It grows if a step is rejected or H has no Cholesky factor.

    References
    ----------
    Marquardt (1963), *An algorithm for least-squares estimation of nonlinear
    parameters*; Nocedal and Wright (2006), *Numerical Optimization*, ch. 4 and 6;
    Roosta-Khorasani and Mahoney (2019), *Sub-sampled Newton methods*.
    """

    standardized = True
    patience = 8.0
    rows_per_parameter = 10  # with fewer, the Hessian of a sample is noise

    def min_sample_size(self, objective: Objective) -> float:
        """Return the minimum rows of a sample for a Hessian."""
        return self.rows_per_parameter * objective.n_parameters

    def model_bytes(self, objective: Objective) -> int:
        """Return the bytes of a Hessian, its factor and a copy, and of vectors."""
        q = objective.n_parameters
        return 8 * (3 * q**2 + 40 * q)

    def init(self, objective: Objective, start: Start) -> NewtonState:
        w, surrogate = start.parameters, start.surrogate
        if surrogate is None:
            hessian = objective.hessian(w, objective.hessian_ratios(w))
        else:
            hessian = surrogate.hessian(w, Objective.hessian)
        # A search takes another pass, which is slow over chunks. It relies on
        # F''(0) = -F'(0), which a term of F that H lacks makes false.
        searches = surrogate is None and objective.data.in_memory
        searches = searches and objective.term is None
        diagnostics = Diagnostics.of(objective, w, start.at)
        damping = diagnostics.damping
        solve, added = _factorised(objective, hessian, damping, start.at.gradient)
        return NewtonState(
            parameters=w,
            at=start.at,
            hessian=hessian,
            is_fresh=np.full(objective.n_models, surrogate is None),
            solve=solve,
            added=added,
            damping=damping,
            searches=np.full(objective.n_models, searches),
            n_steps=0,
            pairs=(),
            before=(w, start.at.gradient),
            last_optimality=np.full(objective.n_models, math.inf),
            diagnostics=diagnostics,
        )

    def step(self, objective: Objective, state: NewtonState) -> NewtonState:
        xp, last = objective.xp, state.diagnostics
        w, at = state.parameters, state.at
        # 1. A new Hessian or factor, if the old one is too inaccurate. A line search
        # needs the Hessian of its start: its step size relies on F''(0) = -F'(0).
        # The first step uses the Hessian of the start.
        renew = needs_new_hessian(state, objective.hessian_cost)
        renew |= state.searches & (last.step_norm > 0)
        n_renewed = np.count_nonzero(renew)
        hessian, solve, added = state.hessian, state.solve, state.added
        all_renewed = n_renewed == objective.n_models
        pairs = () if all_renewed else _pairs(objective, state)
        if all_renewed:
            hessian = objective.hessian(w)
        elif n_renewed:
            models, kept = np.nonzero(renew)[0], objective.place(~renew)
            renewed = objective.select(models).hessian(arrays.take(w, models))
            hessian = hessian.replace(models, renewed)
            pairs = tuple(p._replace(inverse=p.inverse * kept) for p in pairs)
        is_fresh = renew | (state.is_fresh & (last.step_norm == 0))
        has_new_damping = np.count_nonzero(last.damping != state.damping)
        if n_renewed or has_new_damping or solve is None:
            solve, added = _factorised(objective, hessian, last.damping, at.gradient)
        # 2. Newton step. Far from the minimum, the derivatives at its ends adjust it.
        step = -quasi_newton.solve(at.gradient, pairs, solve, xp=xp)
        damped = () if added is None else (xp.vecdot(added * step, step),)
        trial = try_step(objective, at.gradient, w + step, step, *damped)
        searches = state.searches & is_fresh & (last.damping == 0)
        searches &= last.optimality > MIN_SEARCHED_OPTIMALITY
        # 3. The step is accepted if F decreases sufficiently (Armijo).
        accept = trial.meets_armijo(last, objective.value_rounding)
        if np.count_nonzero(searches):
            size = newton_step_size(trial.derivative_before, trial.derivative_after)
            searches &= (size > 0) & (abs(size - 1) >= UNIT_SIZE_TOLERANCE)
            if np.count_nonzero(searches):
                step = objective.place(np.where(searches, size, 1.0))[:, None] * step
                # The damping of the models that search is zero.
                sized = try_step(objective, at.gradient, w + step, step, *damped)
                accept_sized = sized.meets_armijo(last, objective.value_rounding)
                if accept_sized.all():
                    trial, accept = sized, accept_sized
        # 4. Damping, from the decrease of F and of its quadratic model: half of
        # d' lambda D d - g'd.
        predicted = 0.5 * (sum(trial.scalars) - trial.derivative_before)
        new = trial.taken(accept, state, objective, predicted)
        return new._replace(
            hessian=hessian,
            is_fresh=is_fresh,
            solve=solve,
            added=added,
            damping=last.damping,
            pairs=pairs,
            before=(w, at.gradient),
            last_optimality=last.optimality,
            searches=searches & (state.n_steps < MAX_LINE_SEARCHES - 1),
            n_steps=state.n_steps + 1,
        )

    def decrease(self, objective: Objective, state: NewtonState) -> Array:
        """Return g'(H + lambda D)^-1 g / 2."""
        xp, gradient = objective.xp, state.at.gradient
        pairs = _pairs(objective, state)
        step = quasi_newton.solve(gradient, pairs, state.solve, xp=xp)
        return 0.5 * xp.vecdot(gradient, step)


def _pairs(objective: Objective, state: NewtonState) -> tuple[quasi_newton.Pair, ...]:
    """Return the steps with the current Hessian, which correct it (BFGS)."""
    w, gradient = state.before
    if w is state.parameters:  # before the first step
        return state.pairs
    changes = state.parameters - w, state.at.gradient - gradient
    return (*state.pairs, quasi_newton.make_pair(*changes, xp=objective.xp))


def _factorised(
    objective: Objective, hessian: BlockHessian, damping: np.ndarray, gradient: Array
) -> tuple[Callable[[Array], Array], Array | None]:
    """Return a solve function of H + lambda D, and lambda D or None for zero."""
    added = None
    if np.count_nonzero(damping):
        scale = damping_scale(hessian.diagonal, gradient, xp=objective.xp)
        added = objective.place(damping)[:, None] * scale
    factor = hessian.solver(added)

    def centred(vector: Array) -> Array:
        # H has artificial curvature in the null space of the softmax. A damped step
        # has a component there, which the next steps would remove only slowly.
        return objective.centred_over_classes(factor(vector))

    return centred if objective.loss.shift_invariant else factor, added
