r"""Separation: directions along which the likelihood rises without bound.

Let :math:`a_{ik} = (e_{y_i} - e_k) \otimes z_i` for each row i and each other class k.
There is a finite optimum unless some direction d has :math:`a_{ik} d \ge 0` for all i
and k, and :math:`> 0` for one pair (Albert and Anderson 1984).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.collinearity import find_aliased
from xlr.objective.objective import Objective
from xlr.text import listed

# Number of parameters above which a Hessian takes gigabytes and a minute.
MAX_HESSIAN = 8000

# Curvature per row of a standardized column, below which rounding hides it.
NO_CURVATURE = 1e-12

# Largest change of logits in a Newton step for which the certificate holds.
MAX_CHANGE = 0.5

# Rows per parameter of the sample that the certificate tries first. Without the sample,
# a fit to 200,000 rows takes 1.6 times as long.
SAMPLED_ROWS = 20

# Limits on linear programs, in rows times columns. HiGHS takes about a minute at the
# first. It takes about a second at the second, for programs that simplify a direction.
MAX_LP_ENTRIES, MAX_SIMPLE_ENTRIES = 1e6, 2e5

# Number of passes over the rows. Conditions per parameter that a pass adds to the
# linear program, with the smallest and with the largest margins.
MAX_ROUNDS = 30
LEAST_MARGINS, LARGEST_MARGINS = 4, 1

# Tolerance of HiGHS, and rounding errors of a row, below which a margin is zero.
TOLERANCE, ROW_ROUNDINGS = 1e-7, 64

# Size of a direction that costs as much as a condition with margin zero.
MAX_SIZE = 1e6

WITHOUT_PENALTY = "Use a finite C, or FirthLogisticRegression."


@dataclass(frozen=True)
class Separation:
    """A direction along which the likelihood rises without bound.

    Attributes
    ----------
    complete : bool
        Whether the margins of all rows are positive, not only of some rows.
    direction : ndarray of shape (n_outputs, n_features)
        Direction of the coefficients, in standardized units; the largest entry is 1.
    """

    complete: bool
    direction: np.ndarray

    def describe(self, names: list[str], advice: str = WITHOUT_PENALTY) -> str:
        """Describe the features that separate the classes, and what to do."""
        size = np.abs(self.direction).max(axis=0)
        order = np.argsort(-size, kind="stable")
        largest = [names[j] for j in order[: np.count_nonzero(size > 1e-6)]]
        rows = "all rows" if self.complete else "some of the rows"
        kind = "complete" if self.complete else "quasi-complete"
        features = "the intercept"  # a class without weight
        if largest:
            features = "a combination of " if len(largest) > 1 else "the feature "
            features += listed(largest)
        return (
            f"There is no finite estimate: {features} separates the classes "
            f"without an error for {rows} ({kind} separation), so that the likelihood "
            f"rises without bound as coefficients grow. {advice}"
        )


class Cone(NamedTuple):
    """Recession directions: directions that no penalty and no bound limits.

    Attributes
    ----------
    least, most : ndarray of shape (n_parameters,)
        -1 and 1; 0 where a penalty, or a bound on that side, limits the parameter.
    """

    least: np.ndarray
    most: np.ndarray

    @classmethod
    def of(cls, objective: Objective) -> Cone:
        """Return the cone of an objective of one model."""
        curvature = objective.penalty_curvature
        down = up = arrays.to_host(curvature)[0] == 0
        if objective.non_smooth is not None:
            l1, lower, upper = (arrays.to_host(x)[0] for x in objective.non_smooth)
            down = down & (l1 == 0) & np.isneginf(lower)
            up = up & (l1 == 0) & np.isposinf(upper)
        return cls(-down.astype(np.float64), up.astype(np.float64))

    @property
    def moving(self) -> np.ndarray:
        """Return the indices of the parameters that are free on some side."""
        return np.nonzero(self.most > self.least)[0]

    def project(self, direction: np.ndarray) -> np.ndarray:
        """Return the part of a direction within the cone."""
        return np.where(direction > 0, self.most, -self.least) * direction


@arrays.quiet()
def find_separation(
    objective: Objective,
    parameters: Array,
    gradient: np.ndarray,
    exact: Callable[[], Objective] | None = None,
) -> Separation | None:
    """Return a direction of separation, or None if there is none or it takes minutes.

    Parameters
    ----------
    objective : Objective
        Objective of one model.
    parameters : array of shape (1, n_parameters)
        Parameters near the optimum, if there is one.
    gradient : ndarray of shape (n_parameters,)
        Gradient of F at the parameters.
    exact : callable, default=None
        Returns the same objective in the widest dtype, which keeps collinear columns
        collinear; None if the objective has that dtype.

    References
    ----------
    Albert and Anderson (1984), *On the existence of maximum likelihood estimates in
    logistic regression models*; Konis (2007), *Linear programming algorithms for
    detecting separated data in binary logistic regression models*.
    """
    cone = Cone.of(objective)
    if not cone.moving.size:
        return None
    # With few free parameters a linear program takes less time than a Hessian.
    certify = 2 * cone.moving.size >= objective.n_parameters
    size = SAMPLED_ROWS * objective.n_parameters
    if certify and size <= min(objective.n_samples // 2, objective.data.n_drawable):
        # If a part of the rows has a finite optimum, all rows have one.
        sample = objective.sample(size, 0)
        share = arrays.to_host(sample.total_weight / objective.total_weight)
        if _has_optimum(sample, parameters, gradient / share, cone, is_sample=True):
            return None
    if exact is not None:
        objective = exact()
        at = objective.value_and_gradient(parameters)
        gradient = arrays.to_host(at.gradient)[0].astype(np.float64)
    if certify and _has_optimum(objective, parameters, gradient, cone, is_sample=False):
        return None
    return _separating_direction(objective, parameters, cone)


def _has_optimum(
    objective: Objective,
    parameters: Array,
    gradient: np.ndarray,
    cone: Cone,
    *,
    is_sample: bool,
) -> bool:
    r"""Return whether a short Newton step certifies a finite optimum.

    A finite optimum exists if :math:`\sum \lambda_{ik} a_{ik} = 0` for some positive
    :math:`\lambda` (Stiemke's lemma). Minus the gradient of the loss is this sum with
    the probabilities as :math:`\lambda`. A Newton step d changes them by :math:`h a d`,
    to first order, and makes the sum zero. They stay positive if every logit, less the
    mean of its row, changes by less than 1. The bound is a half, for rounding. With
    bounds on one side only, the linear program decides.
    """
    if (cone.least + cone.most != 0).any() or objective.n_parameters > MAX_HESSIAN:
        return False
    if objective.n_samples < objective.column_size:
        return False
    hessian, free = objective.hessian_on_host(parameters), cone.moving
    part = hessian[np.ix_(free, free)]
    diagonal = np.diagonal(part)
    if not (diagonal > NO_CURVATURE).all():
        return False
    eps = max(objective.accumulation_rounding, objective.rounding)
    kept, dropped, _ = find_aliased(part, eps)
    if dropped.size:
        # Collinear columns are flat directions, and the step has no component there.
        # Other flat directions lost their curvature in rounding. At zero, all rows have
        # the same curvature, and only collinear columns are flat. A sample may have
        # more collinear columns.
        if is_sample:
            return False
        at_zero = objective.hessian_on_host(objective.zeros())[np.ix_(free, free)]
        if dropped.size > find_aliased(at_zero, eps).dropped.size:
            return False
    root = np.sqrt(diagonal[kept])
    scaled = part[np.ix_(kept, kept)] / root / root[:, None]
    step = np.zeros((1, objective.n_parameters))
    step[0, free[kept]] = -np.linalg.solve(scaled, gradient[free[kept]] / root) / root
    (largest,) = objective.data.map_reduce(
        _largest_change,
        objective.loss,
        parameters,
        objective.place(step),
        width=4 * objective.n_outputs,
        combine=passes.larger,
    )
    return float(arrays.to_host(largest)) < MAX_CHANGE


def _largest_change(
    block: Block, loss: Loss, parameters: Array, step: Array
) -> tuple[Array]:
    """Return the largest change of a wrong class's logit, less the mean of its row."""
    xp = block.xp
    eta = passes.logits(block, loss, parameters)
    change = passes.logits(block._replace(offset=None), loss, step)
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


def _separating_direction(
    objective: Objective, parameters: Array, cone: Cone
) -> Separation | None:
    """Solve linear programs, and add the conditions that rows violate."""
    n_outputs = objective.n_outputs
    zero = max(TOLERANCE, ROW_ROUNDINGS * objective.accumulation_rounding)
    # Minus the gradient of the loss is a positive sum of all a: any direction that
    # separates rows also has a positive margin there.
    gradient = objective.value_and_gradient(objective.zeros()).gradient
    ascent = -arrays.to_host(gradient)[0].astype(np.float64)
    ascent = np.where(cone.most > cone.least, ascent, 0.0)
    conditions = ascent[None, :] / max(np.abs(ascent).max(), np.finfo(float).tiny)
    direction = cone.project(arrays.to_host(parameters)[0].astype(np.float64))
    if not direction.any():
        direction = cone.project(conditions[0])
    each = max(1, n_outputs - 1) * cone.moving.size
    sizes = LEAST_MARGINS * each, LARGEST_MARGINS * each
    found = None
    for iteration in range(MAX_ROUNDS):
        if not direction.any():
            break
        direction = direction / np.abs(direction).max()
        # 1. The conditions that the direction violates, or satisfies most narrowly.
        new, margins = objective.data.map_reduce(
            _extreme_conditions,
            n_outputs,
            objective.fit_intercept,
            objective.split(objective.place(direction[None, :])),
            sizes,
            width=2 * n_outputs,
            combine=partial(_joined, sizes),
        )
        if not margins.size:
            break
        n_before = conditions.shape[0]
        conditions = np.unique(np.concatenate([conditions, new]), axis=0)
        is_new = conditions.shape[0] > n_before
        # 2. Does it separate? The first direction names more features than needed. The
        # rows of margin zero outside the program may still be separable later.
        if (margins >= -zero).all() and (margins > zero).any():
            coef = direction.reshape(n_outputs, -1)[:, : objective.n_features]
            is_complete = bool((margins > zero).all())
            found = Separation(is_complete, coef / (np.abs(coef).max() or 1.0))
            if iteration > 0 and (is_complete or not is_new):
                break
        elif not is_new:
            break
        if conditions.size > (MAX_LP_ENTRIES if found is None else MAX_SIMPLE_ENTRIES):
            break
        # 3. The simplest direction that separates as many rows as possible.
        direction = _simplest_direction(objective, conditions, cone)
    return found


def _simplest_direction(
    objective: Objective, conditions: np.ndarray, cone: Cone
) -> np.ndarray:
    """Return a simple direction d with A d >= 0, and > 0 for most conditions.

    It minimises the sum of |t - 1|, then of |d|, for t <= A d and 0 <= t <= 1. It is
    zero if no margin is positive. Intercepts cost nothing.
    """
    moving = cone.moving
    A = conditions[:, moving]
    m, q = A.shape
    is_coef = moving % objective.column_size < objective.n_features
    # d is a difference of two non-negative vectors; a limited side stays zero.
    sides = np.concatenate([cone.most[moving], -cone.least[moving]])
    limits = np.concatenate([np.where(sides > 0, np.inf, 0.0), np.ones(m)])
    cost = np.concatenate([is_coef, is_coef]) / MAX_SIZE
    solved = linprog(
        np.concatenate([cost, np.full(m, -1.0)]),
        np.hstack([-A, A, np.eye(m)]),
        np.zeros(m),
        bounds=np.column_stack([np.zeros(2 * q + m), limits]),
    )
    direction = np.zeros(objective.n_parameters)
    if solved.x is not None and solved.x[2 * q :].max() > TOLERANCE:
        direction[moving] = solved.x[:q] - solved.x[q : 2 * q]
    return direction


def _extreme_conditions(
    block: Block,
    n_outputs: int,
    fit_intercept: bool,
    direction: tuple[Array, Array | None],
    sizes: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the conditions a with the smallest and largest margins a d, and these."""
    change = arrays.to_host(block.matrix.matvec(*direction)).astype(np.float64)
    labels = arrays.to_host(block.labels)[:, 0].astype(np.int64)
    if n_outputs == 1:
        change = np.concatenate([np.zeros_like(change), change], axis=1)
    unit = np.eye(change.shape[1])
    counted = arrays.to_host(block.weights) > 0
    rows, others = np.nonzero(counted & (unit[labels] == 0))
    own = labels[rows]
    margins = change[rows, own] - change[rows, others]
    chosen = _extremes(margins, sizes)
    numbers = arrays.move(rows[chosen], xp=block.xp, device=block.matrix.device)
    Z = arrays.to_host(block.matrix.take_rows(numbers).to_dense()).astype(np.float64)
    if fit_intercept:
        Z = np.column_stack([Z, np.ones(Z.shape[0])])
    signs = (unit[own[chosen]] - unit[others[chosen]])[:, -n_outputs:]
    conditions = signs[:, :, None] * Z[:, None, :]
    return conditions.reshape(Z.shape[0], n_outputs * Z.shape[1]), margins[chosen]


def _joined(
    sizes: tuple[int, int], *parts: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the extreme conditions of two parts of the rows."""
    conditions, margins = map(np.concatenate, zip(*parts))
    chosen = _extremes(margins, sizes)
    return conditions[chosen], margins[chosen]


def _extremes(margins: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """Return the indices of the smallest and of the largest margins."""
    order = np.argsort(margins, kind="stable")
    return np.union1d(order[: sizes[0]], order[max(0, order.size - sizes[1]) :])
