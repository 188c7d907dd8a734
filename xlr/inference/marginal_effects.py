"""Average marginal effects: the change of the probabilities with each feature."""

from __future__ import annotations

import numpy as np

from xlr.inference.fitted_data import FittedData
from xlr.objective import mean_derivatives

__all__ = ["average_marginal_effects"]


def average_marginal_effects(data: FittedData) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the effects and their derivatives in the parameters.

    With :math:`\partial p_k / \partial x_j = \sum_l A_{kl} w_{lj}`, where
    :math:`A_{kl} = p_k ([k = l] - p_l)`, or p (1 - p) of two classes, averaged over the
    rows by their weights.

    Returns
    -------
    effects : ndarray of shape (n_effects, n_features)
        Of all classes, or of the second of two.
    jacobian : ndarray of shape (n_effects, n_features, n_parameters)
        In the standardized parameters.
    """
    objective, scale = data.objective, data.units.scale
    gradients, hessians = mean_derivatives(objective, data.parameters)
    by_class = data.standardized.reshape(objective.n_outputs, -1)
    coef = by_class[:, : objective.n_features] / scale
    # 1. Through the mean of A.
    jacobian = np.einsum("klq,lj->kjq", hessians, coef, order="C")
    # 2. Through w itself.
    j = np.arange(objective.n_features)
    columns = jacobian.reshape(*jacobian.shape[:2], *by_class.shape)
    columns[:, j, :, j] += gradients / scale[:, None, None]
    return gradients @ coef, jacobian
