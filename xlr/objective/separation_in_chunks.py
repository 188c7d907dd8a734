"""Separation of rows that are in chunks: linear programmes on few of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import DenseDesign
from xlr.objective.conditions import ZERO, Conditions
from xlr.objective.objective import Objective
from xlr.objective.passes import Passes
from xlr.objective.responses import Responses

__all__ = ["separating_direction"]

# Passes over all rows, after which nothing is said.
ROUNDS = 10

# Rows for each parameter that a pass brings here.
ROWS = 4


def separating_direction(
    objective: Objective, parameters: Array
) -> tuple[np.ndarray, bool] | None:
    """A direction that no row of any chunk is against, and whether all are for it.

    Rows that are against the direction of the last programme are brought here until
    there is none, or no direction any more.

    Parameters
    ----------
    objective : Objective
        Of one model.
    parameters : array of shape (1, n_parameters)
        The direction to begin with.
    """
    xp = objective.xp
    direction = arrays.to_host(parameters)[0].astype(np.float64)
    Z, codes = objective.identity(objective.n_features)[:0, :], np.zeros(0)
    for _ in range(ROUNDS):
        direction = direction / np.abs(direction).max()
        more, its_codes, margins = objective.over_rows(
            _against,
            direction,
            combine=partial(_worst, ROWS * objective.n_parameters),
            name="separation",
        )
        if not (margins < -ZERO).any():
            return direction, bool((margins > ZERO).all())
        Z = xp.concat([Z, more])
        codes = np.concatenate([codes, its_codes])
        found = _programme(objective, Z, codes)
        if found is None:
            return None
        direction = found
    return None


def _against(
    passes: Passes, direction: np.ndarray
) -> tuple[Array, np.ndarray, np.ndarray]:
    """The rows that a direction does the worst for: standardised, with their codes and
    margins, the least first.
    """
    conditions = Conditions(passes)
    margins = conditions.margins_along(direction)
    by_row = margins.reshape(passes.n_samples, -1).min(axis=1)
    worst = np.argsort(by_row, kind="stable")[: ROWS * passes.n_parameters]
    worst = worst[np.isfinite(by_row[worst])]  # the others do not count
    place = {"xp": passes.xp, "device": passes.device}
    some: Any = passes.design.sample(arrays.move(worst, **place), passes.wide)
    return some.X, conditions.codes[worst], by_row[worst]


def _worst(
    most: int,
    first: tuple[Array, np.ndarray, np.ndarray],
    second: tuple[Array, np.ndarray, np.ndarray],
) -> tuple[Array, np.ndarray, np.ndarray]:
    """Of both, those with the least margins."""
    margins = np.concatenate([first[2], second[2]])
    order = np.argsort(margins, kind="stable")[:most]
    Z = arrays.namespace(first[0]).concat([first[0], second[0]])
    codes = np.concatenate([first[1], second[1]])
    return arrays.rows(Z, order), codes[order], margins[order]


def _programme(objective: Objective, Z: Array, codes: np.ndarray) -> np.ndarray | None:
    """A direction that no row of a few is against, and some are for."""
    weights = objective.xp.ones_like(Z[:, :1])
    targets = objective.place(codes[:, None])
    few = Passes(
        DenseDesign(Z, None, xp=objective.xp),
        Responses(1, targets, weights),
        objective.loss,
        fit_intercept=objective.fit_intercept,
    )
    rows = Conditions(few)
    separated, direction = rows.separable(rows.margins(objective.zeros()))
    return direction if separated.any() else None
