"""Results of inference: estimates, standard errors, tests and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from xlr import arrays
from xlr.inference.hypotheses import HypothesisTests
from xlr.inference.marginal_effects import MarginalEffects
from xlr.inference.newton import profile_ends
from xlr.inference.row_statistics import RowStatistics
from xlr.inference.score_test import ScoreTests
from xlr.inference.table import Table, interval_columns
from xlr.text import printable, quoted


class InferenceResults(HypothesisTests, MarginalEffects, RowStatistics, ScoreTests):
    """Results of :func:`xlr.infer`, under statsmodels' names.

    An equation has k parameters: the intercept, if there is one, and the features. Two
    classes have one equation. More classes have one for each class except the
    reference, and compare the class with it. All numbers are on the host, in float64.

    Results hold numbers and names. They can be pickled, and loaded where the array
    library of X is not installed. With ``keep_data=True`` they also hold the rows of
    the fit, which copies and pickles leave out.

    Attributes
    ----------
    params : ndarray of shape (k,) or (k, n_classes - 1)
        Estimates, the intercept first; NaN for an aliased column.
    bse : ndarray like ``params``
        Standard errors; NaN for coefficients held at zero or at a bound.
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
        chi-squared distribution with ``df_model`` degrees of freedom. It is NaN for
        penalised fits, whose statistic has another distribution.
    prsquared : float
        McFadden's pseudo-R-squared, 1 - llf / llnull.
    deviance, null_deviance : float
        -2 llf and -2 llnull; with soft labels, less -2 times the log-likelihood of the
        saturated model.
    aic, bic : float
        -2 llf + c df, with c = 2 or log(nobs) and df the effective degrees of freedom.
    effective_df : float
        Number of parameters; for penalised fits the trace of I (I + P)^-1.
    df_model, df_resid : float
        Effective degrees of freedom without the intercepts, and nobs - effective_df.
    nobs : float
        Sum of the sample weights.
    cov_type : str
    names : list of str
        Names of the parameters of an equation.
    equations : list of str
        Class of each equation, compared with the reference; empty for two classes.
    reference : str
        Reference class of the equations.
    is_separated : bool
        Whether the log-likelihood is a limit, and estimates are infinite.
    notes : list of str
        Notes on the results, such as columns that were left out.
    converged : bool
    """

    def cov_params(self) -> np.ndarray:
        """Return the covariance of the estimates: (n, n), equation by equation."""
        return self._estimates.covariance

    def conf_int(self, alpha: float = 0.05) -> np.ndarray:
        """Return confidence intervals of the parameters.

        The ends are the estimate plus and minus a multiple of its standard error. With
        profile likelihoods, the ends of :meth:`profile_conf_int` replace them; levels
        other than 0.95 then need the rows of the fit.

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
            If ``alpha`` is not between 0 and 1.
        """
        columns = self.coefficients(alpha).columns
        ends = np.stack([columns[end] for end in interval_columns(alpha)], axis=1)
        return ends.reshape(-1, len(self.names), 2) if self.equations else ends

    def profile_conf_int(
        self, which: Sequence[str] | None = None, alpha: float = 0.05
    ) -> Table:
        """Tabulate profile-likelihood intervals of the parameters.

        An interval ends where the likelihood-ratio test of the parameter has P = alpha.
        The intervals are more accurate than :meth:`conf_int` in small samples. Each end
        takes several fits with the parameter fixed.

        Parameters
        ----------
        which : list of str, default=None
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
            name is unknown, or the results do not hold the rows.
        """
        low, high = interval_columns(alpha)
        if self.is_penalised:
            raise ValueError(
                "A penalised fit has no likelihood profile: it does not maximise the "
                "likelihood. Fit with C=inf, or FirthLogisticRegression."
            )
        self._refuse_aliased("profile")
        which = self.names if which is None else list(which)
        for name in which:
            if name not in self.names:
                raise ValueError(
                    f"There is no parameter {quoted(name)}, only {quoted(self.names)}."
                )
        n_equations, params = len(self.classes) - 1, self._estimates.params
        chosen = [
            equation * len(self.names) + self.names.index(name)
            for equation in range(n_equations)
            for name in which
        ]
        with self._rows("profile_conf_int") as data:
            lower, upper = profile_ends(data, params, self._errors, chosen, alpha)
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

        classes = [printable(label) for label in self.classes]
        pvalue = "NA (penalised)" if self.is_penalised else f"{self.llr_pvalue:.4g}"
        nobs, df_model, df_resid, effective_df = (
            f"{round(value, 2):.12g}"
            for value in (self.nobs, self.df_model, self.df_resid, self.effective_df)
        )
        facts = {
            "Model": self._model,
            "Classes": ", ".join(classes),
            "Solver": self._solver,
            "Converged": str(self.converged),
            "Covariance": self.cov_type,
            "No. observations": nobs,
            "Df model": df_model,
            "Df residuals": df_resid,
            "Log-likelihood": f"{self.llf:.5g}",
            "Null log-likelihood": f"{self.llnull:.5g}",
            "LR statistic": f"{self.llr:.5g}",
            "LR P-value": pvalue,
            "McFadden R-squared": f"{self.prsquared:.4f}",
            "Effective df": effective_df,
            "AIC": f"{self.aic:.6g}",
            "BIC": f"{self.bic:.6g}",
        }
        title = "Logistic regression"
        if self.is_firth:
            title = "Logistic regression with Firth's penalty"
        elif len(classes) > 2:
            against = classes[self._units.reference]
            title = f"Multinomial logistic regression, against {against}"
        table = self.coefficients(alpha)
        return replace(table, title=title, facts=facts, notes=self.notes)

    @arrays.quiet()
    def odds_ratios(self, alpha: float = 0.05) -> Table:
        """Tabulate the odds ratio of each feature, exp(estimate), with its interval."""
        low, high = interval_columns(alpha)
        table, n = self.coefficients(alpha), len(self.names)
        rows = np.arange(len(table.index)) % n >= int(self._units.fit_intercept)
        columns = {
            name: np.exp(table.columns[key][rows])
            for name, key in (("odds ratio", "coef"), (low, low), (high, high))
        }
        names = list(np.asarray(table.index, dtype=object)[rows])
        return replace(table, title="Odds ratios", index=names, columns=columns)
