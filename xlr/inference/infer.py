"""From a fitted model and its rows to standard errors and tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators import FirthLogisticRegression
from xlr.inference.clusters import read_clusters
from xlr.inference.constrained import constrained_minimum
from xlr.inference.covariance import Estimates, Known, estimate, look
from xlr.inference.evidence import (
    Evidence,
    check_model,
    read_evidence,
    refuse_other_rows,
)
from xlr.inference.results import InferenceResults
from xlr.inference.summary import notes_on
from xlr.inputs.features import read_features
from xlr.threads import ALONE, workers

__all__ = ["infer"]

COV_TYPES = "nonrobust", "HC0", "HC1", "cluster"


def infer(
    model: Any,
    X: Array,
    y: Array,
    sample_weight: Array | None = None,
    *,
    offset: Array | None = None,
    cov_type: Literal["nonrobust", "HC0", "HC1", "cluster"] = "nonrobust",
    groups: Any = None,
    collinear: Literal["nan", "raise"] = "nan",
) -> InferenceResults:
    r"""Standard errors, tests and intervals of a fitted model.

    Parameters
    ----------
    model : LogisticRegression, LogisticRegressionCV or FirthLogisticRegression
        Fitted, of two classes or multinomial. Estimates are those of the model after
        one more Newton step, if it converged: what ``tol`` leaves open may be as large
        as a standard error where there are very many rows.
    X : array or sparse matrix of shape (n_samples, n_features)
    y : array of shape (n_samples,)
    sample_weight : array of shape (n_samples,), default=None
        How often each row counts, as in the fit.
    offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
        As in the fit.
    cov_type : {'nonrobust', 'HC0', 'HC1', 'cluster'}, default='nonrobust'
        - ``'nonrobust'``: the inverse of the information I; right if the model is.
        - ``'HC0'``: White's sandwich :math:`I^{-1} (\sum_i g_i g_i^T) I^{-1}` of the
          scores g of the rows, right if only the mean is.
        - ``'HC1'``: the same times n / (n - k).
        - ``'cluster'``: with scores summed within ``groups`` first, times
          G / (G - 1) (n - 1) / (n - k) for G groups.

        With the curvature P of a penalty, :math:`(I + P)^{-1}` takes the place of
        :math:`I^{-1}` in the sandwich, which with I in the middle is then
        ``'nonrobust'``: the covariance of the penalised estimates about their mean,
        not about the truth. Coefficients that an L1 penalty holds at zero, or a bound,
        count as known.
    groups : array of shape (n_samples,), default=None
        The cluster of each row: numbers or strings.
    collinear : {'nan', 'raise'}, default='nan'
        What to do about columns that are sums of others (without a penalty, their
        coefficients are not determined): leave them out, as R does, with NaN in their
        place, or raise.

    Returns
    -------
    InferenceResults

    Raises
    ------
    TypeError, ValueError
        If the model is not fitted or not at the optimum on these rows, if there is no
        finite one (separation, with what separates), a parameter or the data are not as
        described, or columns are collinear and ``collinear='raise'``.

    References
    ----------
    Agresti (2013), *Categorical Data Analysis*, sections 4.6, 5.1 and 8.1; White
    (1982), *Maximum likelihood estimation of misspecified models*; Gray (1992),
    *Flexible methods for analyzing survival data using splines*, for penalised fits.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> import xlr
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> X = X[["mean radius", "mean texture"]]
    >>> model = xlr.LogisticRegression(C=float("inf"), tol=1e-10).fit(X, y)
    >>> results = xlr.infer(model, X, y)
    >>> results.bse.round(3)
    array([1.774, 0.101, 0.037])
    >>> print(results.odds_ratios())
                                     Odds ratios
    ==============================================================================
                                                  odds ratio     [0.025     0.975]
    ------------------------------------------------------------------------------
    mean radius                                       0.3475     0.2848     0.4239
    mean texture                                      0.8040     0.7477     0.8646
    ==============================================================================
    """
    if cov_type not in COV_TYPES:
        names = ", ".join(map(repr, COV_TYPES))
        raise ValueError(f"cov_type must be one of {names}; got {cov_type!r}.")
    if collinear not in ("nan", "raise"):
        raise ValueError(f"collinear must be 'nan' or 'raise'; got {collinear!r}.")
    check_model(model)
    _check_covariance(model, cov_type)
    if (groups is None) == (cov_type == "cluster"):
        raise ValueError(
            "cov_type='cluster' needs groups, the cluster of each row, and the others "
            f"take none; got cov_type={cov_type!r} and groups={groups!r}."
        )
    chunked = not isinstance(model, FirthLogisticRegression)
    features = read_features(model, X, reset=False, chunked=chunked)
    clusters = None if groups is None else read_clusters(groups, features.X)
    with workers(features.X, model.n_jobs) as crew, arrays.quiet():
        evidence = read_evidence(model, features, y, sample_weight, offset, crew)
        if clusters is not None:
            clusters = clusters.among(evidence.features.X)
        known = look(evidence, cov_type)
        refuse_other_rows(evidence, known.gradient)
        _refuse_separation(evidence, known)
        estimates = estimate(evidence, known, cov_type, clusters)
        if collinear == "raise" and estimates.aliased.dropped.size:
            raise ValueError(
                "Columns are sums of others, so that their coefficients are not "
                f"determined: {estimates.aliased.describe(evidence.names)}. Leave them "
                "out, or pass collinear='nan'."
            )
        evidence = evidence.at(estimates.at)
        estimates, null = _log_likelihoods(evidence, estimates)
        notes = notes_on(evidence, estimates, cov_type)
    # The threads are gone: what is asked for later runs in this one.
    evidence.objective.design.workers = ALONE
    return InferenceResults(evidence, estimates, cov_type, null, notes)


def _refuse_separation(evidence: Evidence, known: Known) -> None:
    if evidence.is_penalised or evidence.is_firth:
        return
    if getattr(evidence.model, "_has_optimum", False):  # the fit looked
        return
    found = evidence.problem.separation(
        evidence.parameters,
        known.gradient,
        known.bread / evidence.total_weight,
    )
    if found is not None:
        raise ValueError(found.describe(evidence.features.column_names))


def _check_covariance(model: Any, cov_type: str) -> None:
    if isinstance(model, FirthLogisticRegression) and cov_type != "nonrobust":
        raise ValueError(
            "With Firth's penalty there is the covariance of the model alone: "
            f"cov_type must be 'nonrobust'; got {cov_type!r}."
        )
    if getattr(model, "class_weight", None) is not None and cov_type == "nonrobust":
        raise ValueError(
            "With class_weight the inverse of the information is no covariance: the "
            "weights are not counts of rows. Pass cov_type='HC0', or fit without "
            "class_weight."
        )


def _log_likelihoods(
    evidence: Evidence, estimates: Estimates
) -> tuple[Estimates, float]:
    """The log-likelihood, with Firth's penalty if there is one, and of no features."""
    objective, total = evidence.objective, evidence.total_weight
    constant = 0.0
    if evidence.is_firth:
        # The information in units of X, and of the weights as they were given.
        units = evidence.problem.units
        assert units is not None
        constant = float(np.log(arrays.to_host(units.scale)).sum())
        constant += objective.n_parameters * np.log(evidence.unit) / 2
        value = objective.value_and_gradient(evidence.parameters).value
        fitted = constant - total * float(arrays.to_host(value)[0])
        estimates = replace(estimates, log_likelihood=fitted)
    if (
        evidence.fit_intercept
        and not evidence.is_firth
        and objective.design.offset is None
    ):
        shares = evidence.class_totals / total
        return estimates, float(evidence.class_totals @ np.log(shares))
    zeros = np.zeros(objective.n_parameters)
    if not evidence.fit_intercept:
        value = objective.value_and_gradient(objective.zeros()).value
        return estimates, constant - total * float(arrays.to_host(value)[0])
    place = np.arange(objective.n_parameters) % objective.column_size
    is_coef = place < objective.n_features
    constraints = np.eye(objective.n_parameters)[is_coef]
    null = constrained_minimum(objective, zeros, constraints, zeros[is_coef])
    return estimates, constant - total * null.value
