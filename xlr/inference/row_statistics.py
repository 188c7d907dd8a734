"""Statistics of the rows: residuals, influence, predictions and goodness of fit."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import ndtri
from sklearn.utils._optional_dependencies import check_pandas_support

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Block
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.inference.covariance import square_root
from xlr.inference.fitted_data import FittedData
from xlr.inference.fitted_results import ChiSquaredTest, FittedResults
from xlr.inputs.parameters import check_option, check_parameters
from xlr.inputs.prediction import check_in_memory
from xlr.losses import Loss
from xlr.objective import passes
from xlr.precision import full_precision


class ProbabilityInterval(NamedTuple):
    """Probabilities of the classes with intervals, in the library of X.

    Attributes
    ----------
    proba : array of shape (n_samples, n_classes)
    se : array of shape (n_samples, n_classes)
        Standard errors, by the delta method.
    lower, upper : array of shape (n_samples, n_classes)
        Ends of the intervals, between 0 and 1.
    """

    proba: Array
    se: Array
    lower: Array
    upper: Array


@dataclass(frozen=True, repr=False)
class Influence:
    """Influence of each row on a fit, under statsmodels' names.

    The weight s of a row, its sample weight times the weight of its class, multiplies
    its log-likelihood, as R's prior weights do: a row of weight 2 counts as two equal
    rows that are removed together.

    Attributes
    ----------
    hat_matrix_diag : array of shape (n_samples,)
        Leverage h, the diagonal of W^(1/2) X (X'WX)^-1 X' W^(1/2), W = s p (1 - p).
    resid_pearson : array of shape (n_samples,)
        r = sqrt(s) (y - p) / sqrt(p (1 - p)).
    resid_studentized : array of shape (n_samples,)
        r / sqrt(1 - h).
    cooks_distance : array of shape (n_samples,)
        r^2 h / (k (1 - h)^2), with k the (effective) number of parameters: the squared
        change of the estimates without the row, in units of their covariance, over k.
    dffits_internal : array of shape (n_samples,)
        r sqrt(h) / (1 - h): the change of the row's probability without the row, over
        its standard error.
    dfbetas : array of shape (n_samples, n_parameters)
        Change of each estimate without the row, by one Newton step, over its standard
        error.
    names : list of str
        Names of the parameters.

    References
    ----------
    Pregibon (1981), *Logistic regression diagnostics*, Annals of Statistics 9;
    R's ``cooks.distance`` and ``rstandard``.
    """

    hat_matrix_diag: Array
    resid_pearson: Array
    resid_studentized: Array
    cooks_distance: Array
    dffits_internal: Array
    dfbetas: Array
    names: list[str]

    def summary_frame(self) -> Any:
        """Return all numbers as a pandas DataFrame, under statsmodels' names.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pd = check_pandas_support("summary_frame (pip install pandas)")
        names = [f"dfb_{name}" for name in self.names]
        return pd.DataFrame(arrays.to_host(self.dfbetas), columns=names).assign(
            cooks_d=arrays.to_host(self.cooks_distance),
            standard_resid=arrays.to_host(self.resid_studentized),
            hat_diag=arrays.to_host(self.hat_matrix_diag),
            dffits_internal=arrays.to_host(self.dffits_internal),
        )

    def __repr__(self) -> str:
        n_rows, n_parameters = self.dfbetas.shape
        return f"<Influence of {n_rows} rows on {n_parameters} parameters>"


class RowStatistics(FittedResults):
    """Residuals, influence and predictions of single rows, and measures of the fit.

    Residuals and measures of the fit load the logits of all rows into memory.
    """

    def pseudo_rsquared(
        self, kind: Literal["mcf", "cs", "nagelkerke", "tjur"] = "mcf"
    ) -> float:
        """Return a pseudo-R-squared of the fit.

        Parameters
        ----------
        kind : {'mcf', 'cs', 'nagelkerke', 'tjur'}, default='mcf'
            McFadden's 1 - llf / llnull, Cox and Snell's 1 - exp(2 (llnull - llf) / n),
            or Nagelkerke's, Cox and Snell's over its maximum. Tjur's is the mean
            probability of a class in its own rows, less the mean in the rows of the
            other; it needs the training data.

        Raises
        ------
        ValueError
            If ``kind`` has another value, or for Tjur's, if there are more than two
            classes or the results do not keep the training data.

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
        check_option("kind", kind, ("mcf", "cs", "nagelkerke", "tjur"))
        if kind == "mcf":
            return self.prsquared
        if kind == "tjur":
            p, y, s = self._probabilities("pseudo_rsquared('tjur')", two_classes=True)
            means = [np.average(p[:, 1], weights=s * y[:, k]) for k in range(2)]
            return float(means[1] - means[0])
        cox_snell = -float(np.expm1(-self.llr / self.nobs))
        most = -float(np.expm1(2 * self.llnull / self.nobs))
        return cox_snell if kind == "cs" else cox_snell / most

    @property
    def fittedvalues(self) -> Array:
        """Return fitted probabilities of the class of ``params``, or of all classes.

        They are in the library of X, of shape (n_samples,) or (n_samples, n_classes).
        statsmodels' ``Logit.fittedvalues`` are logits. Fitted values and residuals need
        ``keep_data=True``.
        """
        with self._fitted_data("fittedvalues") as data:
            eta, *_ = _gather_logits(data)
            proba = softmax(eta) if self.equations else sigmoid(eta[:, 0])
            return data.dataset.features.returned(proba=proba)["proba"]

    @property
    def resid_response(self) -> Array:
        """Return the response residuals y - p of two classes: (n_samples,).

        Residuals belong to the class of ``params``: y is 1 for the class that is not
        the reference, and p its probability.
        """
        return self._residuals("response")

    @property
    def resid_pearson(self) -> Array:
        """Return the Pearson residuals sqrt(s / (p (1 - p))) (y - p), for weights s."""
        return self._residuals("pearson")

    @property
    def resid_deviance(self) -> Array:
        """Return the deviance residuals: signed roots of the rows' deviances."""
        return self._residuals("deviance")

    @property
    def resid_working(self) -> Array:
        """Return the working residuals (y - p) / (p (1 - p)) of two classes."""
        return self._residuals("working")

    def _residuals(self, kind: str) -> Array:
        with self._fitted_data(f"resid_{kind}", two_classes=True) as data:
            eta, y, s, residual, variance = _binary_residuals(data)
            xp = data.objective.xp
            if kind == "pearson":
                residual = xp.sqrt(s / variance) * residual
            elif kind == "working":
                residual = residual / variance
            elif kind == "deviance":  # less the loss of the saturated model
                loss = y * (_log(y, xp=xp) - log_sigmoid(eta))
                loss = loss + (1 - y) * (_log(1 - y, xp=xp) - log_sigmoid(-eta))
                loss = xp.maximum(loss, xp.zeros_like(loss))
                residual = xp.sign(residual) * xp.sqrt(2 * s * loss)
            return data.dataset.features.returned(residual=residual)["residual"]

    def _probabilities(self, method: str, **needs: bool) -> tuple[np.ndarray, ...]:
        """Return probabilities and shares, (n_samples, n_classes), and weights.

        They are on the host, for the arguments of ``_fitted_data``.
        """
        with self._fitted_data(method, **needs) as data:
            gathered = _gather_logits(data)
            eta, y, s = (arrays.to_host(part).astype(np.float64) for part in gathered)
        if eta.shape[1] == 1:
            return sigmoid(np.hstack([-eta, eta])), np.hstack([1 - y, y]), s
        if y.shape[1] == 1:  # codes
            y = 1.0 * (y == np.arange(eta.shape[1]))
        return softmax(eta), y, s

    @property
    def pearson_chi2(self) -> float:
        r"""Return Pearson's chi-squared statistic of the fit.

        It sums squared Pearson residuals for two classes, and
        :math:`s_i (y_{ik} - p_{ik})^2 / p_{ik}` for more.
        """
        p, y, s = self._probabilities("pearson_chi2")
        return float(s @ np.sum((y - p) ** 2 / p, axis=1))

    def pred_table(self, threshold: float = 0.5) -> np.ndarray:
        """Return the confusion matrix, with sample weights.

        Parameters
        ----------
        threshold : float, default=0.5
            Probability above which the class that is not the reference is predicted.
            With more than two classes, the most probable class is predicted.

        Returns
        -------
        ndarray of shape (n_classes, n_classes)
            Sums of weights, with a row for each observed class and a column for each
            predicted one, in the order of ``classes``.

        Raises
        ------
        ValueError
            If the results do not keep the training data.

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
        p, y, s = self._probabilities("pred_table")
        predicted = p.argmax(axis=1) if self.equations else 1 * (p[:, 1] > threshold)
        return (s[:, None] * y).T @ np.eye(p.shape[1])[predicted]

    def hosmer_lemeshow(self, n_groups: int = 10) -> ChiSquaredTest:
        """Test the calibration of a binary fit (Hosmer and Lemeshow).

        Parameters
        ----------
        n_groups : int, default=10
            Number of groups, cut at quantiles of the probabilities. Rows of equal
            probability share a group, and empty groups are dropped.

        Returns
        -------
        ChiSquaredTest
            ``statistic``, ``df`` and ``pvalue``; df is the number of groups less two.

        Raises
        ------
        ValueError
            If there are more than two classes, fewer than three groups, class weights,
            or the results do not keep the training data.

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
        needs = {"two_classes": True, "needs_counts": True}
        p, y, s = self._probabilities("hosmer_lemeshow", **needs)
        order = np.argsort(p[:, 1], kind="stable")
        order = order[s[order] > 0]
        p, y, s = p[order, 1], y[order, 1], s[order]
        # 1. Quantiles, interpolated like R's quantiles of repeated rows.
        below = np.cumsum(s)
        ends = np.stack([below - s, np.maximum(below - s, below - 1)], axis=1)
        quantile_ranks = (below[-1] - 1) * np.linspace(0, 1, n_groups + 1)
        edges = np.unique(np.interp(quantile_ranks, ends.reshape(-1), np.repeat(p, 2)))
        group_ids = np.searchsorted(edges[1:-1], p)
        # 2. Observed and expected counts of the groups with rows.
        counts = np.stack([np.bincount(group_ids, part) for part in (s, s * y, s * p)])
        total, observed, expected = counts[:, counts[0] > 0]
        if total.size < 3:
            raise ValueError(
                "The Hosmer-Lemeshow test needs three groups, and the probabilities "
                f"leave {total.size}: too many rows have the same probability."
            )
        variance = expected * (1 - expected / total)
        statistic = float(np.sum((observed - expected) ** 2 / variance))
        return ChiSquaredTest.of(statistic, total.size - 2)

    def get_influence(self) -> Influence:
        """Return the leverage, residuals, Cook's distance and dfbetas of each row.

        Raises
        ------
        ValueError
            If there are more than two classes, or the results do not keep the training
            data in memory.

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
        with self._fitted_data("get_influence", two_classes=True) as data:
            objective, xp = data.objective, data.objective.xp
            if not objective.data.in_memory:
                raise ValueError(
                    "Influence describes single rows, and rows of Dask are not in "
                    "memory. Call infer on rows in memory: X.compute()."
                )
            # A row moves the estimates by its score times the inverse Hessian R R'.
            root = square_root(self._estimates.inverse_hessian)
            root_coef = objective.split(objective.place(root.T))
            width = root.shape[1]
            products = objective.data.map_rows(_matvec, root_coef, width=width)
            changes = data.parameter_map.sign * data.parameter_map.to_reported(root.T)
            changes = changes / self._standard_errors
            changes = products @ objective.place(changes, products.dtype)
            _, _, s, residual, variance = _binary_residuals(data, of_fit=True)
            h = s * variance * xp.sum(products**2, axis=1)
            pearson = xp.sqrt(s / variance) * residual
            studentized = pearson / xp.sqrt(1 - h)
            influence = data.dataset.features.returned(
                hat_matrix_diag=h,
                resid_pearson=pearson,
                resid_studentized=studentized,
                cooks_distance=studentized**2 * h / (1 - h) / self.effective_df,
                dffits_internal=studentized * xp.sqrt(h / (1 - h)),
                dfbetas=(s * residual / (1 - h))[:, None] * changes,
            )
            return Influence(names=data.names, **influence)

    def predict(self, X: Array, offset: Array | None = None) -> Array:
        """Predict the probability of the class of ``params``, or of all classes.

        Of two classes, it is the class that is not the reference.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            In any library, on any device, or of Dask; the result is of the same kind.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the log-odds that ``params`` describe, or to the logits of
            ``classes``.

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

    def predict_interval(
        self, X: Array, offset: Array | None = None, alpha: float = 0.05
    ) -> ProbabilityInterval:
        r"""Predict class probabilities with intervals.

        The delta method for the log-odds :math:`\lambda_k = \log(p_k / (1 - p_k))`,
        with standard errors :math:`s_k`, keeps the ends :math:`\sigma(\lambda_k \pm
        c\, s_k)` between 0 and 1. The standard error of :math:`p_k` is :math:`p_k (1 -
        p_k) s_k`.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            In any library; the result is in the same library.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            As in :meth:`predict`.
        alpha : float, default=0.05
            One minus the level.

        Returns
        -------
        ProbabilityInterval
            ``proba``, ``se``, ``lower`` and ``upper``, each (n_samples, n_classes),
            with columns in the order of ``classes``.

        Raises
        ------
        ValueError
            If X has other features than the fit, or anything is not finite.
        """
        check_parameters({"alpha": alpha})
        check_in_memory("predict_interval", X)
        eta = self._reader.decision_function(X, offset)
        reader = copy.copy(self._reader)
        reader._has_offset = False  # the logits of the root have no offset
        # The logits of a root of the covariance, in place of the coefficients.
        root = square_root(self._estimates.standardized_covariance)
        raw = self._parameter_map.to_raw(root.T)
        reader.coef_, reader.intercept_ = map(np.concatenate, raw)
        K, n = self._parameter_map.n_outputs, len(self.classes)
        variance_of = partial(_variance_of_logits, K)
        with arrays.current_device(eta), arrays.quiet(), full_precision(eta):
            xp, V = arrays.namespace(eta), reader._map_logits(variance_of, X)
            place = {"dtype": eta.dtype, "device": arrays.device_of(eta)}
            # The log-odds of each class, and their derivatives in the logits.
            if K == 1:
                jacobian = xp.asarray([[-1.0], [1.0]], **place)
                log_odds = eta[:, None] * jacobian[:, 0]
            else:
                identity = xp.eye(n, **place)
                other_logits = eta[:, None, :] + xp.log(1 - identity)
                log_q = log_softmax(other_logits)
                # max(other_logits) - max(log_q) is their logsumexp, which the array API
                # lacks.
                log_odds = eta - xp.max(other_logits, axis=2) + xp.max(log_q, axis=2)
                jacobian = identity - xp.exp(log_q)
            se = xp.sqrt(xp.sum(xp.matmul(jacobian, V) * jacobian, axis=2))
            proba, half_width = sigmoid(log_odds), -float(ndtri(alpha / 2)) * se
            return ProbabilityInterval(
                proba,
                proba * sigmoid(-log_odds) * se,
                sigmoid(log_odds - half_width),
                sigmoid(log_odds + half_width),
            )


def saturated_log_likelihood(data: FittedData) -> float:
    """Return the log-likelihood of the saturated model of soft labels, in one pass."""
    (total,) = data.sum_rows(_negative_entropy, reads_rows=False)
    return float(total)


def _negative_entropy(block: Block, loss: Loss, parameters: Array) -> tuple[Array]:
    xp, y = block.xp, block.labels
    y = xp.concat([1 - y, y], axis=1) if y.shape[1] == 1 else y
    return (xp.sum(block.weights * y * _log(y, xp=xp), dtype=block.accumulation_dtype),)


def _log(share: Array, *, xp: Namespace) -> Array:
    """Return the logarithm, and 0 where a share is 0."""
    return xp.log(xp.where(share > 0, share, xp.ones_like(share)))


def _binary_residuals(data: FittedData, *, of_fit: bool = False) -> tuple[Array, ...]:
    """Return logits, shares y of a class, weights, residuals y - p, and p q."""
    eta, y, s = _gather_logits(data, of_fit=of_fit)
    eta, y = eta[:, 0], y[:, 0]
    s = data.objective.xp.astype(s, eta.dtype, copy=False)
    p, q = sigmoid(eta), sigmoid(-eta)
    return eta, y, s, y * q - (1 - y) * p, p * q


def _gather_logits(
    data: FittedData, *, of_fit: bool = False
) -> tuple[Array, Array, Array]:
    """Return the logits, codes or shares of the classes, and weights of all rows.

    The arrays, (n_samples, m) and (n_samples,), are in memory, in the library of X. Two
    classes have the logit and share of the class that is not the reference. The weights
    are the sample weights; with ``of_fit``, times the class weights.
    """
    objective = data.objective
    model, K = (objective.loss, data.parameters), objective.n_outputs
    rows = objective.data.map_rows(_logits_and_labels, *model, width=2 * K)
    eta, y = rows[:, :K], rows[:, K:]
    # The weights as given: those of the objective are divided by their mean.
    s = data.dataset.labelled_data.map_rows(_weights, reads_rows=False)
    factors, xp = data.dataset.class_weights.factors, objective.xp
    if of_fit and (factors != 1).any():
        codes = xp.astype(y[:, 0], xp.int32)
        s = s * xp.take(objective.place(factors, s.dtype), codes)
    return (eta, y, s) if data.parameter_map.sign > 0 else (-eta, 1 - y, s)


def _logits_and_labels(block: Block, loss: Loss, parameters: Array) -> Array:
    eta = passes.logits(block, loss, parameters)[:, 0, :]
    return block.xp.concat([eta, block.labels], axis=1)


def _weights(block: Block) -> Array:
    return block.weights[:, 0]


def _matvec(block: Block, root_coef: tuple[Array, Array | None]) -> Array:
    return block.matrix.matvec(*root_coef)


def _variance_of_logits(n_outputs: int, root_logits: Array, *, xp: Namespace) -> Array:
    """Return R R' of the rows, (n_rows, k, k), for R' of shape (m k,) in each row."""
    root_logits = xp.reshape(root_logits, (root_logits.shape[0], -1, n_outputs))
    return xp.matmul(xp.matrix_transpose(root_logits), root_logits)
