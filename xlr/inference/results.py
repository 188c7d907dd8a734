"""Results of inference, and comparisons of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from xlr import arrays
from xlr.inference.fitted_results import ChiSquaredTest
from xlr.inference.hypotheses import HypothesisTests
from xlr.inference.marginal_effects import MarginalEffects
from xlr.inference.newton import profile_ends
from xlr.inference.row_statistics import RowStatistics
from xlr.inference.table import Table, interval_columns
from xlr.text import listed, printable, quoted, warn

# Last rows of a table of several fits, and the attributes that they show.
FIT_ROWS = {
    "No. observations": "nobs",
    "Log-likelihood": "llf",
    "McFadden R-squared": "prsquared",
    "AIC": "aic",
    "BIC": "bic",
}


class InferenceResults(HypothesisTests, MarginalEffects, RowStatistics):
    """Standard errors, tests and intervals of a fitted model; see :func:`xlr.infer`.

    An equation has k parameters: the intercept, if there is one, and the features. Two
    classes have one equation. More classes have one for each class except the
    reference, and compare the class with it. Fitted values, residuals, predictions and
    marginal effects of two classes belong to the class of ``params``, which is not the
    reference: ``classes[1]``. Names are mostly statsmodels'; ``zvalues`` are its
    ``tvalues``. The attributes are on the host, in float64. Fitted values, residuals,
    influence and predictions are in the library of X.

    With ``class_weight``, whose weights are not counts of rows, there is no likelihood:
    ``llf`` and all measures that depend on it are NaN, and methods that need it raise
    an error. Marginal effects, residuals, ``pearson_chi2`` and ``pred_table`` take the
    sample weights alone; ``get_influence`` takes those of the fit.

    Results hold numbers and names. They can be pickled, and loaded where the array
    library of X is not installed. With ``keep_data=True`` they also keep the training
    data, which copies and pickles drop.

    Attributes
    ----------
    params : ndarray of shape (k,) or (k, n_classes - 1)
        Estimates, the intercept first; NaN for an aliased column.
    bse : ndarray like ``params``
        Standard errors; NaN for coefficients at zero under the L1 penalty, or at a
        bound.
    zvalues, pvalues : ndarray like ``params``
        Estimate over standard error, and its two-sided P-value under a normal
        distribution; with profile likelihoods, the P-value of the likelihood-ratio
        test.
    llf : float
        Log-likelihood, including Firth's penalty if the model has it.
    llnull : float
        Log-likelihood of the model with intercepts only (without any parameter, for a
        model without intercept).
    llr, llr_pvalue : float
        Likelihood-ratio statistic, 2 (llf - llnull), and its P-value under a
        chi-squared distribution with ``df_model`` degrees of freedom. The P-value is
        NaN for penalised fits, whose statistic has another distribution.
    prsquared : float
        McFadden's pseudo-R-squared, 1 - llf / llnull.
    deviance, null_deviance : float
        2 (ll_s - llf) and 2 (ll_s - llnull), with ll_s of the saturated model: 0
        without soft labels.
    aic, bic : float
        -2 llf + c df, with c = 2 or log(nobs) and df the effective degrees of freedom.
    effective_df : float
        Number of parameters; for penalised fits the trace of I (I + P)^-1.
    df_model, df_resid : float
        Effective degrees of freedom without the intercepts, and nobs - effective_df.
    nobs : float
        Sum of the sample weights.
    cov_type : str
    classes : list of str
        Sorted; of two classes, the reference first.
    class_totals : ndarray of shape (n_classes,)
        Sums of the weights in each class.
    names : list of str
        Names of the parameters of an equation.
    equations : list of str
        Class of each equation, compared with the reference; empty for two classes.
    reference : str
        Reference class of the equations.
    notes : list of str
        Notes on the results, such as columns that were left out.
    converged : bool
    is_penalised : bool
        Whether a penalty (except Firth's) or bounds change the estimates.
    is_firth : bool
        Whether the model has Firth's penalty.
    """

    def cov_params(self) -> np.ndarray:
        """Return the covariance of the estimates: (n, n), equation by equation."""
        return self._estimates.covariance

    def conf_int(self, alpha: float = 0.05) -> np.ndarray:
        """Return confidence intervals of the parameters.

        The ends are the estimate plus and minus a multiple of its standard error. With
        profile likelihoods, the ends of :meth:`profile_conf_int` replace them; levels
        other than 0.95 then need the training data.

        Parameters
        ----------
        alpha : float, default=0.05
            One minus the level.

        Returns
        -------
        ndarray of shape (k, 2) or (n_classes - 1, k, 2)
            Lower and upper ends.

        Raises
        ------
        ValueError
            If ``alpha`` is not between 0 and 1, or the training data are needed and not
            kept.
        """
        columns = self.coefficients(alpha).columns
        ends = np.stack([columns[end] for end in interval_columns(alpha)], axis=1)
        return ends.reshape(-1, len(self.names), 2) if self.equations else ends

    def profile_conf_int(
        self, which: str | Sequence[str] | None = None, alpha: float = 0.05
    ) -> Table:
        """Tabulate profile-likelihood intervals of the parameters.

        An interval ends where the likelihood-ratio test of the parameter has P = alpha.
        The intervals are more accurate than :meth:`conf_int` in small samples. Each end
        takes several fits with the parameter fixed.

        Parameters
        ----------
        which : str or list of str, default=None
            Names of parameters, as in ``names``; None for all.
        alpha : float, default=0.05
            One minus the level.

        Returns
        -------
        Table
            The estimate and the ends, which are infinite if the likelihood never
            decreases far enough.

        Raises
        ------
        ValueError
            If the fit is penalised (except by Firth's penalty), columns are aliased, a
            name is unknown, the model has class weights, or the results do not keep the
            training data.
        FloatingPointError
            If a constrained fit or the end of an interval does not converge.
        """
        low, high = interval_columns(alpha)
        which = self.names if which is None else np.atleast_1d(which).tolist()
        for name in which:
            if name not in self.names:
                raise ValueError(
                    f"There is no parameter {quoted(name)}, only {quoted(self.names)}."
                )
        n_equations, params = self._n_equations, self._estimates.params
        indices = np.arange(params.size).reshape(n_equations, -1)
        chosen = indices[:, list(map(self.names.index, which))].reshape(-1)
        with self._fitted_data("profile_conf_int", needs_counts=True) as data:
            lower, upper = profile_ends(data, self._estimates, alpha, chosen)
        columns = {"coef": params[chosen], low: lower, high: upper}
        title = "Profile likelihood intervals"
        return Table(title, which * n_equations, columns, self.equations)

    def summary(self, alpha: float = 0.05) -> Table:
        """Tabulate the fit, its parameters and the notes on them.

        Print the table, or end a notebook cell with it.

        Parameters
        ----------
        alpha : float, default=0.05
            One minus the level of the intervals.
        """
        pvalue = "NA (penalised)" if self.is_penalised else f"{self.llr_pvalue:.4g}"
        classes = [*map(printable, self.classes)]
        facts = {
            "Model": self._model,
            "Classes": ", ".join(classes),
            "Solver": self._solver,
            "Converged": str(self.converged),
            "Covariance": self.cov_type,
            "No. observations": f"{round(self.nobs, 2):.12g}",
            "Df model": f"{round(self.df_model, 2):.12g}",
            "Df residuals": f"{round(self.df_resid, 2):.12g}",
            "Log-likelihood": f"{self.llf:.5g}",
            "Null log-likelihood": f"{self.llnull:.5g}",
            "LR statistic": f"{self.llr:.5g}",
            "LR P-value": pvalue,
            "McFadden R-squared": f"{self.prsquared:.4f}",
            "Effective df": f"{round(self.effective_df, 2):.12g}",
            "AIC": f"{self.aic:.6g}",
            "BIC": f"{self.bic:.6g}",
        }
        facts = {k: "NA" if v == "nan" else v for k, v in facts.items()}
        if not self.equations:
            facts["Classes"] = f"{classes[1]} against {classes[0]}"
        title = "Logistic regression"
        if self.is_firth:
            title = "Logistic regression with Firth's penalty"
        elif self.equations:
            title = (
                f"Multinomial logistic regression, against {printable(self.reference)}"
            )
        table = self.coefficients(alpha)
        return replace(table, title=title, facts=facts, notes=self.notes)

    @arrays.quiet()
    def odds_ratios(self, alpha: float = 0.05) -> Table:
        """Tabulate the odds ratio of each feature, exp(estimate), with its interval."""
        low, high = interval_columns(alpha)
        table, n = self.coefficients(alpha), len(self.names)
        rows = np.arange(len(table.index)) % n >= int(self._parameter_map.fit_intercept)
        columns = {
            name: np.exp(table.columns[key][rows])
            for name, key in (("odds ratio", "coef"), (low, low), (high, high))
        }
        names = list(np.asarray(table.index, dtype=object)[rows])
        return replace(table, title="Odds ratios", index=names, columns=columns)


class LikelihoodRatioTest(ChiSquaredTest):
    """Likelihood-ratio test of two nested fits.

    Attributes
    ----------
    statistic : float
        Twice the difference of the log-likelihoods.
    df : float
        Number of parameters that only the larger model has.
    pvalue : float
        P-value under a chi-squared distribution with ``df`` degrees of freedom.
    """


def likelihood_ratio_test(
    restricted: InferenceResults, full: InferenceResults
) -> LikelihoodRatioTest:
    """Test a model against a larger model that contains it.

    Parameters
    ----------
    restricted, full : InferenceResults
        Results of fits without a penalty to the same rows.

    Returns
    -------
    LikelihoodRatioTest

    Raises
    ------
    TypeError, ValueError
        If an argument is not a result of :func:`infer`, a fit is penalised or has class
        weights, or the fits are not nested: they have different rows, ``full`` has no
        more parameters, or the smaller one has the higher likelihood.

    Warns
    -----
    UserWarning
        If only ``restricted`` has a parameter of some name, or the covariance of a fit
        is robust or clustered: the test assumes a correct model and independent rows.

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
        firth = "has Firth's penalty, which depends on the columns"
        for applies, kind, advice in (
            (results.is_firth, firth, "Use wald_test or profile P-values"),
            (results.is_penalised, "is penalised", "Fit with C=inf"),
            (np.isnan(results.llf), "has class weights", "Fit without class_weight"),
        ):
            if applies:
                raise ValueError(
                    f"The {name} fit {kind}: twice the difference of the "
                    f"log-likelihoods has no chi-squared distribution. {advice}."
                )
    df = full.effective_df - restricted.effective_df
    # The order of two classes depends on the reference.
    totals, full_totals = (
        dict(zip(fit.classes, fit.class_totals)) for fit in (restricted, full)
    )
    # The order of the rows changes the last digits of sums of weights.
    same = totals.keys() == full_totals.keys() and all(
        math.isclose(total, full_totals[label]) for label, total in totals.items()
    )
    statistic = 2 * (full.llf - restricted.llf)
    if not same or df < 1 or statistic < -1e-6 * abs(full.llf):
        raise ValueError(
            "The fits are not nested: full must have all the parameters of restricted "
            f"and more, on the same rows. full has {full.effective_df:.0f} parameters "
            f"against {restricted.effective_df:.0f}, a log-likelihood of "
            f"{full.llf:.6g} against {restricted.llf:.6g}, and {full.nobs:.6g} "
            f"observations against {restricted.nobs:.6g}. Pass the smaller fit first."
        )
    if only := [name for name in restricted.names if name not in full.names]:
        warn(
            f"Only restricted has the parameter{'s' * (len(only) > 1)} {listed(only)}. "
            "Check that full contains restricted: the test is valid only then."
        )
    if robust := {restricted.cov_type, full.cov_type} - {"nonrobust"}:
        warn(
            "The likelihood-ratio test assumes a correct model and independent rows, "
            f"and ignores cov_type={listed(sorted(robust))}. Use full.wald_test."
        )
    return LikelihoodRatioTest.of(max(0.0, float(statistic)), df)


def summary_col(
    results: Sequence[InferenceResults], model_names: Sequence[str] = ()
) -> Table:
    """Tabulate several fits side by side.

    Parameters
    ----------
    results : list of InferenceResults
    model_names : list of str, default=()
        Column headings; (1), (2), ... by default.

    Returns
    -------
    Table
        Estimates and standard errors of each fit, with a row for each parameter of any
        fit, and measures of the fits below.

    Raises
    ------
    TypeError, ValueError
        If a result is not from :func:`infer`, the fits have the same classes and
        different references, or the names are not one per result and distinct, also
        from the headings of standard errors, such as ``"(1) se"``.

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
    references: dict[frozenset[str], str] = {}
    for fit in results:
        if not isinstance(fit, InferenceResults):
            raise TypeError(
                f"results must be a list of results of xlr.infer; got {fit!r}."
            )
        first = references.setdefault(frozenset(fit.classes), fit.reference)
        if first != fit.reference:
            raise ValueError(
                f"The fits have the references {quoted(first)} and "
                f"{quoted(fit.reference)}, and parameters of other meanings. Pass the "
                "same reference to infer."
            )
    names = list(model_names) or [f"({i + 1})" for i in range(len(results))]
    headings = {*names, *(f"{name} se" for name in names)}
    if not results or len(names) != len(results) or len(headings) < 2 * len(names):
        raise ValueError(
            "results must hold at least one fit, and model_names a different name for "
            f"each of the {len(results)}, none of them another's with ' se' added; got "
            f"{names}."
        )
    rows = dict.fromkeys(row for fit in results for row in fit.parameter_names)
    columns: dict[str, np.ndarray] = {}
    for name, fit in zip(names, results):
        coefficients = fit.coefficients().columns
        estimates = dict(zip(fit.parameter_names, coefficients["coef"]))
        bse = dict(zip(fit.parameter_names, coefficients["std err"]))
        measures = [getattr(fit, attribute) for attribute in FIT_ROWS.values()]
        below = [None] * len(measures)
        columns[name] = np.asarray([*map(estimates.get, rows), *measures], object)
        columns[f"{name} se"] = np.asarray([*map(bse.get, rows), *below], object)
    return Table("Several fits", [*rows, *FIT_ROWS], columns)
