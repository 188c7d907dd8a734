"""Influence of single rows, and intervals of their probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from sklearn.utils._optional_dependencies import check_pandas_support

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Block, refuse_non_finite
from xlr.estimators.base import logits
from xlr.functions import sigmoid, softmax
from xlr.inference.fitted_results import FittedResults
from xlr.inference.sandwich import square_root
from xlr.inference.table import interval_columns
from xlr.inputs.features import read_features
from xlr.inputs.weights import check_offset_columns, read_offset
from xlr.losses import Loss
from xlr.objective.passes import logits as logits_of


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

    The weight s of a row multiplies its log-likelihood, as R's prior weights do: a row
    of weight 2 counts as two equal rows that are removed together.

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
        pd = check_pandas_support("summary_frame (pip install xlr[inference])")
        columns = {
            "cooks_d": self.cooks_distance,
            "standard_resid": self.resid_studentized,
            "hat_diag": self.hat_matrix_diag,
            "dffits_internal": self.dffits_internal,
        }
        frame = pd.DataFrame(
            arrays.to_host(self.dfbetas), columns=[f"dfb_{n}" for n in self.names]
        )
        return frame.assign(**{k: arrays.to_host(v) for k, v in columns.items()})

    def __repr__(self) -> str:
        distance = arrays.to_host(self.cooks_distance)
        row = int(np.argmax(distance))
        return (
            f"<Influence of {distance.size} rows; the largest Cook's distance is "
            f"{distance[row]:.4g}, of row {row}>"
        )


class RowStatistics(FittedResults):
    """Influence and predictions of single rows."""

    def get_influence(self) -> Influence:
        """Return the leverage, residuals, Cook's distance and dfbetas of each row.

        Raises
        ------
        ValueError
            If there are more than two classes, or the results hold no rows in memory.

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
        with self._rows("get_influence", two_classes=True) as data:
            objective, xp = data.objective, data.objective.xp
            if not objective.data.in_memory:
                raise ValueError(
                    "Influence describes single rows, and rows of Dask are not in "
                    "memory. Call infer on rows in memory: X.compute()."
                )
            # 1. Leverages, Pearson residuals, and scores in the units of a root R of
            # the inverse Hessian R R'.
            unit, root = data.dataset.unit, square_root(self._estimates.inverse)
            columns = objective.split(objective.place(root.T))
            rows = data.map_rows(_influences, columns, width=3 * root.shape[1])
            leverage, residual = unit * rows[:, 0], unit**0.5 * rows[:, 1]
            # 2. A row moves the estimates by its score times the inverse Hessian.
            moves = data.units.reported(root.T) / self._errors
            moves = objective.place(moves, rows.dtype)
            dfbetas = unit * rows[:, 2:] @ moves / (1 - leverage)[:, None]
            studentized = residual / xp.sqrt(1 - leverage)
            distance = studentized**2 * leverage / (1 - leverage) / self.effective_df
            dffits = studentized * xp.sqrt(leverage / (1 - leverage))
            found = data.dataset.features.returned(
                hat_matrix_diag=leverage,
                resid_pearson=residual,
                resid_studentized=studentized,
                cooks_distance=distance,
                dffits_internal=dffits,
                dfbetas=dfbetas,
            )
            return Influence(names=data.names, **found)

    def predict(self, X: Array, offset: Array | None = None) -> Array:
        """Predict the probability of the second of two classes, or of every class.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            In any library, on any device, or of Dask; the result is of the same kind.
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

    def predict_interval(
        self, X: Array, offset: Array | None = None, alpha: float = 0.05
    ) -> ProbabilityInterval:
        r"""Predict class probabilities with intervals.

        The delta method for the log-odds :math:`\lambda_k = \log p_k / (1 -
        p_k)`, with standard errors :math:`s_k`, keeps the ends :math:`\sigma(\lambda_k
        \pm c\, s_k)` between 0 and 1. The error of :math:`p_k` is :math:`p_k (1 - p_k)
        s_k`.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            In any library; the result is in the same library.
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
        interval_columns(alpha)  # checks the level
        features, units = read_features(self._reader, X, reset=False), self._units
        added = None if offset is None else read_offset(offset, features)
        check_offset_columns(added, units.n_outputs, features.X.shape[0])
        root = square_root(self._estimates.standardized_covariance)
        params = np.concatenate([self._estimates.standardized[None, :], root.T])
        shape = params.shape[0], units.n_outputs
        quantile = float(stats.norm.isf(alpha / 2))
        with arrays.current_device(features.stored), arrays.quiet():
            xp, matrix = features.xp, features.matrix
            coef, intercept = (
                features.place(part.reshape(-1, *part.shape[2:]), features.wide)
                for part in units.raw(params)
            )
            pieces = []
            for rows in matrix.row_slices(coef.shape[0], 1, 1):
                found = logits(matrix.take_rows(rows), coef, intercept)
                found = xp.reshape(found, (-1, *shape))
                eta, moves = found[:, 0, :], found[:, 1:, :]
                if added is not None:
                    eta = eta + added[rows, :]
                pieces.append(xp.stack(_log_odds(eta, moves, xp=xp)))
            log_odds, se = xp.unstack(xp.concat(pieces, axis=1))
            if not arrays.to_host(xp.all(xp.isfinite(se))):
                refuse_non_finite(matrix)
            proba = sigmoid(log_odds)
            return ProbabilityInterval(
                **features.returned(
                    proba=proba,
                    se=proba * sigmoid(-log_odds) * se,
                    lower=sigmoid(log_odds - quantile * se),
                    upper=sigmoid(log_odds + quantile * se),
                )
            )


def _influences(
    block: Block, loss: Loss, parameters: Array, columns: tuple[Array, Array | None]
) -> Array:
    """Return leverages, Pearson residuals and scores times R: (n_rows, 2 + m)."""
    xp, s = block.xp, block.weights
    eta = logits_of(block, loss, parameters)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    h = loss.curvature(eta, block.labels, xp=xp).values[:, 0, :]
    products, residual = block.matrix.matvec(*columns), -gradient[:, 0, :]
    leverage = s * h * xp.sum(products**2, axis=1, keepdims=True)
    pearson = xp.sqrt(s / h) * residual
    return xp.concat([leverage, pearson, s * residual * products], axis=1)


def _log_odds(eta: Array, moves: Array, *, xp: Namespace) -> tuple[Array, Array]:
    r"""Return the log-odds of the classes and their errors, (n_rows, n_classes) each.

    .. math::
        \lambda_k &= \log \frac{p_k}{1 - p_k} = \eta_k - \log \sum_{l \ne k} e^{\eta_l}
        \\
        \nabla \lambda_k &= \nabla \eta_k - \sum_{l \ne k} q_l \nabla \eta_l, \qquad
        q = \mathrm{softmax}(\eta_l, l \ne k)

    Parameters
    ----------
    eta : array of shape (n_rows, n_outputs)
    moves : array of shape (n_rows, m, n_outputs)
        Changes of eta with each column of the root of the covariance.
    xp : namespace
    """
    if eta.shape[1] == 1:
        se = xp.sqrt(xp.sum(moves**2, axis=1))
        return xp.concat([-eta, eta], axis=1), xp.concat([se, se], axis=1)
    device = arrays.device_of(eta)
    own = xp.eye(eta.shape[1], dtype=eta.dtype, device=device) > 0
    infinity = xp.asarray(xp.inf, dtype=eta.dtype, device=device)
    others = xp.where(own, -infinity, eta[:, None, :])  # (n_rows, k, l)
    most = xp.max(others, axis=2)
    total = xp.sum(xp.exp(others - most[:, :, None]), axis=2)
    moved = moves - xp.matmul(moves, xp.matrix_transpose(softmax(others)))
    return eta - most - xp.log(total), xp.sqrt(xp.sum(moved**2, axis=1))
