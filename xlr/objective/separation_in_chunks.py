"""Separation of rows that are in chunks: linear programmes on few of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.cached import cached_property
from xlr.design import DenseDesign
from xlr.objective.conditions import Conditions, Reach, zero_of
from xlr.objective.objective import Objective
from xlr.objective.passes import Passes
from xlr.objective.responses import Responses

__all__ = ["separating_direction"]

# Passes over all rows, after which nothing is said.
ROUNDS = 10

# Rows against a direction, for each parameter, that a pass brings here; and as many as
# there are parameters that are for it.
ROWS = 4


def separating_direction(
    objective: Objective, parameters: Array
) -> tuple[np.ndarray, bool] | None:
    """A direction that no row of any chunk is against, and whether all are for it.

    Rows that are the most against the direction of the last programme, and some that
    are for it, are brought here until none is against it, or there is no direction any
    more. Then the same for the direction of the least sum of sizes, so of few features,
    that tells the same rows apart.

    Parameters
    ----------
    objective : Objective
        Of one model.
    parameters : array of shape (1, n_parameters)
        The direction to begin with.
    """
    rows = _Rows(objective)
    begin = rows.reach.part(arrays.to_host(parameters)[0].astype(np.float64))
    if not begin.any():
        begin = rows.reach.part(rows.gain)
    found = rows.without_objection(begin, _Rows.best)
    if found is None:
        return None
    simple = rows.without_objection(rows.simplest(found[0]), _Rows.simplest)
    # Of some rows alone, it may be another that tells fewer apart.
    return simple if simple is not None and simple[1] == found[1] else found


class _Rows:
    """The few rows that are here.

    Parameters
    ----------
    objective : Objective
        Of all rows.

    Attributes
    ----------
    reach : Reach
        Of the directions.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.reach = Reach.of(objective)
        self._Z = objective.place(np.zeros((0, objective.n_features)))
        self._codes = np.zeros(0)

    def without_objection(
        self,
        direction: np.ndarray | None,
        programme: Callable[[_Rows, np.ndarray], np.ndarray | None],
    ) -> tuple[np.ndarray, bool] | None:
        """The direction that a programme comes to when no row is against it any more,
        and whether all are for it.
        """
        objective, xp = self._objective, self._objective.xp
        n_moving, zero = self.reach.moving.size, zero_of(objective)
        ends = ROWS * n_moving, n_moving
        for _ in range(ROUNDS):
            if direction is None or not direction.any():
                return None
            direction = direction / np.abs(direction).max()
            Z, codes, margins = objective.over_rows(
                _ends,
                ends,
                direction,
                combine=partial(_joined, ends),
                name="separation",
            )
            self._Z = xp.concat([self._Z, Z])
            self._codes = np.concatenate([self._codes, codes])
            least, most = margins.T
            if not (least < -zero).any():
                separates = (most > zero).any()
                return (direction, bool((least > zero).all())) if separates else None
            direction = programme(self, direction)
        return None

    def best(self, direction: np.ndarray) -> np.ndarray | None:
        """A direction that none of these rows is against, and, if there is one, that
        some are for.
        """
        rows = self._conditions()
        separated, found = rows.separable(rows.margins_along(direction))
        if separated.any():
            return found
        # Then one that separates others is flat here, and all rows together gain by it.
        none = np.zeros(rows.n_conditions)
        return rows.best(-self.gain, none, np.nonzero(rows.counted)[0])

    @cached_property
    def gain(self) -> np.ndarray:
        """What all rows of all chunks gain in each parameter; the largest is 1."""
        (gain,) = self._objective.over_rows(_gain, name="separation")
        return gain / max(np.abs(gain).max(), np.finfo(float).tiny)

    def simplest(self, direction: np.ndarray) -> np.ndarray | None:
        """That of the least sum of sizes that tells the same rows apart."""
        rows = self._conditions()
        margins = rows.margins_along(direction)
        least = np.where(margins > rows.zero, 1.0, 0.0)
        return rows.best(None, least, rows.hardest(margins))

    def _conditions(self) -> Conditions:
        objective = self._objective
        weights = objective.xp.ones_like(self._Z[:, :1])
        targets = objective.place(self._codes[:, None])
        few = Passes(
            DenseDesign(self._Z, None, xp=objective.xp),
            Responses(1, targets, weights),
            objective.loss,
            fit_intercept=objective.fit_intercept,
        )
        return Conditions(few, self.reach)


def _gain(passes: Passes) -> tuple[np.ndarray]:
    conditions = Conditions(passes)
    return (conditions.direction(conditions.counted.astype(np.float64)),)


def _ends(
    passes: Passes, ends: tuple[int, int], direction: np.ndarray
) -> tuple[Array, np.ndarray, np.ndarray]:
    """The rows that a direction does the worst for, and those it does the best for.

    Standardised, with their codes and the least and the largest of their margins.
    """
    conditions = Conditions(passes)
    margins = conditions.margins_along(direction).reshape(passes.n_samples, -1)
    counted = conditions.counted.reshape(margins.shape)
    largest = np.where(counted, margins, -np.inf).max(axis=1)
    both = np.column_stack([margins.min(axis=1), largest])
    rows = np.nonzero(counted.any(axis=1))[0]
    rows = rows[_at_ends(both[rows], ends)]
    place = {"xp": passes.xp, "device": passes.device}
    some: Any = passes.design.sample(arrays.move(rows, **place), passes.wide)
    return some.X, conditions.codes[rows], both[rows]


def _joined(
    ends: tuple[int, int],
    first: tuple[Array, np.ndarray, np.ndarray],
    second: tuple[Array, np.ndarray, np.ndarray],
) -> tuple[Array, np.ndarray, np.ndarray]:
    """Of both, those with the least margins and those with the largest."""
    margins = np.concatenate([first[2], second[2]])
    rows = _at_ends(margins, ends)
    Z = arrays.namespace(first[0]).concat([first[0], second[0]])
    codes = np.concatenate([first[1], second[1]])
    return arrays.rows(Z, rows), codes[rows], margins[rows]


def _at_ends(margins: np.ndarray, ends: tuple[int, int]) -> np.ndarray:
    """The numbers of so many rows with the least, and with the largest margins."""
    least, most = (np.argsort(column, kind="stable") for column in margins.T)
    return np.union1d(least[: ends[0]], most[most.size - min(ends[1], most.size) :])
