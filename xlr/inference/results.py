"""Estimates with their errors, tests and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xlr import arrays
from xlr.arrays import Array
from xlr.cached import cached_property
from xlr.design import refuse_non_finite
from xlr.inference.covariance import Estimates
from xlr.inference.evidence import Evidence
from xlr.inference.margins import average_marginal_effects
from xlr.inference.profile import profile_ends
from xlr.inference.rows import (
    Influence,
    ProbabilityInterval,
    influence,
    probability_interval,
)
from xlr.inference.summary import summarise
from xlr.inference.table import Summary, Table, interval_columns, wald_table, z_values
from xlr.inputs.features import read_features
from xlr.inputs.offset import read_offset

__all__ = ["InferenceResults"]


@dataclass(frozen=True, repr=False)
class InferenceResults:
    """What :func:`xlr.infer` finds out, under statsmodels' names.

    With k parameters an equation (the intercept, if there is one, and the features) and
    one equation for two classes, or one for each class but the first, in which
    parameters are less those of the first. All on the host, in float64.

    Attributes
    ----------
    params : ndarray of shape (k,) or (k, n_classes - 1)
        Estimates, the intercept first; NaN for an aliased column.
    bse : ndarray like ``params``
        Standard errors; NaN for what has none.
    zvalues, pvalues : ndarray like ``params``
        Estimate over standard error, and its two-sided P under a normal distribution.
    llf : float
        Log-likelihood, with Firth's penalty for a model that has it.
    llnull : float
        That of the model with the intercepts alone (without any parameter, for a model
        without intercept).
    llr, llr_pvalue : float
        Likelihood-ratio statistic, 2 (llf - llnull), and its P under a chi-squared
        distribution of ``df_model`` degrees of freedom; NaN for penalised fits, where
        that does not hold.
    prsquared : float
        McFadden's pseudo-R-squared, 1 - llf / llnull.
    aic, bic : float
        -2 llf + c df, with c = 2 or log(nobs) and df the effective degrees of freedom.
    effective_df : float
        Number of parameters; for penalised fits the trace of I (I + P)^-1.
    df_model, df_resid : float
        Effective degrees of freedom without the intercepts, and nobs less all of them.
    nobs : float
        Sum of the sample weights.
    cov_type : str
    names : list of str
        Of the parameters of an equation.
    equations : list of str
        Classes that the equations are for, against the first; of two classes none.
    notes : list of str
        What a reader has to know.
    converged : bool
    """

    evidence: Evidence
    estimates: Estimates
    cov_type: str
    llnull: float
    notes: list[str]

    def __repr__(self) -> str:
        return (
            f"<InferenceResults of {self.evidence.model!r}: {self.nobs:.6g} "
            f"observations, {self.effective_df:.4g} parameters; see summary()>"
        )

    # -- what there is an attribute for ------------------------------------------------

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        """Values of all equations, (n,), as ``params`` has them."""
        if self.evidence.n_equations == 1:
            return values
        return values.reshape(self.evidence.n_equations, -1).T

    @property
    def params(self) -> np.ndarray:
        return self._shaped(self.estimates.params)

    @cached_property
    def _errors(self) -> np.ndarray:
        return np.sqrt(np.diagonal(self.estimates.covariance))

    @property
    def bse(self) -> np.ndarray:
        return self._shaped(self._errors)

    @property
    def zvalues(self) -> np.ndarray:
        return z_values(self.params, self.bse)

    @property
    def pvalues(self) -> np.ndarray:
        return 2 * stats.norm.sf(np.abs(self.zvalues))

    @property
    def llf(self) -> float:
        return self.estimates.log_likelihood

    @property
    def llr(self) -> float:
        return 2 * (self.llf - self.llnull)

    @property
    def llr_pvalue(self) -> float:
        if self.evidence.is_penalised:
            return np.nan
        return float(stats.chi2.sf(self.llr, self.df_model))

    @property
    def prsquared(self) -> float:
        return 1 - self.llf / self.llnull

    @property
    def effective_df(self) -> float:
        return self.estimates.effective_df

    @property
    def df_model(self) -> float:
        n_intercepts = self.evidence.n_equations * self.evidence.fit_intercept
        return self.effective_df - n_intercepts

    @property
    def df_resid(self) -> float:
        return self.nobs - self.effective_df

    @property
    def aic(self) -> float:
        return -2 * self.llf + 2 * self.effective_df

    @property
    def bic(self) -> float:
        return -2 * self.llf + np.log(self.nobs) * self.effective_df

    @property
    def nobs(self) -> float:
        return self.evidence.n_samples

    @property
    def names(self) -> list[str]:
        return self.evidence.names

    @property
    def equations(self) -> list[str]:
        if self.evidence.n_equations == 1:
            return []
        return [str(label) for label in self.evidence.classes[1:]]

    @property
    def converged(self) -> bool:
        return bool(self.evidence.model.converged_)

    # -- tables ------------------------------------------------------------------------

    def cov_params(self) -> np.ndarray:
        """Covariance of the estimates: (n, n), equation by equation."""
        return self.estimates.covariance

    def conf_int(self, alpha: float = 0.05) -> np.ndarray:
        """Normal intervals: estimate and a multiple of its standard error.

        Parameters
        ----------
        alpha : float, default=0.05
            One less the level.

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
        n_equations = self.evidence.n_equations
        return ends if n_equations == 1 else ends.reshape(n_equations, -1, 2)

    def summary(self, alpha: float = 0.05) -> Summary:
        """All of it as a table: print it, or leave it as the last line of a cell.

        Parameters
        ----------
        alpha : float, default=0.05
            One less the level of the intervals.
        """
        return summarise(self, self.coefficients(alpha))

    def coefficients(self, alpha: float = 0.05) -> Table:
        """Estimates, standard errors, z, P and intervals; ``to_frame()`` for pandas."""
        return wald_table(
            "Coefficients",
            "coef",
            self.names * self.evidence.n_equations,
            self.estimates.params,
            self._errors,
            alpha,
            self.equations,
        )

    def odds_ratios(self, alpha: float = 0.05) -> Table:
        """exp of the estimates and of the ends of their intervals, by feature."""
        first = int(self.evidence.fit_intercept)
        low, high = interval_columns(alpha)
        n_equations = self.evidence.n_equations
        ends = self.conf_int(alpha).reshape(n_equations, -1, 2)[:, first:, :]
        params = self.estimates.params.reshape(n_equations, -1)[:, first:]
        with arrays.quiet():
            columns = {
                "odds ratio": np.exp(params).reshape(-1),
                low: np.exp(ends[:, :, 0]).reshape(-1),
                high: np.exp(ends[:, :, 1]).reshape(-1),
            }
        names = self.names[first:] * n_equations
        return Table("Odds ratios", names, columns, self.equations)

    def get_margeff(self, alpha: float = 0.05) -> Table:
        """Average marginal effects: dP(class)/dx, averaged over the rows.

        With standard errors by the delta method. Of two classes for the second, of more
        for all of them.

        Returns
        -------
        Table
            With the columns ``dy/dx``, ``std err``, ``z``, ``P>|z|`` and the interval.

        Raises
        ------
        ValueError
            If columns are aliased: only a sum of their coefficients has a meaning.
        """
        if self.estimates.aliased.dropped.size:
            raise ValueError(
                "Columns that are sums of others have no effects of their own: leave "
                "them out and fit again. " + self._describe_aliased()
            )
        evidence = self.evidence
        with evidence.on_device:
            effects, jacobian = average_marginal_effects(evidence)
        n_effects, n_parameters = jacobian.shape[1:]
        rows = np.moveaxis(jacobian, 1, 0).reshape(-1, n_parameters)
        variance = np.einsum("ij,jk,ik->i", rows, self.estimates.standardised, rows)
        groups = [str(label) for label in evidence.classes] if n_effects > 1 else []
        return wald_table(
            "Average marginal effects",
            "dy/dx",
            evidence.features.column_names * n_effects,
            effects.T.reshape(-1),
            np.sqrt(np.maximum(variance, 0)),
            alpha,
            groups,
        )

    def _describe_aliased(self) -> str:
        return self.estimates.aliased.describe(self.names)

    # -- what takes another pass -------------------------------------------------------

    def profile_conf_int(
        self, which: Sequence[str] | None = None, alpha: float = 0.05
    ) -> Table:
        """Intervals that end where the profile of the likelihood has fallen enough.

        More accurate than :meth:`conf_int` in small samples. Each end takes several
        fits with the parameter held.

        Parameters
        ----------
        which : list of str, default=None
            Names of parameters, as in ``names``; None for all.
        alpha : float, default=0.05
            One less the level.

        Returns
        -------
        Table
            With the estimate and the ends; infinite where the likelihood never falls
            so far.

        Raises
        ------
        ValueError
            If the fit is penalised (Firth's penalty apart), columns are aliased, or
            there is no parameter of a name.
        """
        evidence, names = self.evidence, self.names
        low, high = interval_columns(alpha)
        if evidence.is_penalised:
            raise ValueError(
                "A penalised fit has no likelihood profile: its optimum is not that of "
                "the likelihood. Fit with C=inf, or FirthLogisticRegression."
            )
        if self.estimates.aliased.dropped.size:
            raise ValueError(
                "Columns that are sums of others have no profile: leave them out and "
                "fit again. " + self._describe_aliased()
            )
        which = names if which is None else list(which)
        unknown = [name for name in which if name not in names]
        if unknown:
            raise ValueError(f"There is no parameter {unknown[0]!r}, only {names}.")
        chosen = [
            equation * len(names) + names.index(name)
            for equation in range(evidence.n_equations)
            for name in which
        ]
        quantile = float(stats.norm.isf(alpha / 2))
        with evidence.on_device:
            lower, upper = profile_ends(
                evidence, self.estimates.params, self._errors, chosen, quantile
            )
        columns = {"coef": self.estimates.params[chosen], low: lower, high: upper}
        title = "Profile likelihood intervals"
        return Table(title, which * evidence.n_equations, columns, self.equations)

    def get_influence(self) -> Influence:
        """Leverage, residuals and Cook's distance of each row.

        Raises
        ------
        ValueError
            If there are more than two classes, or the rows are of Dask.
        """
        if self.evidence.n_equations > 1:
            raise ValueError(
                "Influence is of fits to two classes; these are "
                f"{len(self.evidence.classes)}. Look at one class against another."
            )
        with self.evidence.on_device:
            return influence(self.evidence, self.estimates.inverse, self.effective_df)

    def predict_interval(
        self, X: Array, offset: Array | None = None, alpha: float = 0.05
    ) -> ProbabilityInterval:
        """Probabilities of the classes for some rows, with intervals.

        By the delta method on the scale of log(p / (1 - p)), which keeps the ends
        between 0 and 1.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            In the library of the X of the fit.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
        alpha : float, default=0.05
            One less the level.

        Returns
        -------
        ProbabilityInterval
            ``proba``, ``se``, ``lower`` and ``upper``, each (n_samples, n_classes).

        Raises
        ------
        ValueError
            If X has other features than the fit, or anything is not finite.
        """
        interval_columns(alpha)  # refuses what is no level
        evidence = self.evidence
        features = read_features(evidence.model, X, reset=False)
        if features.xp is not evidence.features.xp:
            raise ValueError(
                "X is an array of another library than that of the fit. Pass one of "
                f"{evidence.features.xp.__name__}."
            )
        quantile = float(stats.norm.isf(alpha / 2))
        with evidence.on_device, arrays.quiet():
            added = None
            if offset is not None:
                added = read_offset(offset, evidence.objective.n_outputs, features)
            design = evidence.problem.design(features.X, added)
            found = probability_interval(
                evidence, design, self.estimates.standardised, quantile
            )
            if not arrays.to_host(features.xp.all(features.xp.isfinite(found.se))):
                refuse_non_finite(features.X, xp=features.xp)
        return found
