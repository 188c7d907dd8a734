"""Base class of the results: estimates, standard errors and training data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
from scipy import stats

from xlr import arrays
from xlr.estimators import LogisticRegression
from xlr.inference.fitted_data import Estimates, FittedData
from xlr.inference.newton import MIN_EIGENVALUE, PROFILE_ALPHA, profile_ends
from xlr.inference.table import Table, interval_columns, wald_columns


class ChiSquaredTest(NamedTuple):
    """Test whose statistic has a chi-squared distribution.

    Attributes
    ----------
    statistic : float or ndarray of shape (m,)
    df : int or float
        Degrees of freedom.
    pvalue : float or ndarray of shape (m,)
    """

    statistic: Any
    df: float
    pvalue: Any

    @classmethod
    def of(cls, statistic: Any, df: float) -> Self:
        """Return the test of a statistic, with its P-value."""
        pvalue = stats.chi2.sf(statistic, df)
        return cls(statistic, df, pvalue if np.ndim(pvalue) else float(pvalue))

    @classmethod
    def from_quadratic_form(cls, x: np.ndarray, covariance: np.ndarray) -> Self:
        """Test x = 0 by x' V^-1 x, for stacks of x and V; NaN for a singular V."""
        with arrays.quiet():
            root = np.sqrt(np.diagonal(covariance, 0, -2, -1))
            scaled, z = covariance / root[..., None] / root[..., None, :], x / root
        df = z.shape[-1]
        is_regular = np.linalg.matrix_rank(np.nan_to_num(scaled), MIN_EIGENVALUE) == df
        scaled = np.where(is_regular[..., None, None], scaled, np.eye(df))
        solved = np.linalg.solve(scaled, z[..., None])[..., 0]
        statistic = np.where(is_regular, np.sum(z * solved, axis=-1), np.nan)
        return cls.of(statistic if statistic.ndim else float(statistic), df)


def check_finite(name: str, *numbers: np.ndarray) -> None:
    """Raise ValueError for NaN or infinity."""
    if not all(np.isfinite(part).all() for part in numbers):
        raise ValueError(f"{name} contains NaN or infinity. Pass finite numbers.")


class FittedResults:
    """Estimates of a fit, their standard errors, and its training data.

    Parameters
    ----------
    data : FittedData
        Data at the estimates.
    estimates : Estimates
    cov_type : str
    notes : list of str
    keep_data : bool
    """

    def __init__(
        self,
        data: FittedData,
        estimates: Estimates,
        cov_type: str,
        notes: list[str],
        keep_data: bool,
    ) -> None:
        # 1. The fit, without its training data.
        model, features = data.model, data.dataset.features
        self._data = data if keep_data else None
        self._estimates, self._n_equations = estimates, data.n_equations
        self._parameter_map = parameter_map = data.parameter_map
        self._model, self._solver = type(model).__name__, model.solver_
        self._reader = LogisticRegression()  # reads new rows as the fit did
        self._reader.__dict__.update(features.attributes)
        coef, intercept = parameter_map.to_raw(estimates.standardized_params[None, :])
        sign = parameter_map.sign  # of two classes, the reference comes first
        self._reader.coef_ = sign * coef[0]
        self._reader.intercept_ = sign * intercept[0]
        self._reader._has_offset = data.objective.data.targets.offset is not None
        self.is_penalised, self.is_firth = data.is_penalised, data.is_firth
        self.class_totals = data.class_totals[::sign]
        self.classes = [*map(str, arrays.to_host(data.dataset.classes)[::sign])]
        compared = list(self.classes)
        self.reference = compared.pop(parameter_map.reference if sign > 0 else 0)
        self.equations = compared if len(compared) > 1 else []
        self.names, self._terms = data.names, data.terms
        # The reference of a category, by the name of the first other level.
        self._references = {
            self.names[self._terms.index(term)]: reference
            for term, reference in data.references.items()
            if term in self._terms
        }
        self.cov_type, self.notes = cov_type, notes
        self.converged = bool(model.converged_)
        # 2. Numbers for each parameter.
        self._standard_errors = estimates.standard_errors
        self.params = self._by_equation(estimates.params)
        self.bse = self._by_equation(self._standard_errors)
        self.zvalues = self.params / self.bse
        pvalue = "P>|z|" if estimates.profile is None else "P>chi2"
        self.pvalues = self._by_equation(self.coefficients().columns[pvalue])
        # 3. Numbers for the whole fit.
        self.nobs = float(data.dataset.totals.sum())
        self.effective_df = estimates.effective_df
        n_intercepts = self._n_equations * parameter_map.fit_intercept
        self.df_model = self.effective_df - n_intercepts
        self.df_resid = self.nobs - self.effective_df
        self.llf, self.llnull = estimates.llf, estimates.llnull
        self.llr, self.llr_pvalue = 2 * (self.llf - self.llnull), np.nan
        if not self.is_penalised:
            self.llr_pvalue = float(stats.chi2.sf(self.llr, self.df_model))
        # llnull is 0 if offsets predict all rows.
        self.prsquared = float(1 - np.float64(self.llf) / self.llnull)
        self.deviance = 2 * (estimates.saturated - self.llf)
        self.null_deviance = 2 * (estimates.saturated - self.llnull)
        self.aic = -2 * self.llf + 2 * self.effective_df
        self.bic = -2 * self.llf + float(np.log(self.nobs)) * self.effective_df

    def __repr__(self) -> str:
        return (
            f"<InferenceResults of a {self._model}: {self.nobs:.6g} observations, "
            f"{self.effective_df:.4g} parameters; see summary()>"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": None}

    @contextmanager
    def _fitted_data(
        self, method: str, two_classes: bool = False, needs_counts: bool = False
    ) -> Iterator[FittedData]:
        """Yield the fitted data on their device; ``method`` names the caller in errors.

        Raises
        ------
        ValueError
            If the results do not keep the training data, or the method needs two
            classes or weights that are counts of rows.
        """
        if two_classes and self.equations:
            raise ValueError(
                f"{method} needs a fit to two classes; these are {len(self.classes)}. "
                "Fit one class against another."
            )
        if needs_counts and np.isnan(self.llf):
            raise ValueError(
                f"{method} needs weights that are counts of rows, and those of "
                "class_weight are not. Fit without class_weight."
            )
        if self._data is None:
            raise ValueError(
                f"{method} needs the training data, which these results do not keep. "
                "Call xlr.infer(..., keep_data=True). Copies and pickled results drop "
                "the data."
            )
        with arrays.current_device(self._data.parameters), arrays.quiet():
            yield self._data

    def _by_equation(self, values: np.ndarray) -> np.ndarray:
        """Return values of all equations, (n,), in the shape of ``params``."""
        return values.reshape(-1, len(self.names)).T if self.equations else values

    @property
    def parameter_names(self) -> list[str]:
        """Return the names of all parameters, in the order of :meth:`cov_params`.

        With several equations, the class precedes the name.
        """
        if not self.equations:
            return self.names
        return [f"{label}: {name}" for label in self.equations for name in self.names]

    def coefficients(self, alpha: float = 0.05) -> Table:
        """Tabulate estimates, standard errors, tests of zero and intervals.

        With profile likelihoods, ``chi2`` and its P-value replace z and its P-value.
        """
        params, standard_errors = self._estimates.params, self._standard_errors
        columns = wald_columns("coef", params, standard_errors, alpha)
        if self._estimates.profile is not None:
            statistic, *ends = self._estimates.profile
            if alpha != PROFILE_ALPHA:
                with self._fitted_data(f"alpha={alpha:g}") as data:
                    ends = list(profile_ends(data, self._estimates, alpha))
            columns = {"coef": params, "std err": standard_errors, "chi2": statistic}
            columns["P>chi2"] = stats.chi2.sf(statistic, 1)
            columns |= zip(interval_columns(alpha), ends)
        names, groups = self.names * self._n_equations, self.equations
        return Table(
            "Coefficients", names, columns, groups, references=self._references
        )
