"""A bound on how far F is above its minimum, without a pass over X."""

from __future__ import annotations

from xlr.arrays import Array, Namespace
from xlr.objective import passes
from xlr.objective.objective import Evaluation, Objective
from xlr.penalties import NonSmooth

# Rounding error of F, in units of that of one number.
VALUE_ROUNDINGS = 16


def duality_gap(
    objective: Objective, parameters: Array, at: Evaluation, centre: Array
) -> Array:
    r"""An upper bound on F - min F at some parameters: shape (n_models,).

    With residuals r = p - onehot(y), their weighted mean gradient g = Z'(s r) / S and
    the entropy h of the probabilities, Fenchel's dual of F at r is

    .. math:: D(r) = \frac1S \sum_i s_i h(p_i) - \sum_j \phi_j^*(-g_j)

    with :math:`\phi_j^*` the conjugate of the penalty and bounds of a coefficient, if
    the residuals of each class sum to zero, as the intercepts, which are free, demand.
    Then D(r) <= min F. Two changes make any r feasible, and only mix the probabilities
    of each row with others, so that the entropy, which is concave, stays above a share
    of what it was:

    - with the share :math:`\theta` of probabilities that are the same in all rows,
      each class sums to the weight it has; g changes by no more than :math:`\theta`
      times the root mean square of the column;
    - a factor c on all residuals (the share 1 - c of certainty) brings g to where the
      conjugate of a pure L1 penalty is finite.

    The entropy itself is that of Fenchel's equality: loss less g.w. (An offset o of the
    logits adds the mean of o.r to D and takes it from the entropy; only the share of
    other probabilities is left of it.)

    With eps the rounding error of a number of X, F is uncertain by a multiple of eps F,
    and by eps F times the size of the logits, whose exponentials make a small loss.
    Coefficients that are rounded to be reported move the logits by

    .. math:: d = eps \left(|b| + \sum_j |w_j| (1 + |c_j|)\right)

    where :math:`c_j` is the mean of a column in its deviations, and F by at most
    :math:`eps \sum_j |w_j \partial_j F| + |\partial_b F| d + F d^2`, as its curvature
    is no more than F.

    Parameters
    ----------
    objective : Objective
    parameters : array of shape (n_models, n_parameters)
    at : Evaluation
        The objective there.
    centre : array of shape (n_features,)
        The :math:`|c_j|`, with which the coefficients are reported.

    References
    ----------
    Boyd and Vandenberghe (2004), *Convex Optimization*, section 5.1; Ndiaye, Fercoq,
    Gramfort and Salmon (2017), *Gap safe screening rules for sparsity enforcing
    penalties*, section 3.
    """
    xp = objective.xp
    coef, intercept = _by_class(objective, parameters)
    whole, free = _by_class(objective, at.gradient)
    penalty = objective.penalty.value(coef, xp=xp)
    ridge = objective.penalty.curvature(coef, xp=xp)
    gradient = whole - ridge * coef

    products = xp.sum(coef * gradient, axis=2)
    linear = xp.sum(products + intercept * free, axis=1)
    entropy = at.value - penalty - linear
    share = _share_of_others(objective, free)
    column_size = _root_mean_squares(objective)
    uncertain = share[:, None, None] * column_size
    slope = -(1 - share)[:, None, None] * gradient
    non_smooth = objective.penalty.non_smooth
    if non_smooth is None:
        size = xp.abs(slope) + uncertain
        finite = xp.all((ridge > 0) | (size == 0), axis=(1, 2))
        factor = xp.astype(finite, size.dtype)
        curved = xp.where(ridge > 0, ridge, xp.ones_like(ridge))
        conjugate = 0.5 * (factor[:, None, None] * size) ** 2 / curved
    else:
        factor = _feasible(slope, uncertain, ridge, non_smooth, xp=xp)
        conjugate = _conjugate(
            factor[:, None, None] * slope,
            factor[:, None, None] * uncertain,
            ridge,
            non_smooth,
            xp=xp,
        )
    dual = factor * (1 - share) * entropy - xp.sum(conjugate, axis=(1, 2))
    if objective.data.offset is not None:
        # Upper bound of the mean of |o.(p - q)| for probabilities p, q.
        (size,) = objective.data.map_reduce(passes.offset_size, reads_rows=False)
        size = 2 * size / objective.total_weight
        dual = dual - factor * share * size
    # F cannot be below zero (c = 0); NaN says nothing either.
    gap = at.value - dual
    gap = xp.where(gap < at.value, gap, at.value)
    size = xp.sum(xp.abs(coef) * (column_size + centre), axis=(1, 2))
    size = size + xp.sum(xp.abs(intercept), axis=1)
    eps = objective.rounding
    digits = at.value * (VALUE_ROUNDINGS + size) + VALUE_ROUNDINGS * xp.sum(
        xp.abs(products), axis=1
    )
    moved = xp.sum(xp.abs(coef * whole), axis=(1, 2))
    moved = moved + xp.max(xp.abs(free), axis=1) * size
    return gap + eps * (digits + moved) + at.value * (eps * size) ** 2


def _by_class(objective: Objective, vector: Array) -> tuple[Array, Array]:
    """Return coefficients, (n_models, n_outputs, n_features), and intercepts."""
    xp, p = objective.xp, objective.n_features
    columns = xp.reshape(vector, (objective.n_models, objective.n_outputs, -1))
    if objective.fit_intercept:
        return columns[:, :, :p], columns[:, :, p]
    return columns, xp.zeros_like(columns[:, :, 0])


def _share_of_others(objective: Objective, free: Array) -> Array:
    """The share of other probabilities with which each class has its weight."""
    xp = objective.xp
    if not objective.fit_intercept:
        return xp.zeros_like(free[:, 0])
    weights = objective.class_shares()
    if weights.shape[1] == 2 > free.shape[1]:
        free = xp.concat([-free, free], axis=1)
    predicted = weights + free
    missing = xp.where(free > 0, free / predicted, xp.zeros_like(free))
    return xp.max(missing, axis=1)


def _feasible(
    slope: Array,
    uncertain: Array,
    ridge: Array,
    non_smooth: NonSmooth,
    *,
    xp: Namespace,
) -> Array:
    """The factor on the residuals with which all conjugates are finite."""
    size = xp.abs(slope) + uncertain
    finite = (ridge > 0) | (
        xp.isfinite(non_smooth.lower) & xp.isfinite(non_smooth.upper)
    )
    fits = finite | (size <= non_smooth.l1)
    ones = xp.ones_like(size)
    # Inside by more than the rounding error of what it is multiplied with.
    inside = 1 - 8 * float(xp.finfo(size.dtype).eps)
    factor = inside * non_smooth.l1 / xp.where(fits, ones, size)
    return xp.min(xp.where(fits, ones, factor), axis=(1, 2))


def _conjugate(
    slope: Array,
    uncertain: Array,
    ridge: Array,
    non_smooth: NonSmooth,
    *,
    xp: Namespace,
) -> Array:
    """Upper bound of sup over w of v w - ridge w^2 / 2 - lasso |w|, within the bounds.

    For all v no farther from ``slope`` than ``uncertain``, as if the lasso were less
    by that. On either side of zero it is a parabola, or a line.
    """
    lasso = non_smooth.l1 - uncertain
    zeros = xp.zeros_like(slope)
    is_curved = ridge > 0
    divisor = xp.where(is_curved, ridge, xp.ones_like(ridge))
    largest = zeros - xp.inf
    for sign in (1.0, -1.0):
        if sign > 0:
            first, last = xp.maximum(non_smooth.lower, zeros), non_smooth.upper + zeros
        else:
            first, last = non_smooth.lower + zeros, xp.minimum(non_smooth.upper, zeros)
        rise = slope - sign * lasso
        # Without a ridge it is largest at an end; all the same if there is no rise.
        end = xp.where(rise > 0, last, xp.where(rise < 0, first, zeros))
        best = xp.where(is_curved, rise / divisor, end)
        best = xp.minimum(xp.maximum(best, first), last)
        bend = 0.5 * ridge * xp.where(is_curved, best, zeros)
        value = xp.where(best == 0, zeros, (rise - bend) * best)
        largest = xp.where((first <= last) & (value > largest), value, largest)
    return largest


def _root_mean_squares(objective: Objective) -> Array:
    """Upper bounds of those of the columns of Z: (n_models or 1, 1, n_features).

    One in standardised units, for the weights that these were found with; a model
    may weigh its classes otherwise.
    """
    xp, factors = objective.xp, objective.data.targets.class_factors
    squares = xp.ones(
        (1, 1, objective.n_features), dtype=objective.wide, device=objective.device
    )
    if objective.column_rms is not None:
        squares = squares * objective.column_rms**2
    elif objective.scaler is not None:
        squares = squares * (objective.scaler.scale**2 + objective.scaler.mean**2)
    if factors is not None:
        (whole,) = objective.data.map_reduce(passes.row_weight, reads_rows=False)
        whole = whole / objective.total_weight
        largest = xp.astype(xp.max(factors, axis=1), objective.wide)
        squares = squares * (largest * whole)[:, None, None]
    return xp.sqrt(squares)
