r"""Separation: directions along which the likelihood rises without bound.

Let :math:`a_{ik} = (e_{y_i} - e_k) \otimes z_i` for each row i and each other class k.
Along a direction d, the logit of the right class rises by the margin :math:`a_{ik} d`
more than the logit of class k. There is a finite optimum unless some d satisfies the
constraints :math:`a_{ik} d \ge 0` for all i and k, with a positive margin for one pair
(Albert and Anderson 1984).
"""

from __future__ import annotations

from collections.abc import Callable
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

# Maximum number of parameters for a Hessian: it takes gigabytes and a minute.
MAX_HESSIAN_PARAMETERS = 8000

# Minimum curvature per row along a parameter of standardized columns, with all others
# free: rounding hides the gradient where the curvature is smaller.
MIN_CURVATURE = 1e-12

# Maximum change of a logit in the Newton step that certifies an optimum. Without
# rounding, up to 1 would do.
MAX_LOGIT_CHANGE = 0.5

# Rows per parameter of the sample that the certificate tries first. Without it, a fit
# to 200,000 rows takes 1.6 times as long. And its maximum share of the rows: drawing a
# larger one takes as long as the certificate of all rows.
SAMPLED_ROWS_PER_PARAMETER = 20
MAX_SAMPLED_SHARE = 1 / 8

# Maximum size of a linear program, rows times columns: HiGHS takes about a minute.
MAX_LP_ENTRIES = 1e6

# Maximum size of a linear program that only simplifies a direction: about a second.
MAX_SIMPLIFYING_LP_ENTRIES = 2e5

# Maximum number of passes over the rows.
MAX_PASSES = 30

# Number of constraints that a pass adds to the linear program, per parameter: those
# with the smallest margins and those with the largest.
SMALLEST_PER_PARAMETER, LARGEST_PER_PARAMETER = 4, 1

# A margin counts as zero within the tolerance of HiGHS, and within this number of
# rounding errors.
LP_TOLERANCE, MARGIN_ROUNDINGS = 1e-7, 64

# Cost of a direction per unit of its L1 norm. A constraint with margin zero costs 1.
NORM_COST = 1e-6

ADVICE = "Use a finite C, or FirthLogisticRegression."


class Separation(NamedTuple):
    """A direction that separates classes: the likelihood rises along it without bound.

    Attributes
    ----------
    complete : bool
        Whether the margins of all rows are positive, not only of some rows.
    direction : ndarray of shape (n_outputs, n_features)
        Direction of the coefficients, in standardized units; the largest entry is 1.
    """

    complete: bool
    direction: np.ndarray

    def describe(self, names: list[str], advice: str = ADVICE) -> str:
        """Describe the features that separate the classes, and what to do."""
        size = np.abs(self.direction).max(axis=0)
        order = np.argsort(-size, kind="stable")
        separating = [names[j] for j in order[: np.count_nonzero(size > 1e-6)]]
        features, s = "the intercept", "s"  # a class without weight
        if len(separating) > 1:
            features, s = f"the features {listed(separating)} together", ""
        elif separating:
            features = f"the feature {listed(separating)}"
        effect = f"separate{s} the classes perfectly (complete separation)"
        if not self.complete:
            effect = (
                f"separate{s} some rows perfectly and leave{s} the others on the "
                "boundary (quasi-complete separation)"
            )
        return (
            f"There is no finite estimate: {features} {effect}. The likelihood keeps "
            f"rising as the coefficients grow. {advice}"
        )


class Cone(NamedTuple):
    """Recession directions: directions that no penalty and no bound limits.

    Attributes
    ----------
    lower, upper : ndarray of shape (n_parameters,)
        -1 and 1; 0 where a penalty, or a bound on that side, limits the parameter.
    """

    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, objective: Objective) -> Cone:
        """Return the cone of an objective of one model."""
        down = up = arrays.to_host(objective.penalty_curvature)[0] == 0
        if objective.non_smooth is not None:
            l1, lower, upper = (arrays.to_host(x)[0] for x in objective.non_smooth)
            down = down & (l1 == 0) & np.isneginf(lower)
            up = up & (l1 == 0) & np.isposinf(upper)
        return cls(-down.astype(np.float64), up.astype(np.float64))

    @property
    def free(self) -> np.ndarray:
        """Return the indices of the parameters that are free on some side."""
        return np.nonzero(self.upper > self.lower)[0]

    def project(self, direction: np.ndarray) -> np.ndarray:
        """Return the nearest direction within the cone."""
        return np.where(direction > 0, self.upper, -self.lower) * direction


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
    cone, data = Cone.of(objective), objective.data
    # 1. The certificate of an optimum. With few free parameters a linear program takes
    # less time than its Hessian.
    certify = 2 * cone.free.size >= objective.n_parameters
    size = SAMPLED_ROWS_PER_PARAMETER * objective.n_parameters
    max_size = min(MAX_SAMPLED_SHARE * data.n_samples, data.max_sample_size)
    if certify and size <= max_size:
        # Changes of the sampled rows alone may make the sum of all rows zero. The share
        # converts the gradient of all rows to the mean over the sample.
        sample = objective.sample(size, 0)
        share = arrays.to_host(sample.total_weight / objective.total_weight)
        if _certified(sample, parameters, gradient / share, cone, is_sample=True):
            return None
    if exact is not None:
        objective = exact()
        at = objective.value_and_gradient(parameters)
        gradient = arrays.to_host(at.gradient)[0].astype(np.float64)
    if certify and _certified(objective, parameters, gradient, cone, is_sample=False):
        return None
    # 2. Linear programs, if there is no certificate.
    return _separating_direction(objective, parameters, cone)


def _certified(
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
    mean of its row, changes by less than 1. The bound is a half, for rounding.
    """
    # 1. Hessian in the free parameters.
    has_few_rows = objective.n_samples < objective.output_size
    if has_few_rows or objective.n_parameters > MAX_HESSIAN_PARAMETERS:
        return False
    hessian, free = objective.hessian_on_host(parameters), cone.free
    hessian = hessian[np.ix_(free, free)]
    diagonal = np.diagonal(hessian)
    if not (diagonal > MIN_CURVATURE).all():
        return False
    # 2. Its flat directions.
    eps = max(objective.accumulation_rounding, objective.rounding)
    kept, dropped, _ = find_aliased(hessian, eps)
    if dropped.size:
        # Collinear columns have flat directions, and the step needs no component there.
        # Other flat directions lost their curvature by rounding, and prevent the
        # certificate. At zero, all rows have the same curvature, and only collinear
        # columns are flat. A sample may have more collinear columns.
        if is_sample:
            return False
        at_zero = objective.hessian_on_host(objective.zeros())[np.ix_(free, free)]
        if dropped.size > find_aliased(at_zero, eps).dropped.size:
            return False
    # 3. Newton step, and the largest change of a logit.
    root = np.sqrt(diagonal[kept])
    inverse = np.linalg.inv(hessian[np.ix_(kept, kept)] / root / root[:, None])
    if not (root**2 > MIN_CURVATURE * np.diagonal(inverse)).all():
        return False
    step = np.zeros((1, objective.n_parameters))
    step[0, free[kept]] = -inverse @ (gradient[free[kept]] / root) / root
    (largest,) = objective.data.map_reduce(
        _largest_change,
        objective.loss,
        parameters,
        objective.place(step),
        width=4 * objective.n_outputs,
        combine=passes.larger,
    )
    return float(arrays.to_host(largest)) < MAX_LOGIT_CHANGE


def _largest_change(
    block: Block, loss: Loss, parameters: Array, step: Array
) -> tuple[Array]:
    """Return the largest change of a wrong class's logit, less the mean of its row.

    The mean is over the classes, with their probabilities.
    """
    xp = block.xp
    eta = passes.logits(block, loss, parameters)
    change = passes.logits(block._replace(offset=None), loss, step)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    if loss.n_outputs == 1:
        # The logits 0 and z change by 0 and d, and their mean by p d. Less the mean,
        # the wrong one changes by -p d with y = 1, and by (1 - p) d with y = 0.
        wrong = (1 - xp.abs(gradient)) * change
    else:
        p = loss.curvature(eta, block.labels, xp=xp).values
        wrong = change - xp.sum(p * change, axis=-1, keepdims=True)
        wrong = xp.where(gradient < 0, xp.zeros_like(wrong), wrong)
    has_weight = xp.astype(block.weights > 0, wrong.dtype)[..., None]
    return (xp.max(xp.abs(wrong) * has_weight),)


def _separating_direction(
    objective: Objective, parameters: Array, cone: Cone
) -> Separation | None:
    r"""Return a separating direction, by linear programs with few constraints.

    Each program has some of the constraints :math:`a_{ik} d \ge 0`. If its solution
    violates others, the most violated join the program. A solution that violates none
    separates. A direction that separates all rows satisfies the constraints of each
    program. Its margin is positive for one constraint that is in all programs, the sum
    of all a with positive weights. A program without a positive margin thus proves that
    no direction separates.
    """
    n_outputs = objective.n_outputs
    zero = max(LP_TOLERANCE, MARGIN_ROUNDINGS * objective.accumulation_rounding)
    # Minus the gradient of the loss at zero is a sum of all a with positive weights.
    gradient = objective.value_and_gradient(objective.zeros()).gradient
    ascent = -arrays.to_host(gradient)[0].astype(np.float64)
    ascent = np.where(cone.upper > cone.lower, ascent, 0.0)
    constraints = ascent[None, :] / max(np.abs(ascent).max(), np.finfo(float).tiny)
    direction = cone.project(arrays.to_host(parameters)[0].astype(np.float64))
    if not direction.any():
        direction = cone.project(constraints[0])
    n_free = max(1, n_outputs - 1) * cone.free.size
    sizes = SMALLEST_PER_PARAMETER * n_free, LARGEST_PER_PARAMETER * n_free
    separation = None
    for iteration in range(MAX_PASSES):
        if not direction.any():
            break
        direction = direction / np.abs(direction).max()
        # 1. The constraints that the direction violates, or satisfies most narrowly.
        new, margins = objective.data.map_reduce(
            _extreme_constraints,
            n_outputs,
            objective.fit_intercept,
            objective.split(objective.place(direction[None, :])),
            sizes,
            width=2 * n_outputs,
            combine=partial(_joined, sizes),
        )
        n_before = constraints.shape[0]
        constraints = np.unique(np.concatenate([constraints, new]), axis=0)
        is_new = constraints.shape[0] > n_before
        # 2. Does it separate? The direction of the fit has more features than needed:
        # continue once. Rows of margin zero outside the program may have positive
        # margins in a later direction.
        if (margins >= -zero).all() and (margins > zero).any():
            coef = direction.reshape(n_outputs, -1)[:, : objective.n_features]
            is_complete = bool((margins > zero).all())
            separation = Separation(is_complete, coef / (np.abs(coef).max() or 1.0))
            if iteration > 0 and (is_complete or not is_new):
                break
        elif not is_new:
            break
        limit = MAX_LP_ENTRIES if separation is None else MAX_SIMPLIFYING_LP_ENTRIES
        if constraints.size > limit:
            break
        # 3. The simplest direction that separates as many rows as possible.
        direction = _simplest_direction(objective, constraints, cone)
    return separation


def _simplest_direction(
    objective: Objective, constraints: np.ndarray, cone: Cone
) -> np.ndarray:
    """Return a simple direction d with A d >= 0, and > 0 for most constraints.

    It minimises the sum of 1 - t, and a small multiple of the L1 norm of d, for
    t <= A d and 0 <= t <= 1. It is zero if no margin is positive. Intercepts cost
    nothing.
    """
    free = cone.free
    A = constraints[:, free]
    m, q = A.shape
    is_coef = free % objective.output_size < objective.n_features
    # d is a difference of two non-negative vectors; a limited side stays zero.
    sides = np.concatenate([cone.upper[free], -cone.lower[free]])
    limits = np.concatenate([np.where(sides > 0, np.inf, 0.0), np.ones(m)])
    cost = np.concatenate([is_coef, is_coef]) * NORM_COST
    solved = linprog(
        np.concatenate([cost, np.full(m, -1.0)]),
        np.hstack([-A, A, np.eye(m)]),
        np.zeros(m),
        bounds=np.column_stack([np.zeros(2 * q + m), limits]),
    )
    direction = np.zeros(objective.n_parameters)
    if solved.x is not None and solved.x[2 * q :].max() > LP_TOLERANCE:
        direction[free] = solved.x[:q] - solved.x[q : 2 * q]
    return direction


def _extreme_constraints(
    block: Block,
    n_outputs: int,
    fit_intercept: bool,
    direction: tuple[Array, Array],
    sizes: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the constraints a with the smallest and the largest margins a d.

    Returns
    -------
    constraints : ndarray of shape (n, n_parameters)
    margins : ndarray of shape (n,)
    """
    change = arrays.to_host(block.matrix.matvec(*direction)).astype(np.float64)
    labels = arrays.to_host(block.labels)[:, 0].astype(np.int64)
    if n_outputs == 1:
        change = np.concatenate([np.zeros_like(change), change], axis=1)
    # 1. The pairs of a row and a wrong class, and their margins.
    one_hot = np.eye(change.shape[1])
    has_weight = arrays.to_host(block.weights) > 0
    rows, others = np.nonzero(has_weight & (one_hot[labels] == 0))
    own = labels[rows]
    margins = change[rows, own] - change[rows, others]
    chosen = _extremes(margins, sizes)
    # 2. The vectors a of the chosen pairs.
    row_ids = arrays.move(rows[chosen], xp=block.xp, device=block.matrix.device)
    Z = arrays.to_host(block.matrix.take_rows(row_ids).to_dense()).astype(np.float64)
    if fit_intercept:
        Z = np.column_stack([Z, np.ones(Z.shape[0])])
    signs = (one_hot[own[chosen]] - one_hot[others[chosen]])[:, -n_outputs:]
    constraints = signs[:, :, None] * Z[:, None, :]
    return constraints.reshape(Z.shape[0], n_outputs * Z.shape[1]), margins[chosen]


def _joined(
    sizes: tuple[int, int], *parts: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the extreme constraints of two parts of the rows."""
    constraints, margins = map(np.concatenate, zip(*parts))
    chosen = _extremes(margins, sizes)
    return constraints[chosen], margins[chosen]


def _extremes(margins: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """Return the indices of the smallest and of the largest margins."""
    order = np.argsort(margins, kind="stable")
    return np.union1d(order[: sizes[0]], order[max(0, order.size - sizes[1]) :])
