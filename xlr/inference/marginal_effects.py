"""Marginal effects: changes of the probabilities with each feature."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Block, DenseMatrix, Targets, TrainingData, column_statistics
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.inference.fitted_results import FittedResults, check_finite
from xlr.inference.table import Table, wald_columns
from xlr.inputs.dataset import loss_of
from xlr.inputs.features import read_features
from xlr.inputs.parameters import check_option
from xlr.inputs.prediction import check_in_memory
from xlr.losses import Loss
from xlr.objective.passes import logits
from xlr.text import printable

METHODS = {
    "dydx": "dy/dx",
    "eyex": "d(lny)/d(lnx)",
    "dyex": "dy/d(lnx)",
    "eydx": "d(lny)/dx",
}


class MarginalEffects(FittedResults):
    """Marginal effects of the features on the class probabilities."""

    def get_margeff(
        self,
        at: Literal["overall", "mean", "zero"] | Array = "overall",
        method: Literal["dydx", "eyex", "dyex", "eydx"] = "dydx",
        *,
        dummy: bool = False,
        alpha: float = 0.05,
    ) -> Table:
        """Tabulate marginal effects of the features on the probabilities.

        Standard errors follow from the delta method. For two classes the effects are on
        the probability of the class that is not the reference, as the title says; for
        more, on the probability of each.

        Parameters
        ----------
        at : {'overall', 'mean', 'zero'} or array of shape (m, n_features)
            ``'overall'`` averages the effects over the training data. ``'mean'``
            takes one row, of the means of the columns; ``'zero'`` takes the row of
            zeros. An array averages over its own rows, such as one of medians, or
            training data with other values of a feature. Only ``'overall'`` takes the
            offsets into account.
        method : {'dydx', 'eyex', 'dyex', 'eydx'}, default='dydx'
            Derivative dP/dx, elasticity dlogP/dlogx, or a derivative with one
            logarithm: dP/dlogx or dlogP/dx.
        dummy : bool, default=False
            True to report, for features that hold only 0 and 1 in the training data,
            the change of P between these two values.
        alpha : float, default=0.05
            One minus the level of the intervals.

        Returns
        -------
        Table
            The effects (``dy/dx``, ``d(lny)/d(lnx)``, ...), ``std err``, ``z``,
            ``P>|z|`` and the interval. Standard errors are NaN for features that the L1
            penalty sets to zero.

        Raises
        ------
        ValueError
            If columns are aliased, so that only linear combinations of their
            coefficients are determined, or if an argument needs the training data,
            which the results do not keep.

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
        if self._estimates.aliased:
            raise ValueError(
                "Collinear columns have no effects of their own. Leave them out and "
                f"fit again: {self._estimates.aliased}."
            )
        check_option("method", method, METHODS)
        if isinstance(at, str):
            check_option("at", at, ("overall", "mean", "zero"))
        if dummy and method.endswith("ex"):
            raise ValueError(
                "dummy=True has no log scale for a 0/1 feature: method must be 'dydx' "
                f"or 'eydx'; got {method!r}."
            )
        names = self.names[int(self._parameter_map.fit_intercept) :]
        direct = np.arange(len(names) if method.endswith("ex") else 0)
        if dummy:
            with self._fitted_data("get_margeff(dummy=True)") as data:
                direct = _dummies(data)
        rows = self._rows_at(at)
        with arrays.current_device(rows.matrix.stored):
            effects, jacobian = self._average(rows, method, direct)
        covariance = self._estimates.standardized_covariance
        variance = np.sum(jacobian @ covariance * jacobian, axis=2)
        # Effects of coefficients at zero under an L1 penalty have no standard error.
        bse = self._standard_errors.reshape(self._n_equations, -1)[:, -len(names) :]
        variance[np.isnan(bse).all(axis=0) & (variance == 0)] = np.nan
        standard_errors = np.sqrt(np.maximum(variance, 0)).reshape(-1)
        columns = wald_columns(
            METHODS[method], effects.reshape(-1), standard_errors, alpha
        )
        is_overall = isinstance(at, str) and at == "overall"
        title = "Average marginal effects" if is_overall else "Marginal effects"
        groups = self.classes if self.equations else []
        if not groups:
            title += f" on P({printable(self.classes[1])})"
        return Table(title, names * effects.shape[0], columns, groups)

    def _rows_at(self, at: Any) -> TrainingData:
        """Return the rows of ``at`` with standardized columns.

        They are on the host, except the training data.
        """
        if not isinstance(at, str):
            check_in_memory("get_margeff(at=...)", at)
            features = read_features(self._reader, at, reset=False)
            rows = arrays.to_host(features.matrix.to_dense()).astype(np.float64)
        elif at == "zero":
            rows = np.zeros((1, self._parameter_map.mean.size))
        else:
            with self._fitted_data("get_margeff") as data:
                training_data = data.dataset.labelled_data  # without class weights
                if at == "overall":
                    dtype = data.objective.data.dtype
                    return training_data.astype(dtype).standardized(data.dataset.scaler)
                mean = column_statistics(training_data).mean
                rows = arrays.to_host(mean[None, :]).astype(np.float64)
        check_finite("at", rows)
        Z = (rows - self._parameter_map.mean) / self._parameter_map.scale
        ones = np.ones((len(rows), 1))
        return TrainingData(DenseMatrix(Z, xp=np), Targets(1, 0 * ones, ones))

    @arrays.quiet()
    def _average(
        self, data: TrainingData, method: str, direct: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Return effects averaged over rows by their weights, and their derivatives.

        With V = p or, for the logarithm of a probability, V = log p, and its
        derivatives G in the logits, an effect is :math:`\sum_l G_{kl} w_{lj}`. Its
        derivatives follow from those of G. One pass suffices.

        Parameters
        ----------
        data : TrainingData
            Rows with standardized columns.
        method : {'dydx', 'eyex', 'dyex', 'eydx'}
        direct : ndarray of int
            Columns whose effects are summed row by row: all for d/d(lnx), else those
            with a change from 0 to 1.

        Returns
        -------
        effects : ndarray of shape (n_outputs, n_features)
            Effects on all classes, or on the class of ``params``.
        jacobian : ndarray of shape (n_outputs, n_features, n_parameters)
            Derivatives in the standardized parameters, times ``sign``.
        """
        mean, scale = self._parameter_map.mean, self._parameter_map.scale
        loss, j = loss_of(len(self.classes)), np.arange(mean.size)
        K = loss.n_outputs
        sign = self._parameter_map.sign
        w = sign * self._estimates.standardized_params.reshape(K, -1)
        columns = np.stack([mean / scale, 1 / scale, *w[:, : j.size]])[:, direct]
        parameters, columns = (
            arrays.move(
                part, xp=data.xp, device=data.device, dtype=data.accumulation_dtype
            )
            for part in (sign * w.reshape(1, -1), columns)
        )
        sums = data.map_reduce(
            _effect_sums,
            loss,
            parameters,
            sign,
            columns,
            method,
            direct,
            width=3 * K**2 * max(K, 3 * direct.size),
        )
        total = data.total_weight()[0]
        means, products = (
            arrays.to_host(part / total).astype(np.float64) for part in sums
        )
        n = direct.size
        G, direct_effects, direct_coef = _split(means, (K, K), (n, K), (n, K, K))
        # The intercept is the last parameter of an output, if there is one.
        dG, direct_derivatives = _split(products[:, : w.shape[1]], (K, K, K), (n, K, K))
        w = w[:, : j.size] / scale
        effects, jacobian = G @ w, np.einsum("klmq,lj->kjmq", dG, w)
        jacobian[:, j, :, j] += G / scale[:, None, None]
        effects[:, direct] = direct_effects.T
        jacobian[:, direct] = np.swapaxes(direct_derivatives, 0, 1)
        jacobian[:, direct, :, direct] += direct_coef
        return effects, jacobian.reshape(K, j.size, -1)


def _split(values: np.ndarray, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Split the first axis into parts of these shapes."""
    parts = np.split(values, np.cumsum(list(map(math.prod, shapes)))[:-1])
    return [p.reshape(*shape, *values.shape[1:]) for p, shape in zip(parts, shapes)]


def _effect_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    sign: int,
    columns: Array,
    method: str,
    direct: np.ndarray,
) -> tuple[Array, Array]:
    """Return sums over the rows: of G and effects, and of their derivatives times z.

    ``direct`` are the columns with effects in each row, (n_rows, d, K), and ``columns``
    their means, 1 and coefficients in standardized units. The derivatives of their
    effects are A z, and B in addition for the coefficients of the column. ``sign`` is a
    factor on the logits.
    """
    xp, matrix, takes_log = block.xp, block.matrix, method.startswith("ey")
    # 1. Derivatives: dA_kl / d eta_m = A_km ([k = l] - p_l) - p_k A_lm.
    eta = sign * logits(block, loss, parameters)[:, 0, :]
    _, G, p, residual = _derivatives(eta, takes_log, xp=xp)
    A = p[..., None] * residual
    dG = -A[:, None, :, :] * (xp.ones_like(p) if takes_log else p)[..., None, None]
    if not takes_log:
        dG = dG + A[:, :, None, :] * residual[..., None]
    effects, derivatives = [G], [dG]
    # 2. Columns with effects in each row.
    if direct.size:
        ids = arrays.move(direct, xp=xp, device=matrix.device)
        columns = xp.astype(columns, matrix.dtype)
        mean, one, w = columns[0, :], columns[1, :, None], columns[2:, :].T
        x = (matrix.take_columns(ids).to_dense() + mean)[..., None]
    if method.endswith("ex"):
        B = G[:, None, :, :] * x[..., None]
        A = xp.permute_dims(xp.matmul(w, dG), (0, 2, 1, 3)) * x[..., None]
        effects, derivatives = [G, xp.sum(B * w[:, None, :], axis=-1), B], [dG, A]
    elif direct.size:

        def evaluate_after(change: Array) -> tuple[Array, ...]:
            V, G, *_ = _derivatives(eta[:, None, :] + change * w, takes_log, xp=xp)
            return V, G, G * change[..., None]

        V, A, B = (b - a for a, b in zip(evaluate_after(-x), evaluate_after(one - x)))
        effects, derivatives = [G, V, B], [dG, A]
    # 3. Weighted sums, and products with the rows z.
    R, S = (
        block.weights
        * xp.concat([xp.reshape(part, (eta.shape[0], -1)) for part in parts], axis=1)
        for parts in (effects, derivatives)
    )
    means, total = (
        xp.sum(part, axis=0, dtype=block.accumulation_dtype) for part in (R, S)
    )
    products = matrix.transpose_matvec(S, total)
    return means, xp.concat([products, total[:, None]], axis=1)


def _derivatives(eta: Array, takes_log: bool, *, xp: Namespace) -> tuple[Array, ...]:
    """Return V and p, (..., n_outputs), and G and [k = l] - p_l, (..., k, l)."""
    if eta.shape[-1] == 1:
        p, residual = sigmoid(eta), sigmoid(-eta)[..., None]
        V = log_sigmoid(eta) if takes_log else p
    else:
        p = softmax(eta)
        identity = xp.eye(eta.shape[-1], dtype=eta.dtype, device=arrays.device_of(eta))
        residual = identity - p[..., None, :]
        V = log_softmax(eta) if takes_log else p
    return V, residual if takes_log else p[..., None] * residual, p, residual


def _dummies(data: Any) -> np.ndarray:
    """Return the columns that hold both 0 and 1 and no other numbers."""
    raw, scaler = data.dataset.spec.data, data.dataset.scaler
    (others,) = raw.map_reduce(_other_numbers, width=4 * raw.n_features)
    varies = arrays.to_host(scaler.varies) > 0
    return np.nonzero((arrays.to_host(others) == 0) & varies)[0]


def _other_numbers(block: Block) -> tuple[Array]:
    """Count the numbers other than 0 and 1 in each column."""
    xp, x = block.xp, block.matrix.to_dense()
    others = xp.astype((x != 0) & (x != 1), block.accumulation_dtype)
    counts = xp.astype(block.row_weights > 0, block.accumulation_dtype)
    return (xp.matmul(counts.T, others)[0, :],)
