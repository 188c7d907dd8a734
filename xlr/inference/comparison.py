"""Comparison of fits: likelihood-ratio tests, and fits side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from xlr.inference.results import InferenceResults
from xlr.inference.table import Table

# Last rows of a table of several fits, and the attributes that they show.
FIT_ROWS = {
    "No. observations": "nobs",
    "Log-likelihood": "llf",
    "McFadden R-squared": "prsquared",
    "AIC": "aic",
    "BIC": "bic",
}


class LikelihoodRatioTest(NamedTuple):
    """Likelihood-ratio test of two nested fits.

    Attributes
    ----------
    statistic : float
        Twice the difference of the log-likelihoods.
    df : float
        Number of parameters that only the larger model has.
    pvalue : float
        P-value under a chi-squared distribution with ``df`` degrees of freedom.
    is_limit : bool
        Whether a log-likelihood is a limit, for classes that are separated.
    """

    statistic: float
    df: float
    pvalue: float
    is_limit: bool


def likelihood_ratio_test(
    restricted: InferenceResults, full: InferenceResults
) -> LikelihoodRatioTest:
    """Test a model against a larger model that contains it.

    Parameters
    ----------
    restricted, full : InferenceResults
        Results of fits without a penalty to the same rows. Separated classes need
        ``xlr.infer(..., separation='limit')``.

    Returns
    -------
    LikelihoodRatioTest

    Raises
    ------
    TypeError, ValueError
        If an argument is not a result of :func:`infer`, a fit is penalised, or the fits
        are not nested: they have different rows or equally many parameters, or the
        smaller one has the higher likelihood.

    References
    ----------
    Agresti (2013), *Categorical Data Analysis*, section 5.2.3.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> import xlr
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> full, part = X[["mean radius", "mean texture"]], X[["mean radius"]]
    >>> results = [
    ...     xlr.infer(xlr.LogisticRegression(C=float("inf")).fit(x, y), x, y)
    ...     for x in (part, full)
    ... ]
    >>> test = xlr.likelihood_ratio_test(*results)
    >>> round(test.statistic, 2), test.df
    (38.89, 1.0)
    """
    for name, results in (("restricted", restricted), ("full", full)):
        if not isinstance(results, InferenceResults):
            raise TypeError(
                f"{name} must be the results of xlr.infer; got {results!r}."
            )
        if results.is_penalised or results.is_firth:
            raise ValueError(
                f"The {name} fit is penalised: twice the difference of the "
                "log-likelihoods has no chi-squared distribution. Fit with C=inf."
            )
    df = full.effective_df - restricted.effective_df
    same = restricted.nobs == full.nobs and np.array_equal(
        restricted.class_totals, full.class_totals
    )
    statistic = 2 * (full.llf - restricted.llf)
    if not same or df < 0.5 or statistic < -1e-6 * abs(full.llf):
        raise ValueError(
            "The fits are not nested: full must have all the parameters of restricted "
            f"and more, on the same rows. It has {df:.0f} more, a log-likelihood of "
            f"{full.llf:.6g} against {restricted.llf:.6g}, and {full.nobs:.6g} "
            f"observations against {restricted.nobs:.6g}."
        )
    statistic, df = max(0.0, float(statistic)), float(round(df))
    pvalue = float(stats.chi2.sf(statistic, df))
    is_limit = restricted.is_separated or full.is_separated
    return LikelihoodRatioTest(statistic, df, pvalue, is_limit)


def summary_col(
    results: Sequence[InferenceResults], model_names: Sequence[str] = ()
) -> Table:
    """Tabulate several fits side by side.

    Parameters
    ----------
    results : list of InferenceResults
    model_names : list of str, default=()
        Heads of the columns; (1), (2), ... by default.

    Returns
    -------
    Table
        Estimates and standard errors of each fit, with a row for each parameter of any
        fit, and measures of the fits below.

    Raises
    ------
    TypeError, ValueError
        If a result is not from :func:`infer`, or there is not one name for each.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> import xlr
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> full, part = X[["mean radius", "mean texture"]], X[["mean radius"]]
    >>> results = [
    ...     xlr.infer(xlr.LogisticRegression(C=float("inf")).fit(x, y), x, y)
    ...     for x in (part, full)
    ... ]
    >>> print(xlr.summary_col(results))
                                     Several fits
    ==============================================================================
                                              (1)     (1) se        (2)     (2) se
    ------------------------------------------------------------------------------
    intercept                             15.2459     1.3247    19.8494     1.7739
    mean radius                           -1.0336     0.0931    -1.0571     0.1015
    mean texture                                                -0.2181     0.0371
    No. observations                     569.0000              569.0000
    Log-likelihood                      -165.0054             -145.5617
    McFadden R-squared                     0.5608                0.6126
    AIC                                  334.0108              297.1233
    BIC                                  342.6986              310.1549
    ==============================================================================
    """
    for found in results:
        if not isinstance(found, InferenceResults):
            raise TypeError(
                f"results must be a list of results of xlr.infer; got {found!r}."
            )
    names = list(model_names) or [f"({i + 1})" for i in range(len(results))]
    if not results or len(set(names)) != len(results):
        raise ValueError(
            f"model_names must be a different name for each of the {len(results)} "
            f"results; pass at least one. Got {names}."
        )
    rows = dict.fromkeys(row for found in results for row in found.parameter_names)
    columns: dict[str, np.ndarray] = {}
    for name, found in zip(names, results):
        estimates, errors = (
            dict(zip(found.parameter_names, values.T.reshape(-1)))
            for values in (found.params, found.bse)
        )
        measures = [getattr(found, attribute) for attribute in FIT_ROWS.values()]
        below = [None] * len(measures)
        columns[name] = np.asarray([*map(estimates.get, rows), *measures], object)
        columns[f"{name} se"] = np.asarray([*map(errors.get, rows), *below], object)
    return Table("Several fits", [*rows, *FIT_ROWS], columns)
