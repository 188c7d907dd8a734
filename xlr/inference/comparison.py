"""Tests of nested fits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from xlr.inference.results import InferenceResults

__all__ = ["LikelihoodRatioTest", "likelihood_ratio_test"]


class LikelihoodRatioTest(NamedTuple):
    """Likelihood-ratio test.

    Attributes
    ----------
    statistic : float
        Twice the difference of the log-likelihoods.
    df : float
        Parameters that the larger model has more.
    pvalue : float
        Under a chi-squared distribution with so many degrees of freedom.
    """

    statistic: float
    df: float
    pvalue: float


def likelihood_ratio_test(
    restricted: InferenceResults, full: InferenceResults
) -> LikelihoodRatioTest:
    """Test a model against one that has it as a special case.

    Parameters
    ----------
    restricted, full : InferenceResults
        Of fits without a penalty, to the same rows.

    Returns
    -------
    LikelihoodRatioTest

    Raises
    ------
    TypeError, ValueError
        If one is no result of :func:`infer`, a fit is penalised, or the fits cannot be
        nested: other rows, no fewer parameters, or a higher likelihood with fewer.

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
    return LikelihoodRatioTest(statistic, df, float(stats.chi2.sf(statistic, df)))
