"""What there is to say of single rows: leverages, and log-odds with their errors."""

from __future__ import annotations

import operator

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Design, reduce_over_blocks
from xlr.functions import softmax
from xlr.objective.blockwise import linear_map
from xlr.objective.objective import Objective

__all__ = ["leverages", "log_odds"]


def leverages(
    objective: Objective, parameters: Array, inverse: np.ndarray
) -> tuple[Array, Array]:
    r"""Leverages :math:`s p (1 - p) z^T M z` and Pearson residuals, (n_samples,) each.

    In one pass.

    Parameters
    ----------
    objective : Objective
        Of one model of two classes.
    parameters : array of shape (1, n_parameters)
    inverse : ndarray of shape (n_parameters, n_parameters)
        M, in units of the weights s.
    """
    xp, design = objective.xp, objective.design
    logits = objective.logits_of_block(parameters)
    columns = _columns(objective, _root(inverse).T)
    products = linear_map(design, *columns, xp=xp)

    def kernel(rows: slice) -> tuple[Array]:
        block = design.block(rows)
        y, s = objective.responses.block(rows, xp=xp)
        point = objective.loss.at(logits(block), y, xp=xp)
        curvature = point.curvature().values[:, 0, 0]
        leverage = s[:, 0] * curvature * xp.sum(products(block) ** 2, axis=1)
        residual = -point.gradient()[:, 0, 0] / xp.sqrt(curvature)
        return (xp.stack([leverage, residual], axis=1),)

    slices = design.slices(3 * objective.n_parameters)
    parts = reduce_over_blocks(kernel, operator.add, slices, design.workers)
    found = xp.concat(list(parts))
    return found[:, 0], found[:, 1]


def log_odds(
    objective: Objective, design: Design, parameters: Array, covariance: np.ndarray
) -> tuple[Array, Array]:
    r"""Log-odds of the classes and their standard errors, (n_rows, n_classes) each.

    .. math::
        \lambda_k &= \log \frac{p_k}{1 - p_k} = \eta_k - \log \sum_{l \ne k} e^{\eta_l}
        \\
        \nabla \lambda_k &= (e_k - q_k) \otimes z, \qquad
        q_k = \mathrm{softmax}(\eta_l, l \ne k)

    Parameters
    ----------
    objective : Objective
        Of one model.
    design : Design
        Rows, those of the objective or others, in its units.
    parameters : array of shape (1, n_parameters)
    covariance : ndarray of shape (n_parameters, n_parameters)
    """
    xp, outputs = design.xp, objective.n_outputs
    at = arrays.to_host(parameters).reshape(outputs, -1)
    linear = linear_map(design, *_columns(objective, at), xp=xp)
    # One class after another, all the columns of the root: (outputs * m, column_size).
    by_class = _root(covariance).T.reshape(-1, outputs, objective.column_size)
    rows_of_root = np.moveaxis(by_class, 1, 0).reshape(-1, objective.column_size)
    errors = linear_map(design, *_columns(objective, rows_of_root), xp=xp)

    def kernel(rows: slice) -> tuple[Array]:
        block = design.block(rows)
        eta = linear(block)
        if block.offset is not None:
            eta = eta + block.offset
        moves = xp.reshape(errors(block), (eta.shape[0], outputs, -1))
        if outputs == 1:
            se = xp.sqrt(xp.sum(moves[:, 0, :] ** 2, axis=1))[:, None]
            return (xp.stack([xp.concat([-eta, eta], axis=1), xp.tile(se, (1, 2))]),)
        logits, ses = [], []
        for k in range(outputs):
            others = [j for j in range(outputs) if j != k]
            rest = xp.stack([eta[:, j] for j in others], axis=1)
            share = softmax(rest)
            moved = moves[:, k, :]
            for i, j in enumerate(others):
                moved = moved - share[:, i, None] * moves[:, j, :]
            most = xp.max(rest, axis=1)
            total = xp.sum(xp.exp(rest - most[:, None]), axis=1)
            logits.append(eta[:, k] - most - xp.log(total))
            ses.append(xp.sqrt(xp.sum(moved**2, axis=1)))
        return (xp.stack([xp.stack(logits, axis=1), xp.stack(ses, axis=1)]),)

    slices = design.slices(2 * rows_of_root.shape[0])
    parts = reduce_over_blocks(kernel, operator.add, slices, design.workers)
    found = xp.concat(list(parts), axis=1)
    return found[0, ...], found[1, ...]


def _root(matrix: np.ndarray) -> np.ndarray:
    """R with R R' = M, for a positive semi-definite M."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0))


def _columns(objective: Objective, rows: np.ndarray) -> tuple[Array, Array | None]:
    """Rows (m, column_size) as coefficients and intercepts on the device."""
    coef = objective.place(rows[:, : objective.n_features])
    intercept = objective.place(rows[:, -1]) if objective.fit_intercept else None
    return coef, intercept
