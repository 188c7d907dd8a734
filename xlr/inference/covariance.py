"""Covariances of the estimates: inverse information and sandwiches."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.inference.fitted_data import Estimates, FittedData
from xlr.inference.newton import NewtonStep, refine
from xlr.inputs.labels import on_host
from xlr.inputs.tables import is_missing
from xlr.losses import Loss
from xlr.objective import passes
from xlr.objective.hessian_matrices import bordered
from xlr.text import listed, printable

# Powers of 1 - h that divide the outer products of the scores.
LEVERAGE_POWERS = {"HC2": 1.0, "HC3": 2.0}

ROUNDING = float(np.finfo(np.float64).eps)


def estimate(
    newton: NewtonStep, cov_type: str, clusters: np.ndarray | None
) -> tuple[FittedData, Estimates]:
    r"""Compute the estimates and their covariance.

    With the information I of the likelihood and the curvature P of the penalty,
    a change g of the summed scores moves the estimates by :math:`(I + P)^{-1} g`, so
    that their covariance is

    .. math:: (I + P)^{-1} M (I + P)^{-1}

    where M is the covariance of the sum of the scores. It is I if the model is correct.
    For HC0 it is the sum of :math:`g_i g_i^T` over the rows, and for HC1 n / (n - k)
    times that sum. HC2 and HC3 divide each term by a power of 1 - h, with the leverage
    h of its row. For clusters, M sums the outer products of their scores. Several ways
    of clustering may give negative eigenvalues, which are set to zero.

    Parameters
    ----------
    newton : NewtonStep
        Step at the coefficients of the model.
    cov_type : {'nonrobust', 'HC0', 'HC1', 'HC2', 'HC3', 'cluster'}
    clusters : ndarray of shape (n_samples, n_ways) or None
        The clusters of each row: 0, 1, ..., for ``'cluster'``.

    Returns
    -------
    data : FittedData
        Data at the estimates.
    estimates : Estimates

    Raises
    ------
    ValueError
        If the information is zero, or a variance is lost in rounding errors.

    References
    ----------
    White (1982), *Maximum likelihood estimation of misspecified models*; MacKinnon and
    White (1985), *Some heteroskedasticity-consistent covariance matrix estimators*;
    Liang and Zeger (1986), *Longitudinal data analysis using generalized linear
    models*.
    """
    # 1. The estimates, and the information at the estimates.
    newton = refine(newton)
    if not newton.information.any():
        raise ValueError(
            "All predictions are certain, so that the rows do not determine standard "
            "errors. Check the offset, or lower C."
        )
    data, influence = newton.data, newton.influence
    parameter_map, (kept, dropped, weights) = data.parameter_map, newton.aliased
    standardized_params = data.standardized_params + newton.step
    # 2. Their covariance.
    covariance, was_indefinite, meat = newton.inverse_hessian, False, None
    if data.is_penalised or cov_type != "nonrobust":
        meat = _meat(newton, cov_type, clusters)
        covariance = influence @ meat @ influence.T
        covariance = (covariance + covariance.T) / 2
    if clusters is not None and clusters.shape[1] > 1:
        values, vectors = np.linalg.eigh(covariance)
        was_indefinite = bool(values[0] < -values.size * ROUNDING * values[-1])
        covariance = vectors * np.maximum(values, 0) @ vectors.T
    effective_df = float(np.sum(influence * newton.information))
    if not data.is_penalised:
        effective_df = float(np.rint(effective_df))
    # 3. Both in units of X. Kept columns include the part of aliased columns.
    by_output = standardized_params.reshape(parameter_map.n_outputs, -1).copy()
    by_output[:, kept] += by_output[:, dropped] @ weights.T
    by_output[:, dropped] = 0
    params = parameter_map.to_reported(by_output.reshape(1, -1))
    params = params.reshape(-1, len(data.names))
    params[:, dropped + int(parameter_map.fit_intercept)] = np.nan
    reported = parameter_map.to_reported(parameter_map.to_reported(covariance).T)
    if meat is not None:
        _bound_variances_below(reported, newton, meat)
    has_none = (parameter_map.matrix[:, newton.free] == 0).all(axis=1)
    reported[has_none, :] = reported[:, has_none] = np.nan
    estimates = Estimates(
        params=params.reshape(-1),
        covariance=reported,
        standardized_params=standardized_params,
        standardized_covariance=covariance,
        inverse_hessian=newton.inverse_hessian,
        llf=newton.log_likelihood,
        effective_df=effective_df,
        aliased=listed([data.column_names[j] for j in dropped], printable),
        was_indefinite=was_indefinite,
    )
    return data.with_estimates(standardized_params), estimates


def _bound_variances_below(
    reported: np.ndarray, newton: NewtonStep, meat: np.ndarray
) -> None:
    """Bound variances below by their rounding error.

    If two classes share their coefficients, the variance of their difference is zero
    up to rounding errors, which may be negative.

    Raises
    ------
    ValueError
        If rounding errors are large compared with a variance and with the inverse
        Hessian: the data hardly determine the parameter.
    """
    data, variance = newton.data, np.diagonal(reported)
    eps = data.objective.accumulation_rounding
    to_reported = data.parameter_map.to_reported
    root_meat = np.sqrt(np.abs(np.diagonal(meat)))
    influence = np.abs(to_reported(newton.influence.T))
    rounding_variance = eps * (root_meat @ influence) ** 2
    model_variance = np.diagonal(to_reported(to_reported(newton.inverse_hessian).T))
    is_lost = rounding_variance > 0.1 * variance
    is_lost &= rounding_variance > eps**0.5 * model_variance
    if is_lost.any():
        columns = is_lost.reshape(-1, len(data.names)).any(axis=0)
        names = listed(np.asarray(data.names)[columns].tolist())
        raise ValueError(
            f"The variances of the coefficients of {names} are lost in rounding "
            "errors: the data and the penalty hardly determine them. Standardise the "
            "features, or lower C."
        )
    np.fill_diagonal(reported, np.maximum(variance, rounding_variance))


def _meat(newton: NewtonStep, cov_type: str, clusters: np.ndarray | None) -> np.ndarray:
    """Return the meat M of the sandwich, with its small-sample factor."""
    if cov_type == "nonrobust":
        return newton.information
    n = float(newton.data.dataset.totals.sum())
    k = newton.data.n_equations * newton.aliased.kept.size
    if n <= k and cov_type in ("HC1", "cluster"):
        raise ValueError(
            f"cov_type={cov_type!r} needs more observations than parameters; there are "
            f"{n:g} (the sum of the weights) and {k}. Pass 'nonrobust' or 'HC0'."
        )
    if clusters is not None:
        return cluster_outer_products(newton.data, clusters) * ((n - 1) / (n - k))
    outer = outer_products(newton, LEVERAGE_POWERS.get(cov_type, 0.0))
    return outer * (n / (n - k)) if cov_type == "HC1" else outer


# -- scores of rows --------------------------------------------------------------------


def outer_products(newton: NewtonStep, power: float) -> np.ndarray:
    r"""Return the sum of the outer products of the scores of the rows, in one pass.

    With weights :math:`s_i = f_i c_{y_i}`, the count :math:`f_i` of the row and the
    factor :math:`c_k` of its class, the sum is

    .. math:: \sum_i f_i c_{y_i}^2\, \nabla\ell_i \nabla\ell_i^T / (1 - h_i)^{power}

    because a row that counts several times has as many scores. The leverage of a row
    that counts once is :math:`h_i = c_{y_i} p_i (1 - p_i) z_i^T (I + P)^{-1} z_i`.
    ``power`` is above 0 only for two classes.
    """
    data, objective = newton.data, newton.data.objective
    sums = data.sum_rows(
        _outer_sums,
        objective.place(data.dataset.class_weights.factors),
        power,
        objective.place(newton.inverse_hessian),
        width=3 * objective.n_parameters,
        least=4 * objective.n_outputs * objective.n_features,
    )
    return (bordered(*sums, xp=np) if objective.fit_intercept else sums[0])[0]


def _outer_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    class_weights: Array,
    power: float,
    inverse_hessian: Array,
) -> tuple[Array, ...]:
    xp, widest = block.xp, block.accumulation_dtype
    block = block._replace(matrix=block.matrix.astype(widest))
    eta = passes.logits(block, loss, parameters)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    class_weight = xp.take(class_weights, xp.astype(block.labels[:, 0], xp.int32))
    weight = class_weight * xp.astype(block.weights[:, 0], widest)
    if power > 0:
        Z = design(block, loss, parameters)
        curvature = loss.curvature(eta, block.labels, xp=xp).values[:, 0, 0]
        squares = xp.sum(xp.matmul(Z, inverse_hessian) * Z, axis=1)
        leverage = class_weight * curvature * squares
        weight = weight / (1 - leverage) ** power
    scores = xp.sqrt(weight)[:, None, None] * xp.astype(gradient, widest)
    return passes.outer_sums(block, scores, widest)


def design(block: Block, loss: Loss, parameters: Array) -> Array:
    """Return the rows as a dense array, with a column of ones for an intercept."""
    xp = block.xp
    Z = block.matrix.astype(block.accumulation_dtype).to_dense()
    if parameters.shape[1] > loss.n_outputs * Z.shape[1]:
        Z = xp.concat([Z, xp.ones_like(Z[:, :1])], axis=1)
    return Z


def square_root(matrix: np.ndarray) -> np.ndarray:
    """Return R with R R' = M for a positive semi-definite M."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0))


# -- clusters of rows ------------------------------------------------------------------


def read_clusters(groups: Any, n_samples: int) -> np.ndarray:
    """Return the cluster ids of each row, (n_samples, n_ways), on the host.

    Groups in Dask are computed once.

    Raises
    ------
    ValueError
        If a group is missing or cannot be compared, or if the number of groups differs
        from the number of rows.
    """
    values = on_host({"groups": groups})["groups"]
    # Among strings, NumPy would convert NaN to a string, except in an object array.
    is_list = isinstance(values, list | tuple)
    values = np.asarray(values, dtype=object if is_list else None)
    if values.ndim not in (1, 2) or values.shape[0] != n_samples or not values.size:
        raise ValueError(
            f"groups has shape {values.shape}, expected ({n_samples},): the cluster of "
            f"each row; or ({n_samples}, m), its cluster in each of m ways."
        )
    columns = values.reshape(n_samples, -1).T
    return np.stack([_cluster_ids(column) for column in columns], axis=1)


def _cluster_ids(values: np.ndarray) -> np.ndarray:
    """Return the index of each value among the distinct values."""
    if values.dtype.kind == "O":  # hashing takes less time than sorting
        try:
            index_of = {value: k for k, value in enumerate(dict.fromkeys(values))}
        except TypeError as error:
            raise ValueError(
                f"groups holds values that name no group: {error}. Use numbers or "
                "strings."
            ) from error
        ids = np.asarray([index_of[value] for value in values])
        missing = np.asarray(list(map(is_missing, index_of)))
    else:
        distinct, ids = np.unique(values, return_inverse=True)
        missing = distinct != distinct
    if n_missing := np.count_nonzero(missing[ids]):
        raise ValueError(
            f"groups holds missing values, {n_missing} of {values.size}. "
            "Drop those rows and fit again, or give them a group of their own."
        )
    return ids


def _distinct_rows(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows of (n, m) ids, and the index of each row among them."""
    keys = ids[:, 0]
    for column in ids.T[1:]:  # NumPy sorts numbers faster than rows
        keys = np.unique(keys * (column.max() + 1) + column, return_inverse=True)[1]
    _, first, keys = np.unique(keys, return_index=True, return_inverse=True)
    return ids[first], keys


def cluster_outer_products(data: FittedData, clusters: np.ndarray) -> np.ndarray:
    r"""Sum the outer products of the scores of the clusters.

    Several ways of clustering combine by inclusion and exclusion: the sums of each way,
    less the sums of the intersections of two ways, and so on. Each sum over G clusters
    has the small-sample factor G / (G - 1). One pass suffices.

    Parameters
    ----------
    data : FittedData
    clusters : ndarray of shape (n_samples, n_ways)

    References
    ----------
    Cameron, Gelbach and Miller (2011), *Robust inference with multiway clustering*,
    Journal of Business and Economic Statistics 29.
    """
    objective = data.objective
    intersections, intersection_ids = _distinct_rows(clusters)
    parts = objective.data.map_reduce(
        _cluster_sums,
        objective.loss,
        data.parameters,
        width=3 * objective.n_parameters,
        combine=partial(_combine, len(intersections)),
        per_row=objective.data.place_rows(intersection_ids),
    )
    ids, sums = map(np.concatenate, zip(*parts))
    has_weight = sums[:, -1] > 0
    intersections, scores = intersections[ids[has_weight]], sums[has_weight, :-1]
    n_ways, total = intersections.shape[1], np.zeros((scores.shape[1],) * 2)
    for n_combined in range(1, n_ways + 1):
        for ways in itertools.combinations(range(n_ways), n_combined):
            _, ids = _distinct_rows(intersections[:, ways])
            _, cluster_scores = _sum_by_id(ids, scores)
            n_clusters = len(cluster_scores)
            if n_clusters < 2:
                raise ValueError(
                    "groups holds only one cluster among the rows of positive weight; "
                    "at least two are needed."
                )
            factor = (-1) ** (n_combined + 1) * n_clusters / (n_clusters - 1)
            total += factor * (cluster_scores.T @ cluster_scores)
    return data.dataset.mean_weight**2 * total


def _cluster_sums(
    block: Block, loss: Loss, parameters: Array, clusters: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray]]:
    """Return the sums of the scores, and the numbers of weighted rows, by cluster."""
    xp = block.xp
    eta = passes.logits(block, loss, parameters)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    gradient = xp.astype(block.weights * gradient[:, 0, :], block.accumulation_dtype)
    scores = gradient[:, :, None] * design(block, loss, parameters)[:, None, :]
    has_weight = xp.astype(block.weights > 0, block.accumulation_dtype)
    rows = xp.concat([xp.reshape(scores, (eta.shape[0], -1)), has_weight], axis=1)
    return (_sum_by_id(clusters, arrays.to_host(rows).astype(np.float64)),)


def _sum_by_id(ids: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct ids, and the sums of the rows with each."""
    distinct, positions = np.unique(ids, return_inverse=True)
    n_rows = ids.shape[0]
    indicators = csr_array((np.ones(n_rows), positions, np.arange(n_rows + 1)))
    return distinct, indicators.T @ rows


def _combine(n_clusters: int, a: tuple[Any, ...], b: tuple[Any, ...]) -> Any:
    """Concatenate two lists of cluster sums; merge equal clusters if they are long."""
    parts = a + b
    if sum(len(ids) for ids, _ in parts) > 2 * n_clusters:
        parts = (_sum_by_id(*map(np.concatenate, zip(*parts))),)
    return parts
