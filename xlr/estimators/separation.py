"""Whether the classes can be told apart so well that no finite estimate is best."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Block, reduce_over_blocks
from xlr.estimators.collinearity import find_aliased
from xlr.objective import Objective, linear_map

__all__ = ["Separation", "SeparationWarning", "find_separation"]

# Rows for each parameter that a linear programme begins with, and gets more each time.
ROWS = 4
ROUNDS = 100

# Numbers of a linear programme beyond which it would take minutes to decide, or seconds
# to describe more simply what is known.
LARGEST = 1e6
LARGEST_TO_DESCRIBE = 2e5

# What is zero of a margin whose direction is of size 1, beside the solver's tolerance.
ZERO = 1e-7

# Curvature for each row that is as good as none.
GONE = 1e-12

# Change of logits by a Newton step, with which there is certainly an optimum.
NEAR = 0.5

# Rows for each parameter of a sample that the certificate is looked for on first. A row
# may be drawn more than once, and so often moves its share.
SAMPLED_ROWS = 20
NEAR_IN_SAMPLE = 0.05


class SeparationWarning(UserWarning):
    """A fit without a penalty has no finite optimum."""


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

    def describe(self, names: list[str]) -> str:
        """What separates the classes, in a sentence."""
        size = np.abs(self.direction).max(axis=0)
        moving = np.nonzero(size > 1e-6)[0]
        largest = moving[np.argsort(-size[moving], kind="stable")]
        listed = ", ".join(names[j] for j in largest[:5])
        if largest.size > 5:
            listed += f" and {largest.size - 5} more"
        rows = "all rows" if self.complete else "some of the rows"
        kind = "complete" if self.complete else "quasi-complete"
        features = "the feature" if largest.size == 1 else "a combination of"
        return (
            f"There is no finite estimate: {features} {listed} tells the classes apart "
            f"without an error for {rows} ({kind} separation), so that the likelihood "
            "rises for ever as coefficients grow. Use a finite C, or "
            "FirthLogisticRegression."
        )


@arrays.quiet()
def find_separation(
    objective: Objective,
    parameters: Array,
    gradient: np.ndarray,
    hessian: np.ndarray | None = None,
) -> Separation | None:
    r"""A direction that separates rows from the other classes.

    None if there is none, or if it would take minutes to know.

    With :math:`a_{ik} = (e_{y_i} - e_k) \otimes z_i` for each row and each other class,
    there is a finite optimum unless some d has :math:`a_{ik} d \ge 0` for all and
    :math:`> 0` for one of them. There is none if :math:`\sum \lambda_{ik} a_{ik} = 0`
    for some positive :math:`\lambda` (Stiemke's lemma). The gradient of the loss is
    that sum, negative, with the probabilities as :math:`\lambda`, and a Newton step
    from there takes the rest of it away: if it changes no logit by more than a half,
    against the mean of the row, the :math:`\lambda` stay positive. Otherwise a linear
    programme decides, on as few rows as are needed.

    Parameters
    ----------
    objective : Objective
        Without a penalty, of one model.
    parameters : array of shape (1, n_parameters)
        Near its optimum, if there is one.
    gradient : ndarray of shape (n_parameters,)
        Of F there.
    hessian : ndarray of shape (n_parameters, n_parameters), default=None
        Of F there; None to compute it where it is needed.

    References
    ----------
    Albert and Anderson (1984), *On the existence of maximum likelihood estimates in
    logistic regression models*; Konis (2007), *Linear programming algorithms for
    detecting separated data in binary logistic regression models*.
    """
    if _is_certain_on_a_sample(objective, parameters, gradient):
        return None
    if hessian is None:
        hessian = _host_hessian(objective, parameters)
    step = _newton_step(hessian, gradient, objective.wide_rounding)
    if step is not None and _change_of_logits(objective, parameters, step) < NEAR:
        return None
    rows = _Rows(objective)
    margins = rows.margins(parameters)
    direction = arrays.to_host(parameters)[0].astype(np.float64)
    separated = margins > 0
    if not separated.all():
        separated, direction = _separable(rows, margins)
        if not separated.any():
            return None
    simple = _simplest(rows, margins, separated)
    direction = direction if simple is None else simple
    coef = direction.reshape(objective.n_outputs, -1)[:, : objective.n_features]
    complete = bool(separated[rows.counted].all())
    return Separation(complete, coef / np.abs(coef).max())


def _separable(rows: _Rows, margins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The conditions that some direction with a d >= 0 for all meets with a d > 0, and
    one that meets all of those so.

    Of all such directions the one in which the rest gains most, again and again.
    """
    separated = np.zeros(rows.n_conditions, dtype=bool)
    none = np.zeros(rows.n_conditions)
    total = np.zeros(rows.n_parameters)
    begin = rows.hardest(margins)
    while (left := rows.counted & ~separated).any():
        gain = rows.direction(left / left.sum())
        found = rows.best(-gain, none, 1.0, begin)
        # Directions are of any length: of one that gains, the largest is 1.
        if found is None or np.abs(found).max() < 0.5:
            break
        new = left & (rows.margins_along(found) > ZERO)
        if not new.any():
            break
        separated |= new
        total += found
    return separated, total


def _simplest(
    rows: _Rows, margins: np.ndarray, separated: np.ndarray
) -> np.ndarray | None:
    """The direction of the least sum of sizes, so of few features, that separates.

    None where it would take long to find.
    """
    begin = rows.hardest(margins)
    if begin.size * rows.n_parameters > LARGEST_TO_DESCRIBE:
        return None
    least = np.where(separated & rows.counted, 1.0, 0.0)
    return rows.best(None, least, None, begin)


def _solve(
    cost: np.ndarray | None,
    conditions: np.ndarray,
    least: np.ndarray,
    bound: float | None,
    free: np.ndarray,
) -> np.ndarray | None:
    """A linear programme: d of the least cost with conditions d >= least."""
    if cost is not None:
        limits = (-bound, bound) if bound is not None else (None, None)
        solved = linprog(cost, -conditions, -least, bounds=limits, method="highs")
        return solved.x
    # Sizes as the sums of two parts of d that are not negative.
    sizes = np.where(free, 0.0, 1.0)
    solved = linprog(
        np.concatenate([sizes, sizes]),
        np.concatenate([-conditions, conditions], axis=1),
        -least,
        bounds=(0, None),
        method="highs",
    )
    return None if solved.x is None else solved.x[: sizes.size] - solved.x[sizes.size :]


def _is_certain_on_a_sample(
    objective: Objective, parameters: Array, gradient: np.ndarray
) -> bool:
    """Whether a Newton step of a few rows, with the whole gradient, is short enough."""
    size = SAMPLED_ROWS * objective.n_parameters
    if size > objective.n_samples // 2:
        return False
    sample = objective.sample(size, 0)
    share = sample.total_weight / objective.total_weight
    hessian = _host_hessian(sample, parameters)
    eps = float(np.finfo(np.float32).eps)
    if np.isfinite(hessian).all() and find_aliased(hessian, eps).dropped.size:
        return False
    step = _newton_step(hessian, gradient / float(arrays.to_host(share)[0]), eps)
    if step is None:
        return False
    return _change_of_logits(sample, parameters, step) < NEAR_IN_SAMPLE


def _host_hessian(objective: Objective, parameters: Array) -> np.ndarray:
    blocks = objective.hessian(parameters).blocks
    return arrays.to_host(blocks)[0, 0].astype(np.float64)


def _newton_step(
    hessian: np.ndarray, gradient: np.ndarray, eps: float
) -> np.ndarray | None:
    """Of shape (n_parameters,); None where the Hessian is nearly singular."""
    # In standardised units a column has as much curvature as there are rows, but for
    # the uncertainty of the rows: with none left, rounding is all there is.
    if not np.diagonal(hessian).min() > GONE or not np.isfinite(hessian).all():
        return None
    kept = find_aliased(hessian, eps).kept
    step = np.zeros(gradient.shape)
    step[kept] = -np.linalg.solve(hessian[np.ix_(kept, kept)], gradient[kept])
    return step


def _change_of_logits(
    objective: Objective, parameters: Array, step: np.ndarray
) -> float:
    """The largest that a step brings, of another class than that of the row, against
    the mean of the row by its probabilities.
    """
    xp = objective.xp
    logits = objective.logits_of_block(parameters)
    changes = objective.products_of_block(_placed(objective, step))

    def kernel(block: Block, y: Array, s: Array) -> tuple[Array]:
        point = objective.loss.at(logits(block), y, xp=xp)
        change = changes(block)
        if objective.n_outputs == 1:
            # Of y = 1 the other logit is 0, and 0 - p z; of y = 0 it is z - p z.
            against = (1 - xp.abs(point.gradient())) * change
        else:
            p = point.curvature().diagonal
            against = change - xp.sum(p * change, axis=-1, keepdims=True)
            is_target = point.gradient() < 0
            against = xp.where(is_target, xp.zeros_like(against), against)
        counts = xp.astype(s > 0, against.dtype)[..., None]
        return (xp.max(xp.abs(against) * counts),)

    slices = objective.design.slices(4 * objective.n_outputs)

    def larger(a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
        return (xp.maximum(a[0], b[0]),)

    slices = objective.design.slices(4 * objective.n_outputs)
    workers = objective.design.workers

    def on_rows(part: slice) -> tuple[Array]:
        y, s = objective.responses.block(part, xp=xp)
        return kernel(objective.design.block(part), y, s)

    (largest,) = reduce_over_blocks(on_rows, larger, slices, workers)
    return float(arrays.to_host(largest))


def _placed(objective: Objective, parameters: np.ndarray) -> Array:
    return arrays.move(
        parameters[None, :],
        xp=objective.xp,
        device=objective.device,
        dtype=objective.wide,
    )


class _Rows:
    """The rows as conditions a d >= 0 on a direction: one for each other class.

    Attributes
    ----------
    n_conditions : int
        By row and class, a row's own class among them.
    counted : ndarray of bool, of shape (n_conditions,)
        Those of other classes, for rows with a weight.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        targets = arrays.to_host(objective.responses.targets)[:, 0]
        self._codes = targets.astype(np.int64)
        self._n_classes = max(2, objective.n_outputs)
        other = self._codes[:, None] != np.arange(self._n_classes)
        weights = arrays.to_host(objective.responses.weights)
        self.counted = (other & (weights > 0)).reshape(-1)
        self.n_conditions = self.counted.size
        self.n_parameters = objective.n_parameters
        place = np.arange(objective.n_parameters) % objective.column_size
        self._is_intercept = place >= objective.n_features

    def hardest(self, margins: np.ndarray) -> np.ndarray:
        """The conditions to begin a programme with: those that a fit met the least."""
        return np.argsort(margins, kind="stable")[: ROWS * self.n_parameters]

    def margins_along(self, direction: np.ndarray) -> np.ndarray:
        """:meth:`margins` of parameters on the host."""
        return self.margins(_placed(self._objective, direction))

    def margins(self, parameters: Array) -> np.ndarray:
        """a d of each condition; infinite of those that do not count."""
        objective = self._objective
        products = objective.products_of_block(parameters)

        def kernel(rows: slice) -> tuple[Array]:
            return (products(objective.design.block(rows))[:, 0, :],)

        slices = objective.design.slices(2 * objective.n_outputs)
        parts = reduce_over_blocks(
            kernel, operator.add, slices, objective.design.workers
        )
        change = arrays.to_host(objective.xp.concat(list(parts))).astype(np.float64)
        if objective.n_outputs == 1:
            change = np.concatenate([np.zeros_like(change), change], axis=1)
        own = np.take_along_axis(change, self._codes[:, None], axis=1)
        return np.where(self.counted, (own - change).reshape(-1), np.inf)

    def conditions(self, chosen: np.ndarray) -> np.ndarray:
        """a of some conditions, by their numbers: (m, n_parameters)."""
        objective = self._objective
        outputs, size = objective.n_outputs, objective.column_size
        row, other = np.divmod(chosen, self._n_classes)
        place = {"xp": objective.xp, "device": objective.device}
        few = objective.design.sample(arrays.move(row, **place), objective.design.dtype)
        read = linear_map(
            few, objective.identity(objective.n_features), None, xp=few.xp
        )
        z = arrays.to_host(read(few.block(slice(0, row.size)))).astype(np.float64)
        if objective.fit_intercept:
            z = np.concatenate([z, np.ones((row.size, 1))], axis=1)
        own = self._codes[row]
        if outputs == 1:
            return (own - other)[:, None] * z
        classes = np.arange(outputs)
        sign = (own[:, None] == classes) * 1.0 - (other[:, None] == classes)
        return (sign[:, :, None] * z[:, None, :]).reshape(row.size, outputs * size)

    def direction(self, gains: np.ndarray) -> np.ndarray:
        """The sum of a over conditions, each times its gain: (n_parameters,)."""
        objective = self._objective
        by_class = gains.reshape(-1, self._n_classes)
        own = by_class.sum(axis=1)
        residual = -by_class
        np.put_along_axis(residual, self._codes[:, None], own[:, None], axis=1)
        residual = residual[:, None, -objective.n_outputs :]
        placed = arrays.move(
            residual,
            xp=objective.xp,
            device=objective.device,
            dtype=objective.design.dtype,
        )
        return arrays.to_host(objective.transposed_product(placed))[0].astype(float)

    def best(
        self,
        cost: np.ndarray | None,
        least: np.ndarray,
        bound: float | None,
        begin: np.ndarray,
    ) -> np.ndarray | None:
        """The d of least cost with a d >= ``least`` for all conditions.

        On as few conditions as are needed: those that what was found violates are added
        until none is.

        Parameters
        ----------
        cost : ndarray of shape (n_parameters,) or None
            None for the sum of the sizes of d.
        least : ndarray of shape (n_conditions,)
        bound : float or None
            On the size of each number of d.
        begin : ndarray of int
            Conditions to begin with.

        Returns
        -------
        ndarray of shape (n_parameters,), or None if the programme is too large.
        """
        chosen, step = begin, max(begin.size, 64)
        for _ in range(ROUNDS):
            if chosen.size * self._objective.n_parameters > LARGEST:
                return None
            conditions = self.conditions(chosen)
            found = _solve(cost, conditions, least[chosen], bound, self._is_intercept)
            if found is None:
                return None
            missing = least - self.margins_along(found)
            missing[chosen] = 0
            worst = np.argsort(-missing)[:step]
            worst = worst[missing[worst] > ZERO]
            if not worst.size:
                return found
            chosen = np.concatenate([chosen, worst])
        return None
