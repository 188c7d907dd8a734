"""Wald tests of the parameters, and score tests of omitted features."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block, as_matrix
from xlr.estimators import LogisticRegression
from xlr.inference.covariance import design
from xlr.inference.fitted_data import FittedData
from xlr.inference.fitted_results import (
    MIN_EIGENVALUE,
    ChiSquaredTest,
    FittedResults,
    check_finite,
)
from xlr.inference.newton import NewtonStep
from xlr.inference.table import Table, wald_columns
from xlr.inputs.dask_input import rows_like
from xlr.inputs.features import read_features
from xlr.inputs.parameters import check_option
from xlr.inputs.tables import check_2d, check_n_rows
from xlr.losses import Loss
from xlr.objective import passes
from xlr.text import printable, quoted

# Share of a feature's information about its mean that the model does not explain; below
# it, the feature is collinear. And the share of its information about zero that may be
# a rounding error: seconds since 1970 lie 1e5 standard deviations from zero.
MIN_PARTIAL_INFORMATION = 1e-9
MAX_ROUNDING_SHARE = 1e-11

# Share of the estimates of a term that a rounding error may move off the range of their
# covariance.
MAX_CONSTANT_PART = 1e-6

# Look-ahead of a position outside backticks: an even number of them follows.
BALANCED_BACKTICKS = r"(?=(?:[^`]*`[^`]*`)*[^`]*$)"

CANDIDATE_ROWS = 256  # minimum rows of a block: sums have a column per candidate


class HypothesisTests(FittedResults):
    """Wald tests of linear hypotheses, and score tests of omitted features."""

    def t_test(self, r_matrix: Any, q_matrix: Any = 0.0, alpha: float = 0.05) -> Table:
        """Test each of several linear hypotheses R w = q about the parameters.

        Parameters
        ----------
        r_matrix : str or array of shape (n,) or (m, n)
            R, with a column for each parameter as in :meth:`cov_params`. Or hypotheses
            as a string, ``'x1 = x2, 2 * x3 = 1'``, which formulaic parses. Names
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
            For hypotheses as a string, without formulaic.
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
        standard_errors = np.sqrt(np.diagonal(covariance))
        columns = wald_columns("coef", estimates, standard_errors, alpha, values)
        names = [f"c{i}" for i in range(estimates.size)]
        return Table("Linear hypotheses", names, columns)

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
        test = self._joint_test(r_matrix, q_matrix)
        if np.isnan(test.statistic):
            raise ValueError(
                "The rows of r_matrix are not independent, or use a parameter without "
                "a standard error. Remove such rows."
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
            True to test only ``extra_constraints`` and ``combine_terms``.
        extra_constraints : list of tuples of str and array or str
            Names and hypotheses, as in :meth:`wald_test`.
        combine_terms : list of str
            Parts of names: all parameters whose names contain one, such as the columns
            of a categorical feature, are tested jointly.

        Returns
        -------
        Table
            Columns ``chi2``, ``P>chi2`` and ``df constraint``. Parameters without a
            standard error are left out. If the others always have the same sum, as all
            levels of a penalised category do, one of them follows from the rest, and
            ``df constraint`` is the rank of their covariance. A test is NaN without
            parameters, or if there are fewer clusters than parameters.

        Raises
        ------
        ImportError, ValueError
            As in :meth:`t_test`, or if no name contains a part.

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
        names = self.names * self._n_equations
        term_names = np.asarray(self._terms * self._n_equations)
        singles = [] if skip_single else dict.fromkeys(self._terms)
        chosen = [(term, term_names == term) for term in singles]
        for part in combine_terms:
            mask = np.asarray([part in name for name in names])
            chosen.append((part, mask))
            if not mask.any():
                raise ValueError(
                    f"No parameter has {quoted(part)} in its name; the names are "
                    f"{quoted(self.names)}."
                )
        identity, has_error = np.eye(len(names)), ~np.isnan(self._standard_errors)
        tests = [self._term_test(identity[has_error & mask]) for _, mask in chosen]
        tests += [self._joint_test(R) for _, R in extra_constraints]
        index = [name for name, _ in [*chosen, *extra_constraints]]
        statistic, df, pvalue = np.asarray(tests, dtype=np.float64).reshape(-1, 3).T
        columns = {"chi2": statistic, "P>chi2": pvalue, "df constraint": df.astype(int)}
        return Table("Tests of terms", index, columns)

    def _joint_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ChiSquaredTest:
        """Test R w = q; NaN if the hypotheses are not independent."""
        estimates, values, covariance = self._contrasts(r_matrix, q_matrix)
        return ChiSquaredTest.from_quadratic_form(estimates - values, covariance)

    def _term_test(self, R: np.ndarray) -> ChiSquaredTest:
        """Test R w = 0 for parameters whose covariance may be singular.

        NaN if the estimates have a part along which they do not vary.
        """
        estimates, _, covariance = self._contrasts(R, 0.0)
        root = np.sqrt(np.diagonal(covariance))
        root = np.where(root > 0, root, 1.0)  # zero for a constant column
        values, vectors = np.linalg.eigh(covariance / root / root[:, None])
        basis = vectors[:, values > MIN_EIGENVALUE]
        z = estimates / root
        rest = z - basis @ (basis.T @ z)
        if not basis.size or np.abs(rest).max() > MAX_CONSTANT_PART * np.abs(z).max():
            return ChiSquaredTest(np.nan, basis.shape[1], np.nan)
        return self._joint_test((basis / root[:, None]).T @ R)

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
                    "Hypotheses given as a string contain their values, as in "
                    f"'x1 = 2'; got q_matrix={q_matrix!r}."
                )
            r_matrix, q_matrix = _parse_constraints(r_matrix, self.parameter_names)
        params, covariance = self._estimates.params, self._estimates.covariance
        R = np.atleast_2d(np.asarray(r_matrix, dtype=np.float64))
        q = np.atleast_1d(np.asarray(q_matrix, dtype=np.float64))
        if R.shape[1:] != params.shape or q.shape not in ((1,), R.shape[:1]):
            raise ValueError(
                f"r_matrix has shape {np.shape(r_matrix)} and q_matrix "
                f"{np.shape(q_matrix)}; expected (m, {params.size}), a column for each "
                "parameter of cov_params(), and (m,)."
            )
        check_finite("r_matrix or q_matrix", R, q)
        used = (R != 0).any(axis=0)
        R, V = R[:, used], covariance[np.ix_(used, used)]
        return R @ params[used], np.broadcast_to(q, R.shape[:1]), R @ V @ R.T

    def score_test(
        self, exog_extra: Array, hypothesis: Literal["joint", "separate"] = "joint"
    ) -> ChiSquaredTest:
        r"""Test omitted features by the score (Rao) test, without a fit.

        One pass reads each feature once, so that thousands can be screened.

        With the rows z of the model and c of the candidates, the residuals r and the
        curvature H of the loss in the logits, the score of a candidate is
        :math:`U = \sum_i r_i c_i`, and its variance about the estimates of the model

        .. math::
            V = \sum_i H_i\, \tilde c_i \tilde c_i^T, \qquad \tilde c = c - A z, \quad
            A = \Big(\sum_i H_i\, c_i z_i^T\Big) \Big(\sum_i H_i\, z_i z_i^T\Big)^{-1}

        The statistic is :math:`U^T V^{-1} U`. With more than two classes, every class
        except the first has scores.

        Parameters
        ----------
        exog_extra : array, table or sparse matrix of shape (n_samples, m)
            The features, in memory or, for an X of Dask, in the same chunks.
        hypothesis : {'joint', 'separate'}, default='joint'
            Whether to test all features jointly, or each by itself.

        Returns
        -------
        ChiSquaredTest
            ``statistic``, ``df`` and ``pvalue``, arrays of shape (m,) for
            ``'separate'``; NaN for a linear combination of features in the model.

        Raises
        ------
        TypeError, ValueError
            If the fit is penalised or has class weights, the results do not keep the
            training data, the features are invalid, or they are collinear and tested
            jointly.

        References
        ----------
        Rao (1948), *Large sample tests of statistical hypotheses concerning several
        parameters*.

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
        check_option("hypothesis", hypothesis, ("joint", "separate"))
        if self.is_penalised or self.is_firth:
            raise ValueError(
                "A score test starts from the maximum of the likelihood, and this fit "
                "is penalised. Fit LogisticRegression with C=inf."
            )
        joint, equations = hypothesis == "joint", self._n_equations
        with self._fitted_data("score_test", needs_counts=True) as data:
            rows, m = _read_candidates(data, exog_extra)
            n_parameters = data.objective.n_parameters
            widths = m, equations * n_parameters, equations**2 * m * joint
            score, *products = data.sum_rows(
                _score_sums,
                joint,
                width=max(widths),
                least=CANDIDATE_ROWS,
                per_row=rows,
            )
            # The sums above and the inverse belong to the same estimates: otherwise a
            # collinear candidate would keep some information.
            newton, objective = NewtonStep(data), data.objective
        check_finite("exog_extra", score)
        # 1. Sums of c'Hz and c'Hc, stacked over the tests.
        order = "epm->emp" if joint else "epm->mep"
        score = score.reshape(1, -1) if joint else score.T
        n_tests, df = score.shape
        cross, total = (
            np.einsum(order, part.reshape(equations, -1, m)).reshape(n_tests, df, -1)
            for part in products
        )
        # 2. The variance of the scores, given the estimates of the model.
        explained = cross @ newton.inverse_hessian @ np.swapaxes(cross, 1, 2)
        variance = total - explained
        # 3. The statistics.
        own, unexplained = (np.diagonal(part, 0, 1, 2) for part in (total, variance))
        about_mean = own
        if objective.fit_intercept:
            # The parameter of the intercept in the equation of each score.
            output = np.arange(df) * equations // df + objective.n_outputs - equations
            intercept = (output + 1) * objective.output_size - 1
            by_intercept = cross[:, np.arange(df), intercept] ** 2
            about_mean = own - by_intercept / np.diagonal(newton.information)[intercept]
        is_collinear = unexplained <= np.maximum(
            MIN_PARTIAL_INFORMATION * about_mean, MAX_ROUNDING_SHARE * own
        )
        variance[is_collinear.any(axis=1)] = np.nan
        if not joint:
            return ChiSquaredTest.from_quadratic_form(score, variance)
        test = ChiSquaredTest.from_quadratic_form(score[0], variance[0])
        if np.isnan(test.statistic):
            raise ValueError(
                "Features of exog_extra are collinear with each other or with those in "
                "the model. Leave them out, or pass hypothesis='separate'."
            )
        return test


def _parse_constraints(
    constraints: str, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return R and q of hypotheses as a string, such as ``'x1 = x2, 2 * x3 = 1'``.

    Raises
    ------
    ImportError
        Without formulaic.
    ValueError
        If the text is not a list of linear equations of the parameters.
    """
    try:
        from formulaic.utils.constraints import LinearConstraints
    except ImportError as error:
        raise ImportError(
            "Hypotheses given as a string need formulaic: pip install formulaic. Or "
            "pass a matrix."
        ) from error
    # Split outside backticks.
    parts = re.split("," + BALANCED_BACKTICKS, constraints)
    equations = [re.split("=" + BALANCED_BACKTICKS, part) for part in parts]
    if any(len(sides) > 2 for sides in equations):
        raise ValueError(
            f"A hypothesis has one sign =; got {quoted(constraints)}. Separate "
            "hypotheses by commas: 'x1 = x2, x2 = x3'."
        )
    # Without parentheses, formulaic reads no sign after = or a comma.
    in_parentheses = [" = ".join(f"({side})" for side in each) for each in equations]
    try:
        parsed = LinearConstraints.from_spec(", ".join(in_parentheses), list(names))
    except Exception as error:  # errors of the parser have no common class
        raise ValueError(
            f"The hypotheses {quoted(constraints)} are not linear equations of the "
            f"parameters {', '.join(map(printable, names))}: {printable(error, 300)} "
            "Put names that are not identifiers in backticks: '`mean radius` = 0'."
        ) from error
    return parsed.constraint_matrix, parsed.constraint_values


def _read_candidates(data: FittedData, candidates: Any) -> tuple[Any, int]:
    """Return the candidates as values for each row of a pass, and their number.

    Raises
    ------
    TypeError, ValueError
        If the candidates are not a matrix of real numbers with as many rows as X.
    """
    chunks, like = data.objective.data.chunks, data.dataset.features
    read = partial(_on_device, like.xp, like.device)
    if chunks is None:
        rows = read(candidates)
        check_n_rows("exog_extra", rows.shape, data.objective.n_samples)
        return rows, rows.shape[1]
    check_2d((data.objective.n_samples, *candidates.shape[1:]))
    rows = rows_like(chunks.X, candidates, "exog_extra", read)
    return rows, int(candidates.shape[1])


def _on_device(xp: Any, device: Any, candidates: Any) -> Array:
    """Return candidates in the library and on the device of X."""
    features = read_features(LogisticRegression(), candidates, reset=True)
    if features.xp is xp and features.device == device:
        return features.X
    return arrays.move(features.X, xp=xp, device=device)


def _score_sums(
    block: Block, loss: Loss, parameters: Array, joint: bool, candidates: Array
) -> tuple[Array, ...]:
    """Return products of the candidates with r, with H z and with H c: (..., m).

    r has a column for each equation. With ``joint``, H c has all candidates; else only
    the candidate itself.
    """
    xp, widest, outputs = block.xp, block.accumulation_dtype, loss.n_outputs
    block = block._replace(matrix=block.matrix.astype(widest))
    C = as_matrix(candidates).astype(widest)
    check_n_rows("exog_extra", C.shape, block.matrix.shape[0])
    eta = passes.logits(block, loss, parameters)
    s = xp.astype(block.weights, widest)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    identity = xp.eye(outputs, dtype=widest, device=block.matrix.device)
    # The information has the same rounded weights, which far candidates need.
    H = passes.curvature(block, loss, parameters).product(identity, xp=xp)
    first = int(outputs > 1)  # the scores of all classes sum to zero: skip the first
    H = H[:, first:, :]
    own = H[:, :, first:]
    columns = [
        -s * gradient[:, 0, first:],
        H[..., None] * design(block, loss, parameters)[:, None, None, :],
        own[..., None] * C.to_dense()[:, None, None, :] if joint else own,
    ]
    score, cross, own = (xp.reshape(part, (s.shape[0], -1)) for part in columns)
    total = (C.transpose_matvec if joint else C.sandwich_diagonal)(own)
    return C.transpose_matvec(score), C.transpose_matvec(cross), total
