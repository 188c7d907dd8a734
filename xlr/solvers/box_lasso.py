r"""Quadratic functions with kinks and bounds, minimised exactly, on the host.

The steps depend on each other and are small: a processor takes thousands of them while
a GPU starts one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr.objective import Kinks
from xlr.solvers.quadratic import Quadratic

__all__ = ["minimise_quadratic"]

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


def minimise_quadratic(
    quadratic: Quadratic, gradient: np.ndarray, kinks: Kinks, start: np.ndarray
) -> tuple[np.ndarray, float]:
    r"""The minimiser of a quadratic function with kinks and bounds,

    .. math::
        g'(v - w) + \tfrac12 (v - w)'H(v - w) + \sum_j \kappa_j |v_j|,
        \qquad l_j \le v_j \le h_j

    by following the solution from a problem that w solves. That problem differs in its
    linear term alone. While the term moves to that of the problem at hand, the solution
    moves on straight lines, and at the end of each one coordinate comes to rest at a
    kink or bound, or leaves one: as many steps as there are coordinates that change.

    Parameters
    ----------
    quadratic : Quadratic
        H; it holds an inverse for the next problem.
    gradient : ndarray of shape (q,)
        g.
    kinks : Kinks
        :math:`\kappa`, l and h, of shape (q,).
    start : ndarray of shape (q,)
        w, within the bounds.

    Returns
    -------
    v : ndarray of shape (q,)
    fell : float
        By how much less the function is there than at w.

    References
    ----------
    Osborne, Presnell and Turlach (2000), *A new approach to variable selection in least
    squares problems*; Ferreau, Bock and Diehl (2008), *An online active set strategy to
    overcome the limitations of explicit MPC*.
    """
    unit = quadratic.unit
    scaled = Kinks(kinks.lasso / unit, kinks.lower * unit, kinks.upper * unit)
    problem = BoxLasso(quadratic, gradient / unit, scaled, start * unit)
    path = _Path(problem, problem.start)
    if path.n_wanting > MANY:
        path = _Path(problem, _descend(problem))
    for number in range(MAX_PATHS):
        if path.violation() <= ROUNDING:
            break
        path.follow(anew=number > 0)
        path = _Path(problem, path.u)
    u = path.u
    # What is at a bound, or did not move, is not off by a rounding error.
    found = np.where(u == problem.start, start, u / unit)
    found = np.where(u <= scaled.lower, kinks.lower, found)
    found = np.where(u >= scaled.upper, kinks.upper, found)
    return found, problem.fall(u)


@dataclass(frozen=True)
class BoxLasso:
    """What :func:`minimise_quadratic` minimises, in the units of the quadratic.

    Attributes
    ----------
    quadratic : Quadratic
    gradient : ndarray of shape (q,)
        At the start.
    kinks : Kinks
    start : ndarray of shape (q,)
    """

    quadratic: Quadratic
    gradient: np.ndarray
    kinks: Kinks
    start: np.ndarray

    def slope(self, u: np.ndarray) -> np.ndarray:
        """The gradient of the quadratic function."""
        return self.gradient + self.quadratic.times(u - self.start)

    def fall(self, u: np.ndarray) -> float:
        """By how much less the function is than at the start."""
        step = u - self.start
        bend = 0.5 * self.quadratic.times(step)
        lasso = self.kinks.lasso @ (np.abs(self.start) - np.abs(u))
        return float(lasso - step @ (self.gradient + bend))

    def rests(self, u: np.ndarray) -> np.ndarray:
        """Which coordinates are at a kink or bound."""
        lasso, lower, upper = self.kinks
        return ((lasso > 0) & (u == 0)) | (u <= lower) | (u >= upper)

    def resting(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The slopes with which u rests, as ends of the range of minus the slope."""
        lasso, lower, upper = self.kinks
        low = np.where(u <= lower, -np.inf, np.where(u > 0, lasso, -lasso))
        high = np.where(u >= upper, np.inf, np.where(u >= 0, lasso, -lasso))
        return low, high

    def piece(self, sign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the stretch, of this sign of u, on which there is no kink."""
        lasso, lower, upper = self.kinks
        low: np.ndarray = np.where((lasso > 0) & (sign > 0), lower.clip(min=0), lower)
        high: np.ndarray = np.where((lasso > 0) & (sign < 0), upper.clip(max=0), upper)
        return low, high


def _descend(problem: BoxLasso) -> np.ndarray:
    """Near the minimum, by proximal gradient steps with momentum.

    Until it is the same coordinates that rest for a while.

    References
    ----------
    Beck and Teboulle (2009), *A fast iterative shrinkage-thresholding algorithm for
    linear inverse problems*; O'Donoghue and Candès (2015), *Adaptive restart for
    accelerated gradient schemes*.
    """
    u = problem.start
    # Of the largest eigenvalue, from below. Not from ones: to move all classes alike
    # changes nothing.
    vector = np.random.default_rng(0).normal(size=u.shape)
    for _ in range(20):
        vector = problem.quadratic.times(vector / np.linalg.norm(vector))
    rate = 1 / (1.1 * np.linalg.norm(vector))
    ahead, momentum, unchanged = u, 1.0, 0
    for _ in range(MAX_DESCENT):
        slope = problem.slope(ahead)
        new = problem.kinks.nearest(ahead - rate * slope, rate, xp=np)
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
        self._rests = problem.rests(u)
        self._sign = np.where(u < 0, -1.0, 1.0)
        self._residual = -problem.slope(u)
        low, high = problem.resting(u)
        wanted = self._sign * problem.kinks.lasso
        self._low = np.where(self._rests, low, wanted)
        self._high = np.where(self._rests, high, wanted)

    @property
    def n_wanting(self) -> int:
        """How many want to leave where they rest."""
        beyond = (self._residual > self._high) | (self._residual < self._low)
        return int((beyond & self._rests).sum())

    def violation(self) -> float:
        """By how much the conditions of a minimum are missed."""
        beyond = np.maximum(self._residual - self._high, self._low - self._residual)
        gradient = self.problem.gradient
        size = np.abs(self._residual + gradient) + np.abs(gradient)
        return float(np.max(beyond, initial=0.0) / np.max(size, initial=1e-300))

    def follow(self, *, anew: bool = False) -> None:
        """Move the linear term to its place, from where ``u`` is the solution.

        With an inverse that is computed again, if that is asked for.
        """
        problem, quadratic, u = self.problem, self.problem.quadratic, self.u
        low, high = self._low, self._high
        inverse = quadratic.inverse_of(~self._rests, anew=anew)
        moving = inverse.inside  # which the inverse keeps up to date
        # What rests and would leave begins well inside, each at its own distance.
        target = self._residual
        largest = np.max(np.abs(target), initial=1e-300)
        margin = problem.kinks.lasso + 1e-3 * largest
        inside = np.where(np.isinf(low), high - margin, 0.0)
        inside = np.where(np.isinf(high), low + margin, inside)
        residual = np.where((target > high) | (target < low), inside, target)
        residual[moving] = high[moving]
        change = target - residual  # of the linear term
        left = entered = None
        stood: set[bytes] = set()
        way = 1.0
        for _ in range(20 * u.shape[0] + 100):
            velocity = inverse.times(change)
            drift = change - quadratic.times(velocity)
            drift[moving] = 0.0
            unclear = quadratic.noise * np.max(np.abs(velocity), initial=0.0)
            drift[np.abs(drift) <= unclear] = 0.0
            if left is not None and (drift[left] > 0) == (residual[left] >= high[left]):
                drift[left] = 0.0  # it is to rest: outward is a rounding error
            # Until something that moves comes to the end of its piece ...
            end, time = self._ends(velocity)
            if entered is not None and time[entered] <= 0:
                time[entered] = np.inf
            stops = int(np.argmin(time))
            # ... or something that rests to where it leaves.
            edge = np.where(drift > 0, high, low)
            with np.errstate(divide="ignore", invalid="ignore"):
                wait = np.where(drift != 0, (edge - residual) / drift, np.inf)
            starts = int(np.argmin(wait))
            soonest = max(min(time[stops], wait[starts], way), 0.0)
            u += soonest * velocity
            residual += soonest * drift
            before = way
            way -= soonest
            if way <= 0:
                break
            # Steps of no length may be as many as there are columns that are alike. But
            # where the same rest a second time, some that are nearly the same go in a
            # circle: a path from there goes another way.
            if way < before:
                stood.clear()
            here = moving.tobytes() + self._sign.tobytes()
            if here in stood:
                return
            stood.add(here)
            left = entered = None
            if time[stops] <= wait[starts]:
                left = stops
                self._rest(stops, end[stops])
                inverse.remove(stops)
                continue
            entered = starts
            up = 1.0 if drift[entered] > 0 else -1.0
            self._sign[entered] = np.sign(u[entered]) or up
            residual[entered] = high[entered] if up > 0 else low[entered]
            column, left_over = inverse.standing_for(entered)
            if left_over <= quadratic.noise:
                # Those that move can stand for it: a change that costs nothing brings
                # one of them to rest, for which it comes in, or takes it to its end.
                exchange = -up * column
                exchange[entered] = up
                end, time = self._ends(exchange)
                stops = int(np.argmin(time))
                if np.isinf(time[stops]):
                    break
                u += time[stops] * exchange
                left = stops
                self._rest(stops, end[stops])
                if stops == entered:
                    continue
                inverse.remove(stops)
                column, left_over = inverse.standing_for(entered)
            inverse.add(entered, column, left_over)
        # What rounding did on the way.
        missing = -problem.slope(u) - self._sign * problem.kinks.lasso
        u += inverse.times(missing)
        first, last = problem.piece(self._sign)
        u[moving] = np.clip(u, first, last)[moving]

    def _ends(self, velocity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each that moves comes to the end of its piece, and how soon."""
        first, last = self.problem.piece(self._sign)
        end = np.where(velocity > 0, last, first)
        with np.errstate(divide="ignore", invalid="ignore"):
            time = (end - self.u) / velocity
        return end, np.where(velocity != 0, time, np.inf)

    def _rest(self, stops: int, end: float) -> None:
        """Bring a coordinate to rest at the end of its piece."""
        self.u[stops] = end
        low, high = self.problem.resting(self.u)
        self._low[stops], self._high[stops] = low[stops], high[stops]
