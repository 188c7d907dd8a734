"""Results of inference: estimates, standard errors, tests and intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators import LogisticRegression
from xlr.estimators.dataset import loss_of
from xlr.inference.covariance import Estimates
from xlr.inference.fitted_data import FittedData
from xlr.inference.goodness_of_fit import (
    HosmerLemeshowTest,
    fit_sums,
    fitted_probabilities,
    hosmer_lemeshow,
    residuals,
)
from xlr.inference.hypotheses import WaldTest, contrasts, parsed, wald_test
from xlr.inference.marginal_effects import (
    METHODS,
    Discrete,
    average_effects,
    column_centre,
    discrete_columns,
    given_rows,
)
from xlr.inference.profile import PROFILE_ALPHA, Profile, profile_ends
from xlr.inference.row_statistics import (
    Influence,
    ProbabilityInterval,
    influence,
    probability_interval,
)
from xlr.inference.score_test import ScoreTest, score_test
from xlr.inference.table import Table, interval_columns, wald_table
from xlr.inputs.features import read_features
from xlr.inputs.offset import check_offset_columns, read_offset
from xlr.inputs.parameters import check_parameters
from xlr.text import printable, quoted

__all__ = ["InferenceResults"]


class InferenceResults:
    """Results of :func:`xlr.infer`, under statsmodels' names.

    An equation has k parameters: the intercept, if there is one, and the features. Two
    classes have one equation. More classes have one equation for each class but the
    reference, whose parameters are subtracted. All numbers are on the host, in float64.

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
        Estimate over standard error, and its two-sided P under a normal distribution;
        with profile likelihoods, P of the likelihood-ratio test.
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
    deviance, null_deviance : float
        -2 llf and -2 llnull; of soft labels, above those of their own probabilities.
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
        Class that the others are compared with.
    is_separated : bool
        Whether the log-likelihood is a limit, and estimates are infinite.
    notes : list of str
        Sentences that a reader of the numbers needs.
    converged : bool
    """

    def __init__(
        self,
        data: FittedData,
        estimates: Estimates,
        cov_type: str,
        llnull: float,
        notes: list[str],
        profile: Profile | None,
        *,
        is_separated: bool,
        saturated: float,
        keep_data: bool,
    ) -> None:
        model, features, units = data.model, data.dataset.features, data.units
        # 1. The fit, without its rows.
        self._data = data if keep_data else None
        self._estimates, self._units, self._profile = estimates, units, profile
        self._model, self._solver = type(model).__name__, model.solver_
        self._reader = LogisticRegression()  # knows the features of the fit
        self._reader.__dict__.update(features.attributes)
        coef, intercept = units.raw(estimates.standardized[None, :])
        self._reader.coef_, self._reader.intercept_ = coef[0], intercept[0]
        self._reader._has_offset = data.objective.data.offset is not None
        self.is_penalised, self.is_firth = data.is_penalised, data.is_firth
        self.is_separated = is_separated
        self.class_totals = data.class_totals
        self.classes = [str(label) for label in arrays.to_host(data.dataset.classes)]
        self.reference, self.equations = self.classes[units.reference], []
        if len(self.classes) > 2:
            others = np.arange(len(self.classes)) != units.reference
            self.equations = np.asarray(self.classes, dtype=object)[others].tolist()
        self.names = data.names
        self.cov_type, self.notes = cov_type, notes
        self.converged = bool(model.converged_)
        # 2. Numbers for each parameter.
        self._errors = np.sqrt(np.diagonal(estimates.covariance))
        self.params, self.bse = map(self._shaped, (estimates.params, self._errors))
        with arrays.quiet():
            self.zvalues = self.params / self.bse
        columns = self.coefficients(PROFILE_ALPHA).columns
        self.pvalues = self._shaped(columns["P>|z|" if profile is None else "P>chi2"])
        # 3. Numbers for the whole.
        self.nobs = float(data.dataset.totals.sum())
        self.effective_df = estimates.effective_df
        n_intercepts = (len(self.classes) - 1) * units.fit_intercept
        self.df_model = self.effective_df - n_intercepts
        self.df_resid = self.nobs - self.effective_df
        self.llf, self.llnull = estimates.log_likelihood, llnull
        self.llr, self.llr_pvalue = 2 * (self.llf - llnull), np.nan
        if not self.is_penalised:
            self.llr_pvalue = float(stats.chi2.sf(self.llr, self.df_model))
        with arrays.quiet():  # offsets can predict all rows: a likelihood of 1
            self.prsquared = float(1 - np.float64(self.llf) / llnull)
        self.deviance, self.null_deviance = (
            2 * (saturated - value) for value in (self.llf, llnull)
        )
        self.aic = -2 * self.llf + 2 * self.effective_df
        self.bic = -2 * self.llf + float(np.log(self.nobs)) * self.effective_df

    def __repr__(self) -> str:
        return (
            f"<InferenceResults of a {self._model}: {self.nobs:.6g} observations, "
            f"{self.effective_df:.4g} parameters; see summary()>"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": None}

    def _rows_for(self, method: str) -> FittedData:
        """Return the rows of the fit to a method that needs them.

        Raises
        ------
        ValueError
            If the results do not hold them.
        """
        if self._data is None:
            raise ValueError(
                f"{method} needs the rows of the fit, which these results do not hold. "
                "Call xlr.infer(..., keep_data=True); copies and stored results are "
                "without the rows."
            )
        return self._data

    def _refuse_aliased(self, quantity: str) -> None:
        if self._estimates.aliased:
            raise ValueError(
                f"Columns that are sums of others have no {quantity} of their own: "
                f"leave them out and fit again. {self._estimates.aliased}"
            )

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        """Return values of all equations, (n,), in the shape of ``params``."""
        return values.reshape(-1, len(self.names)).T if self.equations else values

    # -- tables ------------------------------------------------------------------------

    def cov_params(self) -> np.ndarray:
        """Return the covariance of the estimates: (n, n), equation by equation."""
        return self._estimates.covariance

    def conf_int(self, alpha: float = 0.05) -> np.ndarray:
        """Return intervals: estimate plus and minus a multiple of its error.

        With profile likelihoods, those of :meth:`profile_conf_int`, which need the rows
        of the fit for another level than 0.95.

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

    def summary(self, alpha: float = 0.05) -> Table:
        """Return all results as a table: print it, or end a notebook cell with it.

        Parameters
        ----------
        alpha : float, default=0.05
            One minus the level of the intervals.
        """

        def count(value: float) -> str:
            return f"{round(value, 2):.12g}"

        classes = [printable(label) for label in self.classes]
        pvalue = "NA (penalised)" if self.is_penalised else f"{self.llr_pvalue:.4g}"
        facts = {
            "Model": self._model,
            "Classes": ", ".join(classes),
            "Solver": self._solver,
            "Converged": str(self.converged),
            "Covariance": self.cov_type,
            "No. observations": count(self.nobs),
            "Df model": count(self.df_model),
            "Df residuals": count(self.df_resid),
            "Log-likelihood": f"{self.llf:.5g}",
            "Null log-likelihood": f"{self.llnull:.5g}",
            "LR statistic": f"{self.llr:.5g}",
            "LR P-value": pvalue,
            "McFadden R-squared": f"{self.prsquared:.4f}",
            "Effective df": count(self.effective_df),
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

    def coefficients(self, alpha: float = 0.05) -> Table:
        """Tabulate estimates, standard errors, tests of zero and intervals.

        With profile likelihoods, ``chi2`` and its P take the place of z and its.
        """
        names = self.names * (len(self.classes) - 1)
        params, errors = self._estimates.params, self._errors
        if self._profile is None:
            return wald_table(
                "Coefficients", "coef", names, params, errors, alpha, self.equations
            )
        low, high = interval_columns(alpha)
        statistic, known, *ends = self._profile
        if alpha != known:
            data, chosen = self._rows_for(f"alpha={alpha:g}"), list(range(params.size))
            quantile = float(stats.norm.isf(alpha / 2))
            with arrays.current_device(data.parameters):
                ends = list(profile_ends(data, params, errors, chosen, quantile))
        columns = {"coef": params, "std err": errors, "chi2": statistic}
        columns |= {"P>chi2": stats.chi2.sf(statistic, 1)}
        columns |= dict(zip((low, high), ends))
        return Table("Coefficients", names, columns, self.equations)

    @arrays.quiet()
    def odds_ratios(self, alpha: float = 0.05) -> Table:
        """Tabulate odds ratios, exp(estimate), and their intervals, by feature."""
        low, high = interval_columns(alpha)
        table, n = self.coefficients(alpha), len(self.names)
        rows = np.arange(len(table.index)) % n >= int(self._units.fit_intercept)
        columns = {
            name: np.exp(table.columns[key][rows])
            for name, key in (("odds ratio", "coef"), (low, low), (high, high))
        }
        names = list(np.asarray(table.index, dtype=object)[rows])
        return Table("Odds ratios", names, columns, self.equations)

    # -- goodness of fit ---------------------------------------------------------------

    def pseudo_rsquared(
        self, kind: Literal["mcf", "cs", "nagelkerke", "tjur"] = "mcf"
    ) -> float:
        """Return a pseudo-R-squared.

        Parameters
        ----------
        kind : {'mcf', 'cs', 'nagelkerke', 'tjur'}, default='mcf'
            McFadden's 1 - llf / llnull, Cox and Snell's 1 - exp(2 (llnull - llf) / n),
            or Nagelkerke's, the second over the most that it can be. Tjur's is the mean
            probability of the second class in its rows, less that in the others; it
            needs the rows of the fit.

        Raises
        ------
        ValueError
            If ``kind`` has another value, or for Tjur's, if there are more than two
            classes or the results are without the rows.

        References
        ----------
        Nagelkerke (1991), *A note on a general definition of the coefficient of
        determination*, Biometrika 78; Tjur (2009), *Coefficients of determination in
        logistic regression models*, The American Statistician 63.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> import xlr
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = xlr.LogisticRegression(C=float("inf")).fit(X[:, :2], y)
        >>> results = xlr.infer(model, X[:, :2], y, keep_data=True)
        >>> [round(results.pseudo_rsquared(kind), 3) for kind in ("cs", "tjur")]
        [0.555, 0.665]
        """
        if kind == "tjur":
            data = self._rows_of_two_classes("pseudo_rsquared('tjur')")
            with arrays.current_device(data.parameters):
                proba = fit_sums(data).proba
            first, second = proba[:, 1] / proba.sum(axis=1)
            return float(second - first)
        cox_snell = -float(np.expm1(-self.llr / self.nobs))
        values = {"mcf": self.prsquared, "cs": cox_snell}
        values["nagelkerke"] = cox_snell / -float(np.expm1(2 * self.llnull / self.nobs))
        if kind not in values:
            names = ", ".join(map(repr, [*values, "tjur"]))
            raise ValueError(f"kind must be one of {names}; got {kind!r}.")
        return values[kind]

    @property
    def fittedvalues(self) -> Array:
        """Probabilities of the second class, (n_samples,), or of all of more classes.

        In the library of X. This and the next need ``keep_data=True``.
        """
        data = self._rows_for("fittedvalues")
        with arrays.current_device(data.parameters):
            found = fitted_probabilities(data)
        return data.dataset.features.returned(found=found)["found"]

    @property
    def resid_response(self) -> Array:
        """Residuals r = y - p of two classes: (n_samples,)."""
        return self._residuals("response")

    @property
    def resid_pearson(self) -> Array:
        """Residuals sqrt(s) r / sqrt(p (1 - p)) of two classes, with R's weights s."""
        return self._residuals("pearson")

    @property
    def resid_deviance(self) -> Array:
        """Signed roots of the rows' shares of the deviance, of two classes."""
        return self._residuals("deviance")

    @property
    def resid_working(self) -> Array:
        """Residuals r / (p (1 - p)) of two classes."""
        return self._residuals("working")

    @property
    def pearson_chi2(self) -> float:
        """Pearson's chi-squared: of two classes, the sum of squared Pearson residuals.

        Of more, the sum of :math:`s_i (y_{ik} - p_{ik})^2 / p_{ik}`.
        """
        data = self._rows_for("pearson_chi2")
        with arrays.current_device(data.parameters):
            return fit_sums(data).pearson

    def pred_table(self, threshold: float = 0.5) -> np.ndarray:
        """Count rows by their class and the class that is predicted, by their weights.

        Parameters
        ----------
        threshold : float, default=0.5
            Probability above which the second of two classes is predicted. Of more
            classes, the most probable one is.

        Returns
        -------
        ndarray of shape (n_classes, n_classes)

        Raises
        ------
        ValueError
            If the results are without the rows.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> import xlr
        >>> X, y = load_iris(return_X_y=True)
        >>> model = xlr.LogisticRegression().fit(X[:, :2], y)
        >>> xlr.infer(model, X[:, :2], y, keep_data=True).pred_table()
        array([[50.,  0.,  0.],
               [ 0., 37., 13.],
               [ 0., 14., 36.]])
        """
        check_parameters({"threshold": threshold})
        data = self._rows_for("pred_table")
        with arrays.current_device(data.parameters):
            return fit_sums(data, threshold).table

    def hosmer_lemeshow(self, n_groups: int = 10) -> HosmerLemeshowTest:
        """Test the fit to two classes in groups of rows of like probability.

        Parameters
        ----------
        n_groups : int, default=10
            Groups, cut at quantiles of the probabilities; equal ones stay together.

        Returns
        -------
        HosmerLemeshowTest
            ``statistic``, ``df`` and ``pvalue``, of a chi-squared distribution.

        Raises
        ------
        ValueError
            If there are more than two classes, fewer than three groups, or the results
            are without the rows.

        References
        ----------
        Hosmer and Lemeshow (1980), *Goodness of fit tests for the multiple logistic
        regression model*; ``hoslem.test`` of R's ResourceSelection.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> import xlr
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = xlr.LogisticRegression(C=float("inf")).fit(X[:, :2], y)
        >>> test = xlr.infer(model, X[:, :2], y, keep_data=True).hosmer_lemeshow()
        >>> round(test.statistic, 2), test.df
        (21.32, 8)
        """
        check_parameters({"n_groups": n_groups})
        data = self._rows_of_two_classes("hosmer_lemeshow")
        with arrays.current_device(data.parameters):
            return hosmer_lemeshow(data, n_groups)

    def predict(self, X: Array, offset: Array | None = None) -> Array:
        """Predict the probability of the second class, or of all of more classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library and device, or of Dask: then so is the answer.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)

        Raises
        ------
        ValueError
            If X has other features than the fit, or anything is not finite.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> import xlr
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = xlr.LogisticRegression().fit(X[:, :2], y)
        >>> xlr.infer(model, X[:, :2], y).predict(X[:3, :2]).round(3)
        array([0.197, 0.003, 0.004])
        """
        proba = self._reader.predict_proba(X, offset)
        return proba if self.equations else proba[:, 1]

    def _residuals(self, kind: str) -> Array:
        data = self._rows_of_two_classes(f"resid_{kind}")
        with arrays.current_device(data.parameters):
            found = residuals(data, kind)
        return data.dataset.features.returned(found=found)["found"]

    def _rows_of_two_classes(self, method: str) -> FittedData:
        """Return the rows of the fit to a method that takes two classes alone."""
        if self.equations:
            raise ValueError(
                f"{method} is of fits to two classes; these are {len(self.classes)}. "
                "Look at one class against another."
            )
        return self._rows_for(method)

    # -- tests -------------------------------------------------------------------------

    def t_test(self, r_matrix: Any, q_matrix: Any = 0.0, alpha: float = 0.05) -> Table:
        """Test linear hypotheses R w = q about the parameters, one by one.

        Parameters
        ----------
        r_matrix : str or array of shape (n,) or (m, n)
            R, with a column for each parameter as in :meth:`cov_params`. Or hypotheses
            in words, ``'x1 = x2, 2 * x3 = 1'``, which formulaic or patsy reads: names
            that are no words are in backticks, and of several equations a name follows
            its class, as in ```versicolor: x1` = 0``.
        q_matrix : float or array of shape (m,), default=0.0
            q.
        alpha : float, default=0.05
            One minus the level of the intervals.

        Returns
        -------
        Table
            With R w, its standard error, z, P and its interval, for ``c0``, ``c1``, ...

        Raises
        ------
        ImportError
            For hypotheses in words, without formulaic and patsy.
        ValueError
            If the hypotheses are not as described, or a number is not finite.

        Examples
        --------
        Two features with the same coefficient:

        >>> from sklearn.datasets import load_iris
        >>> import xlr
        >>> X, y = load_iris(return_X_y=True)
        >>> X, y = X[50:, :2], y[50:]
        >>> results = xlr.infer(xlr.LogisticRegression(C=float("inf")).fit(X, y), X, y)
        >>> results.names
        ['intercept', 'x0', 'x1']
        >>> print(results.t_test([0, 1, -1]))
                                      Linear hypotheses
        ==============================================================================
                           coef    std err          z      P>|z|     [0.025     0.975]
        ------------------------------------------------------------------------------
        c0               1.4977     1.1839      1.265      0.206    -0.8226     3.8181
        ==============================================================================
        """
        estimates, values, covariance = self._contrasts(r_matrix, q_matrix)
        return wald_table(
            "Linear hypotheses",
            "coef",
            [f"c{i}" for i in range(estimates.size)],
            estimates,
            np.sqrt(np.diagonal(covariance)),
            alpha,
            values=values,
        )

    def wald_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> WaldTest:
        """Test linear hypotheses R w = q about the parameters, all together.

        Parameters
        ----------
        r_matrix, q_matrix
            As for :meth:`t_test`.

        Returns
        -------
        WaldTest
            ``statistic``, ``df`` and ``pvalue``, of a chi-squared distribution.

        Raises
        ------
        ImportError, ValueError
            As for :meth:`t_test`, or if the hypotheses are not independent.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> import xlr
        >>> X, y = load_iris(return_X_y=True)
        >>> X, y = X[50:, :2], y[50:]
        >>> results = xlr.infer(xlr.LogisticRegression(C=float("inf")).fit(X, y), X, y)
        >>> test = results.wald_test([[0, 1, 0], [0, 0, 1]])
        >>> round(test.statistic, 2), test.df
        (18.88, 2)
        """
        return wald_test(*self._contrasts(r_matrix, q_matrix))

    def wald_test_terms(
        self,
        skip_single: bool = False,
        extra_constraints: Sequence[tuple[str, Any]] = (),
        combine_terms: Sequence[str] = (),
    ) -> Table:
        """Test whether features have coefficients of zero, each in all equations.

        The levels of a categorical feature are tested together.

        Parameters
        ----------
        skip_single : bool, default=False
            True for the tests of the other two arguments alone.
        extra_constraints : list of tuples of str and array or str
            Names and hypotheses, as for :meth:`wald_test`.
        combine_terms : list of str
            Parts of names: all parameters with it in their names, such as the columns
            of a categorical feature, are tested together.

        Returns
        -------
        Table
            With ``chi2``, ``P>chi2`` and ``df constraint``. Parameters without a
            standard error are left out; a term without any other is NaN.

        Raises
        ------
        ImportError, ValueError
            As for :meth:`wald_test`, or if no name has a part.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> import xlr
        >>> X, y = load_iris(return_X_y=True)
        >>> X, y = X[50:, :2], y[50:]
        >>> results = xlr.infer(xlr.LogisticRegression(C=float("inf")).fit(X, y), X, y)
        >>> print(results.wald_test_terms(combine_terms=["x"]))
                                        Tests of terms
        ==============================================================================
                                                         chi2     P>chi2 df constraint
        ------------------------------------------------------------------------------
        intercept                                     17.7404      3e-05             1
        x0                                            13.5441      2e-04             1
        x1                                             0.2200      0.639             1
        x                                             18.8794      8e-05             2
        ==============================================================================
        """
        names = self.parameter_names
        place = np.arange(len(names)) % len(self.names)
        identity, known = np.eye(len(names)), ~np.isnan(self._errors)
        terms: list[tuple[str, Any]] = []
        if not skip_single:
            # The levels of a category are one term: race[a] and race[b].
            of_term = np.asarray([re.sub(r"\[.*?\]", "", name) for name in self.names])
            terms = [
                (term, identity[known & (of_term == term)[place]])
                for term in dict.fromkeys(of_term.tolist())
            ]
        for part in combine_terms:
            has_part = np.asarray([part in name for name in self.names])
            if not has_part.any():
                raise ValueError(
                    f"No parameter has {quoted(part)} in its name; the names are "
                    f"{quoted(self.names)}."
                )
            terms.append((part, identity[known & has_part[place]]))
        terms += extra_constraints
        nothing = WaldTest(np.nan, 0, np.nan)
        tests = [self.wald_test(R) if len(R) else nothing for _, R in terms]
        statistic, df, pvalue = np.asarray(tests, dtype=np.float64).reshape(-1, 3).T
        columns = {"chi2": statistic, "P>chi2": pvalue, "df constraint": df.astype(int)}
        return Table("Tests of terms", [name for name, _ in terms], columns)

    @property
    def parameter_names(self) -> list[str]:
        """Names of all parameters, in the order of :meth:`cov_params`.

        Of several equations, a name follows the class of its equation.
        """
        if not self.equations:
            return self.names
        return [f"{label}: {name}" for label in self.equations for name in self.names]

    def _contrasts(
        self, r_matrix: Any, q_matrix: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return R w, q and the covariance of R w."""
        if isinstance(r_matrix, str):
            if np.any(q_matrix):
                raise ValueError(
                    "Hypotheses in words have their values in them, as in 'x1 = 2'; "
                    f"got q_matrix={q_matrix!r}."
                )
            r_matrix, q_matrix = parsed(r_matrix, self.parameter_names)
        params, covariance = self._estimates.params, self._estimates.covariance
        return contrasts(r_matrix, q_matrix, params, covariance)

    def score_test(
        self,
        exog_extra: Array,
        hypothesis: Literal["joint", "separate"] = "joint",
        cov_type: Literal["nonrobust", "HC0"] = "nonrobust",
    ) -> ScoreTest:
        """Test features that the model leaves out, without a fit.

        One pass over the rows reads each feature once: thousands can be screened.

        Parameters
        ----------
        exog_extra : array, table or sparse matrix of shape (n_samples, m)
            The features, in memory or, for an X of Dask, in the same chunks.
        hypothesis : {'joint', 'separate'}, default='joint'
            Whether to test all features together, or each without the others.
        cov_type : {'nonrobust', 'HC0'}, default='nonrobust'
            Variance of the scores: the information, or the scores of the rows.

        Returns
        -------
        ScoreTest
            ``statistic``, ``df`` and ``pvalue``, arrays of shape (m,) for
            ``'separate'``; NaN for a feature that is a sum of those in the model.

        Raises
        ------
        TypeError, ValueError
            If the fit is penalised, the results are without the rows, the features are
            not as described, or they are collinear and tested together.

        References
        ----------
        Rao (1948), *Large sample tests of statistical hypotheses concerning several
        parameters*; Boos (1992), *On generalized score tests*, The American
        Statistician 46.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> import xlr
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = xlr.LogisticRegression(C=float("inf")).fit(X[:, :1], y)
        >>> results = xlr.infer(model, X[:, :1], y, keep_data=True)
        >>> results.score_test(X[:, 1:4], "separate").statistic.round(1)
        array([38.3, 65.3,  5.3])
        """
        for name, value, known in (
            ("hypothesis", hypothesis, ("joint", "separate")),
            ("cov_type", cov_type, ("nonrobust", "HC0")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}; got {value!r}.")
        if self.is_penalised or self.is_firth:
            raise ValueError(
                "A score test starts from the maximum of the likelihood, and this fit "
                "is penalised. Fit with C=inf."
            )
        if self.is_separated:
            raise ValueError(
                "A score test needs finite estimates, and the classes are separated."
            )
        data = self._rows_for("score_test")
        with arrays.current_device(data.parameters):
            return score_test(
                data,
                self._estimates.inverse,
                exog_extra,
                joint=hypothesis == "joint",
                robust=cov_type == "HC0",
            )

    def get_margeff(
        self,
        at: Literal["overall", "mean", "median", "zero"] | Array = "overall",
        method: Literal["dydx", "eyex", "dyex", "eydx"] = "dydx",
        atexog: Mapping[str | int, float] | None = None,
        dummy: bool = False,
        count: bool = False,
        *,
        alpha: float = 0.05,
    ) -> Table:
        """Tabulate marginal effects: changes of the probabilities with the features.

        Standard errors are those of the delta method. Two classes have effects on the
        second class; more classes have effects on each.

        Parameters
        ----------
        at : {'overall', 'mean', 'median', 'zero'} or array of shape (m, n_features)
            ``'overall'`` averages the effects over the rows of the fit. ``'mean'`` and
            ``'median'`` take one row, of the means or medians of the columns;
            ``'zero'`` takes the row of zeros. An array averages over its own rows.
            Offsets count in ``'overall'`` alone.
        method : {'dydx', 'eyex', 'dyex', 'eydx'}, default='dydx'
            Derivative dP/dx, elasticity dlogP/dlogx, or one logarithm: dP/dlogx or
            dlogP/dx.
        atexog : dict, default=None
            Values of features that replace those of the rows, by the name of the
            feature or the number of its column in X.
        dummy : bool, default=False
            True for the change of P from 0 to 1 as the effect of a feature that is
            0 or 1 in all rows of the fit.
        count : bool, default=False
            True for half the change from x - 1 to x + 1 as the effect of a feature of
            other whole numbers from 0.
        alpha : float, default=0.05
            One minus the level of the intervals.

        Returns
        -------
        Table
            With the effects (``dy/dx``, ``d(lny)/d(lnx)``, ...), ``std err``, ``z``,
            ``P>|z|`` and the interval.

        Raises
        ------
        ValueError
            If columns are aliased: only a sum of their coefficients has a meaning. If
            the results are without the rows, and an argument needs them.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> import xlr
        >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
        >>> X = X[["mean radius", "mean texture"]]
        >>> results = xlr.infer(xlr.LogisticRegression(C=float("inf")).fit(X, y), X, y)
        >>> table = results.get_margeff(at=X.iloc[:100], method="eyex")
        >>> table.columns["d(lny)/d(lnx)"].round(3)
        array([-8.718, -2.217])
        """
        self._refuse_aliased("effects")
        if method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(map(repr, METHODS))}; got "
                f"{method!r}."
            )
        if isinstance(at, str) and at not in ("overall", "mean", "median", "zero"):
            raise ValueError(
                "at must be 'overall', 'mean', 'median', 'zero' or an array; got "
                f"{at!r}."
            )
        if (dummy or count) and method.endswith("ex"):
            raise ValueError(
                "The change of a dummy or a count has no logarithm of the feature: "
                f"method must be 'dydx' or 'eydx'; got {method!r}."
            )
        effects, jacobian = self._effects(at, method, dict(atexog or {}), dummy, count)
        covariance = self._estimates.standardized_covariance
        variance = np.sum(jacobian @ covariance * jacobian, axis=2)
        is_overall = isinstance(at, str) and at == "overall"
        return wald_table(
            "Average marginal effects" if is_overall else "Marginal effects",
            METHODS[method],
            self._feature_names * effects.shape[0],
            effects.reshape(-1),
            np.sqrt(np.maximum(variance, 0)).reshape(-1),
            alpha,
            self.classes if self.equations else [],
        )

    @property
    def _feature_names(self) -> list[str]:
        return self.names[int(self._units.fit_intercept) :]

    def _effects(
        self,
        at: Any,
        method: str,
        atexog: dict[str | int, float],
        dummy: bool,
        count: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return effects and their derivatives in the standardized parameters."""
        held = {self._column(key): float(value) for key, value in atexog.items()}
        standardized, units = self._estimates.standardized, self._units
        discrete, loss = Discrete(), loss_of(len(self.classes))
        if dummy or count:
            data = self._rows_for("get_margeff(dummy=True) or (count=True)")
            with arrays.current_device(data.parameters):
                discrete = discrete_columns(data, dummy=dummy, count=count)
        if not isinstance(at, str):
            features = read_features(self._reader, at, reset=False)
            rows = arrays.move(features.X, xp=np, device="cpu", dtype=np.float64)
        elif at == "zero":
            rows = np.zeros((1, units.mean.size))
        else:
            data = self._rows_for("get_margeff")
            with arrays.current_device(data.parameters):
                if at == "overall":
                    rows_of_fit = data.objective.data
                    return average_effects(
                        rows_of_fit, loss, standardized, units, method, discrete, held
                    )
                rows = column_centre(data, at)
        if not np.isfinite(rows).all():
            raise ValueError("at contains NaN or infinity.")
        return average_effects(
            given_rows(rows, units), loss, standardized, units, method, discrete, held
        )

    def _column(self, key: str | int) -> int:
        """Return the number of a column of X by its name or number.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        names = self._feature_names
        if key in names:
            return names.index(key)
        if isinstance(key, int | np.integer) and 0 <= key < len(names):
            return int(key)
        raise ValueError(
            f"atexog holds {quoted(key)}, which is no feature. Use the name of a "
            f"feature, {quoted(names)}, or the number of its column in X."
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
        low, high = interval_columns(alpha)
        if self.is_penalised:
            raise ValueError(
                "A penalised fit has no likelihood profile: its optimum is not that of "
                "the likelihood. Fit with C=inf, or FirthLogisticRegression."
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
        quantile = float(stats.norm.isf(alpha / 2))
        data = self._rows_for("profile_conf_int")
        with arrays.current_device(data.parameters):
            lower, upper = profile_ends(data, params, self._errors, chosen, quantile)
        columns = {"coef": params[chosen], low: lower, high: upper}
        title = "Profile likelihood intervals"
        return Table(title, which * n_equations, columns, self.equations)

    def get_influence(self) -> Influence:
        """Return leverage, residuals, Cook's distance and dfbetas of each row.

        Raises
        ------
        ValueError
            If there are more than two classes, the rows are of Dask, or the results are
            without them.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> import xlr
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = xlr.LogisticRegression(C=float("inf")).fit(X[:, :2], y)
        >>> results = xlr.infer(model, X[:, :2], y, keep_data=True)
        >>> results.get_influence().dfbetas.max(axis=0).round(2)
        array([0.04, 0.31, 0.29])
        """
        data = self._rows_of_two_classes("get_influence")
        with arrays.current_device(data.parameters):
            inverse, errors = self._estimates.inverse, self._errors
            return influence(data, inverse, errors, self.effective_df)

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
        features, units = read_features(self._reader, X, reset=False), self._units
        added = None if offset is None else read_offset(offset, features)
        check_offset_columns(added, units.n_outputs, features.X.shape[0])
        # A root of the covariance: R with R R' = V, for a positive semi-definite V.
        values, vectors = np.linalg.eigh(self._estimates.standardized_covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        with arrays.current_device(features.stored):
            return probability_interval(
                features,
                added,
                units.raw(self._estimates.standardized[None, :]),
                units.raw(root.T),
                float(stats.norm.isf(alpha / 2)),
            )
