"""Exact minimisation of a quadratic with an L1 penalty and bounds, on the host."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlr.penalties import NonSmooth
from xlr.solvers.quadratic import Quadratic

# Maximum number of Newton steps: 1 to 10 are usual, more if H is singular.
MAX_NEWTON_STEPS = 500

# Maximum number of proximal gradient steps before a Newton step, and of those that
# leave the free coordinates unchanged. A step costs a product with H. A Newton step
# costs a factorisation, as long as 3 to 30 products for 100 to 1,000 free coordinates.
MAX_PROXIMAL_STEPS = 60
MAX_UNCHANGED_STEPS = 2

# Maximum KKT violation by rounding, relative to the gradients that cancel in it.
MAX_KKT_ROUNDING = 1e-12

# Rounding error of a step, relative to the largest coordinate.
COORDINATE_ROUNDING = 1e-15

# Step sizes of the line search, as powers of the size at which the first coordinate
# becomes active. With fewer, fits to more parameters than rows take more Newton steps.
STEP_SIZE_POWERS = np.asarray([0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1])


class Point(NamedTuple):
    """Coordinates, and the gradient of the quadratic function there."""

    u: np.ndarray
    gradient: np.ndarray


class Subproblem(NamedTuple):
    """The function of :func:`minimise_quadratic` in the scaled coordinates."""

    quadratic: Quadratic
    gradient: np.ndarray
    non_smooth: NonSmooth
    start: np.ndarray

    def at(self, u: np.ndarray) -> Point:
        """Return the point with coordinates u."""
        return Point(u, self.gradient + self.quadratic.times(u - self.start))

    def rise(self, before: Point, after: Point) -> float:
        """Return the rise of the function from one point to another.

        The quadratic part rises by the mean of the gradients times the step. This keeps
        digits that the difference of two values would lose.
        """
        mean = 0.5 * (before.gradient + after.gradient)
        penalty = self.non_smooth.l1 @ (np.abs(after.u) - np.abs(before.u))
        return float(penalty + (after.u - before.u) @ mean)


def minimise_quadratic(
    quadratic: Quadratic, gradient: np.ndarray, non_smooth: NonSmooth, start: np.ndarray
) -> tuple[np.ndarray, float]:
    r"""Minimise a quadratic function with an L1 penalty and bounds,

    .. math::
        g'(v - w) + \tfrac12 (v - w)'H(v - w) + \sum_j \kappa_j |v_j|,
        \qquad l_j \le v_j \le h_j

    by a projected Newton method. Proximal gradient steps find the free coordinates, and
    a Newton step minimises over these. Every step stays within the bounds and decreases
    the function, except for rounding, so the sets of free coordinates cannot cycle. The
    iteration ends where no coordinate violates its KKT condition, or where rounding
    prevents a decrease.

    Parameters
    ----------
    quadratic : Quadratic
        H; it may be singular up to its noise.
    gradient : ndarray of shape (q,)
        g.
    non_smooth : NonSmooth
        :math:`\kappa`, l and h, of shape (q,).
    start : ndarray of shape (q,)
        w, within the bounds.

    Returns
    -------
    v : ndarray of shape (q,)
        The minimiser, with exact zeros and bounds.
    decrease : float
        Decrease of the function from w to v.

    References
    ----------
    Bertsekas (1982), *Projected Newton methods for optimization problems with simple
    constraints*; Schmidt, Kim and Sra (2011), *Projected Newton-type methods in machine
    learning*, section 11.7.
    """
    scale = quadratic.scale
    l1, lower, upper = non_smooth
    scaled = NonSmooth(l1 / scale, lower * scale, upper * scale)
    problem = Subproblem(quadratic, gradient / scale, scaled, start * scale)
    point = first = Point(problem.start, problem.gradient)
    is_solved = True  # no step in the free coordinates decreases the function
    for _ in range(MAX_NEWTON_STEPS):
        violation = np.abs(scaled.minimum_norm_subgradient(*point, xp=np))
        size = np.abs(point.gradient - problem.gradient) + np.abs(problem.gradient)
        violates = violation > MAX_KKT_ROUNDING * np.max(size, initial=0.0)
        if not violates.any():
            break
        before, was_solved = point, is_solved
        # 1. Free the active coordinates that violate the KKT conditions.
        if is_solved and (violates & ~scaled.free(point.u)).any():
            point = _proximal_gradient(problem, point)
        # 2. Minimise over the free coordinates.
        point, is_solved = _projected_newton(problem, point)
        if was_solved and point is before:
            break
    u = point.u
    v = np.where(u == problem.start, start, u / scale)
    v = np.where(u <= scaled.lower, lower, v)
    v = np.where(u >= scaled.upper, upper, v)
    return v, -problem.rise(first, point)


def _proximal_gradient(problem: Subproblem, point: Point) -> Point:
    """Take proximal gradient steps until the free coordinates are unchanged.

    References
    ----------
    Beck and Teboulle (2009), *A fast iterative shrinkage-thresholding algorithm for
    linear inverse problems*, section 3: ISTA with backtracking.
    """
    quadratic, non_smooth, n_unchanged = problem.quadratic, problem.non_smooth, 0
    for _ in range(MAX_PROXIMAL_STEPS):
        step_size = 1 / quadratic.largest_curvature
        u = point.u - step_size * point.gradient
        new = problem.at(non_smooth.prox(u, step_size, xp=np))
        step = new.u - point.u
        curvature = step @ (new.gradient - point.gradient)
        square = step @ step
        if curvature * step_size > 1.001 * square:  # too long, beyond rounding
            quadratic.largest_curvature = 1.1 * curvature / square
            continue
        if not problem.rise(point, new) < 0:  # rounding
            break
        is_same = (non_smooth.free(new.u) == non_smooth.free(point.u)).all()
        point, n_unchanged = new, n_unchanged + 1 if is_same else 0
        if n_unchanged == MAX_UNCHANGED_STEPS:
            break
    return point


def _projected_newton(problem: Subproblem, point: Point) -> tuple[Point, bool]:
    """Take a Newton step in the free coordinates, which stop where they become active.

    Returns
    -------
    point : Point
    is_solved : bool
        Whether no step decreases the function, or the step ends with the same free
        coordinates, at their minimum.
    """
    u, non_smooth = point.u, problem.non_smooth
    l1, lower, upper = non_smooth
    free = np.flatnonzero(non_smooth.free(u))
    if not free.size:
        return point, True
    subgradient = (point.gradient + l1 * np.sign(u))[free]
    solution = problem.quadratic.solve(free, subgradient)
    if solution is None:
        return problem.at(u), False  # the gradient, as H has changed
    direction = np.zeros_like(u)
    direction[free] = -solution
    lower = np.where((l1 > 0) & (u > 0), np.maximum(lower, 0), lower)
    upper = np.where((l1 > 0) & (u < 0), np.minimum(upper, 0), upper)
    # The function decreases until the first coordinate becomes active, then may rise.
    end = np.where(direction > 0, upper, lower)[free]
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = (end - u[free]) / direction[free]
    # Rounded up, so that the first coordinate reaches its end exactly by the clip.
    first_size = min(1.0, (1 + COORDINATE_ROUNDING) * np.nanmin(sizes, initial=1.0))
    sizes = set((first_size**STEP_SIZE_POWERS).tolist())
    for step_size in sorted(sizes, reverse=True):
        new = problem.at(np.clip(u + step_size * direction, lower, upper))
        if problem.rise(point, new) < 0:
            return new, bool(non_smooth.free(new.u)[free].all())
    # A coordinate within rounding of its end becomes active without a decrease. The
    # next Newton step leaves it out.
    change = np.max(np.abs(new.u - u))
    is_rounding = change <= COORDINATE_ROUNDING * np.max(np.abs(u))
    if is_rounding and not non_smooth.free(new.u)[free].all():
        return new, False
    return point, True
