"""Average marginal effects: what a unit more of a feature adds to probabilities."""

from __future__ import annotations

import numpy as np

from xlr import arrays
from xlr.inference.evidence import Evidence
from xlr.objective import mean_derivatives

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
    slopes, gradients = mean_derivatives(objective, evidence.parameters)
    units = evidence.problem.scaler
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
