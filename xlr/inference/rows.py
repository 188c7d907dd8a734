"""What there is to say of single rows: their influence, and their probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.design import Design
from xlr.functions import sigmoid
from xlr.inference.evidence import Evidence
from xlr.objective import leverages, log_odds

__all__ = [
    "Influence",
    "ProbabilityInterval",
    "influence",
    "probability_interval",
]


class ProbabilityInterval(NamedTuple):
    """Probabilities of the classes and how sure they are, in the library of X.

    Attributes
    ----------
    proba : array of shape (n_samples, n_classes)
    se : array of shape (n_samples, n_classes)
        Standard errors, by the delta method.
    lower, upper : array of shape (n_samples, n_classes)
        Ends of the intervals, between 0 and 1.
    """

    proba: Array
    se: Array
    lower: Array
    upper: Array


@dataclass(frozen=True)
class Influence:
    """Influence of each row on a fit, under statsmodels' names.

    The weight s of a row multiplies its part of the log-likelihood, as R's prior
    weights do: a row of weight 2 counts as two equal rows that leave the fit together.

    Attributes
    ----------
    hat_matrix_diag : array of shape (n_samples,)
        Leverage h, the diagonal of W^(1/2) X (X'WX)^-1 X' W^(1/2), W = s p (1 - p).
    resid_pearson : array of shape (n_samples,)
        r = sqrt(s) (y - p) / sqrt(p (1 - p)).
    resid_studentized : array of shape (n_samples,)
        r / sqrt(1 - h).
    cooks_distance : array of shape (n_samples,)
        r^2 h / (k (1 - h)^2), with k the (effective) number of parameters: the squared
        change of the estimates without the row, in units of their covariance, over k.

    References
    ----------
    Pregibon (1981), *Logistic regression diagnostics*, Annals of Statistics 9;
    R's ``cooks.distance`` and ``rstandard``.
    """

    hat_matrix_diag: Array
    resid_pearson: Array
    resid_studentized: Array
    cooks_distance: Array


@arrays.quiet()
def influence(
    evidence: Evidence, inverse: np.ndarray, n_parameters: float
) -> Influence:
    """Leverages, residuals and Cook's distances, in one pass.

    Parameters
    ----------
    evidence : Evidence
        Of two classes.
    inverse : ndarray of shape (n_parameters, n_parameters)
        Of the Hessian of the sum of the losses and the penalty.
    n_parameters : float
    """
    if not evidence.objective.has_rows:
        raise ValueError(
            "Influence is of single rows, and those of Dask are not here. Call infer "
            "on the rows of interest in memory: X.compute()."
        )
    xp = evidence.features.xp
    leverage, residual = leverages(
        evidence.objective, evidence.parameters, evidence.unit * inverse
    )
    weights = evidence.unit * evidence.objective.responses.weights[:, 0]
    residual = xp.sqrt(weights) * residual
    studentized = residual / xp.sqrt(1 - leverage)
    distance = studentized**2 * leverage / (1 - leverage) / n_parameters
    return Influence(leverage, residual, studentized, distance)


def probability_interval(
    evidence: Evidence, design: Design, covariance: np.ndarray, quantile: float
) -> ProbabilityInterval:
    r"""Probabilities with intervals by the delta method, on the scale of their logits.

    With :math:`\lambda_k = \log p_k / (1 - p_k)` and its standard error :math:`s_k`, an
    interval is :math:`\sigma(\lambda_k \pm c\, s_k)`, between 0 and 1, and the standard
    error of the probability :math:`p_k (1 - p_k) s_k`.

    Parameters
    ----------
    evidence : Evidence
    design : Design
        The rows, in the units of the solver.
    covariance : ndarray of shape (n_parameters, n_parameters)
        Of the parameters, in those units.
    quantile : float
        c.
    """
    logits, se = log_odds(evidence.objective, design, evidence.parameters, covariance)
    proba = sigmoid(logits)
    return ProbabilityInterval(
        proba,
        proba * sigmoid(-logits) * se,
        sigmoid(logits - quantile * se),
        sigmoid(logits + quantile * se),
    )
