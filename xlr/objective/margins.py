"""What a change of the logits does to probabilities, on average."""

from __future__ import annotations

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Block
from xlr.objective.objective import Objective
from xlr.objective.passes import Passes

__all__ = ["mean_slopes"]


def mean_slopes(
    objective: Objective, parameters: Array
) -> tuple[np.ndarray, np.ndarray]:
    r"""The mean over the rows of what logits do to probabilities, in one pass.

    Of :math:`A_{kl} = \partial p_k / \partial \eta_l`: p (1 - p) of two classes,
    :math:`p_k ([k = l] - p_l)` of more.

    Parameters
    ----------
    objective : Objective
        Of one model.
    parameters : array of shape (1, n_parameters)

    Returns
    -------
    slopes : ndarray of shape (n_outputs, n_outputs)
    gradients : ndarray of shape (n_outputs, n_outputs, n_parameters)
        Their derivatives in the parameters.
    """
    outputs = objective.n_outputs
    first, product, total = objective.over_rows(_sums, parameters, name="margins")
    xp = objective.xp
    gradients = objective.design.unfold(product, total)
    if objective.fit_intercept:
        gradients = xp.concat([gradients, total[:, None]], axis=1)
    weight = float(arrays.to_host(objective.total_weight)[0])
    slopes = arrays.to_host(first).astype(np.float64).reshape(-1, outputs)
    host = arrays.to_host(gradients).astype(np.float64)
    n_parameters = objective.n_parameters
    return slopes / weight, host.reshape(-1, outputs, n_parameters) / weight


def _sums(passes: Passes, parameters: Array) -> tuple[Array, ...]:
    """Sums over the rows of A and of its derivatives."""
    xp, outputs = passes.xp, passes.n_outputs
    logits = passes.logits_of_block(parameters)

    def kernel(block: Block, y: Array, s: Array) -> tuple[Array, ...]:
        point = passes.loss.at(logits(block), y, xp=xp)
        if outputs == 1:
            slope = point.curvature().values[:, 0, :]
            p = point.gradient()[:, 0, :] + y
            first, second = slope, slope * (1 - 2 * p)
        else:
            p = point.curvature().values[:, 0, :]
            same = xp.eye(outputs, dtype=p.dtype, device=passes.device)
            # A, and dA_kl / d eta_m = A_km ([k = l] - p_l) - p_k A_lm
            A = p[:, :, None] * (same - p[:, None, :])
            third = A[:, :, None, :] * (same - p[:, None, :])[:, :, :, None]
            third = third - p[:, :, None, None] * A[:, None, :, :]
            first = xp.reshape(A, (-1, outputs**2))
            second = xp.reshape(third, (-1, outputs**3))
        second = s * second
        product = xp.astype(block.rmatvec(second), passes.wide, copy=False)
        return (
            xp.sum(s * first, axis=0, dtype=passes.wide),
            product,
            xp.sum(second, axis=0, dtype=passes.wide),
        )

    return passes.sum_over_rows(kernel, 3 * outputs**3)
