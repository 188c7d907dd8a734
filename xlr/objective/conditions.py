"""Rows as linear conditions, and linear programmes under them."""

from __future__ import annotations

import operator
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from xlr import arrays
from xlr.arrays import Array
from xlr.design import reduce_over_blocks
from xlr.objective.objective import Objective
from xlr.objective.passes import Passes

__all__ = ["Conditions", "Reach", "zero_of"]

# Rows for each parameter that a linear programme begins with, and gets more each time.
ROWS = 4
ROUNDS = 100

# Numbers of a linear programme beyond which it would take minutes.
LARGEST = 1e6

# Rows that are read by one identity matrix: of all of them it would outgrow the rows.
AT_A_TIME = 256

# What is zero of a margin whose direction is of size 1, beside the solver's tolerance,
# and in rounding errors of the rows.
ZERO, ROUNDING = 1e-7, 64


def zero_of(objective: Passes) -> float:
    """The largest margin that is nothing, of a direction whose largest part is 1."""
    return max(ZERO, ROUNDING * objective.wide_rounding)


class Reach(NamedTuple):
    """How far a direction of size 1 may go in each parameter, without end.

    Attributes
    ----------
    least, most : ndarray of shape (n_parameters,)
        -1 and 1; 0 where a penalty, or a bound on that side, is in the way.
    """

    least: np.ndarray
    most: np.ndarray

    @classmethod
    def everywhere(cls, n_parameters: int) -> Reach:
        """Where nothing is in the way."""
        return cls(-np.ones(n_parameters), np.ones(n_parameters))

    @classmethod
    def of(cls, objective: Objective) -> Reach:
        """That which the penalty of one model leaves."""
        is_free = arrays.to_host(objective.penalty_curvature(objective.zeros()))[0] == 0
        falls = rises = is_free
        if objective.kinks is not None:
            lasso, lower, upper = (arrays.to_host(part)[0] for part in objective.kinks)
            falls = is_free & (lasso == 0) & np.isneginf(lower)
            rises = is_free & (lasso == 0) & np.isposinf(upper)
        return cls(-falls.astype(np.float64), rises.astype(np.float64))

    @property
    def moving(self) -> np.ndarray:
        """The numbers of the parameters that may go anywhere."""
        return np.nonzero(self.most > self.least)[0]

    def part(self, direction: np.ndarray) -> np.ndarray:
        """What of a direction may go on without end."""
        return np.where(direction > 0, self.most, -self.least) * direction


class Conditions:
    """The rows as conditions a d >= 0 on a direction: one for each other class.

    Parameters
    ----------
    objective : Passes
    reach : Reach, default=None
        Of the directions that programmes look for; None for everywhere.

    Attributes
    ----------
    objective : Passes
    codes : ndarray of int, of shape (n_samples,)
        The class of each row.
    n_conditions : int
        By row and class, a row's own class among them.
    counted : ndarray of bool, of shape (n_conditions,)
        Those of other classes, for rows with a weight.
    zero : float
        The largest margin that is nothing, of a direction whose largest part is 1.
    reach : Reach
    """

    def __init__(self, objective: Passes, reach: Reach | None = None) -> None:
        self.objective = objective
        self.zero = zero_of(objective)
        self.reach = reach or Reach.everywhere(objective.n_parameters)
        self._moving = self.reach.moving
        targets = arrays.to_host(objective.responses.targets)[:, 0]
        self.codes = targets.astype(np.int64)
        self._n_classes = max(2, objective.n_outputs)
        other = self.codes[:, None] != np.arange(self._n_classes)
        weights = arrays.to_host(objective.responses.weights)
        self.counted = (other & (weights > 0)).reshape(-1)
        self.n_conditions = self.counted.size
        self.n_parameters = objective.n_parameters
        place = np.arange(objective.n_parameters) % objective.column_size
        self._is_intercept = place >= objective.n_features

    def hardest(self, margins: np.ndarray) -> np.ndarray:
        """The conditions to begin a programme with: those that a fit met the least."""
        counted = np.nonzero(self.counted)[0]
        order = np.argsort(margins[counted], kind="stable")
        return counted[order[: ROWS * self._moving.size]]

    def margins_along(self, direction: np.ndarray) -> np.ndarray:
        """:meth:`margins` of parameters on the host."""
        return self.margins(self.objective.place(direction[None, :]))

    def margins(self, parameters: Array) -> np.ndarray:
        """a d of each condition; infinite of those that do not count."""
        objective = self.objective
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
        own = np.take_along_axis(change, self.codes[:, None], axis=1)
        return np.where(self.counted, (own - change).reshape(-1), np.inf)

    def conditions(self, chosen: np.ndarray) -> np.ndarray:
        """a of some conditions, by their numbers: (m, n_parameters)."""
        objective = self.objective
        outputs, size = objective.n_outputs, objective.column_size
        row, other = np.divmod(chosen, self._n_classes)
        z = arrays.to_host(self._standardised(row)).astype(np.float64)
        if objective.fit_intercept:
            z = np.concatenate([z, np.ones((row.size, 1))], axis=1)
        own = self.codes[row]
        if outputs == 1:
            return (own - other)[:, None] * z
        unit = np.eye(outputs)
        sign = unit[own] - unit[other]
        return (sign[:, :, None] * z[:, None, :]).reshape(row.size, outputs * size)

    def _standardised(self, chosen: np.ndarray) -> Array:
        """Some rows Z, by their numbers: sums over them, each with one of weight 1."""
        objective, design, xp = self.objective, self.objective.design, self.objective.xp
        place = {"xp": xp, "device": objective.device}
        few, parts = design.sample(arrays.move(chosen, **place), design.dtype), []
        for start in range(0, chosen.size, AT_A_TIME):
            block = slice(start, min(start + AT_A_TIME, chosen.size))
            one = objective.identity(block.stop - start)
            rows = few.block(block).rmatvec(xp.astype(one, few.dtype))
            parts.append(few.unfold(rows, xp.ones_like(one[:, 0])))
        return xp.concat(parts)

    def direction(self, gains: np.ndarray) -> np.ndarray:
        """The sum of a over conditions, each times its gain: (n_parameters,)."""
        objective = self.objective
        by_class = gains.reshape(-1, self._n_classes)
        own = by_class.sum(axis=1)
        residual = -by_class
        np.put_along_axis(residual, self.codes[:, None], own[:, None], axis=1)
        residual = residual[:, None, -objective.n_outputs :]
        placed = objective.place(residual, objective.design.dtype)
        return arrays.to_host(objective.transposed_product(placed))[0].astype(float)

    def best(
        self,
        cost: np.ndarray | None,
        least: np.ndarray,
        begin: np.ndarray,
    ) -> np.ndarray | None:
        """The d of least cost with a d >= ``least`` for all conditions.

        On as few conditions as are needed: those that what was found violates are added
        until none is.

        Parameters
        ----------
        cost : ndarray of shape (n_parameters,) or None
            Of numbers from -1 to 1. None for the sum of the sizes of d, of any size.
        least : ndarray of shape (n_conditions,)
        begin : ndarray of int
            Conditions to begin with.

        Returns
        -------
        ndarray of shape (n_parameters,), or None if no d meets the conditions, or the
        programme is too large.
        """
        chosen, step = begin, max(begin.size, 64)
        for _ in range(ROUNDS):
            if chosen.size * self._moving.size > LARGEST:
                return None
            found = self._solved(cost, least, chosen)
            if found is None:
                return None
            missing = least - self.margins_along(found)
            missing[chosen] = 0
            worst = np.argsort(-missing)[:step]
            worst = worst[missing[worst] > self.zero]
            if not worst.size:
                return found
            chosen = np.concatenate([chosen, worst])
        return None

    def separable(self, margins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The conditions that some direction with a d >= 0 for all meets with a d > 0,
        and one that meets all of those so.

        Of all such directions the one in which the rest gains most, again and again.
        """
        separated = np.zeros(self.n_conditions, dtype=bool)
        none = np.zeros(self.n_conditions)
        total = np.zeros(self.n_parameters)
        begin = self.hardest(margins)
        while (left := self.counted & ~separated).any():
            gain = self.direction(left / left.sum())
            found = self.best(-gain, none, begin)
            # Directions are of any length: of one that gains, the largest is 1.
            if found is None or np.abs(found).max() < 0.5:
                break
            new = left & (self.margins_along(found) > self.zero)
            if not new.any():
                break
            separated |= new
            total += found
        return separated, total

    def _solved(
        self, cost: np.ndarray | None, least: np.ndarray, chosen: np.ndarray
    ) -> np.ndarray | None:
        """:meth:`best` under some of the conditions alone."""
        moving = self._moving
        part = _solve(
            None if cost is None else cost[moving],
            self.conditions(chosen)[:, moving],
            least[chosen],
            self._is_intercept[moving],
            Reach(*(side[moving] for side in self.reach)),
        )
        if part is None:
            return None
        found = np.zeros(self.n_parameters)
        found[moving] = part
        return found


def _solve(
    cost: np.ndarray | None,
    conditions: np.ndarray,
    least: np.ndarray,
    free: np.ndarray,
    reach: Reach,
) -> np.ndarray | None:
    """A linear programme: d of the least cost with conditions d >= least."""
    if cost is not None:
        sides = np.column_stack(reach)
        solved = linprog(cost, -conditions, -least, bounds=sides, method="highs")
        return solved.x
    # Sizes as the sums of two parts of d that are not negative.
    sizes = np.where(free, 0.0, 1.0)
    largest = np.where(np.concatenate([reach.most, -reach.least]) > 0, np.inf, 0.0)
    solved = linprog(
        np.concatenate([sizes, sizes]),
        np.concatenate([-conditions, conditions], axis=1),
        -least,
        bounds=np.column_stack([np.zeros_like(largest), largest]),
        method="highs",
    )
    return None if solved.x is None else solved.x[: sizes.size] - solved.x[sizes.size :]
