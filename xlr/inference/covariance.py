"""The covariance of the estimates: inverse information and sandwiches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.inference.clusters import Clusters
from xlr.inference.evidence import Evidence
from xlr.objective import Aliased, cluster_scores, find_aliased, information

__all__ = ["Estimates", "Known", "estimate", "look"]


@dataclass(frozen=True)
class Estimates:
    """Estimates and their covariance, as reported, on the host.

    Attributes
    ----------
    at : ndarray of shape (n_parameters,)
        In the units of the solver.
    params : ndarray of shape (n_reported,)
        NaN for an aliased feature.
    covariance : ndarray of shape (n_reported, n_reported)
        NaN for what has none: an aliased feature, or one held at zero or a bound.
    standardised : ndarray of shape (n_parameters, n_parameters)
        The same in the units of the solver, zero where there is none.
    inverse : ndarray of shape (n_parameters, n_parameters)
        Of the Hessian of the sum of the losses and the penalty, likewise.
    aliased : Aliased
        Columns of X, with the intercept, if there is one, before them.
    log_likelihood : float
    effective_df : float
        Trace of the information times the inverse of the Hessian of F.
    """

    at: np.ndarray
    params: np.ndarray
    covariance: np.ndarray
    standardised: np.ndarray
    inverse: np.ndarray
    aliased: Aliased
    log_likelihood: float
    effective_df: float


@dataclass(frozen=True)
class Known:
    """What the pass over the rows found out, on the host, in units of the solver.

    Attributes
    ----------
    loss : float
        Less the log-likelihood.
    slope : ndarray of shape (n_parameters,)
        Of the loss.
    gradient : ndarray of shape (n_parameters,)
        Of F, the least subgradient where it has kinks.
    information : ndarray of shape (n_parameters, n_parameters)
    bread : ndarray of shape (n_parameters, n_parameters)
        The information and the curvature of the penalty.
    outer : ndarray of shape (n_parameters, n_parameters) or None
        The outer products of the scores of the rows.
    """

    loss: float
    slope: np.ndarray
    gradient: np.ndarray
    information: np.ndarray
    bread: np.ndarray
    outer: np.ndarray | None


def look(evidence: Evidence, cov_type: str) -> Known:
    """The pass over the rows."""
    objective, at = evidence.objective, evidence.parameters
    by_row = cov_type in ("HC0", "HC1")
    found = information(objective, at, evidence.class_factors if by_row else None)
    if evidence.is_firth:
        gradient = objective.value_and_gradient(at).gradient
    else:
        slope = found.gradient / objective.total_weight
        gradient = slope[None, :] + objective.penalty_gradient(at)
    gradient = objective.minimum_norm_subgradient(at, gradient)

    def host(part: Array) -> np.ndarray:
        return evidence.unit * arrays.to_host(part).astype(np.float64)

    matrix = host(found.hessian)
    bread = _filled(matrix, evidence) + np.diag(evidence.strength)
    host_gradient = arrays.to_host(gradient)[0].astype(np.float64)
    outer = None if found.outer is None else host(found.outer)
    loss = float(host(found.loss))
    return Known(loss, host(found.gradient), host_gradient, matrix, bread, outer)


def estimate(
    evidence: Evidence, known: Known, cov_type: str, clusters: Clusters | None
) -> Estimates:
    r"""Estimates and their covariance.

    With the information I of the likelihood and the curvature P of the penalty, the
    estimates move with the scores of the rows by :math:`(I + P)^{-1}`, so that their
    covariance is

    .. math:: (I + P)^{-1} M (I + P)^{-1}

    where M is that of the sum of the scores: I if the model is right, the sum of
    :math:`g_i g_i^T` over the rows (HC0), n / (n - k) of it (HC1), or over the sums of
    the scores in clusters.

    Parameters
    ----------
    evidence : Evidence
    known : Known
    cov_type : {'nonrobust', 'HC0', 'HC1', 'cluster'}
    clusters : Clusters or None
        The cluster of each row: 0, 1, ..., for ``'cluster'``.

    References
    ----------
    White (1982), *Maximum likelihood estimation of misspecified models*; MacKinnon and
    White (1985), *Some heteroskedasticity-consistent covariance matrix estimators*;
    Liang and Zeger (1986), *Longitudinal data analysis using generalized linear
    models*.
    """
    matrix = known.information
    aliased, chosen = _kept(evidence, matrix)
    inverse = np.zeros_like(matrix)
    inverse[chosen] = _inverse(known.bread[chosen])
    meat, n_clusters = matrix, None
    if known.outer is not None:
        meat = known.outer
    elif clusters is not None:
        meat, n_clusters = _between_clusters(evidence, clusters)
    covariance = inverse
    sandwich = evidence.is_penalised or meat is not matrix
    if sandwich:
        covariance = inverse @ meat @ inverse
        covariance = (covariance + covariance.T) / 2
    effective_df = float(np.sum(inverse * matrix))
    at = arrays.to_host(evidence.parameters)[0].astype(np.float64)
    step = np.zeros_like(at)
    if evidence.model.converged_:
        # The Newton step that the information is good for: with many rows a standard
        # error is less than what tol leaves open.
        step = -inverse @ known.gradient * evidence.total_weight
    change = known.slope @ step + step @ matrix @ step / 2
    covariance = covariance * _correction(evidence, cov_type, n_clusters, aliased)
    reported = _reported(evidence, covariance, aliased)
    _refuse_out_of_range(evidence, covariance, reported)
    if sandwich:
        reported = _known_to_rounding(evidence, inverse, meat, reported)
    return Estimates(
        at + step,
        _params(evidence, at + step, aliased),
        reported,
        covariance,
        inverse,
        _in_units_of_data(evidence, aliased),
        -(known.loss + change),
        effective_df,
    )


def _kept(
    evidence: Evidence, matrix: np.ndarray
) -> tuple[Aliased, tuple[np.ndarray, ...]]:
    """Columns that make each other up, and the parameters that are neither those nor
    held: as indices of a square matrix.
    """
    objective = evidence.objective
    outputs, size = objective.n_outputs, objective.column_size
    curved = matrix + np.diag(evidence.strength)
    # Summed over the classes: weights of the rows do not matter here.
    blocks = curved.reshape(outputs, size, outputs, size)
    gram = np.einsum("kikj->ij", blocks)
    if evidence.fit_intercept:  # the first to be kept
        gram = np.roll(gram, 1, axis=(0, 1))
    free = evidence.free.reshape(outputs, size)
    moves = free.any(axis=0)
    moves = np.roll(moves, 1) if evidence.fit_intercept else moves
    columns = np.nonzero(moves)[0]
    found = find_aliased(gram[np.ix_(columns, columns)], objective.wide_rounding)
    aliased = Aliased(columns[found.kept], columns[found.dropped], found.weights)
    dropped = np.zeros(size, dtype=bool)
    dropped[aliased.dropped] = True
    dropped = np.roll(dropped, -1) if evidence.fit_intercept else dropped
    chosen = (free & ~dropped).reshape(-1)
    return aliased, np.ix_(chosen, chosen)


def _in_units_of_data(evidence: Evidence, aliased: Aliased) -> Aliased:
    """The same with the columns of X: x_j = m_j + d_j z_j, z_k = (x_k - m_k) / d_k."""
    units = evidence.problem.scaler
    assert units is not None
    mean, scale = (arrays.to_host(part) for part in (units.mean, units.scale))
    if evidence.fit_intercept:
        mean, scale = np.append(0.0, mean), np.append(1.0, scale)
    weights = aliased.weights * scale[aliased.dropped] / scale[aliased.kept][:, None]
    if evidence.fit_intercept:  # the first that is kept
        weights[0] += mean[aliased.dropped] - mean[aliased.kept] @ weights
    return aliased._replace(weights=weights)


def _filled(matrix: np.ndarray, evidence: Evidence) -> np.ndarray:
    """With curvature along equal changes to all classes, where the penalty may have
    next to none.

    Scores have no component there, nor have differences between classes.
    """
    objective = evidence.objective
    if not objective.loss.shift_invariant:
        return matrix
    outputs, size = objective.n_outputs, objective.column_size
    alike = evidence.free.reshape(outputs, size).all(axis=0)
    level = np.trace(matrix) / matrix.shape[0]
    return matrix + np.tile(np.diag(level * alike), (outputs, outputs))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Of a positive-definite matrix, scaled to a unit diagonal."""
    root = np.sqrt(np.diagonal(matrix))
    inverse = np.linalg.inv(matrix / root / root[:, None])
    return (inverse + inverse.T) / 2 / root / root[:, None]


def _between_clusters(evidence: Evidence, clusters: Clusters) -> tuple[np.ndarray, int]:
    """The sum over clusters, and how many have rows that count."""
    objective = evidence.objective
    scores, counted = cluster_scores(
        objective, evidence.parameters, clusters.n, clusters.of_rows
    )
    n_clusters = int(np.count_nonzero(counted))
    if n_clusters < 2:
        raise ValueError(
            "The rows with a weight are of one cluster; at least two are needed."
        )
    return evidence.unit**2 * scores.T @ scores, n_clusters


def _correction(
    evidence: Evidence, cov_type: str, n_clusters: int | None, aliased: Aliased
) -> float:
    """For the degrees of freedom that the estimates take."""
    n = evidence.n_samples
    k = evidence.n_equations * aliased.kept.size
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


def _params(evidence: Evidence, at: np.ndarray, aliased: Aliased) -> np.ndarray:
    """Estimates without the aliased columns, whose part the others take over."""
    size = evidence.objective.column_size
    columns = at.reshape(-1, size).copy()
    if evidence.fit_intercept:
        columns = np.roll(columns, 1, axis=1)
    columns[:, aliased.kept] += columns[:, aliased.dropped] @ aliased.weights.T
    columns[:, aliased.dropped] = 0
    if evidence.fit_intercept:
        columns = np.roll(columns, -1, axis=1)
    params = evidence.reported(columns.reshape(1, -1))[0]
    params.reshape(-1, size)[:, aliased.dropped] = np.nan
    return params


def _reported(
    evidence: Evidence, covariance: np.ndarray, aliased: Aliased
) -> np.ndarray:
    half = evidence.reported(covariance)
    reported = evidence.reported(np.ascontiguousarray(half.T))
    size = evidence.objective.column_size
    # A difference of two classes has none only where neither class moves.
    moves = np.abs(evidence.reported(np.diag(evidence.free.astype(float)))).sum(axis=0)
    none = (moves == 0).reshape(-1, size)
    none[:, aliased.dropped] = True
    if evidence.fit_intercept:
        none[:, 0] = False
    none = none.reshape(-1)
    reported[none, :] = np.nan
    reported[:, none] = np.nan
    return reported


def _known_to_rounding(
    evidence: Evidence, inverse: np.ndarray, meat: np.ndarray, reported: np.ndarray
) -> np.ndarray:
    """The same, with variances no less than rounding errors of the meat make of zero.

    It is zero for the difference of two classes that move together.

    Raises
    ------
    ValueError
        If that is much beside the inverse of the Hessian: along what the data hardly
        determine, robust variances may be much less than that.
    """
    eps = evidence.objective.wide_rounding
    moves = evidence.reported(inverse)
    least = eps * (np.sqrt(np.diagonal(meat)) @ np.abs(moves)) ** 2
    of_model = np.diagonal(evidence.reported(np.ascontiguousarray(moves.T)))
    variance = np.diagonal(reported)
    lost = (least > 0.1 * variance) & (least > eps**0.5 * of_model)
    if lost.any():
        names = np.asarray(evidence.names * evidence.n_equations)[lost]
        raise ValueError(
            f"The variances of the coefficients of {', '.join(dict.fromkeys(names))} "
            "are lost in rounding errors: the data and the penalty hardly determine "
            "them. Standardise the features, or lower C."
        )
    known = reported.copy()
    np.fill_diagonal(known, np.maximum(variance, least))
    return known


def _refuse_out_of_range(
    evidence: Evidence, covariance: np.ndarray, reported: np.ndarray
) -> None:
    """Raise ValueError where a variance is one in the units of the solver, and infinite
    or zero in those of X.
    """
    size = evidence.objective.column_size
    own = np.diagonal(covariance).reshape(-1, size).max(axis=0)
    units = evidence.problem.scaler
    assert units is not None
    scale = np.append(arrays.to_host(units.scale), np.ones(int(evidence.fit_intercept)))
    vanished = (own > 0) & (own / scale / scale == 0)
    vanished = np.roll(vanished, 1) if evidence.fit_intercept else vanished
    infinite = np.isinf(np.diagonal(reported)).reshape(-1, size).any(axis=0)
    wrong = np.asarray(evidence.names)[vanished | infinite]
    if wrong.size:
        raise ValueError(
            f"The variances of the coefficients of {', '.join(wrong[:5])} leave the "
            "range of float64: the numbers of those features are too small or too "
            "large. Standardise them (sklearn.preprocessing.StandardScaler), and fit "
            "again."
        )
