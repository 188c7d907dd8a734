"""Marginal effects: changes of the probabilities with each feature."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.inference.fitted_data import FittedData, Units
from xlr.objective import mean_derivatives

__all__ = ["METHODS", "average_effects", "effects_at", "mean_row"]

METHODS = {
    "dydx": "dy/dx",
    "eyex": "d(lny)/d(lnx)",
    "dyex": "dy/d(lnx)",
    "eydx": "d(lny)/dx",
}


def average_effects(data: FittedData) -> tuple[np.ndarray, np.ndarray]:
    r"""Return effects averaged over the rows of the fit, and their derivatives.

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


def effects_at(
    rows: np.ndarray, standardized: np.ndarray, units: Units, method: str
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return effects averaged over given rows, and their derivatives.

    An effect is :math:`\sum_l G_{kl} w_{lj} f_j`, with G = A or, for the logarithm of a
    probability, :math:`G_{kl} = A_{kl} / p_k`; and f = 1 or, for the logarithm of a
    feature, f = x.

    Parameters
    ----------
    rows : ndarray of shape (m, n_features)
        In units of X, without an offset.
    standardized : ndarray of shape (n_parameters,)
    units : Units
    method : {'dydx', 'eyex', 'dyex', 'eydx'}

    Returns
    -------
    effects, jacobian
        As :func:`average_effects` returns them.
    """
    m, n_features = rows.shape
    by_class = standardized.reshape(units.n_outputs, -1)
    coef = by_class[:, :n_features] / units.scale
    Z = np.concatenate(
        [(rows - units.mean) / units.scale, np.ones((m, int(units.fit_intercept)))],
        axis=1,
    )
    eta = Z @ by_class.T
    # 1. G and its derivatives in the logits, dA_kl / d eta_m = A_km ([k = l] - p_l)
    #    - p_k A_lm, for each row.
    if units.n_outputs == 1:
        p = expit(eta)
        G = p[:, :, None] * expit(-eta)[:, :, None]
        dG = G[:, :, :, None] * (1 - 2 * p)[:, :, None, None]
    else:
        p = softmax(eta, axis=1)
        rest = np.eye(units.n_outputs) - p[:, None, :]
        G = p[:, :, None] * rest
        dG = G[:, :, None, :] * rest[:, :, :, None]
        dG = dG - p[:, :, None, None] * G[:, None, :, :]
    if method.startswith("ey"):
        share = G / p[:, :, None]
        dG = dG / p[:, :, None, None] - share[:, :, :, None] * share[:, :, None, :]
        G = share
    f = rows if method.endswith("ex") else np.ones_like(rows)
    # 2. Sums over the rows; the derivatives through G, and through w itself.
    effects = np.einsum("ikl,lj,ij->kj", G, coef, f, optimize=True) / m
    columns = np.einsum("iklm,lj,ij,iq->kjmq", dG, coef, f, Z, optimize=True) / m
    j = np.arange(n_features)
    direct = np.einsum("ikm,ij->jkm", G, f, optimize=True) / m
    columns[:, j, :, j] += direct / units.scale[:, None, None]
    return effects, columns.reshape(*effects.shape, -1)


def mean_row(data: FittedData) -> np.ndarray:
    """Return the mean of the rows of the fit, by their weights: (1, n_features)."""
    total, weight = data.dataset.spec.data.map_reduce(_sums_of_columns)
    return arrays.to_host(total / weight[:, None]).astype(np.float64)


def _sums_of_columns(block: Block) -> tuple[Array, Array]:
    total = block.xp.sum(block.row_weights, axis=0, dtype=block.wide)
    return block.matrix.transpose_matvec(block.row_weights, total), total
