"""Results of inference: estimates, standard errors, tests and intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from xlr import arrays
from xlr.arrays import Array
from xlr.data import refuse_non_finite
from xlr.estimators import LogisticRegression
from xlr.inference.covariance import Estimates
from xlr.inference.fitted_data import FittedData
from xlr.inference.marginal_effects import average_marginal_effects
from xlr.inference.profile import profile_ends
from xlr.inference.row_statistics import (
    Influence,
    ProbabilityInterval,
    influence,
    probability_interval,
)
from xlr.inference.table import Summary, Table, interval_columns, wald_table, z_values
from xlr.inputs.features import read_features
from xlr.inputs.offset import check_offset_columns, read_offset
from xlr.text import printable, quoted

__all__ = ["InferenceResults"]


class Fit(NamedTuple):
    """Numbers and names that describe a fit, on the host.

    Attributes
    ----------
    model, solver : str
    converged : bool
    names : list of str
        Names of the parameters of one equation.
    feature_names : list or None
        Names of the columns, if X was a table.
    classes : list of str
    fit_intercept, is_penalised, is_firth : bool
    nobs : float
        Sum of the sample weights.
    class_totals : ndarray of shape (n_classes,)
        Weights of the classes.
    mean, scale : ndarray of shape (n_features,)
        Means and scales that standardize the features.
    """

    model: str
    solver: str
    converged: bool
    names: list[str]
    feature_names: list[Any] | None
    classes: list[str]
    fit_intercept: bool
    is_penalised: bool
    is_firth: bool
    nobs: float
    class_totals: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, data: FittedData) -> Fit:
        """Describe a fit without its rows."""
        model = data.model
        known = getattr(model, "feature_names_in_", None)
        return cls(
            type(model).__name__,
            model.solver_,
            bool(model.converged_),
            data.names,
            None if known is None else list(known),
            [str(label) for label in data.classes],
            data.fit_intercept,
            data.is_penalised,
            data.is_firth,
            data.n_samples,
            data.class_totals,
            *data.scaler,
        )

    @property
    def n_equations(self) -> int:
        """Number of reported logits: one less than there are classes."""
        return len(self.classes) - 1


@dataclass(eq=False, repr=False)
class InferenceResults:
    """Results of :func:`xlr.infer`, under statsmodels' names.

    An equation has k parameters: the intercept, if there is one, and the features. Two
    classes have one equation. More classes have one equation for each class but the
    first, whose parameters are subtracted. All numbers are on the host, in float64.

    Results hold numbers and names: they can be pickled, and read where the array
    library of X is not installed. With ``keep_data=True`` they also hold the rows of
    the fit until they are copied or pickled.

    Attributes
    ----------
    params : ndarray of shape (k,) or (k, n_classes - 1)
        Estimates, the intercept first; NaN for an aliased column.
    bse : ndarray like ``params``
        Standard errors; NaN for coefficients held at zero or at a bound.
    zvalues, pvalues : ndarray like ``params``
        Estimate over standard error, and its two-sided P under a normal distribution.
    llf : float
        Log-likelihood, with Firth's penalty for a model that has it.
    llnull : float
        Log-likelihood of the model with intercepts only (without any parameter, for a
        model without intercept).
    llr, llr_pvalue : float
        Likelihood-ratio statistic, 2 (llf - llnull), and its P under a chi-squared
        distribution of ``df_model`` degrees of freedom. P is NaN for penalised fits:
        the statistic has another distribution.
    prsquared : float
        McFadden's pseudo-R-squared, 1 - llf / llnull.
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
        Class of each equation, compared with the first class; empty for two classes.
    notes : list of str
        Sentences that a reader of the numbers needs.
    converged : bool
    """

    estimates: Estimates
    fit: Fit
    cov_type: str
    llnull: float
    notes: list[str]
    data: FittedData | None = None

    def __post_init__(self) -> None:
        fit, estimates = self.fit, self.estimates
        self.names, self.converged, self.nobs = fit.names, fit.converged, fit.nobs
        self.equations = fit.classes[1:] if fit.n_equations > 1 else []
        self._errors = np.sqrt(np.diagonal(estimates.covariance))
        self.params, self.bse = map(self._shaped, (estimates.params, self._errors))
        self.zvalues = z_values(self.params, self.bse)
        self.pvalues = 2 * stats.norm.sf(np.abs(self.zvalues))
        self.effective_df = estimates.effective_df
        self.df_model = self.effective_df - fit.n_equations * fit.fit_intercept
        self.df_resid = self.nobs - self.effective_df
        self.llf = estimates.log_likelihood
        self.llr = 2 * (self.llf - self.llnull)
        self.llr_pvalue = float(stats.chi2.sf(self.llr, self.df_model))
        if fit.is_penalised:
            self.llr_pvalue = np.nan
        with arrays.quiet():  # offsets can predict all rows: a likelihood of 1
            self.prsquared = float(1 - np.float64(self.llf) / self.llnull)
        self.aic = -2 * self.llf + 2 * self.effective_df
        self.bic = -2 * self.llf + float(np.log(self.nobs)) * self.effective_df

    def __repr__(self) -> str:
        return (
            f"<InferenceResults of a {self.fit.model}: {self.nobs:.6g} observations, "
            f"{self.effective_df:.4g} parameters; see summary()>"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "data": None}

    @contextmanager
    def _rows_for(self, method: str) -> Iterator[FittedData]:
        """Give the rows of the fit, on their device, to a method that needs them.

        Raises
        ------
        ValueError
            If the results do not hold them.
        """
        if self.data is None:
            raise ValueError(
                f"{method} needs the rows of the fit, which these results do not hold. "
                "Call xlr.infer(..., keep_data=True); copies and stored results are "
                "without the rows."
            )
        with arrays.current_device(self.data.parameters):
            yield self.data

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        """Return values of all equations, (n,), in the shape of ``params``."""
        if self.fit.n_equations == 1:
            return values
        return values.reshape(self.fit.n_equations, -1).T

    # -- tables ------------------------------------------------------------------------

    def cov_params(self) -> np.ndarray:
        """Return the covariance of the estimates: (n, n), equation by equation."""
        return self.estimates.covariance

    def conf_int(self, alpha: float = 0.05) -> np.ndarray:
        """Return normal intervals: estimate plus and minus a multiple of its error.

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
        n_equations = self.fit.n_equations
        return ends if n_equations == 1 else ends.reshape(n_equations, -1, 2)

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return all results as a table: print it, or end a notebook cell with it.

        Parameters
        ----------
        alpha : float, default=0.05
            One minus the level of the intervals.
        """

        def count(value: float) -> str:
            digits = 0 if abs(value - round(value)) < 1e-6 else 2
            return f"{value:.{digits}f}"

        fit = self.fit
        classes = [printable(label) for label in fit.classes]
        no_test = "NA (penalised)" if fit.is_penalised else None
        facts = {
            "Model": fit.model,
            "Classes": ", ".join(classes),
            "Solver": fit.solver,
            "Converged": str(self.converged),
            "Covariance": self.cov_type,
            "No. observations": count(self.nobs),
            "Df model": count(self.df_model),
            "Df residuals": count(self.df_resid),
            "Log-likelihood": f"{self.llf:.5g}",
            "Null log-likelihood": f"{self.llnull:.5g}",
            "LR statistic": f"{self.llr:.5g}",
            "LR P-value": no_test or f"{self.llr_pvalue:.4g}",
            "McFadden R-squared": f"{self.prsquared:.4f}",
            "Effective df": count(self.effective_df),
            "AIC": f"{self.aic:.6g}",
            "BIC": f"{self.bic:.6g}",
        }
        title = "Logistic regression"
        if fit.is_firth:
            title = "Logistic regression with Firth's penalty"
        elif len(classes) > 2:
            title = f"Multinomial logistic regression, against {classes[0]}"
        return Summary(title, facts, self.coefficients(alpha), self.notes)

    def coefficients(self, alpha: float = 0.05) -> Table:
        """Tabulate estimates, standard errors, z, P and intervals."""
        return wald_table(
            "Coefficients",
            "coef",
            self.names * self.fit.n_equations,
            self.estimates.params,
            self._errors,
            alpha,
            self.equations,
        )

    def odds_ratios(self, alpha: float = 0.05) -> Table:
        """Tabulate odds ratios, exp(estimate), and their intervals, by feature."""
        first = int(self.fit.fit_intercept)
        low, high = interval_columns(alpha)
        n_equations = self.fit.n_equations
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
        """Tabulate average marginal effects: dP(class)/dx, averaged over the rows.

        Standard errors are those of the delta method. Two classes have effects on the
        second class; more classes have effects on each.

        Returns
        -------
        Table
            With the columns ``dy/dx``, ``std err``, ``z``, ``P>|z|`` and the interval.

        Raises
        ------
        ValueError
            If columns are aliased: only a sum of their coefficients has a meaning. If
            the results are without the rows.
        """
        if self.estimates.aliased:
            raise ValueError(
                "Columns that are sums of others have no effects of their own: leave "
                f"them out and fit again. {self.estimates.aliased}"
            )
        with self._rows_for("get_margeff") as data:
            effects, jacobian = average_marginal_effects(data)
        n_effects, n_parameters = jacobian.shape[1:]
        rows = np.moveaxis(jacobian, 1, 0).reshape(-1, n_parameters)
        covariance = self.estimates.standardized_covariance
        variance = np.einsum("ij,jk,ik->i", rows, covariance, rows)
        return wald_table(
            "Average marginal effects",
            "dy/dx",
            self.names[int(self.fit.fit_intercept) :] * n_effects,
            effects.T.reshape(-1),
            np.sqrt(np.maximum(variance, 0)),
            alpha,
            self.fit.classes if n_effects > 1 else [],
        )

    # -- more passes -------------------------------------------------------------------

    def profile_conf_int(
        self, which: Sequence[str] | None = None, alpha: float = 0.05
    ) -> Table:
        """Tabulate profile-likelihood intervals.

        An interval ends where the likelihood-ratio test of the parameter has P = alpha.
        The intervals are more accurate than :meth:`conf_int` in small samples. Each end
        takes several fits with the parameter held.

        Parameters
        ----------
        which : list of str, default=None
            Names of parameters, as in ``names``; None for all.
        alpha : float, default=0.05
            One minus the level.

        Returns
        -------
        Table
            With the estimate and the ends; infinite where the likelihood never falls
            so far.

        Raises
        ------
        ValueError
            If the fit is penalised (Firth's penalty apart), columns are aliased, there
            is no parameter of a name, or the results are without the rows.
        """
        names, n_equations = self.names, self.fit.n_equations
        low, high = interval_columns(alpha)
        if self.fit.is_penalised:
            raise ValueError(
                "A penalised fit has no likelihood profile: its optimum is not that of "
                "the likelihood. Fit with C=inf, or FirthLogisticRegression."
            )
        if self.estimates.aliased:
            raise ValueError(
                "Columns that are sums of others have no profile: leave them out and "
                f"fit again. {self.estimates.aliased}"
            )
        which = names if which is None else list(which)
        unknown = [name for name in which if name not in names]
        if unknown:
            raise ValueError(
                f"There is no parameter {quoted(unknown[0])}, only {quoted(names)}."
            )
        chosen = [
            equation * len(names) + names.index(name)
            for equation in range(n_equations)
            for name in which
        ]
        quantile = float(stats.norm.isf(alpha / 2))
        params = self.estimates.params
        with self._rows_for("profile_conf_int") as data:
            lower, upper = profile_ends(data, params, self._errors, chosen, quantile)
        columns = {"coef": params[chosen], low: lower, high: upper}
        title = "Profile likelihood intervals"
        return Table(title, which * n_equations, columns, self.equations)

    def get_influence(self) -> Influence:
        """Return leverage, residuals and Cook's distance of each row.

        Raises
        ------
        ValueError
            If there are more than two classes, the rows are of Dask, or the results are
            without them.
        """
        if self.fit.n_equations > 1:
            raise ValueError(
                "Influence is of fits to two classes; these are "
                f"{len(self.fit.classes)}. Look at one class against another."
            )
        with self._rows_for("get_influence") as data:
            return influence(data, self.estimates.inverse, self.effective_df)

    def predict_interval(
        self, X: Array, offset: Array | None = None, alpha: float = 0.05
    ) -> ProbabilityInterval:
        """Predict class probabilities with intervals.

        The delta method on the scale of log(p / (1 - p)) keeps the ends between 0 and
        1.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library; the answer is in the same.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
        alpha : float, default=0.05
            One minus the level.

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
        features = read_features(self._reader(), X, reset=False)
        n_outputs = len(self.fit.classes) if self.fit.n_equations > 1 else 1
        added = None if offset is None else read_offset(offset, features)
        check_offset_columns(added, n_outputs, features.X.shape[0])
        coef, intercept = self._raw(self.estimates.standardized[None, :])
        # A root of the covariance: R with R R' = V, for a positive semi-definite V.
        values, vectors = np.linalg.eigh(self.estimates.standardized_covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        with arrays.current_device(features.X):
            found = probability_interval(
                features,
                added,
                coef[0],
                intercept[0],
                self._raw(root.T),
                float(stats.norm.isf(alpha / 2)),
            )
            if not arrays.to_host(features.xp.all(features.xp.isfinite(found.se))):
                refuse_non_finite(features.matrix)
        return found

    def _reader(self) -> LogisticRegression:
        """Return an estimator that validates X against the features of the fit."""
        reader = LogisticRegression()
        reader.n_features_in_ = self.fit.mean.shape[0]
        if self.fit.feature_names is not None:
            reader.feature_names_in_ = np.asarray(self.fit.feature_names, dtype=object)
        return reader

    def _raw(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split standardized parameters, (m, n_parameters), into raw coefficients
        (m, n_outputs, n_features) and intercepts (m, n_outputs).
        """
        first = int(self.fit.fit_intercept)
        n_features = self.fit.mean.shape[0]
        columns = rows.reshape(rows.shape[0], -1, first + n_features)
        coef = columns[:, :, first:] / self.fit.scale
        return coef, columns[:, :, :first].sum(axis=2) - coef @ self.fit.mean
