r"""Quadratic functions with kinks and bounds, minimised exactly, on the host.

The steps depend on each other and are small: a processor takes thousands of them while
a GPU starts one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack

from xlr.objective import Kinks

__all__ = ["BoxLasso", "minimise_quadratic"]

# Paths that are followed at most: the second mends what rounding did to the first.
MAX_PATHS = 4

# Violation of the conditions of a minimum, in units of the numbers they are made of,
# that is rounding.
ROUNDING = 1e-10

# Coordinates that want to leave where they rest, beyond which steps for all of them at
# once pay; and how many of these are taken at most.
MANY = 100
MAX_DESCENT = 300
ENOUGH_UNCHANGED = 10


@dataclass(frozen=True)
class BoxLasso:
    r""":math:`u'Hu / 2 - c'u + \sum_j \kappa_j |u_j|` for :math:`l_j \le u_j \le h_j`.

    Attributes
    ----------
    matrix : ndarray of shape (q, q)
        H, positive definite.
    linear : ndarray of shape (q,)
        c.
    lasso, lower, upper : ndarray of shape (q,)
        :math:`\kappa \ge 0`, l and h.
    noise : float
        Uncertainty of the entries of H, relative to its diagonal. H may be singular
        as far as that tells.
    """

    matrix: np.ndarray
    linear: np.ndarray
    lasso: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    noise: float

    def value(self, u: np.ndarray) -> float:
        smooth = u @ (0.5 * (self.matrix @ u) - self.linear)
        return float(smooth + self.lasso @ np.abs(u))

    def resting(self, j: Any, u: Any) -> tuple[Any, Any]:
        """The residuals c - Hu at which coordinates j rest at a kink or bound u."""
        lasso = self.lasso[j]
        low = np.where(u <= self.lower[j], -np.inf, np.where(u > 0, lasso, -lasso))
        high = np.where(u >= self.upper[j], np.inf, np.where(u >= 0, lasso, -lasso))
        return low, high

    def piece(self, j: Any, sign: Any) -> tuple[Any, Any]:
        """The ends of the stretch, of this sign of u, on which there is no kink."""
        kink = self.lasso[j] > 0
        low = np.where(kink & (sign > 0), np.maximum(self.lower[j], 0), self.lower[j])
        high = np.where(kink & (sign < 0), np.minimum(self.upper[j], 0), self.upper[j])
        return low, high


def minimise_quadratic(problem: BoxLasso, start: np.ndarray) -> np.ndarray:
    """The minimiser, by following the solution from a problem that ``start`` solves.

    That problem differs in its linear term alone. While the term moves to that of the
    problem at hand, the solution moves on straight lines, and at the end of each one
    coordinate comes to rest at a kink or bound, or leaves one: as many steps as there
    are coordinates that change.

    Parameters
    ----------
    problem : BoxLasso
    start : ndarray of shape (q,)
        Within the bounds.

    Returns
    -------
    ndarray of shape (q,)

    References
    ----------
    Osborne, Presnell and Turlach (2000), *A new approach to variable selection in least
    squares problems*; Ferreau, Bock and Diehl (2008), *An online active set strategy to
    overcome the limitations of explicit MPC*.
    """
    # In units that make the diagonal one.
    root = np.sqrt(np.diagonal(problem.matrix))
    matrix = problem.matrix / root
    matrix /= root[:, None]
    scaled = BoxLasso(
        matrix,
        problem.linear / root,
        problem.lasso / root,
        problem.lower * root,
        problem.upper * root,
        problem.noise,
    )
    path = _Path(scaled, start * root)
    if path.n_wanting > MANY:
        path = _Path(scaled, _descend(scaled, path.u))
    for _ in range(MAX_PATHS):
        if path.violation() <= ROUNDING:
            break
        path.follow()
        path = _Path(scaled, path.u)
    # What is at a bound, or did not move, is not off by a rounding error.
    found = np.where(path.u == start * root, start, path.u / root)
    found = np.where(path.u <= scaled.lower, problem.lower, found)
    return np.where(path.u >= scaled.upper, problem.upper, found)


def _descend(problem: BoxLasso, u: np.ndarray) -> np.ndarray:
    """Near the minimum, by proximal gradient steps with momentum.

    Until it is the same coordinates that rest for a while.

    References
    ----------
    Beck and Teboulle (2009), *A fast iterative shrinkage-thresholding algorithm for
    linear inverse problems*; O'Donoghue and Candès (2015), *Adaptive restart for
    accelerated gradient schemes*.
    """
    kinks = Kinks(problem.lasso, problem.lower, problem.upper)
    vector = np.ones_like(u)
    for _ in range(20):  # of the largest eigenvalue, from below
        vector = problem.matrix @ (vector / np.linalg.norm(vector))
    rate = 1 / (1.1 * np.linalg.norm(vector))
    ahead, momentum, unchanged = u, 1.0, 0
    for _ in range(MAX_DESCENT):
        slope = problem.matrix @ ahead - problem.linear
        new = kinks.nearest(ahead - rate * slope, rate, xp=np)
        if (ahead - new) @ (new - u) > 0:
            momentum = 1.0  # uphill: forget where it came from
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - u)
        same = ((new == 0) == (u == 0)).all()
        unchanged = unchanged + 1 if same else 0
        u, momentum = new, following
        if unchanged == ENOUGH_UNCHANGED:
            break
    return u


class _Path:
    """The solution while the linear term moves.

    Attributes
    ----------
    u : ndarray of shape (q,)
    """

    def __init__(self, problem: BoxLasso, u: np.ndarray) -> None:
        self.problem = problem
        self.u = u.copy()
        rests = (problem.lasso > 0) & (u == 0)
        rests |= (u <= problem.lower) | (u >= problem.upper)
        self._moving = np.nonzero(~rests)[0]
        self._sign = np.where(u < 0, -1.0, 1.0)
        residual = problem.linear - problem.matrix @ u
        low, high = problem.resting(np.arange(u.shape[0]), u)
        wanted = self._sign * problem.lasso
        self._low = np.where(rests, low, wanted)
        self._high = np.where(rests, high, wanted)
        self._residual = residual

    @property
    def n_wanting(self) -> int:
        """How many want to leave where they rest."""
        beyond = (self._residual > self._high) | (self._residual < self._low)
        beyond[self._moving] = False
        return int(beyond.sum())

    def violation(self) -> float:
        """By how much the conditions of a minimum are missed."""
        beyond = np.maximum(self._residual - self._high, self._low - self._residual)
        product = self.problem.linear - self._residual
        size = np.max(np.abs(product) + np.abs(self.problem.linear), initial=1e-300)
        return float(np.max(beyond, initial=0.0) / size)

    def follow(self) -> None:
        """Move the linear term to its place, from where ``u`` is the solution."""
        problem, u = self.problem, self.u
        low, high = self._low, self._high
        moving = self._moving
        # What rests and would leave begins well inside, each at its own distance.
        target = self._residual
        inside = np.where(np.isfinite(low + high), (low + high) / 2, 0.0)
        margin = problem.lasso + 1e-3 * np.max(np.abs(target), initial=1e-300)
        inside = np.where(np.isinf(low), high - margin, inside)
        inside = np.where(np.isinf(high), low + margin, inside)
        residual = np.where((target > high) | (target < low), inside, target)
        residual[moving] = high[moving]
        change = target - residual  # of the linear term
        inverse = _inverse(problem.matrix[np.ix_(moving, moving)])
        velocities = np.zeros_like(u)
        left = entered = -1
        way = 1.0
        for _ in range(20 * u.shape[0] + 100):
            velocity = inverse @ change[moving]
            velocities[moving] = velocity
            drift = change - problem.matrix @ velocities
            drift[moving] = velocities[moving] = 0.0
            unclear = problem.noise * np.max(np.abs(velocity), initial=0.0)
            drift[np.abs(drift) <= unclear] = 0.0
            if left >= 0 and (drift[left] > 0) == (residual[left] >= high[left]):
                drift[left] = 0.0  # it is to rest: outward is a rounding error
            # Until something that moves comes to the end of its piece ...
            end, time = self._ends(moving, velocity)
            time[(moving == entered) & (time <= 0)] = np.inf
            # ... or something that rests to where it leaves.
            edge = np.where(drift > 0, high, low)
            with np.errstate(divide="ignore", invalid="ignore"):
                wait = np.where(drift != 0, (edge - residual) / drift, np.inf)
            stops = int(np.argmin(time)) if time.size else -1
            starts = int(np.argmin(wait))
            soonest = min(time[stops] if stops >= 0 else np.inf, wait[starts], way)
            soonest = max(soonest, 0.0)
            u[moving] += soonest * velocity
            residual += soonest * drift
            way -= soonest
            if way <= 0:
                break
            left = entered = -1
            if stops >= 0 and time[stops] <= wait[starts]:
                left = int(moving[stops])
                inverse, moving = self._rest(stops, end[stops], inverse, moving)
                continue
            entered = starts
            up = 1.0 if drift[entered] > 0 else -1.0
            self._sign[entered] = np.sign(u[entered]) or up
            residual[entered] = high[entered] if up > 0 else low[entered]
            column = inverse @ problem.matrix[moving, entered]
            left_over = 1.0 - problem.matrix[entered, moving] @ column
            if left_over <= problem.noise:
                # Those that move can stand for it: it comes in for one of them, which
                # a change that costs nothing brings to rest.
                end, time = self._ends(moving, -up * column)
                stops = int(np.argmin(time))
                if np.isinf(time[stops]):
                    break
                u[moving] -= up * time[stops] * column
                u[entered] += up * time[stops]
                left = int(moving[stops])
                inverse, moving = self._rest(stops, end[stops], inverse, moving)
            inverse = _with(inverse, problem.matrix, moving, entered)
            moving = np.append(moving, entered)
        # What rounding did on the way.
        missing = problem.linear - problem.matrix @ u - self._sign * problem.lasso
        u[moving] += inverse @ missing[moving]
        first, last = problem.piece(moving, self._sign[moving])
        u[moving] = np.clip(u[moving], first, last)

    def _ends(
        self, moving: np.ndarray, velocity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where each that moves comes to the end of its piece, and how soon."""
        first, last = self.problem.piece(moving, self._sign[moving])
        end = np.where(velocity > 0, last, first)
        with np.errstate(divide="ignore", invalid="ignore"):
            time = (end - self.u[moving]) / velocity
        return end, np.where(velocity != 0, time, np.inf)

    def _rest(
        self, stops: int, end: float, inverse: np.ndarray, moving: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The inverse and the list of those that move, without one of these."""
        j = moving[stops]
        self.u[j] = end
        self._low[j], self._high[j] = self.problem.resting(j, self.u[j])
        return _without(inverse, stops), np.delete(moving, stops)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Of a positive definite matrix, or of one that is not but for rounding."""
    factor, failed = lapack.dpotrf(matrix, lower=True)
    if failed:
        return np.linalg.pinv(matrix, hermitian=True)
    lower, _ = lapack.dpotri(factor, lower=True, overwrite_c=True)
    return np.tril(lower) + np.tril(lower, -1).T


def _with(
    inverse: np.ndarray, matrix: np.ndarray, moving: np.ndarray, j: int
) -> np.ndarray:
    """The inverse of a part of a matrix, with a row and a column more at the end."""
    m = moving.shape[0]
    column = inverse @ matrix[moving, j]
    left = matrix[j, j] - matrix[j, moving] @ column  # the Schur complement
    bordered = np.empty((m + 1, m + 1))
    bordered[:m, :m] = inverse + np.outer(column, column / left)
    bordered[:m, m] = bordered[m, :m] = -column / left
    bordered[m, m] = 1 / left
    return bordered


def _without(inverse: np.ndarray, i: int) -> np.ndarray:
    """The inverse of a part of a matrix, without its row and column i."""
    kept = np.delete(np.arange(inverse.shape[0]), i)
    column = inverse[kept, i]
    part = inverse[np.ix_(kept, kept)]
    return part - np.outer(column, column / inverse[i, i])
