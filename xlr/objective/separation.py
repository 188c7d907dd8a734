"""Whether the classes can be told apart so well that no finite estimate is best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import reduce_over_blocks
from xlr.objective.collinearity import find_aliased
from xlr.objective.conditions import Conditions, Reach
from xlr.objective.objective import Objective
from xlr.objective.passes import Passes
from xlr.objective.separation_in_chunks import separating_direction

__all__ = ["Separation", "find_separation"]

# Numbers of a linear programme beyond which to describe more simply what is known would
# take seconds.
LARGEST_TO_DESCRIBE = 2e5

# Parameters beyond which a Hessian takes gigabytes, and a minute.
LARGEST_HESSIAN = 8000

# Curvature for each row that is as good as none.
GONE = 1e-12

# Change of logits by a Newton step, with which there is certainly an optimum.
NEAR = 0.5

# Rows for each parameter of a sample that the certificate is looked for on first. A row
# may be drawn more than once, and so often moves its share.
SAMPLED_ROWS = 20
NEAR_IN_SAMPLE = 0.05

# What to do.
WITHOUT_PENALTY = "Use a finite C, or FirthLogisticRegression."


@dataclass(frozen=True)
class Separation:
    """A direction in which the likelihood rises without end.

    Attributes
    ----------
    complete : bool
        Whether it tells all rows from the other classes, not only some.
    direction : ndarray of shape (n_outputs, n_features)
        Of the coefficients, in standardised units; the largest is 1.
    """

    complete: bool
    direction: np.ndarray

    def describe(self, names: list[str], advice: str = WITHOUT_PENALTY) -> str:
        """What separates the classes, in a sentence, and what to do."""
        size = np.abs(self.direction).max(axis=0)
        moving = np.nonzero(size > 1e-6)[0]
        largest = moving[np.argsort(-size[moving], kind="stable")]
        listed = ", ".join(names[j] for j in largest[:5])
        if largest.size > 5:
            listed += f" and {largest.size - 5} more"
        rows = "all rows" if self.complete else "some of the rows"
        kind = "complete" if self.complete else "quasi-complete"
        features = "the feature" if largest.size == 1 else "a combination of"
        if not largest.size:  # a class of which no row has a weight
            features, listed = "the", "intercept"
        return (
            f"There is no finite estimate: {features} {listed} tells the classes apart "
            f"without an error for {rows} ({kind} separation), so that the likelihood "
            f"rises for ever as coefficients grow. {advice}"
        )


@arrays.quiet()
def find_separation(
    objective: Objective,
    parameters: Array,
    gradient: np.ndarray,
    hessian: np.ndarray | None = None,
    exact: Callable[[], Objective] | None = None,
) -> Separation | None:
    r"""A direction that separates rows from the other classes.

    Without end: neither a penalty nor a bound is in the way. None if there is none, or
    if it would take minutes to know.

    With :math:`a_{ik} = (e_{y_i} - e_k) \otimes z_i` for each row and each other class,
    there is a finite optimum unless some d has :math:`a_{ik} d \ge 0` for all and
    :math:`> 0` for one of them. There is none if :math:`\sum \lambda_{ik} a_{ik} = 0`
    for some positive :math:`\lambda` (Stiemke's lemma). The gradient of the loss is
    that sum, negative, with the probabilities as :math:`\lambda`, and a Newton step
    from there takes the rest of it away: if it changes no logit by more than a half,
    against the mean of the row, the :math:`\lambda` stay positive. Otherwise the
    parameters may separate all rows themselves, or a linear programme decides, on as
    few rows as are needed.

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
        Returns the same objective in the widest dtype, in which columns that depend on
        each other do so. None if it is.

    References
    ----------
    Albert and Anderson (1984), *On the existence of maximum likelihood estimates in
    logistic regression models*; Konis (2007), *Linear programming algorithms for
    detecting separated data in binary logistic regression models*.
    """
    reach = Reach.of(objective)
    if not reach.moving.size:
        return None
    # Of few parameters a programme takes less time than all second derivatives.
    if 2 * reach.moving.size >= objective.n_parameters:
        if _is_certain_on_a_sample(objective, parameters, gradient):
            return None
        if exact is not None:
            objective, hessian = exact(), None
            slope = objective.value_and_gradient(parameters).gradient
            gradient = arrays.to_host(slope)[0].astype(np.float64)
        if _is_certain(objective, parameters, gradient, hessian):
            return None
    elif exact is not None:
        objective = exact()
    if not objective.has_rows:
        found = separating_direction(objective, parameters)
        return None if found is None else _described(objective, *found)
    rows = Conditions(objective, reach)
    direction = reach.part(arrays.to_host(parameters)[0].astype(np.float64))
    direction /= max(np.abs(direction).max(), np.finfo(float).tiny)
    margins = rows.margins_along(direction)
    separated = margins > rows.zero
    if not separated.all():
        separated, direction = rows.separable(margins)
    if not separated.any():
        return None
    return _simplest(rows, margins, separated, direction)


def _described(objective: Passes, direction: np.ndarray, complete: bool) -> Separation:
    coef = direction.reshape(objective.n_outputs, -1)[:, : objective.n_features]
    return Separation(complete, coef / (np.abs(coef).max() or 1.0))


def _simplest(
    rows: Conditions, margins: np.ndarray, separated: np.ndarray, direction: np.ndarray
) -> Separation:
    """By the direction of the least sum of sizes, so of few features, that separates.

    By the one that is known where it would take long to find.
    """
    begin = rows.hardest(margins)
    if begin.size * rows.reach.moving.size <= LARGEST_TO_DESCRIBE:
        least = np.where(separated, 1.0, 0.0)
        simple = rows.best(None, least, begin)
        direction = direction if simple is None else simple
    complete = bool(separated[rows.counted].all())
    return _described(rows.objective, direction, complete)


def _is_certain(
    objective: Objective,
    parameters: Array,
    gradient: np.ndarray,
    hessian: np.ndarray | None,
) -> bool:
    """Whether a Newton step is so short that there certainly is an optimum."""
    if hessian is None:
        # With fewer rows than columns there is none.
        if objective.n_samples < objective.column_size:
            return False
        if objective.n_parameters > LARGEST_HESSIAN:
            return False
        hessian = objective.hessian_on_host(parameters)
    eps = objective.wide_rounding

    def n_collinear(free: np.ndarray) -> int:
        # At zero, where all rows weigh alike.
        at_zero = objective.hessian_on_host(objective.zeros())
        return find_aliased(at_zero[np.ix_(free, free)], eps).dropped.size

    step = _step_off_bounds(objective, parameters, hessian, gradient, eps, n_collinear)
    return step is not None and _change_of_logits(objective, parameters, step) < NEAR


def _is_certain_on_a_sample(
    objective: Objective, parameters: Array, gradient: np.ndarray
) -> bool:
    """Whether a Newton step of a few rows, with the whole gradient, is short enough."""
    size = SAMPLED_ROWS * objective.n_parameters
    if size > min(objective.n_samples // 2, objective.n_drawable):
        return False
    sample = objective.sample(size, 0)
    share = sample.total_weight / objective.total_weight
    step = _step_off_bounds(
        sample,
        parameters,
        sample.hessian_on_host(parameters),
        gradient / float(arrays.to_host(share)[0]),
        float(np.finfo(np.float32).eps),
        lambda free: 0,
    )
    if step is None:
        return False
    return _change_of_logits(sample, parameters, step) < NEAR_IN_SAMPLE


def _step_off_bounds(
    objective: Objective,
    parameters: Array,
    hessian: np.ndarray,
    gradient: np.ndarray,
    eps: float,
    n_collinear: Callable[[np.ndarray], int],
) -> np.ndarray | None:
    """The Newton step of the parameters that no penalty holds, nor a bound.

    Of several classes no bound on one side holds any: equal changes to all of them,
    which change nothing, bring every direction within it.

    None where F falls off such a bound after it, or as in :func:`_newton_step`, but
    for ``n_collinear`` of some parameters.
    """
    reach = Reach.of(objective)
    side = reach.least + reach.most
    at_bound = np.zeros(side.shape, dtype=bool)
    if objective.kinks is not None and not objective.loss.shift_invariant:
        at = arrays.to_host(parameters)[0]
        _, lower, upper = (arrays.to_host(part)[0] for part in objective.kinks)
        at_bound = (side != 0) & ((at <= lower) | (at >= upper))
    free = np.nonzero((reach.most > reach.least) & ~at_bound)[0]
    step = np.zeros(gradient.shape)
    found = _newton_step(
        hessian[np.ix_(free, free)], gradient[free], eps, lambda: n_collinear(free)
    )
    if found is None:
        return None
    step[free] = found
    falls = side * (gradient + hessian @ step) < 0
    return None if (falls & at_bound).any() else step


def _newton_step(
    hessian: np.ndarray,
    gradient: np.ndarray,
    eps: float,
    n_collinear: Callable[[], int],
) -> np.ndarray | None:
    """Of shape (n_parameters,); None where the Hessian is nearly singular.

    But for collinear columns, ``n_collinear()`` of them: in other flat directions
    curvature is lost to rounding, and a step, which has no part of them, says nothing
    of them.
    """
    # In standardised units a column has as much curvature as there are rows, but for
    # the uncertainty of the rows: with none left, rounding is all there is.
    has_curvature = (np.diagonal(hessian) > GONE).all()
    if not has_curvature or not np.isfinite(hessian).all():
        return None
    kept, dropped, _ = find_aliased(hessian, eps)
    if dropped.size and dropped.size > n_collinear():
        return None
    root = np.sqrt(np.diagonal(hessian)[kept])
    scaled = hessian[np.ix_(kept, kept)] / root / root[:, None]
    step = np.zeros(gradient.shape)
    step[kept] = -np.linalg.solve(scaled, gradient[kept] / root) / root
    return step


def _change_of_logits(
    objective: Objective, parameters: Array, step: np.ndarray
) -> float:
    """The largest that a step brings, of another class than that of the row, against
    the mean of the row by its probabilities.
    """
    (largest,) = objective.over_rows(
        _largest_change, parameters, step, combine=_larger, name="separation"
    )
    return float(arrays.to_host(largest))


def _larger(a: tuple[Array], b: tuple[Array]) -> tuple[Array]:
    return (arrays.namespace(a[0]).maximum(a[0], b[0]),)


def _largest_change(
    passes: Passes, parameters: Array, step: np.ndarray
) -> tuple[Array]:
    xp = passes.xp
    logits = passes.logits_of_block(parameters)
    changes = passes.products_of_block(passes.place(step[None, :]))

    def on_rows(part: slice) -> tuple[Array]:
        y, s = passes.responses.block(part, xp=xp)
        block = passes.design.block(part)
        point = passes.loss.at(logits(block), y, xp=xp)
        change = changes(block)
        if passes.n_outputs == 1:
            # Of y = 1 the other logit is 0, and 0 - p z; of y = 0 it is z - p z.
            against = (1 - xp.abs(point.gradient())) * change
        else:
            p = point.curvature().values
            against = change - xp.sum(p * change, axis=-1, keepdims=True)
            is_target = point.gradient() < 0
            against = xp.where(is_target, xp.zeros_like(against), against)
        counts = xp.astype(s > 0, against.dtype)[..., None]
        return (xp.max(xp.abs(against) * counts),)

    slices = passes.design.slices(4 * passes.n_outputs)
    return reduce_over_blocks(on_rows, _larger, slices, passes.design.workers)
