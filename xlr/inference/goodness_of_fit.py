"""Goodness of fit: residuals, pseudo-R-squareds, predictions and a test."""

from __future__ import annotations

from typing import Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block
from xlr.functions import log_sigmoid, sigmoid, softmax
from xlr.inference.fitted_data import FittedData
from xlr.inference.fitted_results import ChiSquaredTest, FittedResults
from xlr.inputs.parameters import check_option, check_parameters
from xlr.losses import Loss
from xlr.objective import passes


class GoodnessOfFit(FittedResults):
    """Measures of fit, residuals and tables of predictions."""

    def pseudo_rsquared(
        self, kind: Literal["mcf", "cs", "nagelkerke", "tjur"] = "mcf"
    ) -> float:
        """Return a pseudo-R-squared of the fit.

        Parameters
        ----------
        kind : {'mcf', 'cs', 'nagelkerke', 'tjur'}, default='mcf'
            McFadden's 1 - llf / llnull, Cox and Snell's 1 - exp(2 (llnull - llf) / n),
            or Nagelkerke's, Cox and Snell's over its maximum. Tjur's is the mean
            probability of the second class in its own rows, less the mean in the other
            rows; it needs the rows of the fit.

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
        check_option("kind", kind, ("mcf", "cs", "nagelkerke", "tjur"))
        if kind == "mcf":
            return self.prsquared
        if kind == "tjur":
            with self._rows("pseudo_rsquared('tjur')", two_classes=True) as data:
                proba = _fit_sums(data)[2]
            first, second = proba[:, 1] / proba.sum(axis=1)
            return float(second - first)
        cox_snell = -float(np.expm1(-self.llr / self.nobs))
        most = -float(np.expm1(2 * self.llnull / self.nobs))
        return cox_snell if kind == "cs" else cox_snell / most

    @property
    def fittedvalues(self) -> Array:
        """Fitted probabilities of the second of two classes, or of every class.

        They are in the library of X, of shape (n_samples,) or (n_samples, n_classes).
        Those of statsmodels' ``Logit`` are logits instead.
        Fitted values and residuals need ``keep_data=True``.
        """
        with self._rows("fittedvalues") as data:
            eta, *_ = _fitted_rows(data)
            proba = softmax(eta) if self.equations else sigmoid(eta[:, 0])
            return data.dataset.features.returned(proba=proba)["proba"]

    @property
    def resid_response(self) -> Array:
        """Response residuals r = y - p of two classes: (n_samples,)."""
        return self._residuals("response")

    @property
    def resid_pearson(self) -> Array:
        """Pearson residuals sqrt(s) r / sqrt(p (1 - p)) of two classes, weights s."""
        return self._residuals("pearson")

    @property
    def resid_deviance(self) -> Array:
        """Deviance residuals of two classes: signed roots of the rows' deviances."""
        return self._residuals("deviance")

    @property
    def resid_working(self) -> Array:
        """Working residuals r / (p (1 - p)) of two classes."""
        return self._residuals("working")

    def _residuals(self, kind: str) -> Array:
        with self._rows(f"resid_{kind}", two_classes=True) as data:
            eta, y, s = _fitted_rows(data)
            xp, eta = data.objective.xp, eta[:, 0]
            p, q = sigmoid(eta), sigmoid(-eta)
            found = y * q - (1 - y) * p
            if kind == "pearson":
                found = xp.sqrt(s / (p * q)) * found
            elif kind == "working":
                found = found / (p * q)
            elif kind == "deviance":
                loss = xp.zeros_like(y)  # less the loss of the saturated model
                for share, own in ((y, eta), (1 - y, -eta)):
                    logs = xp.log(xp.where(share > 0, share, xp.ones_like(y)))
                    loss = loss + share * (logs - log_sigmoid(own))
                loss = xp.maximum(loss, xp.zeros_like(loss))
                found = xp.sign(found) * xp.sqrt(2 * s * loss)
            return data.dataset.features.returned(found=found)["found"]

    @property
    def pearson_chi2(self) -> float:
        r"""Pearson's chi-squared statistic of the fit.

        It sums squared Pearson residuals for two classes, and
        :math:`s_i (y_{ik} - p_{ik})^2 / p_{ik}` for more.
        """
        with self._rows("pearson_chi2") as data:
            return float(_fit_sums(data)[0])

    def pred_table(self, threshold: float = 0.5) -> np.ndarray:
        """Count the rows, by their weights, for each observed and predicted class.

        Parameters
        ----------
        threshold : float, default=0.5
            Probability above which the second of two classes is predicted. With more
            classes, the most probable class is predicted.

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
        with self._rows("pred_table") as data:
            return _fit_sums(data, threshold)[1]

    def hosmer_lemeshow(self, n_groups: int = 10) -> ChiSquaredTest:
        """Test the fit to two classes by Hosmer and Lemeshow's groups of rows.

        Parameters
        ----------
        n_groups : int, default=10
            Groups, cut at quantiles of the probabilities. Rows of equal probability
            share a group.

        Returns
        -------
        ChiSquaredTest
            ``statistic``, ``df`` and ``pvalue``; df is the number of groups less two.

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
        with self._rows("hosmer_lemeshow", two_classes=True) as data:
            eta, y, s = (
                arrays.to_host(part).astype(np.float64) for part in _fitted_rows(data)
            )
        return _hosmer_lemeshow(sigmoid(eta[:, 0]), y, s, n_groups)


def _fit_sums(data: FittedData, threshold: float = 0.5) -> list[np.ndarray]:
    """Return sums over the rows on the host, in one pass.

    Returns
    -------
    pearson : ndarray of shape ()
        Pearson's chi-squared.
    table : ndarray of shape (n_classes, n_classes)
        Weights of the rows by their observed and predicted class.
    proba : ndarray of shape (n_classes, n_classes)
        Probabilities of each class, by the class of the row.
    """
    width = 3 * max(2, data.objective.n_outputs)
    return data.sum_rows(_sums, threshold, width=width)


def _sums(
    block: Block, loss: Loss, parameters: Array, threshold: float
) -> tuple[Array, ...]:
    xp = block.xp
    eta = passes.logits(block, loss, parameters)[:, 0, :]
    if loss.n_outputs == 1:
        p = xp.concat([sigmoid(-eta), sigmoid(eta)], axis=1)
        predicted = xp.astype(p[:, 1:] > threshold, eta.dtype)
    else:
        p = softmax(eta)
        predicted = xp.astype(xp.argmax(eta, axis=1), eta.dtype)[:, None]
    classes = xp.arange(p.shape[1], dtype=p.dtype, device=arrays.device_of(p))
    y = _shares_of(block, p.shape[1])
    pearson = xp.sum(block.weights * (y - p) ** 2 / p, dtype=block.wide)
    own = xp.astype(block.weights * y, block.wide).T
    table, p = (xp.astype(x, block.wide) for x in (predicted == classes, p))
    return pearson, xp.matmul(own, table), xp.matmul(own, p)


def _shares_of(block: Block, n_classes: int) -> Array:
    """Return ones and zeros for the labels, or their shares: (n_rows, n_classes)."""
    xp, y = block.xp, block.labels
    if n_classes == 2:
        return xp.concat([1 - y, y], axis=1)
    if y.shape[1] == n_classes:
        return y
    classes = xp.arange(n_classes, dtype=y.dtype, device=arrays.device_of(y))
    return xp.astype(y == classes, y.dtype)


def saturated_log_likelihood(data: FittedData) -> float:
    """Return the log-likelihood of the saturated model, in one pass over the targets.

    It is zero for labels.
    """
    (total,) = data.sum_rows(_negative_entropy, reads_rows=False)
    return float(total)


def _negative_entropy(block: Block, loss: Loss, parameters: Array) -> tuple[Array]:
    xp, y = block.xp, _shares_of(block, max(2, loss.n_outputs))
    logs = xp.log(xp.where(y > 0, y, xp.ones_like(y)))
    return (xp.sum(block.weights * y * logs, dtype=block.wide),)


def _fitted_rows(data: FittedData) -> tuple[Array, Array, Array]:
    """Return the logits, (n_samples, n_outputs), labels and weights, (n_samples,).

    The arrays are in memory, in the library of X.
    """
    found = data.map_rows(_rows, width=data.objective.n_outputs + 2)
    return found[:, :-2], found[:, -2], data.dataset.unit * found[:, -1]


def _rows(block: Block, loss: Loss, parameters: Array) -> Array:
    eta = passes.logits(block, loss, parameters)[:, 0, :]
    return block.xp.concat([eta, block.labels, block.weights], axis=1)


def _hosmer_lemeshow(
    p: np.ndarray, y: np.ndarray, s: np.ndarray, n_groups: int
) -> ChiSquaredTest:
    """Compare observed and expected counts in groups of rows of similar probability.

    The groups are cut at the quantiles of the probabilities, weighted by the rows.

    Raises
    ------
    ValueError
        If fewer than three groups remain because many probabilities are equal.
    """
    order = np.argsort(p, kind="stable")
    order = order[s[order] > 0]
    p, y, s = p[order], y[order], s[order]
    # 1. Quantiles, interpolated like R's quantiles of repeated rows.
    below = np.cumsum(s)
    ends = np.stack([below - s, np.maximum(below - s, below - 1)], axis=1)
    at = (below[-1] - 1) * np.linspace(0, 1, n_groups + 1)
    edges = np.unique(np.interp(at, ends.reshape(-1), np.repeat(p, 2)))
    n_groups = edges.size - 1
    if n_groups < 3:
        raise ValueError(
            f"The probabilities leave {n_groups} groups, and the Hosmer-Lemeshow test "
            "needs three: too many rows have the same probability."
        )
    # 2. Observed and expected counts.
    of = np.clip(np.searchsorted(edges, p, side="left") - 1, 0, n_groups - 1)
    total, observed, expected = (
        np.bincount(of, part, n_groups) for part in (s, s * y, s * p)
    )
    variance = expected * (1 - expected / total)
    statistic = float(np.sum((observed - expected) ** 2 / variance))
    return ChiSquaredTest.of(statistic, n_groups - 2)
