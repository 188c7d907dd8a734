"""Leverages and Pearson residuals of single rows."""

from __future__ import annotations

import numpy as np

from xlr.arrays import Array
from xlr.data import Block
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.objective import Objective

__all__ = ["leverages"]


def leverages(
    objective: Objective, parameters: Array, inverse: np.ndarray
) -> tuple[Array, Array]:
    r"""Return leverages :math:`s p (1 - p) z^T M z` and Pearson residuals.

    In one pass.

    Parameters
    ----------
    objective : Objective
        Of one model of two classes.
    parameters : array of shape (1, n_parameters)
    inverse : ndarray of shape (n_parameters, n_parameters)
        M, in units of the weights s.
    """
    found = objective.data.map_rows(
        _leverages,
        objective.loss,
        *objective.split(parameters),
        _columns(objective, _root(inverse).T),
        width=3 * objective.n_parameters,
    )
    return found[:, 0], found[:, 1]


def _leverages(
    block: Block,
    loss: Loss,
    coef: Array,
    intercept: Array | None,
    root: tuple[Array, Array | None],
) -> Array:
    xp = block.xp
    eta = passes.logits(block, loss, coef, intercept)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    h = loss.curvature(eta, block.labels, xp=xp).values[:, 0, 0]
    products = block.matrix.matvec(*root)
    leverage = block.weights[:, 0] * h * xp.sum(products**2, axis=1)
    return xp.stack([leverage, -gradient[:, 0, 0] / xp.sqrt(h)], axis=1)


def _root(matrix: np.ndarray) -> np.ndarray:
    """Return R with R R' = M, for a positive semi-definite M."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0))


def _columns(objective: Objective, rows: np.ndarray) -> tuple[Array, Array | None]:
    """Bring rows (m, column_size) to the device as coefficients and intercepts."""
    coef = objective.place(rows[:, : objective.n_features])
    intercept = objective.place(rows[:, -1]) if objective.fit_intercept else None
    return coef, intercept
