"""Covariances of the estimates: inverse information and sandwiches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr.inference.clusters import sum_between_clusters
from xlr.inference.fitted_data import FittedData
from xlr.inference.newton import (
    InformationSums,
    NewtonStep,
    constrained_minimum,
    last_newton_step,
    newton_step,
    sum_information,
)
from xlr.inference.sandwich import outer_products
from xlr.text import listed

# Powers of 1 - h that divide the outer products of the scores.
LEVERAGE_POWERS = {"HC2": 1.0, "HC3": 2.0}

LIMIT_TOL = 1e-12  # bound on the gradient of F, whose limit is zero

ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Estimates:
    """Estimates and their covariance, on the host.

    Attributes
    ----------
    params : ndarray of shape (n_reported,)
        NaN for an aliased feature.
    covariance : ndarray of shape (n_reported, n_reported)
        NaN for an aliased feature, and for a coefficient held at zero or at a bound.
    standardized : ndarray of shape (n_parameters,)
        The estimates in standardized units.
    standardized_covariance : ndarray of shape (n_parameters, n_parameters)
        Zero for parameters without a covariance.
    inverse : ndarray of shape (n_parameters, n_parameters)
        Inverse Hessian of the summed losses and the penalty, zero for the same
        parameters.
    aliased : str
        The aliased columns and their sums; empty if there are none.
    log_likelihood : float
    effective_df : float
        Trace of the information times the inverse Hessian.
    was_indefinite : bool
        Whether negative eigenvalues of the covariance were set to zero.
    """

    params: np.ndarray
    covariance: np.ndarray
    standardized: np.ndarray
    standardized_covariance: np.ndarray
    inverse: np.ndarray
    aliased: str
    log_likelihood: float
    effective_df: float
    was_indefinite: bool


def estimate(
    data: FittedData, sums: InformationSums, cov_type: str, clusters: np.ndarray | None
) -> tuple[FittedData, Estimates]:
    r"""Compute the estimates and their covariance.

    With the information I of the likelihood and the curvature P of the penalty, the
    estimates move with the scores of the rows by :math:`(I + P)^{-1}`, so that their
    covariance is

    .. math:: (I + P)^{-1} M (I + P)^{-1}

    where M is the covariance of the sum of the scores. It is I if the model is right.
    For HC0 it is the sum of :math:`g_i g_i^T` over the rows, and for HC1 n / (n - k)
    times that sum. HC2 and HC3 divide each row by a power of 1 - h, for its leverage h.
    For clusters, M sums the outer products of their scores. Clusters in several ways
    may give negative eigenvalues, which are set to zero.

    Parameters
    ----------
    data : FittedData
    sums : InformationSums
        Sums at the coefficients of the model.
    cov_type : {'nonrobust', 'HC0', 'HC1', 'HC2', 'HC3', 'cluster'}
    clusters : ndarray of shape (n_samples, n_ways) or None
        The clusters of each row: 0, 1, ..., for ``'cluster'``.

    Returns
    -------
    data : FittedData
        Data at the estimates.
    estimates : Estimates

    References
    ----------
    White (1982), *Maximum likelihood estimation of misspecified models*; MacKinnon and
    White (1985), *Some heteroskedasticity-consistent covariance matrix estimators*;
    Liang and Zeger (1986), *Longitudinal data analysis using generalized linear
    models*.
    """
    # 1. The estimates, and the information at the estimates.
    last = last_newton_step(data, sums)
    data, sums, inverse, step = last.data, last.sums, last.inverse, last.step
    standardized = data.standardized + step
    loss = sums.loss + sums.gradient @ step + step @ sums.information @ step / 2
    # 2. Their covariance.
    middle, covariance = _middle(last, cov_type, clusters), inverse
    is_sandwich = data.is_penalised or cov_type != "nonrobust"
    was_indefinite = False
    if is_sandwich:
        covariance = inverse @ middle @ inverse
        covariance = (covariance + covariance.T) / 2
    if clusters is not None and clusters.shape[1] > 1:
        values, vectors = np.linalg.eigh(covariance)
        was_indefinite = bool(values[0] < -values.size * ROUNDING * values[-1])
        covariance = vectors * np.maximum(values, 0) @ vectors.T
    # 3. Both in units of X.
    units = data.units
    reported = units.reported(units.reported(covariance).T)
    if is_sandwich:
        _raise_to_rounding(reported, last, middle)
    moves = units.reported(np.diag(last.free.astype(float)))
    has_none = (moves == 0).all(axis=0)  # differences of two classes that stay
    reported[has_none, :] = reported[:, has_none] = np.nan
    estimates = Estimates(
        params=_reported_params(last, standardized),
        covariance=reported,
        standardized=standardized,
        standardized_covariance=covariance,
        inverse=inverse,
        aliased=_describe_aliased(last),
        log_likelihood=-loss,
        effective_df=float(np.sum(inverse * sums.information)),
        was_indefinite=was_indefinite,
    )
    return data.at(standardized), estimates


def limit_of_estimates(data: FittedData) -> Estimates:
    """Return the limit of the log-likelihood under separation, without errors.

    Newton's method continues until the gradient vanishes. The loss, less its limit,
    decreases by the same factor as the gradient in each step.
    """
    start, unconstrained = data.standardized, np.zeros((0, data.standardized.size))
    found = constrained_minimum(
        data.objective, start, unconstrained, np.zeros(0), tol=LIMIT_TOL
    )
    at_zero = data.at(np.zeros_like(start))
    aliased = newton_step(at_zero, sum_information(at_zero)).aliased
    params = data.units.reported(start[None, :])[0]
    unknown = np.full((start.size,) * 2, np.nan)
    return Estimates(
        params=params,
        covariance=np.full((params.size, params.size), np.nan),
        standardized=start,
        standardized_covariance=unknown,
        inverse=unknown,
        aliased="",
        log_likelihood=-data.total_weight * found.value,
        effective_df=float((data.class_totals.size - 1) * aliased.kept.size),
        was_indefinite=False,
    )


def _middle(last: NewtonStep, cov_type: str, clusters: np.ndarray | None) -> np.ndarray:
    """Return M, corrected for the degrees of freedom of the estimates."""
    data, sums = last.data, last.sums
    if cov_type == "nonrobust":
        return sums.information
    n = float(data.dataset.totals.sum())
    k = (data.class_totals.size - 1) * last.aliased.kept.size
    if n <= k and cov_type in ("HC1", "cluster"):
        raise ValueError(
            f"cov_type={cov_type!r} needs more observations than parameters; there are "
            f"{n:g} (the sum of the weights) and {k}. Pass cov_type='nonrobust' or "
            "'HC0'."
        )
    if clusters is not None:
        return sum_between_clusters(data, clusters) * ((n - 1) / (n - k))
    power = LEVERAGE_POWERS.get(cov_type, 0.0)
    given = data.objective, data.parameters, data.dataset.class_weights.factors
    inverse = last.inverse if power else None
    outer = data.on_host(outer_products(*given, inverse, power))
    if not np.isfinite(outer).all():
        raise ValueError(
            f"cov_type={cov_type!r} has no value: a row has leverage 1, so that it "
            "alone determines a coefficient. Pass cov_type='HC1'."
        )
    return outer * (n / (n - k)) if cov_type == "HC1" else outer


def _reported_params(last: NewtonStep, standardized: np.ndarray) -> np.ndarray:
    """Return the estimates; kept columns include the part of aliased columns."""
    units, (kept, dropped, weights) = last.data.units, last.aliased
    columns = standardized.reshape(units.n_outputs, -1).copy()
    columns[:, kept] += columns[:, dropped] @ weights.T
    columns[:, dropped] = 0
    params = units.reported(columns.reshape(1, -1)).reshape(-1, len(last.data.names))
    params[:, dropped + int(units.fit_intercept)] = np.nan
    return params.reshape(-1)


def _describe_aliased(last: NewtonStep) -> str:
    """Describe aliased columns in units of X: x_j = m_j + d_j z_j."""
    units, (kept, dropped, weights) = last.data.units, last.aliased
    mean, scale = np.append(units.mean, 0.0), np.append(units.scale, 1.0)
    weights = weights * scale[dropped] / scale[kept][:, None]
    if units.fit_intercept:  # the first kept column
        weights[0] += mean[dropped] - mean[kept] @ weights
    aliased = last.aliased._replace(weights=weights)
    return aliased.describe([*last.data.column_names, "intercept"])


def _raise_to_rounding(
    reported: np.ndarray, last: NewtonStep, middle: np.ndarray
) -> None:
    """Raise variances to the rounding error of a variance of zero.

    The difference of two classes whose coefficients move together has variance zero.

    Raises
    ------
    ValueError
        If rounding errors are large compared with a variance and with the inverse
        Hessian: the data hardly determine the parameter.
    """
    data, variance = last.data, np.diagonal(reported)
    eps, half = data.objective.wide_rounding, data.units.reported(last.inverse)
    least = eps * (np.sqrt(np.abs(np.diagonal(middle))) @ np.abs(half)) ** 2
    of_model = np.diagonal(data.units.reported(half.T))
    lost = (least > 0.1 * variance) & (least > eps**0.5 * of_model)
    if lost.any():
        columns = lost.reshape(-1, len(data.names)).any(axis=0)
        names = listed(np.asarray(data.names)[columns].tolist())
        raise ValueError(
            f"The variances of the coefficients of {names} are lost in rounding "
            "errors: the data and the penalty hardly determine them. Standardise the "
            "features, or lower C."
        )
    np.fill_diagonal(reported, np.maximum(variance, least))
