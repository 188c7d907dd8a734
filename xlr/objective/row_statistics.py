"""Row statistics: leverages, and log-odds with their standard errors."""

from __future__ import annotations

import numpy as np

from xlr.arrays import Array
from xlr.data import Block, TrainingData
from xlr.functions import softmax
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.objective import Objective

__all__ = ["leverages", "log_odds"]


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


def log_odds(
    objective: Objective, data: TrainingData, parameters: Array, covariance: np.ndarray
) -> tuple[Array, Array]:
    r"""Return log-odds of the classes and standard errors, (n_rows, n_classes) each.

    .. math::
        \lambda_k &= \log \frac{p_k}{1 - p_k} = \eta_k - \log \sum_{l \ne k} e^{\eta_l}
        \\
        \nabla \lambda_k &= (e_k - q_k) \otimes z, \qquad
        q_k = \mathrm{softmax}(\eta_l, l \ne k)

    Parameters
    ----------
    objective : Objective
        Of one model.
    data : TrainingData
        Rows, those of the objective or others, in its units.
    parameters : array of shape (1, n_parameters)
    covariance : ndarray of shape (n_parameters, n_parameters)
    """
    outputs = objective.n_outputs
    # One class after another, all the columns of the root: (outputs * m, column_size).
    by_class = _root(covariance).T.reshape(-1, outputs, objective.column_size)
    rows_of_root = np.moveaxis(by_class, 1, 0).reshape(-1, objective.column_size)
    found = data.map_rows(
        _log_odds,
        objective.loss,
        *objective.split(parameters),
        _columns(objective, rows_of_root),
        width=2 * rows_of_root.shape[0],
    )
    return found[:, 0, :], found[:, 1, :]


def _log_odds(
    block: Block,
    loss: Loss,
    coef: Array,
    intercept: Array | None,
    root: tuple[Array, Array | None],
) -> Array:
    xp, outputs = block.xp, loss.n_outputs
    eta = passes.logits(block, loss, coef, intercept)[:, 0, :]
    moves = xp.reshape(block.matrix.matvec(*root), (eta.shape[0], outputs, -1))
    if outputs == 1:
        se = xp.sqrt(xp.sum(moves[:, 0, :] ** 2, axis=1))[:, None]
        return xp.stack([xp.concat([-eta, eta], axis=1), xp.tile(se, (1, 2))], axis=1)
    logits, errors = [], []
    for k in range(outputs):
        others = [j for j in range(outputs) if j != k]
        other = xp.stack([eta[:, j] for j in others], axis=1)
        share = softmax(other)
        moved = moves[:, k, :]
        for i, j in enumerate(others):
            moved = moved - share[:, i, None] * moves[:, j, :]
        most = xp.max(other, axis=1)
        total = xp.sum(xp.exp(other - most[:, None]), axis=1)
        logits.append(eta[:, k] - most - xp.log(total))
        errors.append(xp.sqrt(xp.sum(moved**2, axis=1)))
    return xp.stack([xp.stack(logits, axis=1), xp.stack(errors, axis=1)], axis=1)


def _root(matrix: np.ndarray) -> np.ndarray:
    """Return R with R R' = M, for a positive semi-definite M."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0))


def _columns(objective: Objective, rows: np.ndarray) -> tuple[Array, Array | None]:
    """Bring rows (m, column_size) to the device as coefficients and intercepts."""
    coef = objective.place(rows[:, : objective.n_features])
    intercept = objective.place(rows[:, -1]) if objective.fit_intercept else None
    return coef, intercept
