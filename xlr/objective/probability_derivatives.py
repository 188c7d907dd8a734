"""Marginal effects: the change of probabilities with the logits, on average."""

from __future__ import annotations

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.objective import Objective

__all__ = ["mean_derivatives"]


def mean_derivatives(
    objective: Objective, parameters: Array
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the mean over the rows of the derivatives of probabilities in logits.

    Of :math:`A_{kl} = \partial p_k / \partial \eta_l`: p (1 - p) of two classes,
    :math:`p_k ([k = l] - p_l)` of more; in one pass.

    Parameters
    ----------
    objective : Objective
        Of one model.
    parameters : array of shape (1, n_parameters)

    Returns
    -------
    derivatives : ndarray of shape (n_outputs, n_outputs)
    gradients : ndarray of shape (n_outputs, n_outputs, n_parameters)
        Their derivatives in the parameters.
    """
    outputs = objective.n_outputs
    first, product, total = objective.data.map_reduce(
        _sums, objective.loss, *objective.split(parameters), width=3 * outputs**3
    )
    xp = objective.xp
    if objective.fit_intercept:
        product = xp.concat([product, total[:, None]], axis=1)
    weight = float(arrays.to_host(objective.total_weight)[0])
    derivatives = arrays.to_host(first).astype(np.float64).reshape(-1, outputs)
    gradients = arrays.to_host(product).astype(np.float64)
    shape = -1, outputs, objective.n_parameters
    return derivatives / weight, gradients.reshape(shape) / weight


def _sums(
    block: Block, loss: Loss, coef: Array, intercept: Array | None
) -> tuple[Array, ...]:
    """Return sums over the rows of A and of its derivatives."""
    xp, outputs, s = block.xp, loss.n_outputs, block.weights
    eta = passes.logits(block, loss, coef, intercept)
    h = loss.curvature(eta, block.labels, xp=xp).values[:, 0, :]
    if outputs == 1:
        _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
        p = gradient[:, 0, :] + block.labels
        first, second = h, h * (1 - 2 * p)
    else:
        p = h
        same = xp.eye(outputs, dtype=p.dtype, device=arrays.device_of(p))
        # A, and dA_kl / d eta_m = A_km ([k = l] - p_l) - p_k A_lm
        A = p[:, :, None] * (same - p[:, None, :])
        third = A[:, :, None, :] * (same - p[:, None, :])[:, :, :, None]
        third = third - p[:, :, None, None] * A[:, None, :, :]
        first = xp.reshape(A, (-1, outputs**2))
        second = xp.reshape(third, (-1, outputs**3))
    second = s * second
    total = xp.sum(second, axis=0, dtype=block.wide)
    product = block.matrix.transpose_matvec(second, total)
    return xp.sum(s * first, axis=0, dtype=block.wide), product, total
