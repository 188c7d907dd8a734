"""The duality gap: an upper bound on F minus its minimum, without a pass."""

from __future__ import annotations

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.objective import passes
from xlr.objective.objective import Evaluation, Objective
from xlr.penalties import NonSmooth


@arrays.quiet()
def duality_gap(objective: Objective, parameters: Array, at: Evaluation) -> Array:
    r"""Return an upper bound on F - min F at some parameters: (n_models,).

    With residuals r = p - onehot(y), their weighted mean gradient g = Z'(s r) / S and
    the entropy h of the probabilities, Fenchel's dual of F at r is

    .. math:: D(r) = \frac1S \sum_i s_i h(p_i) - \sum_j \phi_j^*(-g_j)

    with :math:`\phi_j^*` the conjugate of the penalty and the bounds of a coefficient.
    D(r) <= min F if the residuals of each class sum to zero, as unpenalised intercepts
    require. Two changes make any r feasible. Both mix the probabilities of each row
    with others. The entropy is concave, so it keeps at least its share in the mixture.

    - With a share :math:`\theta` of probabilities that are equal in all rows, each
      class sums to its weight. g changes by at most :math:`\theta` times the root mean
      square of the column. The conjugate is convex, so its largest value is at an end
      of this interval.
    - A factor c on all residuals (a share 1 - c of certainty) moves g to where the
      conjugate of a pure L1 penalty is finite.

    Fenchel's equality gives the entropy, loss - g.w. An offset o of the logits adds the
    mean of o.r to D and subtracts it from the entropy; only the share :math:`\theta` of
    it remains.

    The gap includes the rounding error of F: a multiple of eps F, and eps F times the
    size of the logits. A small loss is an exponential of a logit, whose size multiplies
    the relative error. The rounding error of g.w is no larger at the minimum, where the
    terms of penalised coefficients sum to at most twice the penalty. The gap omits the
    effect of rounding the reported coefficients.

    Parameters
    ----------
    objective : Objective
    parameters : array of shape (n_models, n_parameters)
    at : Evaluation
        F and its gradient at the parameters.

    References
    ----------
    Boyd and Vandenberghe (2004), *Convex Optimization*, section 5.1; Ndiaye, Fercoq,
    Gramfort and Salmon (2017), *Gap safe screening rules for sparsity enforcing
    penalties*, section 3.
    """
    xp, ridge = objective.xp, objective.penalty.curvature
    loss_gradient = at.gradient - objective.penalty_curvature * parameters
    gradient = objective.coefficients(loss_gradient)
    _, intercept_gradient = objective.split(loss_gradient)
    intercept_gradient = xp.reshape(intercept_gradient, gradient.shape[:2])

    # 1. The entropy, and theta.
    coef = objective.coefficients(parameters)
    penalty, _ = objective.penalty.value_and_gradient(coef, xp=xp)
    entropy = at.value - penalty - xp.vecdot(parameters, loss_gradient)
    theta = _mixing_share(objective, intercept_gradient)
    # 2. The interval of -g, and the conjugate of the penalty on it.
    rms = _root_mean_squares(objective)
    radius = theta[:, None, None] * rms
    middle = -(1 - theta)[:, None, None] * gradient
    if objective.penalty.non_smooth is None:  # one end has the largest size
        size, factor = xp.abs(middle) + radius, 1.0
        conjugate = xp.where(size > 0, size**2 / (2 * ridge), xp.zeros_like(size))
        conjugate = xp.sum(conjugate, axis=(1, 2))
    else:
        ends = xp.stack([middle - radius, middle + radius])
        factor, conjugate = _conjugate(ends, ridge, objective.penalty.non_smooth, xp=xp)
    # 3. The gap. F is at least zero (c = 0), also where the dual is NaN.
    dual = factor * (1 - theta) * entropy - conjugate
    if objective.data.targets.offset is not None:
        # Upper bound of the mean of |o.(p - q)| for probabilities p, q.
        (offset,) = objective.data.map_reduce(passes.offset_size, reads_rows=False)
        dual = dual - factor * theta * 2 * offset / objective.total_weight
    gap = xp.where(dual > 0, at.value - dual, at.value)
    # 4. The rounding error of F.
    logits = xp.vecdot(xp.abs(parameters), objective.per_parameter(rms, 1.0))
    return gap + (objective.value_rounding + objective.rounding * logits) * at.value


def _conjugate(
    ends: Array, ridge: Array, non_smooth: NonSmooth, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the factor that makes the conjugate finite, and its sum: (n_models,) each.

    Parameters
    ----------
    ends : array of shape (2, n_models, n_outputs, n_features)
        Ends of the intervals that hold -g. The conjugate is largest at one of them.
    ridge : array of shape (n_models or 1, 1, n_features)
    non_smooth : NonSmooth
    """
    l1, lower, upper = non_smooth
    size = xp.max(xp.abs(ends), axis=0)
    zeros = xp.zeros_like(size)
    is_finite = (ridge > 0) | (xp.isfinite(lower) & xp.isfinite(upper)) | (size <= l1)
    # Below 1 by more than the rounding error of the product.
    below_one = 1 - 8 * float(xp.finfo(size.dtype).eps)
    factor = below_one * l1 / xp.where(is_finite, zeros + 1, size)
    factor = xp.min(xp.where(is_finite, zeros + 1, factor), axis=(1, 2))
    # sup over w within the bounds of v w - ridge w^2 / 2 - l1 |w|.
    v = factor[:, None, None] * ends
    shrunk = xp.maximum(v - l1, zeros) - xp.maximum(-v - l1, zeros)
    w = xp.where(shrunk == 0, zeros, shrunk / ridge)  # infinite without a ridge
    w = non_smooth.project(w, xp=xp)
    half = xp.where(ridge > 0, ridge * w / 2, zeros)
    conjugate = xp.where(w == 0, zeros, (v - half - xp.where(w > 0, l1, -l1)) * w)
    return factor, xp.sum(xp.max(conjugate, axis=0), axis=(1, 2))


def _mixing_share(objective: Objective, gradient: Array) -> Array:
    r"""Return theta, with which each class sums to its weight: (n_models,).

    The gradient in the intercept of class k is :math:`d_k = p_k - y_k`, the difference
    of its mean probability and its share of the weight. A mixture with the same
    probabilities q in all rows has the mean
    :math:`(1 - \theta) p_k + \theta q_k = y_k`. No :math:`q_k` is negative for
    :math:`\theta = \max_k d_k / p_k`.
    """
    xp = objective.xp
    if not objective.fit_intercept:
        return xp.zeros_like(gradient[:, 0])
    weights = objective.class_shares
    if weights.shape[1] == 2 > gradient.shape[1]:
        gradient = xp.concat([-gradient, gradient], axis=1)
    predicted = weights + gradient
    zeros = xp.zeros_like(gradient)
    excess = xp.where(gradient > 0, gradient / predicted, zeros)
    return xp.max(excess, axis=1)


def _root_mean_squares(objective: Objective) -> Array:
    """Bound the root mean squares of the columns: (n_models or 1, 1, n_features).

    They are one for columns that were standardized with the same weights.
    """
    xp, factors = objective.xp, objective.data.targets.class_factors
    squares = xp.ones_like(objective.penalty.curvature)
    if objective.column_rms is not None:
        squares = squares * objective.column_rms**2
    elif objective.scaler is not None:
        squares = squares * (objective.scaler.scale**2 + objective.scaler.mean**2)
    if factors is not None:
        # The weights without these factors have mean 1.
        ratio = objective.n_samples / objective.total_weight
        largest = xp.astype(xp.max(factors, axis=1), objective.accumulation_dtype)
        squares = squares * (largest * ratio)[:, None, None]
    return xp.sqrt(squares)
