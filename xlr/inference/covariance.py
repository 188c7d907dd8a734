"""The covariance of the estimates: inverse information and sandwiches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xlr import arrays
from xlr.inference.clusters import Clusters
from xlr.inference.fitted_data import FittedData
from xlr.objective import Aliased, cluster_scores, find_aliased, information
from xlr.text import printable

__all__ = ["Estimates", "InformationSums", "estimate", "sum_information"]

# Bound on the last Newton step, in standardized units, summed over the parameters. It
# changes standard errors by less than half of that, as a share, and by up to 70 times
# that where a feature has outliers: by less than 1e-6.
LAST_STEP = 1e-8

MAX_PASSES = 30

MIN_SHARE = 1 / 8  # of a Newton step, with Firth's penalty

# Squared distance of the rows that carry information from the centre of the features,
# in their variance, above which the features are centred again. Below, rounding errors
# of float64 leave nine digits of the variances.
FAR = 1e6


@dataclass(frozen=True)
class Estimates:
    """Estimates and their covariance, on the host.

    Attributes
    ----------
    params : ndarray of shape (n_reported,)
        NaN for an aliased feature.
    covariance : ndarray of shape (n_reported, n_reported)
        NaN for an aliased feature, and for one held at zero or at a bound.
    standardized : ndarray of shape (n_parameters,)
        The estimates in standardized units.
    standardized_covariance : ndarray of shape (n_parameters, n_parameters)
        Zero for parameters without a covariance.
    inverse : ndarray of shape (n_parameters, n_parameters)
        Inverse Hessian of the summed losses and the penalty, likewise.
    aliased : str
        The aliased columns and their sums; empty if there are none.
    log_likelihood : float
    effective_df : float
        Trace of the information times the inverse Hessian.
    """

    params: np.ndarray
    covariance: np.ndarray
    standardized: np.ndarray
    standardized_covariance: np.ndarray
    inverse: np.ndarray
    aliased: str
    log_likelihood: float
    effective_df: float


@dataclass(frozen=True)
class InformationSums:
    """Sums over the rows at the estimates, on the host, in standardized units.

    Attributes
    ----------
    loss : float
        Minus the log-likelihood.
    gradient : ndarray of shape (n_parameters,)
        Of the loss.
    subgradient : ndarray of shape (n_parameters,)
        Minimum-norm subgradient of F.
    information : ndarray of shape (n_parameters, n_parameters)
        Hessian of the loss.
    hessian : ndarray of shape (n_parameters, n_parameters)
        Of the loss and the penalty.
    outer : ndarray of shape (n_parameters, n_parameters) or None
        Outer products of the scores of the rows.
    """

    loss: float
    gradient: np.ndarray
    subgradient: np.ndarray
    information: np.ndarray
    hessian: np.ndarray
    outer: np.ndarray | None


class _NewtonStep(NamedTuple):
    """A Newton step, and what it was computed from.

    Attributes
    ----------
    data : FittedData
    sums : InformationSums
    aliased : Aliased
    inverse : ndarray of shape (n_parameters, n_parameters)
        Inverse Hessian; zero for aliased and held parameters.
    step : ndarray of shape (n_parameters,)
    """

    data: FittedData
    sums: InformationSums
    aliased: Aliased
    inverse: np.ndarray
    step: np.ndarray

    @property
    def size(self) -> float:
        """Sum of the absolute values of the step, for columns of mean square one."""
        objective = self.data.objective
        rms = np.ones(objective.column_size)
        if objective.column_rms is not None:  # columns with outliers
            rms[int(objective.fit_intercept) :] = arrays.to_host(objective.column_rms)
        return float((np.abs(self.step.reshape(objective.n_outputs, -1)) * rms).sum())

    @property
    def decrement(self) -> float:
        """Decrease of F that the step promises, squared Newton decrement."""
        return -float(self.sums.subgradient @ self.step)


def sum_information(data: FittedData, cov_type: str) -> InformationSums:
    """Pass over the rows."""
    objective, at = data.objective, data.parameters
    by_row = cov_type in ("HC0", "HC1")
    sums = information(objective, at, data.class_factors if by_row else None)
    if data.is_firth:
        smooth = objective.value_and_gradient(at).gradient
    else:
        mean = sums.gradient / objective.total_weight
        smooth = mean[None, :] + objective.penalty_gradient(at)
    subgradient = objective.minimum_norm_subgradient(at, smooth)
    matrix = data.unit * data.on_host(sums.hessian)
    return InformationSums(
        data.unit * float(arrays.to_host(sums.loss)),
        data.unit * data.on_host(sums.gradient),
        data.on_host(subgradient[0, :]),
        matrix,
        _with_common_curvature(matrix, data) + np.diag(data.penalty_curvature),
        None if sums.outer is None else data.unit * data.on_host(sums.outer),
    )


def estimate(
    data: FittedData, sums: InformationSums, cov_type: str, clusters: Clusters | None
) -> tuple[FittedData, Estimates]:
    r"""Compute the estimates and their covariance.

    With the information I of the likelihood and the curvature P of the penalty, the
    estimates move with the scores of the rows by :math:`(I + P)^{-1}`, so that their
    covariance is

    .. math:: (I + P)^{-1} M (I + P)^{-1}

    where M is that of the sum of the scores: I if the model is right, the sum of
    :math:`g_i g_i^T` over the rows (HC0), n / (n - k) of it (HC1), or over the sums of
    the scores in clusters.

    Parameters
    ----------
    data : FittedData
    sums : InformationSums
        At the coefficients of the model.
    cov_type : {'nonrobust', 'HC0', 'HC1', 'cluster'}
    clusters : Clusters or None
        The cluster of each row: 0, 1, ..., for ``'cluster'``.

    Returns
    -------
    data : FittedData
        At the estimates.
    estimates : Estimates

    References
    ----------
    White (1982), *Maximum likelihood estimation of misspecified models*; MacKinnon and
    White (1985), *Some heteroskedasticity-consistent covariance matrix estimators*;
    Liang and Zeger (1986), *Longitudinal data analysis using generalized linear
    models*.
    """
    # 1. The estimates, and the information there.
    data, sums, aliased, inverse, step = _last_newton_step(data, sums, cov_type)
    standardized = data.standardized + step
    loss = sums.loss + sums.gradient @ step + step @ sums.information @ step / 2
    # 2. Their covariance.
    meat, n_clusters = sums.information, None
    if sums.outer is not None:
        meat = sums.outer
    elif clusters is not None:
        meat, n_clusters = _between_clusters(data, clusters)
    covariance = inverse
    is_sandwich = data.is_penalised or meat is not sums.information
    if is_sandwich:
        covariance = inverse @ meat @ inverse
        covariance = (covariance + covariance.T) / 2
    covariance = covariance * _correction(data, cov_type, n_clusters, aliased)
    # 3. Both in units of X.
    reported = _reported_covariance(data, covariance, aliased)
    _refuse_out_of_range(data, covariance, reported)
    if is_sandwich:
        reported = _above_rounding(data, inverse, meat, reported)
    of_features = _of_features(data, aliased)
    estimates = Estimates(
        params=_reported_params(data, standardized, aliased),
        covariance=reported,
        standardized=standardized,
        standardized_covariance=covariance,
        inverse=inverse,
        aliased=of_features.describe(data.names) if aliased.dropped.size else "",
        log_likelihood=-loss,
        effective_df=float(np.sum(inverse * sums.information)),
    )
    return data.at(standardized), estimates


def _last_newton_step(
    data: FittedData, sums: InformationSums, cov_type: str
) -> _NewtonStep:
    """Iterate Newton's method until a step leaves the information as it is.

    With many rows a standard error is less than what the tolerance of the fit leaves
    open. A fit that did not converge stays where it is.
    """
    last = _newton_step(data, sums)
    tol = max(LAST_STEP, data.objective.rounding)
    share = 1.0
    for _ in range(MAX_PASSES - 1):
        shift = _shift_of_centre(last.data, last.sums)
        if last.size <= tol and shift is None:
            break
        data = last.data.at(last.data.standardized + share * last.step)
        if shift is not None:
            data = data.centred(shift)
        new = _newton_step(data, sum_information(data, cov_type))
        if shift is not None or new.decrement < last.decrement / 2:
            last = new
        elif data.is_firth and share > MIN_SHARE:
            # The Hessian leaves Firth's penalty out, so that steps may be too long.
            share /= 2
        else:  # rounding errors
            return min(last, new, key=lambda each: each.decrement)
    return last


def _shift_of_centre(data: FittedData, sums: InformationSums) -> np.ndarray | None:
    """Return the centre of the rows that carry information, if it is far away.

    One row of 1e8 moves the mean of a feature by so much that the information of all
    other rows is lost in rounding errors.
    """
    if not data.fit_intercept:
        return None
    outputs = data.objective.n_outputs
    size = sums.information.shape[0] // outputs
    gram = np.einsum("kikj->ij", sums.information.reshape(outputs, size, outputs, size))
    total, centre = gram[0, 0], gram[0, 1:] / gram[0, 0]
    variance = np.diagonal(gram)[1:] / total - centre**2
    return centre if (centre**2 > FAR * variance).any() else None


def _newton_step(data: FittedData, sums: InformationSums) -> _NewtonStep:
    aliased, free = _find_free(data, sums.information)
    inverse = np.zeros_like(sums.hessian)
    inverse[free] = _inverse(sums.hessian[free])
    step = np.zeros(inverse.shape[0])
    if data.model.converged_:
        step = -inverse @ sums.subgradient * data.total_weight
        if data.non_smooth is not None:
            # Up to zero, where an L1 penalty has its kink, and to the bounds.
            (lasso, lower, upper), at = data.non_smooth, data.standardized
            new = np.where((lasso > 0) & (at * (at + step) < 0), 0.0, at + step)
            step = np.clip(new, lower, upper) - at
    return _NewtonStep(data, sums, aliased, inverse, step)


def _find_free(
    data: FittedData, matrix: np.ndarray
) -> tuple[Aliased, tuple[np.ndarray, ...]]:
    """Find aliased columns, and the parameters that are neither aliased nor held.

    The parameters are indices of a square matrix.
    """
    outputs = data.objective.n_outputs
    curved = matrix + np.diag(data.penalty_curvature)
    # Summed over the classes: weights of the rows do not matter here.
    size = curved.shape[0] // outputs
    gram = np.einsum("kikj->ij", curved.reshape(outputs, size, outputs, size))
    free = data.free.reshape(outputs, size)
    columns = np.nonzero(free.any(axis=0))[0]
    found = find_aliased(gram[np.ix_(columns, columns)], data.objective.wide_rounding)
    aliased = Aliased(columns[found.kept], columns[found.dropped], found.weights)
    free[:, aliased.dropped] = False
    chosen = free.reshape(-1)
    return aliased, np.ix_(chosen, chosen)


def _of_features(data: FittedData, aliased: Aliased) -> Aliased:
    """Describe columns of X: x_j = m_j + d_j z_j, z_k = (x_k - m_k) / d_k."""
    mean, scale = data.scaler
    if data.fit_intercept:
        mean, scale = np.append(0.0, mean), np.append(1.0, scale)
    weights = aliased.weights * scale[aliased.dropped] / scale[aliased.kept][:, None]
    if data.fit_intercept:  # the first that is kept
        weights[0] += mean[aliased.dropped] - mean[aliased.kept] @ weights
    return aliased._replace(weights=weights)


def _with_common_curvature(matrix: np.ndarray, data: FittedData) -> np.ndarray:
    """Add curvature in the null space of the softmax, where a penalty may have none.

    Scores have no component there, nor have differences between classes.
    """
    objective = data.objective
    if not objective.loss.shift_invariant:
        return matrix
    outputs = objective.n_outputs
    free_in_all = data.free.reshape(outputs, -1).all(axis=0)
    level = np.trace(matrix) / matrix.shape[0]
    return matrix + np.tile(np.diag(level * free_in_all), (outputs, outputs))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Invert a positive-definite matrix, scaled to a unit diagonal."""
    root = np.sqrt(np.diagonal(matrix))
    inverse = np.linalg.inv(matrix / root / root[:, None])
    return (inverse + inverse.T) / 2 / root / root[:, None]


def _between_clusters(data: FittedData, clusters: Clusters) -> tuple[np.ndarray, int]:
    """Sum the outer products of the clusters' scores; count clusters with a weight."""
    scores, counted = cluster_scores(
        data.objective, data.parameters, clusters.n, clusters.of_rows
    )
    n_clusters = int(np.count_nonzero(counted))
    if n_clusters < 2:
        raise ValueError(
            "The rows with a weight are of one cluster; at least two are needed."
        )
    return data.unit**2 * data.on_host(scores.T @ scores), n_clusters


def _correction(
    data: FittedData, cov_type: str, n_clusters: int | None, aliased: Aliased
) -> float:
    """Return the factor for the degrees of freedom that the estimates take."""
    n = data.n_samples
    k = data.n_equations * aliased.kept.size
    if n <= k and cov_type in ("HC1", "cluster"):
        raise ValueError(
            f"cov_type={cov_type!r} needs more observations than parameters; there are "
            f"{n:g} (the sum of the weights) and {k}. Pass cov_type='nonrobust' or "
            "'HC0'."
        )
    if cov_type == "HC1":
        return n / (n - k)
    if n_clusters is not None:
        return n_clusters / (n_clusters - 1) * (n - 1) / (n - k)
    return 1.0


def _reported_params(
    data: FittedData, standardized: np.ndarray, aliased: Aliased
) -> np.ndarray:
    """Return the estimates; kept columns take over the part of the aliased ones."""
    columns = standardized.reshape(data.objective.n_outputs, -1).copy()
    columns[:, aliased.kept] += columns[:, aliased.dropped] @ aliased.weights.T
    columns[:, aliased.dropped] = 0
    params = data.reported(columns.reshape(1, -1))[0]
    params.reshape(data.n_equations, -1)[:, aliased.dropped] = np.nan
    return params


def _reported_covariance(
    data: FittedData, covariance: np.ndarray, aliased: Aliased
) -> np.ndarray:
    reported = data.reported(data.reported(covariance).T)
    # A difference of two classes has none only where neither class moves.
    moves = np.abs(data.reported(np.diag(data.free.astype(float)))).sum(axis=0)
    none = (moves == 0).reshape(data.n_equations, -1)
    none[:, aliased.dropped] = True
    if data.fit_intercept:
        none[:, 0] = False
    none = none.reshape(-1)
    reported[none, :] = np.nan
    reported[:, none] = np.nan
    return reported


def _above_rounding(
    data: FittedData, inverse: np.ndarray, meat: np.ndarray, reported: np.ndarray
) -> np.ndarray:
    """Raise variances to what rounding errors of the meat make of zero.

    A variance is zero for the difference of two classes that move together.

    Raises
    ------
    ValueError
        If rounding errors are large beside a variance, and not small beside the inverse
        Hessian: the data hardly determine the parameter.
    """
    eps = data.objective.wide_rounding
    half = data.reported(inverse)
    least = eps * (np.sqrt(np.diagonal(meat)) @ np.abs(half)) ** 2
    of_model = np.diagonal(data.reported(half.T))
    variance = np.diagonal(reported)
    lost = (least > 0.1 * variance) & (least > eps**0.5 * of_model)
    if lost.any():
        names = map(printable, np.asarray(data.names * data.n_equations)[lost])
        raise ValueError(
            f"The variances of the coefficients of {', '.join(dict.fromkeys(names))} "
            "are lost in rounding errors: the data and the penalty hardly determine "
            "them. Standardise the features, or lower C."
        )
    raised = reported.copy()
    np.fill_diagonal(raised, np.maximum(variance, least))
    return raised


def _refuse_out_of_range(
    data: FittedData, covariance: np.ndarray, reported: np.ndarray
) -> None:
    """Raise ValueError where a variance is infinite or zero in units of X alone."""
    own = np.diagonal(covariance).reshape(data.objective.n_outputs, -1).max(axis=0)
    _, scale = data.scaler
    scale = np.append(np.ones(int(data.fit_intercept)), scale)
    vanished = (own > 0) & (own / scale / scale == 0)
    infinite = np.isinf(np.diagonal(reported)).reshape(data.n_equations, -1).any(axis=0)
    wrong = np.asarray(data.names)[vanished | infinite]
    if wrong.size:
        names = map(printable, wrong[:5])
        raise ValueError(
            f"The variances of the coefficients of {', '.join(names)} leave the "
            "range of float64: the numbers of those features are too small or too "
            "large. Standardise them (sklearn.preprocessing.StandardScaler), and fit "
            "again."
        )
