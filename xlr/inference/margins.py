"""Average marginal effects: what a unit more of a feature adds to probabilities."""

from __future__ import annotations

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Block
from xlr.inference.evidence import Evidence

__all__ = ["average_marginal_effects"]


def average_marginal_effects(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    r"""The effects, and their derivatives in the parameters.

    With :math:`\partial p_k / \partial x_j = \sum_l A_{kl} w_{lj}`, where
    :math:`A_{kl} = p_k ([k = l] - p_l)`, or p (1 - p) of two classes, averaged over the
    rows by their weights.

    Returns
    -------
    effects : ndarray of shape (n_features, n_effects)
        Of all classes, or of the second of two.
    jacobian : ndarray of shape (n_features, n_effects, n_parameters)
        In the units of the solver.
    """
    objective = evidence.objective
    outputs, size = objective.n_outputs, objective.column_size
    n_features = objective.n_features
    slopes, gradients = _mean_slopes(evidence)
    units = evidence.problem.units
    assert units is not None
    scale = arrays.to_host(units.scale).astype(np.float64)
    at = arrays.to_host(evidence.parameters).astype(np.float64)
    coef = at.reshape(outputs, size)[:, :n_features] / scale
    effects = (slopes @ coef).T
    # Through the mean of A ...
    jacobian = np.einsum("klq,lj->jkq", gradients, coef)
    # ... and through w itself.
    by_class = jacobian.reshape(n_features, -1, outputs, size)
    j = np.arange(n_features)
    by_class[j, :, :, j] += slopes / scale[:, None, None]
    return effects, jacobian


def _mean_slopes(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """The mean of A, (n_effects, n_outputs), and its derivatives in the parameters."""
    objective = evidence.objective
    xp, outputs = objective.xp, objective.n_outputs
    logits = objective.logits_of_block(evidence.parameters)

    def kernel(block: Block, y: Array, s: Array) -> tuple[Array, ...]:
        point = objective.loss.at(logits(block), y, xp=xp)
        if outputs == 1:
            slope = point.curvature().diagonal[:, 0, :]
            p = point.gradient()[:, 0, :] + y
            first, second = slope, slope * (1 - 2 * p)
        else:
            p = point.curvature().diagonal[:, 0, :]
            same = xp.eye(outputs, dtype=p.dtype, device=objective.device)
            # A, and dA_kl / d eta_m = A_km ([k = l] - p_l) - p_k A_lm
            A = p[:, :, None] * (same - p[:, None, :])
            third = A[:, :, None, :] * (same - p[:, None, :])[:, :, :, None]
            third = third - p[:, :, None, None] * A[:, None, :, :]
            first = xp.reshape(A, (-1, outputs**2))
            second = xp.reshape(third, (-1, outputs**3))
        second = s * second
        product = xp.astype(block.rmatvec(second), objective.wide, copy=False)
        return (
            xp.sum(s * first, axis=0, dtype=objective.wide),
            product,
            xp.sum(second, axis=0, dtype=objective.wide),
        )

    first, product, total = objective.sum_over_rows(kernel, 3 * outputs**3)
    gradients = objective.design.unfold(product, total)
    if objective.fit_intercept:
        gradients = xp.concat([gradients, total[:, None]], axis=1)
    weight = float(arrays.to_host(objective.total_weight)[0])
    slopes = arrays.to_host(first).astype(np.float64).reshape(-1, outputs)
    host = arrays.to_host(gradients).astype(np.float64)
    n_parameters = objective.n_parameters
    return slopes / weight, host.reshape(-1, outputs, n_parameters) / weight
