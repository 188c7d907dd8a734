r"""Separation: directions along which the likelihood rises without bound.

With :math:`a_{ik} = (e_{y_i} - e_k) \otimes z_i` for each row i and each other class k,
there is a finite optimum unless some direction d has :math:`a_{ik} d \ge 0` for all of
them and :math:`> 0` for one (Albert and Anderson 1984).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linprog

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.collinearity import find_aliased
from xlr.objective.objective import Objective
from xlr.text import printable

__all__ = ["Separation", "find_separation"]

# Parameters beyond which a Hessian takes gigabytes, and a minute.
MAX_HESSIAN = 8000

# Curvature of a standardized column for each row that is lost in rounding.
NO_CURVATURE = 1e-12

# Change of logits by a Newton step below which the certificate holds.
MAX_CHANGE = 0.5

# Rows for each parameter of a sample on which the certificate is tried first.
SAMPLED_ROWS = 20

# Entries of a linear program, rows times columns: HiGHS takes about a minute there.
MAX_LP_ENTRIES = 1e6

# The same for the program that finds the simplest direction: a second or so.
MAX_SIMPLE_ENTRIES = 2e5

# Passes over the rows in which a linear program gets more of them.
MAX_ROUNDS = 30

# Rows for each parameter with the least margins that a pass brings to the program.
LEAST_ROWS = 4

# Tolerance of HiGHS, and rounding errors of a row, below which a margin is zero.
TOLERANCE, ROUNDING = 1e-7, 64

WITHOUT_PENALTY = "Use a finite C, or FirthLogisticRegression."


@dataclass(frozen=True)
class Separation:
    """A direction along which the likelihood rises without bound.

    Attributes
    ----------
    complete : bool
        Whether the margins of all rows are positive, and not only of some.
    direction : ndarray of shape (n_outputs, n_features)
        Of the coefficients, in standardized units; the largest is 1.
    """

    complete: bool
    direction: np.ndarray

    def describe(self, names: list[str], advice: str = WITHOUT_PENALTY) -> str:
        """Say what separates the classes, and what to do."""
        size = np.abs(self.direction).max(axis=0)
        moving = np.nonzero(size > 1e-6)[0]
        largest = moving[np.argsort(-size[moving], kind="stable")]
        listed = ", ".join(printable(names[j]) for j in largest[:5])
        if largest.size > 5:
            listed += f" and {largest.size - 5} more"
        rows = "all rows" if self.complete else "some of the rows"
        kind = "complete" if self.complete else "quasi-complete"
        features = "the feature" if largest.size == 1 else "a combination of"
        if not largest.size:  # a class without weight
            features, listed = "the", "intercept"
        return (
            f"There is no finite estimate: {features} {listed} separates the classes "
            f"without an error for {rows} ({kind} separation), so that the likelihood "
            f"rises without bound as coefficients grow. {advice}"
        )


class Cone(NamedTuple):
    """Recession directions: those that no penalty and no bound limits.

    Attributes
    ----------
    least, most : ndarray of shape (n_parameters,)
        -1 and 1; 0 where a penalty, or a bound on that side, is in the way.
    """

    least: np.ndarray
    most: np.ndarray

    @classmethod
    def of(cls, objective: Objective) -> Cone:
        """Return the cone of an objective of one model."""
        curvature = objective.penalty_curvature(objective.zeros())
        down = up = arrays.to_host(curvature)[0] == 0
        if objective.non_smooth is not None:
            l1, lower, upper = (arrays.to_host(x)[0] for x in objective.non_smooth)
            down = down & (l1 == 0) & np.isneginf(lower)
            up = up & (l1 == 0) & np.isposinf(upper)
        return cls(-down.astype(np.float64), up.astype(np.float64))

    @property
    def moving(self) -> np.ndarray:
        """The numbers of the parameters that are free on some side."""
        return np.nonzero(self.most > self.least)[0]

    def project(self, direction: np.ndarray) -> np.ndarray:
        """Return the part of a direction within the cone, with 1 as its largest."""
        part = np.where(direction > 0, self.most, -self.least) * direction
        return part / max(np.abs(part).max(), np.finfo(float).tiny)


@arrays.quiet()
def find_separation(
    objective: Objective,
    parameters: Array,
    gradient: np.ndarray,
    hessian: np.ndarray | None = None,
    exact: Callable[[], Objective] | None = None,
) -> Separation | None:
    """Return a direction of separation, or None if there is none.

    None too where it would take minutes to know.

    Parameters
    ----------
    objective : Objective
        Of one model.
    parameters : array of shape (1, n_parameters)
        Near its optimum, if there is one.
    gradient : ndarray of shape (n_parameters,)
        Of F there.
    hessian : ndarray of shape (n_parameters, n_parameters), default=None
        Of F there; None to compute it where it is needed.
    exact : callable, default=None
        Returns the same objective in the widest dtype, in which collinear columns are
        collinear. None if it is.

    References
    ----------
    Albert and Anderson (1984), *On the existence of maximum likelihood estimates in
    logistic regression models*; Konis (2007), *Linear programming algorithms for
    detecting separated data in binary logistic regression models*.
    """
    cone = Cone.of(objective)
    if not cone.moving.size:
        return None
    # With few free parameters a program takes less time than a Hessian of all.
    if 2 * cone.moving.size >= objective.n_parameters:
        if _sample_has_optimum(objective, parameters, gradient, cone):
            return None
        if exact is not None:
            objective, hessian = exact(), None
            at = objective.value_and_gradient(parameters)
            gradient = arrays.to_host(at.gradient)[0].astype(np.float64)
        if _has_optimum(objective, parameters, gradient, cone, hessian):
            return None
    elif exact is not None:
        objective = exact()
    return _separating_direction(objective, parameters, cone)


# -- the certificate of a finite optimum ----------------------------------------------


def _sample_has_optimum(
    objective: Objective, parameters: Array, gradient: np.ndarray, cone: Cone
) -> bool:
    """Whether a few rows certify a finite optimum of all rows."""
    size = SAMPLED_ROWS * objective.n_parameters
    if size > min(objective.n_samples // 2, objective.data.n_drawable):
        return False
    sample = objective.sample(size, 0)
    share = sample.total_weight / objective.total_weight
    gradient = gradient / float(arrays.to_host(share)[0])
    return _has_optimum(sample, parameters, gradient, cone, None, is_sample=True)


def _has_optimum(
    objective: Objective,
    parameters: Array,
    gradient: np.ndarray,
    cone: Cone,
    hessian: np.ndarray | None,
    *,
    is_sample: bool = False,
) -> bool:
    r"""Whether a short Newton step certifies that there is a finite optimum.

    There is one if :math:`\sum \lambda_{ik} a_{ik} = 0` for some positive
    :math:`\lambda` (Stiemke's lemma). Minus the gradient of the loss is that sum with
    the probabilities as :math:`\lambda`. A Newton step d changes them by :math:`h a d`,
    to first order, and takes the rest of the sum away: they stay positive if it changes
    no logit by as much as 1 against the mean of its row. The bound is a half, for
    rounding.
    """
    if hessian is None:
        if objective.n_samples < objective.column_size:
            return False
        if objective.n_parameters > MAX_HESSIAN:
            return False
        hessian = objective.hessian_on_host(parameters)
    step = _step_within_cone(
        objective, parameters, gradient, hessian, cone, is_sample=is_sample
    )
    if step is None:
        return False
    (largest,) = objective.data.map_reduce(
        _largest_change,
        objective.loss,
        *objective.split(parameters),
        objective.split(objective.place(step[None, :])),
        width=4 * objective.n_outputs,
        combine=_larger,
    )
    return float(arrays.to_host(largest)) < MAX_CHANGE


def _step_within_cone(
    objective: Objective,
    parameters: Array,
    gradient: np.ndarray,
    hessian: np.ndarray,
    cone: Cone,
    *,
    is_sample: bool,
) -> np.ndarray | None:
    """Return the Newton step of the free parameters; None where it proves nothing.

    Parameters at a one-sided bound stay, and F must not fall off the bound after the
    step. With several classes they are free: the same change to all classes changes
    nothing, and brings every direction within a one-sided bound.
    """
    side = cone.least + cone.most
    at_bound = np.zeros(side.shape, dtype=bool)
    if objective.non_smooth is not None and not objective.loss.shift_invariant:
        at = arrays.to_host(parameters)[0]
        _, lower, upper = (arrays.to_host(x)[0] for x in objective.non_smooth)
        at_bound = (side != 0) & ((at <= lower) | (at >= upper))
    free = np.nonzero((cone.most > cone.least) & ~at_bound)[0]
    part = hessian[np.ix_(free, free)]
    diagonal = np.diagonal(part)
    if not np.isfinite(part).all() or not (diagonal > NO_CURVATURE).all():
        return None
    eps = max(objective.wide_rounding, objective.rounding)
    kept, dropped, _ = find_aliased(part, eps)
    if dropped.size and is_sample:
        return None  # columns that are collinear in a sample need not be in all rows
    if dropped.size:
        # Collinear columns are flat directions, which the step has no part of. In other
        # flat directions the curvature is lost: at zero, where all rows weigh alike,
        # only the collinear ones are.
        at_zero = objective.hessian_on_host(objective.zeros())[np.ix_(free, free)]
        if dropped.size > find_aliased(at_zero, eps).dropped.size:
            return None
    root = np.sqrt(diagonal[kept])
    scaled = part[np.ix_(kept, kept)] / root / root[:, None]
    step = np.zeros(gradient.shape)
    step[free[kept]] = -np.linalg.solve(scaled, gradient[free[kept]] / root) / root
    falls = side * (gradient + hessian @ step) < 0
    return None if (falls & at_bound).any() else step


def _largest_change(
    block: Block,
    loss: Loss,
    coef: Array,
    intercept: Array | None,
    step: tuple[Array, Array | None],
) -> tuple[Array]:
    """Return the largest change of a logit of another class, against its row's mean."""
    xp = block.xp
    eta = passes.logits(block, loss, coef, intercept)
    change = passes.logits(block._replace(offset=None), loss, *step)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    if loss.n_outputs == 1:
        # With y = 1 the other logit is 0, and 0 - p z; with y = 0 it is z, and z - p z.
        against = (1 - xp.abs(gradient)) * change
    else:
        p = loss.curvature(eta, block.labels, xp=xp).values
        against = change - xp.sum(p * change, axis=-1, keepdims=True)
        against = xp.where(gradient < 0, xp.zeros_like(against), against)
    counts = xp.astype(block.weights > 0, against.dtype)[..., None]
    return (xp.max(xp.abs(against) * counts),)


def _larger(a: tuple[Array], b: tuple[Array]) -> tuple[Array]:
    return (arrays.namespace(a[0]).maximum(a[0], b[0]),)


# -- the linear programs --------------------------------------------------------------


class Rows(NamedTuple):
    """Rows on the host.

    Attributes
    ----------
    Z : ndarray of shape (n_rows, n_features)
        Standardized.
    labels : ndarray of int, of shape (n_rows,)
    margins : ndarray of shape (n_rows, 2)
        The least and the largest margin, along some direction.
    """

    Z: np.ndarray
    labels: np.ndarray
    margins: np.ndarray

    def extremes(self, n_least: int, n_most: int) -> Rows:
        """Return the rows with the least margins, and those with the largest."""
        least, most = (np.argsort(part, kind="stable") for part in self.margins.T)
        chosen = np.union1d(least[:n_least], most[max(0, most.size - n_most) :])
        return Rows(*(part[chosen] for part in self))


def _joined(rows: Iterable[Rows]) -> Rows:
    return Rows(*map(np.concatenate, zip(*rows)))


def _separating_direction(
    objective: Objective, parameters: Array, cone: Cone
) -> Separation | None:
    """Solve linear programs on few rows, which get more until none is violated."""
    zero = max(TOLERANCE, ROUNDING * objective.wide_rounding)
    (gain,) = objective.data.map_reduce(
        _gain, objective.n_outputs, objective.fit_intercept
    )
    gain = gain / max(np.abs(gain).max(), np.finfo(float).tiny)
    start = cone.project(arrays.to_host(parameters)[0].astype(np.float64))
    if not start.any():
        start = cone.project(gain)
    program = _Program(objective, cone, zero)
    # 1. Does a direction separate? The one with the largest sum of margins does, if
    # any.
    gains = partial(program.largest_gain, gain)
    found = program.without_violation(start, gains, settle=False)
    if found is None:
        return None
    # 2. The simplest direction that separates the same rows names the features.
    simple = None
    if program.n_entries <= MAX_SIMPLE_ENTRIES:
        simple = program.without_violation(
            program.simplest(), program.simplest, settle=True
        )
    direction, complete = found if simple is None else simple
    coef = direction.reshape(objective.n_outputs, -1)[:, : objective.n_features]
    return Separation(complete, coef / (np.abs(coef).max() or 1.0))


class _Program:
    """Linear programs under the conditions a d >= 0 of the rows that are here."""

    def __init__(self, objective: Objective, cone: Cone, zero: float) -> None:
        self._objective = objective
        self._cone = cone
        self._zero = zero
        self._conditions = np.zeros((0, objective.n_parameters))
        place = np.arange(objective.n_parameters) % objective.column_size
        self._is_intercept = place[cone.moving] >= objective.n_features

    @property
    def n_entries(self) -> int:
        """Rows times columns of the program."""
        return self._conditions.shape[0] * self._cone.moving.size

    def without_violation(
        self,
        direction: np.ndarray | None,
        solve: Callable[[], np.ndarray | None],
        *,
        settle: bool,
    ) -> tuple[np.ndarray, bool] | None:
        """Return a direction that no row violates, and whether all margins are > 0.

        None if a program has no solution, or is too large. To settle is to go on until
        the rows whose margin is zero are part of the program: some direction may
        separate them too.
        """
        objective, n_moving = self._objective, self._cone.moving.size
        for _ in range(MAX_ROUNDS):
            if direction is None or not direction.any():
                return None
            direction = direction / np.abs(direction).max()
            rows = objective.data.map_reduce(
                _extreme_rows,
                objective.n_outputs,
                objective.split(objective.place(direction[None, :])),
                (LEAST_ROWS * n_moving, n_moving),
                width=2 * objective.n_outputs,
                combine=_combined,
            )[0]
            if rows.Z.shape[0] == 0:
                return None
            least, most = rows.margins.T
            is_new = self._add(rows)
            if not (least < -self._zero).any():
                is_complete = bool((least > self._zero).all())
                separates = (most > self._zero).any()
                if separates and (is_complete or not settle or not is_new):
                    return direction, is_complete
                if not is_new:
                    return None
            if self.n_entries > MAX_LP_ENTRIES:
                return None
            direction = solve()
        return None

    def _add(self, rows: Rows) -> bool:
        """Add the conditions of rows; return whether any of them is new."""
        objective = self._objective
        Z = rows.Z
        if objective.fit_intercept:
            Z = np.column_stack([Z, np.ones(Z.shape[0])])
        if objective.n_outputs == 1:
            new = (2 * rows.labels - 1)[:, None] * Z
        else:
            unit = np.eye(objective.n_outputs)
            sign = unit[rows.labels][:, None, :] - unit
            new = sign[:, :, :, None] * Z[:, None, None, :]
            is_other = np.arange(objective.n_outputs) != rows.labels[:, None]
            new = new.reshape(*is_other.shape, -1)[is_other]
        before = self._conditions.shape[0]
        self._conditions = np.unique(np.concatenate([self._conditions, new]), axis=0)
        return self._conditions.shape[0] > before

    def largest_gain(self, gain: np.ndarray) -> np.ndarray | None:
        """Return d with |d| <= 1 that maximises gain.d; None if that is zero."""
        moving = self._cone.moving
        bounds = np.column_stack([side[moving] for side in self._cone])
        A = self._conditions[:, moving]
        solved = linprog(-gain[moving], -A, np.zeros(len(A)), bounds=bounds)
        if solved.x is None or gain[moving] @ solved.x <= self._zero:
            return None
        return self._of_all(solved.x)

    def simplest(self) -> np.ndarray | None:
        """Return the d of least sum of sizes that separates as many rows as can be.

        1. t <= a d with 0 <= t <= 1 and the largest sum: t is 1 for all rows that some
           direction separates.
        2. The least sum of |d| with a d >= 1 for these rows and a d >= 0 for the
        others.
        """
        moving = self._cone.moving
        A = self._conditions[:, moving]
        m, q = A.shape
        least, most = (side[moving] for side in self._cone)
        infinite = np.column_stack([least * np.inf, most * np.inf])
        infinite = np.where(np.isnan(infinite), 0.0, infinite)
        shares = np.column_stack([np.zeros(m), np.ones(m)])
        solved = linprog(
            np.concatenate([np.zeros(q), -np.ones(m)]),
            np.concatenate([-A, np.eye(m)], axis=1),
            np.zeros(m),
            bounds=np.concatenate([infinite, shares]),
        )
        if solved.x is None:
            return None
        separable = solved.x[q:] > 0.5
        cost = np.where(self._is_intercept, 0.0, 1.0)
        sides = np.where(np.concatenate([most, -least]) > 0, np.inf, 0.0)
        solved = linprog(
            np.concatenate([cost, cost]),
            np.concatenate([-A, A], axis=1),
            -separable.astype(np.float64),
            bounds=np.column_stack([np.zeros(2 * q), sides]),
        )
        return None if solved.x is None else self._of_all(solved.x[:q] - solved.x[q:])

    def _of_all(self, moving: np.ndarray) -> np.ndarray:
        direction = np.zeros(self._objective.n_parameters)
        direction[self._cone.moving] = moving
        return direction


def _gain(block: Block, n_outputs: int, fit_intercept: bool) -> tuple[np.ndarray]:
    """Return the sum of all a: the gain of all rows along each parameter."""
    xp = block.xp
    counted = xp.astype(block.weights > 0, block.weights.dtype)
    if n_outputs == 1:
        signs = (2 * block.labels - 1) * counted
    else:
        classes = xp.arange(
            n_outputs, dtype=block.labels.dtype, device=block.matrix.device
        )
        own = xp.astype(block.labels == classes, counted.dtype)
        signs = (n_outputs * own - 1) * counted
    total = xp.sum(signs, axis=0, dtype=block.wide)
    gain = block.matrix.transpose_matvec(signs, total)
    if fit_intercept:
        gain = xp.concat([gain, total[:, None]], axis=1)
    return (arrays.to_host(gain).astype(np.float64).reshape(-1),)


def _extreme_rows(
    block: Block,
    n_outputs: int,
    direction: tuple[Array, Array | None],
    sizes: tuple[int, int],
) -> tuple[Any, ...]:
    """Return the rows with the least and the largest margins along a direction."""
    xp = block.xp
    change = arrays.to_host(block.matrix.matvec(*direction)).astype(np.float64)
    labels = arrays.to_host(block.labels)[:, 0].astype(np.int64)
    if n_outputs == 1:
        change = np.concatenate([np.zeros_like(change), change], axis=1)
    own = np.take_along_axis(change, labels[:, None], axis=1)
    is_own = np.arange(change.shape[1]) == labels[:, None]
    least = np.where(is_own, np.inf, own - change).min(axis=1)
    most = np.where(is_own, -np.inf, own - change).max(axis=1)
    counted = np.nonzero(arrays.to_host(block.weights)[:, 0] > 0)[0]
    margins = np.column_stack([least, most])[counted]
    numbers = Rows(counted, labels[counted], margins).extremes(*sizes)
    places = arrays.move(numbers.Z, xp=xp, device=block.matrix.device)
    Z = arrays.to_host(block.matrix.take_rows(places).to_dense())
    rows = Rows(Z.astype(np.float64), numbers.labels, numbers.margins)
    return rows, sizes


def _combined(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    return _joined([a[0], b[0]]).extremes(*a[1]), a[1]
