"""Inference for a fitted model, from its arguments to its results."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators import FirthLogisticRegression
from xlr.inference.covariance import estimate, read_clusters
from xlr.inference.fitted_data import (
    Estimates,
    FittedData,
    check_model,
    read_fitted_data,
)
from xlr.inference.newton import NewtonStep, constrained_minimum, profile_parameters
from xlr.inference.results import InferenceResults
from xlr.inference.row_statistics import saturated_log_likelihood
from xlr.inputs.features import read_features
from xlr.inputs.labels import SoftLabels
from xlr.inputs.parameters import check_option
from xlr.threads import SERIAL_POOL, thread_pool

COV_TYPES = "nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster"

OPTIMALITY_FACTOR = 10  # the gradient is recomputed from rounded coefficients


def infer(
    model: Any,
    X: Array,
    y: Array,
    sample_weight: Array | None = None,
    *,
    offset: Array | None = None,
    cov_type: Literal["nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster"] = "nonrobust",
    groups: Any = None,
    collinear: Literal["nan", "raise"] = "nan",
    reference: Any = None,
    profile: bool | None = None,
    keep_data: bool = False,
) -> InferenceResults:
    r"""Compute standard errors, tests and intervals for a fitted model.

    Parameters
    ----------
    model : LogisticRegression, LogisticRegressionCV or FirthLogisticRegression
        Fitted model, binary or multinomial; not ``multi_class='ovr'``. For
        LogisticRegressionCV, the standard errors treat the chosen C as fixed. If the
        fit converged, Newton's method continues from its coefficients until no standard
        error changes by more than a millionth: with very many rows, a fit within
        ``tol`` can be a standard error from the optimum.
    X : array or sparse matrix of shape (n_samples, n_features)
    y : array of shape (n_samples,)
        As in the fit.
    sample_weight : array of shape (n_samples,), default=None
        Frequency of each row, as in the fit: all results equal those of repeated rows.
        Weights that are not counts, such as inverse sampling probabilities, need
        ``cov_type='cluster'`` with a group for each row, ``groups=range(n_samples)``.
        Scale them first, so that their sum is n_samples. Class weights are not counts
        either: a fit with ``class_weight`` needs a robust or clustered covariance, and
        has no likelihood or any result that depends on it.
    offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
        As in the fit: of two classes, added to the log-odds of the second.
    cov_type : {'nonrobust', 'HC0', ..., 'HC3', 'cluster'}, default='nonrobust'
        - ``'nonrobust'``: the inverse information; valid if the model is correct.
        - ``'HC0'``: White's sandwich :math:`I^{-1} (\sum_i g_i g_i^T) I^{-1}` of the
          scores g of the rows, valid if the mean is correct.
        - ``'HC1'``: HC0 times n / (n - k), as in R's sandwich. statsmodels' Logit
          leaves the factor out, and Stata has n / (n - 1).
        - ``'HC2'``, ``'HC3'``: for two classes, HC0 with each row divided by
          :math:`1 - h_i` or :math:`(1 - h_i)^2`, with its leverage h.
        - ``'cluster'``: HC0 with scores summed within ``groups`` first, times
          G / (G - 1) (n - 1) / (n - k) for G groups.

        With the curvature P of a penalty, :math:`(I + P)^{-1}` replaces
        :math:`I^{-1}` in the sandwich. ``'nonrobust'`` is then the sandwich with I in
        the middle: the covariance of the penalised estimates about their mean, not
        about the truth. Coefficients at zero under the L1 penalty, or at a bound,
        count as known.
    groups : array of shape (n_samples,) or (n_samples, m), default=None
        Cluster labels of the rows, numbers or strings; m columns for m-way clustering,
        combined by inclusion and exclusion (Cameron, Gelbach and Miller 2011). Negative
        eigenvalues of their covariance, in standardized units, are set to zero, and a
        note says so.
    collinear : {'nan', 'raise'}, default='nan'
        Treatment of collinear columns, whose coefficients are not determined without a
        penalty: leave them out and report NaN, as in R, or raise an error.
    reference : label, default=None
        Reference class. None for the first class, or the first level of a categorical
        y, as in R. All results of two classes belong to the other class.
    profile : bool, default=None
        True for P-values and intervals of the profile likelihood, False for Wald's.
        The profile is more accurate if the likelihood is skewed; each parameter takes
        several fits. None means the profile for converged Firth fits without an L2
        penalty, as in R's logistf; Wald's for other fits, and, with a note, if the
        profile does not converge.
    keep_data : bool, default=False
        True to keep X and y in the results, for methods such as ``get_margeff``,
        ``profile_conf_int`` and ``get_influence``.

    Returns
    -------
    InferenceResults

    Raises
    ------
    TypeError, ValueError
        If the model is not fitted or not at the optimum of these rows, the classes are
        separated, or an argument is invalid. If columns are collinear, and
        ``collinear='raise'`` or ``profile=True``. If ``profile=True``, and the fit has
        a penalty other than Firth's.
    FloatingPointError
        If the fit of the null model or, with ``profile=True``, a profile does not
        converge.

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
    check_model(model)
    check_option("cov_type", cov_type, COV_TYPES)
    check_option("collinear", collinear, ("nan", "raise"))
    is_firth = isinstance(model, FirthLogisticRegression)
    _check_options(model, y, cov_type, groups, profile)
    features = read_features(model, X, reset=False, chunked=not is_firth)
    with thread_pool(features.stored, model.n_jobs) as pool, arrays.quiet():
        rows = y, sample_weight, offset
        data = read_fitted_data(model, features, *rows, reference, pool)
        clusters = None
        if groups is not None:
            clusters = read_clusters(groups, data.objective.n_samples)
        newton = NewtonStep(data)
        _refuse_other_rows(data, newton.subgradient)
        _refuse_separation(data, newton.subgradient)
        data, estimates = estimate(newton, cov_type, clusters)
        if collinear == "raise" and estimates.aliased:
            raise ValueError(
                "Columns are collinear, so that their coefficients are not "
                f"determined: {estimates.aliased}. Leave them out, or pass "
                "collinear='nan'."
            )
        if getattr(model, "class_weight", None):  # the weights are not counts
            estimates.llf = np.nan
        else:
            estimates.llnull = _null_log_likelihood(data)
        if isinstance(y, SoftLabels):
            estimates.saturated = saturated_log_likelihood(data)
        by_default = is_firth and model.converged_ and not data.is_penalised
        notes = _notes(data, estimates, cov_type == "cluster")
        if profile or (profile is None and by_default):
            try:
                estimates.profile = profile_parameters(data, estimates)
                notes.append("P-values and intervals come from the profile likelihood.")
            except FloatingPointError:
                if profile:
                    raise
                notes.append(
                    "Profiles did not converge: P-values and intervals are Wald's."
                )
        # The threads end here: methods of the results run in their caller.
        dataset = data.dataset
        for each in (data.objective.data, dataset.spec.data, dataset.labelled_data):
            each.pool = SERIAL_POOL
        return InferenceResults(data, estimates, cov_type, notes, keep_data)


def _check_options(
    model: Any, y: Any, cov_type: str, groups: Any, profile: bool | None
) -> None:
    """Raise ValueError for incompatible options."""
    robust, clustered = cov_type != "nonrobust", cov_type == "cluster"
    is_firth = isinstance(model, FirthLogisticRegression)
    has_groups = groups is not None
    refused = {
        "needs groups": clustered and not has_groups,
        "takes no groups: pass 'cluster', or omit groups": has_groups and not clustered,
        "needs a fit to two classes, for leverages: pass 'HC1'": (
            cov_type in ("HC2", "HC3") and arrays.to_host(model.classes_).size > 2
        ),
        "needs one label for each row: pass 'cluster', for rows of probabilities with "
        "groups=range(n_samples)": (
            isinstance(y, SoftLabels) and cov_type.startswith("HC")
        ),
        "is not for Firth's penalty: pass 'nonrobust'": is_firth and robust,
        "is not for class_weight, whose weights are not counts of rows: pass 'HC0'": (
            getattr(model, "class_weight", None) and not robust
        ),
        "is not for profile=True: pass 'nonrobust'": profile and robust,
    }
    for sentence, applies in refused.items():
        if applies:
            raise ValueError(f"cov_type={cov_type!r} {sentence}.")


def _refuse_other_rows(data: FittedData, gradient: np.ndarray) -> None:
    """Raise ValueError if the gradient on these rows exceeds the fit's tolerance."""
    model, optimality = data.model, float(np.abs(gradient).max())
    reached = max(float(model.tol), getattr(model, "optimality_", 0.0))
    limit = OPTIMALITY_FACTOR * max(reached, data.objective.rounding**0.5)
    if not optimality <= limit:
        advice = "Pass the X, y, sample_weight and offset of the fit."
        if not hasattr(model, "_one_vs_rest"):  # not fitted by xlr
            advice += " For a model from from_sklearn, call model.fit(X, y) first."
        raise ValueError(
            "The model is not the optimum on these rows: the gradient of F is "
            f"{optimality:.3g}, expected at most {limit:.3g}. {advice}"
        )


def _refuse_separation(data: FittedData, gradient: np.ndarray) -> None:
    """Raise ValueError, with the features, if the estimates are infinite."""
    is_checked = getattr(data.model, "_has_optimum", False)  # by the fit
    if not (data.is_penalised or data.is_firth or is_checked):
        separation = data.problem.separation(data.parameters, gradient)
        if separation is not None:
            raise ValueError(separation.describe(data.column_names))


def _notes(data: FittedData, estimates: Estimates, is_clustered: bool) -> list[str]:
    """Return the notes on the results."""
    notes = {
        f"Collinear columns are left out: {estimates.aliased}.": estimates.aliased,
        "The fit is penalised: standard errors describe the penalised estimates "
        "about their mean, (I + P)^-1 M (I + P)^-1. They omit the bias of the "
        "penalty, so that intervals need not cover the truth at their level. AIC and "
        "BIC count effective degrees of freedom.": data.is_penalised,
        "Coefficients at zero under the L1 penalty, or at a bound, have no standard "
        "error; the other standard errors treat them as known.": not data.free.all(),
        "Log-likelihoods include Firth's penalty.": data.is_firth,
        f"Reference levels: {', '.join(data.references.values())}.": data.references,
        "The covariance of clusters in several ways had negative eigenvalues, which "
        "are set to zero (Cameron, Gelbach and Miller 2011).": estimates.was_indefinite,
        "Log-likelihoods and what depends on them are NA: the weights of class_weight "
        "are not counts of rows.": np.isnan(estimates.llf),
        "Log-likelihoods, the LR P-value, AIC and BIC treat rows as independent, not "
        "as clusters.": is_clustered and not np.isnan(estimates.llf),
        "The fit did not converge: see the warning of fit.": not data.model.converged_,
    }
    return [note for note, applies in notes.items() if applies]


def _null_log_likelihood(data: FittedData) -> float:
    """Return the log-likelihood of the intercepts alone, or of no parameter."""
    objective = data.objective
    null = np.zeros(objective.n_parameters)
    if objective.fit_intercept:
        has_offset = objective.data.targets.offset is not None
        if not (data.is_firth or has_offset):
            shares = data.class_totals / data.total_weight
            return float(data.class_totals @ np.log(shares))
        is_coef = np.arange(null.size) % objective.output_size < objective.n_features
        A = np.eye(null.size)[is_coef]
        # The intercepts of the fit compensate for an offset far from zero. Those of
        # separated classes could make all rows certain, and Firth's penalty infinite.
        start = data.standardized_params
        if not has_offset:
            start = arrays.to_host(objective.null_parameters())[0]
        null, *_ = constrained_minimum(objective, start, A)
    return NewtonStep(data.with_estimates(null)).log_likelihood
