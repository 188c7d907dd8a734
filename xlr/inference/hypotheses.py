"""Wald tests of linear hypotheses about the parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from xlr.inference.fitted_results import ChiSquaredTest, FittedResults
from xlr.inference.table import Table, wald_table
from xlr.text import printable, quoted, term_of


class HypothesisTests(FittedResults):
    """Wald tests of linear hypotheses about the parameters."""

    def t_test(self, r_matrix: Any, q_matrix: Any = 0.0, alpha: float = 0.05) -> Table:
        """Test each of several linear hypotheses R w = q about the parameters.

        Parameters
        ----------
        r_matrix : str or array of shape (n,) or (m, n)
            R, with a column for each parameter as in :meth:`cov_params`. Or hypotheses
            in words, ``'x1 = x2, 2 * x3 = 1'``, which formulaic or patsy parses. Names
            that are not identifiers need backticks. With several equations, the class
            precedes the name: ```versicolor: x1` = 0``.
        q_matrix : float or array of shape (m,), default=0.0
            q.
        alpha : float, default=0.05
            One minus the level of the intervals.

        Returns
        -------
        Table
            R w, its standard error, z, P and its interval, for ``c0``, ``c1``, ...

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

    def wald_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ChiSquaredTest:
        r"""Test several linear hypotheses R w = q about the parameters jointly.

        The statistic is :math:`(R w - q)^T (R V R^T)^{-1} (R w - q)`.

        Parameters
        ----------
        r_matrix, q_matrix
            As in :meth:`t_test`.

        Returns
        -------
        ChiSquaredTest
            ``statistic``, ``df`` and ``pvalue``.

        Raises
        ------
        ImportError, ValueError
            As in :meth:`t_test`, or if the hypotheses are not independent.

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
        estimates, values, covariance = self._contrasts(r_matrix, q_matrix)
        test = ChiSquaredTest.of_form(estimates - values, covariance)
        if np.isnan(test.statistic):
            raise ValueError(
                "The hypotheses are not independent of each other, or have a parameter "
                "without a standard error: leave some out of r_matrix."
            )
        return test

    def wald_test_terms(
        self,
        skip_single: bool = False,
        extra_constraints: Sequence[tuple[str, Any]] = (),
        combine_terms: Sequence[str] = (),
    ) -> Table:
        """Test for each feature whether all its coefficients are zero.

        A test covers all equations, and all levels of a categorical feature.

        Parameters
        ----------
        skip_single : bool, default=False
            True for only the tests of the other two arguments.
        extra_constraints : list of tuples of str and array or str
            Names and hypotheses, as in :meth:`wald_test`.
        combine_terms : list of str
            Parts of names: all parameters whose names contain one, such as the columns
            of a categorical feature, are tested jointly.

        Returns
        -------
        Table
            Columns ``chi2``, ``P>chi2`` and ``df constraint``. Parameters without a
            standard error are left out; a term without other parameters is NaN.

        Raises
        ------
        ImportError, ValueError
            As in :meth:`wald_test`, or if no name contains a part.

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
            of_term = np.asarray(list(map(term_of, self.names)))
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
        nothing = ChiSquaredTest(np.nan, 0, np.nan)
        tests = [self.wald_test(R) if len(R) else nothing for _, R in terms]
        statistic, df, pvalue = np.asarray(tests, dtype=np.float64).reshape(-1, 3).T
        columns = {"chi2": statistic, "P>chi2": pvalue, "df constraint": df.astype(int)}
        return Table("Tests of terms", [name for name, _ in terms], columns)

    def _contrasts(
        self, r_matrix: Any, q_matrix: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return R w, q and the covariance of R w.

        All are NaN for a contrast with a parameter that has no standard error.

        Raises
        ------
        ValueError
            If the shapes are not (m, n_reported) and (m,), or a number is not finite.
        """
        if isinstance(r_matrix, str):
            if np.any(q_matrix):
                raise ValueError(
                    "Hypotheses in words contain their values, as in 'x1 = 2'; "
                    f"got q_matrix={q_matrix!r}."
                )
            r_matrix, q_matrix = _parsed(r_matrix, self.parameter_names)
        params, covariance = self._estimates.params, self._estimates.covariance
        R = np.atleast_2d(np.asarray(r_matrix, dtype=np.float64))
        q = np.atleast_1d(np.asarray(q_matrix, dtype=np.float64))
        if R.shape[1:] != params.shape or q.shape not in ((1,), R.shape[:1]):
            raise ValueError(
                f"r_matrix has shape {np.shape(r_matrix)} and q_matrix "
                f"{np.shape(q_matrix)}; expected (m, {params.size}), a column for each "
                "parameter of cov_params(), and (m,)."
            )
        if not (np.isfinite(R).all() and np.isfinite(q).all()):
            raise ValueError("r_matrix or q_matrix contains NaN or infinity.")
        used = (R != 0).any(axis=0)
        R, V = R[:, used], covariance[np.ix_(used, used)]
        return R @ params[used], np.broadcast_to(q, R.shape[:1]), R @ V @ R.T


def _parsed(constraints: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return R and q of hypotheses in words, such as ``'x1 = x2, 2 * x3 = 1'``.

    formulaic parses them or, without formulaic, patsy.

    Parameters
    ----------
    constraints : str
    names : list of str
        Names of the parameters.

    Raises
    ------
    ImportError
        If neither parser is installed.
    ValueError
        If the text is not a list of linear equations of the parameters.
    """
    in_words = [re.sub("`[^`]*`", "", part) for part in constraints.split(",")]
    if any(part.count("=") > 1 for part in in_words):
        raise ValueError(
            f"A hypothesis has one sign =; got {quoted(constraints)}. Separate "
            "hypotheses by commas: 'x1 = x2, x2 = x3'."
        )
    try:
        if find_spec("formulaic"):
            from formulaic.utils.constraints import LinearConstraints

            found = LinearConstraints.from_spec(constraints, list(names))
            return found.constraint_matrix, found.constraint_values
        from patsy import DesignInfo

        found = DesignInfo(list(names)).linear_constraint(constraints.replace("`", ""))
        return found.coefs, found.constants[:, 0]
    except ImportError as error:
        raise ImportError(
            "Hypotheses in words need formulaic or patsy: pip install formulaic. Or "
            "pass a matrix."
        ) from error
    except Exception as error:  # errors of the parsers have no common class
        raise ValueError(
            f"The hypotheses {quoted(constraints)} are not linear equations of the "
            f"parameters {', '.join(map(printable, names))}: {printable(error, 300)} "
            "Put names that are not identifiers in backticks: '`mean radius` = 0'."
        ) from error
