"""The stopping rule: convergence, and other reasons to end a fit."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum
from typing import Any

import numpy as np

from xlr.objective import Objective
from xlr.solvers.steps import Diagnostics

# Share of tol * F by which the next step may lower F at the end of a fit. At the
# default tol of 1e-6, F ends within 1e-10 of its minimum (test_extended_precision.py).
DEFAULT_DECREASE_SHARE = 1e-5

# Minimum of decrease_share * tol, in rounding errors of one number.
MIN_DECREASE_ROUNDINGS = 4

# Minimum of F in decrease_share * tol * F. Without a penalty, F may decrease towards 0:
# the last steps on separable digits would take ten times as long as all others.
NEGLIGIBLE_VALUE = 1e-4

# Optimality, as a share of the lowest so far, that counts as progress.
PROGRESS_SHARE = 0.9

# Smallest curvature along a step, relative to D of the damping term lambda D. An
# undamped step then decreases F by at most 1 + lambda / MIN_DAMPED_CURVATURE times as
# much.
MIN_DAMPED_CURVATURE = 1e-6


class Status(Enum):
    """Reason for the end of a fit. The value is the sentence that a user reads."""

    CONVERGED = "The optimality {optimality:.3g} is within tol={tol:.3g}."
    ITERATION_LIMIT = (
        "Stopped after max_iter={max_iter} iterations at an optimality of "
        "{optimality:.3g} ({reason}). Increase max_iter{advice}."
    )
    PRECISION_LIMIT = (
        "Stopped where {dtype} arithmetic ends, at an optimality of {optimality:.3g} "
        "({reason}): no step of this solver improves the fit any more. Raise "
        "tol{advice}."
    )
    CALLBACK = (
        "A callback ended the fit at an optimality of {optimality:.3g} ({reason})."
    )


class StoppingRule:
    """The decision after each iteration, for each model.

    A model has converged under two conditions: its optimality is within ``tol``, and
    the next step would lower F by at most ``decrease_share`` times ``tol``, relative to
    F. Where F is flat, a small gradient alone does not indicate a minimum.

    Parameters
    ----------
    objective : Objective
    patience : float
        Iterations without progress that show the limit of the arithmetic.
    tol, decrease_share : float
    max_iter : int
        As in :func:`~xlr.solvers.loop.minimise`.

    Attributes
    ----------
    status : ndarray of Status or None, of shape (n_models,)
        None while the model runs.
    n_iter : ndarray of shape (n_models,)
    decrease : ndarray of shape (n_models,)
        Last predicted decrease of F by the next step; inf without a prediction.
    running : ndarray of bool, of shape (n_models,)
    """

    def __init__(
        self,
        objective: Objective,
        patience: float,
        *,
        tol: float,
        decrease_share: float,
        max_iter: int,
    ) -> None:
        n_models = objective.n_models
        self.status = np.full(n_models, None)
        self.n_iter = np.zeros(n_models, dtype=np.int32)
        self._tol = tol
        min_decrease = MIN_DECREASE_ROUNDINGS * objective.rounding
        self._max_decrease = max(tol * decrease_share, min_decrease)
        self._patience = patience
        self._max_iter = max_iter
        self.decrease = np.full(n_models, math.inf)
        self.running = np.ones(n_models, dtype=bool)
        self._recent: deque[Diagnostics] = deque()  # the last ``patience`` iterations
        self._lowest: Any = None  # minima over the iterations before them

    def update(self, iteration: int, now: Diagnostics, stopped: bool) -> bool:
        """Update the status of each model; return whether all have ended."""
        self._recent.append(now)
        idle = np.zeros(now.value.shape, dtype=bool)
        if len(self._recent) > self._patience:
            idle = self._without_progress()
        flat = now.optimality <= self._tol
        last = stopped or iteration == self._max_iter
        if not (last or np.count_nonzero(flat | idle)):
            return False
        limit = self._max_decrease * np.maximum(np.abs(now.value), NEGLIGIBLE_VALUE)
        # F is at least 0, so no step lowers it by more than F.
        damped = np.fmin(self.decrease, now.value)
        undamped = self.decrease * (1 + now.damping / MIN_DAMPED_CURVATURE)
        converged = flat & (np.fmin(undamped, now.value) <= limit)
        # The damping grows without bound while every step is rejected.
        converged |= flat & idle & (damped <= limit)
        ends = self.running & (converged | idle | last)
        self.status[ends] = Status.ITERATION_LIMIT
        self.status[ends & idle] = Status.PRECISION_LIMIT
        if stopped:
            self.status[ends] = Status.CALLBACK
        self.status[ends & converged] = Status.CONVERGED
        self.n_iter[ends] = iteration
        self.running &= ~ends
        return not self.running.any()

    def _without_progress(self) -> np.ndarray:
        """Return whether the last iterations made no progress: boolean, (n_models,).

        Progress is a new minimum of F, or of the optimality by a tenth. Rounding errors
        make new minima of F too, but less and less often.
        """
        before = self._recent.popleft()
        known = before if self._lowest is None else self._lowest
        self._lowest = np.fmin(known, before)
        lowest_value, lowest_optimality, *_ = self._lowest
        value, optimality, *_ = np.min(self._recent, axis=0)
        is_flatter = optimality < PROGRESS_SHARE * lowest_optimality
        return ~(is_flatter | (value < lowest_value))
